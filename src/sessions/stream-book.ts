import type { StreamName } from "../base/stream-name.ts";
import type { Entry } from "./entry.ts";
import type { Flow } from "./history.ts";
import type { SessionSums, StreamCounters } from "./session.ts";

type Page = {
  readonly sessions: Set<Entry>;
  /** The flows that belong to the page, with what they had carried before it began. */
  readonly flows: Map<Flow, { readonly up: number; readonly down: number }>;
  views: number;
  totalInputs: number;
  totalOutputs: number;
  /** Of viewers that have ended. */
  viewSeconds: number;
};

/** What each stream's sessions come to. A page begins with a stream's first session and is torn out after its last. */
export class StreamBook {
  readonly #pages = new Map<StreamName, Page>();
  /** What pages that were torn out had come to. */
  #past: SessionSums = { views: 0, totalInputs: 0, totalOutputs: 0, viewSeconds: 0, up: 0, down: 0 };

  /** A connection of the session has come to the stream. */
  enter(stream: StreamName, entry: Entry, flow: Flow): void {
    const page = this.#pageOf(stream);
    if (!page.flows.has(flow)) page.flows.set(flow, { up: flow.up, down: flow.down });
    if (page.sessions.has(entry)) return;
    page.sessions.add(entry);
    if (entry.identity.type === "viewer") page.views++;
    else if (entry.identity.type === "input") page.totalInputs++;
    else if (entry.identity.type === "output") page.totalOutputs++;
  }

  /** A session has ended. Gives the streams that have none any more, with their counters, and forgets those. */
  leave(entry: Entry): readonly (readonly [StreamName, StreamCounters])[] {
    const idle: [StreamName, StreamCounters][] = [];
    for (const stream of entry.streams()) {
      const page = this.#pages.get(stream);
      if (!page?.sessions.delete(entry)) continue;
      if (entry.identity.type === "viewer") page.viewSeconds += entry.secondsOn(stream);
      if (page.sessions.size > 0) continue;
      const counters = countersOf(page, stream);
      this.#past = plus(this.#past, counters);
      idle.push([stream, counters]);
      this.#pages.delete(stream);
    }
    return idle;
  }

  counters(stream: StreamName): StreamCounters | undefined {
    const page = this.#pages.get(stream);
    return page && countersOf(page, stream);
  }

  /** All pages, and what these and the pages before them come to. */
  all(): { readonly streams: readonly (readonly [StreamName, StreamCounters])[]; readonly ever: SessionSums } {
    const streams = [...this.#pages].map(([stream, page]) => [stream, countersOf(page, stream)] as const);
    return { streams, ever: streams.reduce((sum, [, counters]) => plus(sum, counters), this.#past) };
  }

  #pageOf(stream: StreamName): Page {
    let page = this.#pages.get(stream);
    if (!page) {
      page = { sessions: new Set(), flows: new Map(), views: 0, totalInputs: 0, totalOutputs: 0, viewSeconds: 0 };
      this.#pages.set(stream, page);
    }
    return page;
  }
}

/** Inputs and outputs are there while they are connected; a viewer is one until the session has ended. */
function countersOf(page: Page, stream: StreamName): StreamCounters {
  const now = { viewers: 0, inputs: 0, outputs: 0, unspecified: 0 };
  const sums = { viewSeconds: page.viewSeconds, up: 0, down: 0 };
  for (const entry of page.sessions) {
    const { type } = entry.identity;
    if (type === "viewer") {
      now.viewers++;
      sums.viewSeconds += entry.secondsOn(stream);
    } else if (type === "unspecified") now.unspecified++;
    else if (entry.connected) now[type === "input" ? "inputs" : "outputs"]++;
  }
  for (const [flow, before] of page.flows) {
    sums.up += flow.up - before.up;
    sums.down += flow.down - before.down;
  }
  const { views, totalInputs, totalOutputs } = page;
  return { ...now, views, totalInputs, totalOutputs, ...sums };
}

function plus(one: SessionSums, other: SessionSums): SessionSums {
  return {
    views: one.views + other.views,
    totalInputs: one.totalInputs + other.totalInputs,
    totalOutputs: one.totalOutputs + other.totalOutputs,
    viewSeconds: one.viewSeconds + other.viewSeconds,
    up: one.up + other.up,
    down: one.down + other.down,
  };
}
