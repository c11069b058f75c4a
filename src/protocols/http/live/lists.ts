import type { Sink } from "../../../base/sink.ts";
import type { Host } from "../../protocol.ts";
import { Channel } from "./channel.ts";
import { type Edition, editionOf } from "./edition.ts";
import { fits, type LiveFilter, liveEntry } from "./entry.ts";

/** Milliseconds that changes are gathered before readers hear of them. */
const gatherMs = 100;
/** Filters whose lists are kept while nothing changes. */
const mostEditions = 256;

type Item = { readonly stream: Parameters<typeof fits>[1]; readonly json: string };
type Watched = { readonly filter: LiveFilter; readonly channel: Channel };

/**
 * The public list in all the forms that were asked for. It is made when somebody asks and something has changed, once for
 * each filter, and followed by those who want to hear of changes.
 */
export class LiveLists implements Disposable {
  readonly #host: Pick<Host, "live" | "watchAddresses" | "clock">;
  readonly #channels = new Map<string, Watched>();
  readonly #listening: Disposable;
  #items: readonly Item[] | undefined;
  #editions = new Map<string, Edition>();
  #gathering: Disposable | undefined;
  #readers = 0;

  constructor(host: Pick<Host, "live" | "watchAddresses" | "clock">) {
    this.#host = host;
    this.#listening = host.live.onChange(() => this.#onChange());
  }

  /** The list as the filter sees it now; undefined when there is none. */
  edition(filter: LiveFilter): Edition | undefined {
    const items = this.#present();
    if (!items) return undefined;
    const key = JSON.stringify(filter);
    const known = this.#editions.get(key);
    if (known) return known;
    const fitting = items.filter(({ stream }) => fits(filter, stream));
    const made = editionOf(new Map(fitting.map(({ stream, json }) => [stream.name, json])), this.#host.live.ordered);
    if (this.#editions.size >= mostEditions) this.#editions.clear();
    this.#editions.set(key, made);
    return made;
  }

  /** True while another reader may follow. */
  get hasRoom(): boolean {
    return this.#readers < this.#host.live.mostReaders;
  }

  /** Lets `sink` follow the list, which there is. `known`: the mark of the edition that it has. */
  follow(filter: LiveFilter, edition: Edition, sink: Sink, known: string | undefined): void {
    const key = JSON.stringify(filter);
    let watched = this.#channels.get(key);
    if (watched) watched.channel.publish(edition);
    else this.#channels.set(key, (watched = { filter, channel: new Channel(edition, this.#host.clock) }));
    const { channel } = watched;
    this.#readers++;
    channel.add(sink, known, () => {
      this.#readers--;
      if (channel.size > 0 || this.#channels.get(key)?.channel !== channel) return;
      this.#channels.delete(key);
      channel[Symbol.dispose]();
    });
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]();
    this.#gathering?.[Symbol.dispose]();
    for (const { channel } of [...this.#channels.values()]) channel[Symbol.dispose]();
  }

  #present(): readonly Item[] | undefined {
    if (this.#items) return this.#items;
    const outputs = this.#host.watchAddresses();
    this.#editions = new Map();
    this.#items = this.#host.live.streams()?.map((stream) => ({ stream, json: liveEntry(stream, outputs) }));
    return this.#items;
  }

  #onChange(): void {
    this.#items = undefined;
    if (this.#channels.size === 0) return;
    this.#gathering ??= this.#host.clock.after(gatherMs, () => {
      this.#gathering = undefined;
      this.#publish();
    });
  }

  #publish(): void {
    for (const { filter, channel } of [...this.#channels.values()]) {
      const edition = this.edition(filter);
      if (edition) channel.publish(edition);
      else channel[Symbol.dispose]();
    }
  }
}
