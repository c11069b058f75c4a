import { get, type IncomingMessage } from "node:http";

/** One server-sent event; `data` as it came. */
export type SseEvent = { readonly event: string; readonly id: string; readonly data: string };

/** A small reader of server-sent events (HTML standard, section 9.2.6) that a test can cut off and let stand still. */
export interface EventReader extends Disposable {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly events: readonly SseEvent[];
  readonly comments: readonly string[];
  /** What a browser would send as Last-Event-ID. */
  readonly lastId: () => string;
  /** The data of all events of a name, parsed. */
  of(event: string): Record<string, unknown>[];
  /** Resolves with the first event that fits, already come or to come. */
  until(fits: (event: SseEvent, data: Record<string, unknown>) => boolean, timeoutMs?: number): Promise<SseEvent>;
  /** Takes nothing from the socket any more. */
  pause(): void;
  resume(): void;
  /** Resolves when the answer has ended, whoever ended it. */
  readonly closed: Promise<void>;
}

/** Opens `url` and resolves with the answer's head. */
export function readEvents(url: string, headers: Readonly<Record<string, string>> = {}): Promise<EventReader> {
  return new Promise((resolve, reject) => {
    const request = get(url, { headers: { Accept: "text/event-stream", ...headers }, agent: false }, (response) => {
      const events: SseEvent[] = [];
      const comments: string[] = [];
      const looks = new Set<() => void>();
      let rest = "";
      let lastId = headers["Last-Event-ID"] ?? "";
      let over = false;
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        rest += text;
        const blocks = rest.split("\n\n");
        rest = blocks.pop() ?? "";
        for (const block of blocks) {
          let [event, data] = ["message", undefined as string | undefined];
          for (const line of block.split("\n")) {
            const [, field = "", value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
            if (field === "") comments.push(value);
            else if (field === "event") event = value;
            else if (field === "id") lastId = value;
            else if (field === "data") data = data === undefined ? value : `${data}\n${value}`;
          }
          if (data !== undefined) events.push({ event, id: lastId, data });
        }
        for (const look of looks) look();
      });
      const closed = new Promise<void>((done) => {
        response.once("close", () => {
          over = true;
          for (const look of looks) look();
          done();
        });
      });
      response.on("error", () => {});
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        events,
        comments,
        lastId: () => lastId,
        of: (name) => events.filter(({ event }) => event === name).map(({ data }) => JSON.parse(data) as Record<string, unknown>),
        until: (fits, timeoutMs = 20_000) =>
          new Promise((found, fail) => {
            let looked = 0;
            const look = (): void => {
              const event = events.slice(looked).find((one) => fits(one, JSON.parse(one.data) as Record<string, unknown>));
              looked = events.length;
              if (!event && !over) return;
              looks.delete(look);
              clearTimeout(timer);
              if (event) found(event);
              else fail(new Error(`the answer has ended; it had ${words(events)}`));
            };
            const timer = setTimeout(() => {
              looks.delete(look);
              fail(new Error(`not within ${timeoutMs} ms; there was ${words(events)}`));
            }, timeoutMs);
            looks.add(look);
            look();
          }),
        pause: () => void response.socket.pause(),
        resume: () => void response.socket.resume(),
        closed,
        [Symbol.dispose]: () => void request.destroy(),
      });
    });
    request.once("error", reject);
  });
}

function words(events: readonly SseEvent[]): string {
  return events.map(({ event, data }) => `${event} ${data.slice(0, 120)}`).join("\n") || "nothing";
}
