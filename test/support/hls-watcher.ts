import { createHash } from "node:crypto";
import { get } from "./viewer.ts";

/** What somebody saw who has read one live playlist all along. */
export type HlsWatched = {
  /** What a player would take for a fault, in words. */
  readonly faults: readonly string[];
  readonly playlists: number;
  /** Media sequence numbers of segments that stand behind a discontinuity. */
  readonly breaks: readonly number[];
  /** All segments, in their order. */
  readonly segments: readonly Buffer[];
};

type Listed = { readonly uri: string; readonly isBreak: boolean; hash?: string };

/** Reads the media playlist below a multivariant one again and again, as RFC 8216 6.3.4 has it, and each segment twice. */
export class HlsWatcher {
  readonly #url: string;
  readonly #every: number;
  readonly #listed = new Map<number, Listed>();
  readonly #segments = new Map<number, Buffer>();
  readonly #faults: string[] = [];
  readonly #over = new AbortController();
  #playlists = 0;
  #first: { readonly sequence: number; readonly breaks: number } | undefined;
  #highest = -1;
  #running: Promise<void> | undefined;

  constructor(url: string, everyMs = 400) {
    this.#url = url;
    this.#every = everyMs;
  }

  async start(): Promise<void> {
    const top = await get(this.#url);
    const media = top.text.split("\n").find((line) => line !== "" && !line.startsWith("#"));
    if (top.status !== 200 || media === undefined) throw new Error(`${this.#url}: ${top.status} ${top.text}`);
    this.#running = this.#watch(new URL(media, this.#url).href);
  }

  get segments(): number {
    return this.#segments.size;
  }

  async stop(): Promise<HlsWatched> {
    this.#over.abort();
    await this.#running;
    const numbers = [...this.#segments.keys()].toSorted((a, b) => a - b);
    return {
      faults: this.#faults,
      playlists: this.#playlists,
      breaks: [...this.#listed].filter(([, { isBreak }]) => isBreak).map(([sequence]) => sequence),
      segments: numbers.map((sequence) => this.#segments.get(sequence) ?? Buffer.alloc(0)),
    };
  }

  async #watch(url: string): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      const { status, text } = await get(url);
      if (status !== 200) this.#faults.push(`playlist: ${status} ${text}`);
      else await this.#read(url, text);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, this.#every);
        signal.addEventListener("abort", () => (clearTimeout(timer), resolve(undefined)), { once: true });
      });
    }
  }

  async #read(url: string, text: string): Promise<void> {
    this.#playlists++;
    const begin = Number(/#EXT-X-MEDIA-SEQUENCE:(\d+)/.exec(text)?.[1] ?? 0);
    const gone = Number(/#EXT-X-DISCONTINUITY-SEQUENCE:(\d+)/.exec(text)?.[1] ?? 0);
    const target = Number(/#EXT-X-TARGETDURATION:(\d+)/.exec(text)?.[1] ?? 0);
    if (text.includes("#EXT-X-ENDLIST")) this.#faults.push("the playlist has ended");
    if (begin < this.#highest) this.#faults.push(`media sequence fell from ${this.#highest} to ${begin}`);
    this.#highest = Math.max(this.#highest, begin);
    let sequence = begin;
    let isBreak = false;
    const shown: number[] = [];
    for (const line of text.split("\n")) {
      if (line === "#EXT-X-DISCONTINUITY") isBreak = true;
      const length = Number(/^#EXTINF:([\d.]+)/.exec(line)?.[1] ?? 0);
      if (Math.round(length) > target) this.#faults.push(`segment ${sequence} lasts ${length} s, above the target duration ${target}`);
      if (line === "" || line.startsWith("#")) continue;
      this.#list(sequence, line, isBreak);
      shown.push(sequence);
      isBreak = false;
      sequence++;
    }
    this.#first ??= { sequence: begin, breaks: gone };
    let breaks = this.#first.breaks;
    for (const [number, one] of this.#listed) if (one.isBreak && number >= this.#first.sequence && number < begin) breaks++;
    if (gone !== breaks) this.#faults.push(`discontinuity sequence is ${gone} at ${begin}; ${breaks} have left`);
    const oldest = shown[0];
    for (const number of shown) if (!this.#segments.has(number) || number === oldest) await this.#fetch(url, number);
  }

  #list(sequence: number, uri: string, isBreak: boolean): void {
    const known = this.#listed.get(sequence);
    if (!known) this.#listed.set(sequence, { uri, isBreak });
    else if (known.uri !== uri || known.isBreak !== isBreak) this.#faults.push(`segment ${sequence} has changed in the playlist`);
  }

  async #fetch(url: string, sequence: number): Promise<void> {
    const listed = this.#listed.get(sequence);
    if (!listed) return;
    const response = await fetch(new URL(listed.uri, url));
    if (response.status !== 200) return void this.#faults.push(`segment ${sequence}: ${response.status}`);
    const bytes = Buffer.from(await response.arrayBuffer());
    const hash = createHash("sha256").update(bytes).digest("hex");
    if (listed.hash !== undefined && listed.hash !== hash) this.#faults.push(`the bytes of segment ${sequence} have changed`);
    listed.hash = hash;
    if (!this.#segments.has(sequence)) this.#segments.set(sequence, bytes);
  }
}
