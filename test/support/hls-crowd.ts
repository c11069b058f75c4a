import { Agent, get } from "node:http";

export type CrowdOptions = {
  /** Of the stream's multivariant playlist, without a token. */
  readonly url: string;
  readonly viewers: number;
  /** Milliseconds between two looks at the playlist. */
  readonly pollMs: number;
};

/** Viewers that behave as hls.js does: each has its token and its connection, polls its playlist and fetches each segment once. */
export class HlsCrowd implements Disposable {
  readonly #options: CrowdOptions;
  readonly #viewers: Viewer[] = [];

  constructor(options: CrowdOptions) {
    this.#options = options;
  }

  /** The next one comes; resolves when it has its first playlist. */
  async join(): Promise<void> {
    const token = `viewer${this.#viewers.length}`;
    const viewer = new Viewer(`${this.#options.url}?tkn=${token}`, this.#options.pollMs);
    this.#viewers.push(viewer);
    await viewer.begin();
  }

  /** The one who has watched longest goes; resolves when nothing of it is left. */
  async leave(): Promise<void> {
    await this.#viewers.find(({ watches }) => watches)?.end();
  }

  /** Viewers who have asked for their first playlist and did not go. */
  get watching(): number {
    return this.#viewers.filter(({ watches }) => watches).length;
  }

  /** Those who have got it: the server must know them. */
  get playing(): number {
    return this.#viewers.filter(({ watches, plays }) => watches && plays).length;
  }

  get requests(): number {
    return this.#viewers.reduce((sum, { requests }) => sum + requests, 0);
  }

  get segments(): number {
    return this.#viewers.reduce((sum, { segments }) => sum + segments, 0);
  }

  /** What went wrong, in words; a few of them. */
  get problems(): readonly string[] {
    return this.#viewers.flatMap(({ problem }) => problem ?? []).slice(0, 5);
  }

  /** `performance.now()` of the last answer that each viewer has got. */
  get lastAnswers(): readonly number[] {
    return this.#viewers.map(({ lastAnswer }) => lastAnswer);
  }

  [Symbol.dispose](): void {
    for (const viewer of this.#viewers) viewer[Symbol.dispose]();
  }
}

class Viewer implements Disposable {
  watches = false;
  plays = false;
  requests = 0;
  segments = 0;
  lastAnswer = 0;
  problem: string | undefined;
  readonly #top: string;
  readonly #pollMs: number;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #seen = new Set<string>();
  #media = "";
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(top: string, pollMs: number) {
    this.#top = top;
    this.#pollMs = pollMs;
  }

  async begin(): Promise<void> {
    this.watches = true;
    const [media] = uris(await this.#get(this.#top));
    if (media === undefined) return;
    this.plays = true;
    this.#media = new URL(media, this.#top).href;
    this.#timer = setInterval(() => {
      this.#turn = this.#turn.then(() => this.#poll());
    }, this.#pollMs);
    this.#turn = this.#poll();
  }

  async end(): Promise<void> {
    this.watches = false;
    clearInterval(this.#timer);
    await this.#turn;
    this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.watches = false;
    clearInterval(this.#timer);
    this.#agent.destroy();
  }

  async #poll(): Promise<void> {
    if (!this.watches) return;
    for (const uri of uris(await this.#get(this.#media))) {
      if (this.#seen.has(uri)) continue;
      this.#seen.add(uri);
      await this.#get(new URL(uri, this.#media).href);
      this.segments++;
    }
  }

  /** The text of an answer; empty, and noted, when there is none. */
  async #get(url: string): Promise<string> {
    this.requests++;
    const text = await new Promise<string>((resolve) => {
      const failed = (words: string): void => {
        this.problem ??= `${url}: ${words}`;
        resolve("");
      };
      const request = get(url, { agent: this.#agent }, (response) => {
        let body = "";
        const isText = response.headers["content-type"]?.includes("mpegurl");
        response.on("data", (bytes: Buffer) => {
          if (isText) body += bytes.toString("latin1");
        });
        response.on("end", () => (response.statusCode === 200 ? resolve(body) : failed(`status ${response.statusCode}`)));
        response.on("error", (error) => failed(error.message));
      });
      request.on("error", (error) => failed(error.message));
    });
    this.lastAnswer = performance.now();
    return text;
  }
}

function uris(playlist: string): readonly string[] {
  return playlist.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}
