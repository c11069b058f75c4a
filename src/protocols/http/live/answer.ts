import type { HttpExchange } from "../../protocol.ts";
import { readFilter } from "./entry.ts";
import type { LiveLists } from "./lists.ts";

const text = { "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store" } as const;

/** The same for everybody: any page may read it, and none needs a cookie for it. */
const forAll = { "Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "ETag, Retry-After", Vary: "Accept" } as const;

/** `GET /live.json`: what plays now, for sites that show it; as server-sent events when asked for. No session begins, nobody is asked. */
export function answerLive(lists: LiveLists, exchange: HttpExchange): void {
  const { method, headers, url } = exchange;
  if (method !== "GET" && method !== "HEAD") {
    return exchange.reply(405, { ...text, ...forAll, Allow: "GET, HEAD, OPTIONS" }, "the list is only read: use GET\n");
  }
  const filter = readFilter(url.searchParams);
  if (!filter) return exchange.reply(400, { ...text, ...forAll }, "at most 8 tags, and texts of at most 100 characters\n");
  const edition = lists.edition(filter);
  if (!edition) return exchange.reply(404, { ...text, ...forAll }, "this server shows no list of what plays (liveList is false)\n");

  const follows = url.searchParams.has("stream") || /\btext\/event-stream\b/.test(headers["accept"] ?? "");
  if (follows && method === "GET") {
    if (!lists.hasRoom) {
      const words = "too many follow the list; ask for it from time to time instead\n";
      return exchange.reply(503, { ...text, ...forAll, "Retry-After": "10" }, words);
    }
    const known = headers["last-event-id"] ?? url.searchParams.get("lastEventId") ?? undefined;
    const head = { ...forAll, "Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no" };
    return lists.follow(filter, edition, exchange.stream(200, head), known);
  }
  const etag = `"${edition.mark}"`;
  const head = { ...forAll, "Content-Type": "application/json", "Cache-Control": "public, max-age=1", ETag: etag };
  if (knows(headers["if-none-match"], etag)) return exchange.reply(304, head);
  exchange.reply(200, head, edition.json);
}

/** RFC 9110 section 13.1.2: the weak comparison. */
function knows(header: string | undefined, etag: string): boolean {
  return header !== undefined && (header.match(/\*|"[^"]*"/g) ?? []).some((tag) => tag === "*" || tag === etag);
}
