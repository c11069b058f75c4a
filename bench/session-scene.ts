import type { IncomingMessage } from "node:http";
import { parseRequest } from "../src/host/http-request.ts";
import { allow } from "../src/base/decision.ts";
import { LimitKeeper } from "../src/access/limits/limit-keeper.ts";
import type { AccessRequest, Connection } from "../src/sessions/access-request.ts";
import { defaultSessionSettings, type Identity, type Sessions } from "../src/sessions/session.ts";
import { createSessions } from "../src/sessions/sessions.ts";
import { FakeClock } from "../test/support/fake-clock.ts";

const log = { write: () => {} };
const noProxies = { trusts: () => false };
const agents = ["Chrome/142.0.0.0 Safari/537.36", "Firefox/145.0", "Version/18.1 Safari/605.1.15", "Edg/142.0.0.0"];

/** A text of its own, as what a parser has read is: nothing is shared with the texts of other viewers. */
const own = (text: string): string => Buffer.from(text).toString("latin1");

export function addressOf(viewer: number): string {
  return own(`10.${(viewer >> 16) & 255}.${(viewer >> 8) & 255}.${viewer & 255}`);
}

/** What a browser with hls.js asks for, through the parser of the HTTP server. Each viewer has its own token and address. */
export function hlsRequest(viewer: number, connection: Connection): AccessRequest {
  const token = `viewer-${String(viewer).padStart(8, "0")}`;
  const address = addressOf(viewer);
  const headers = {
    host: own("live.example.org"),
    connection: own("keep-alive"),
    "user-agent": own(`Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) ${agents[viewer % agents.length]}`),
    accept: own("*/*"),
    origin: own("https://www.example.org"),
    referer: own("https://www.example.org/"),
    "sec-fetch-site": own("same-site"),
    "sec-fetch-mode": own("cors"),
    "sec-fetch-dest": own("empty"),
    "accept-encoding": own("gzip, deflate, br, zstd"),
    "accept-language": own("en-GB,en;q=0.9,de;q=0.8"),
  };
  const message = {
    method: "GET",
    url: own(`/hls/live/1_2/index.m3u8?tkn=${token}`),
    headers,
    socket: { localAddress: "127.0.0.1", localPort: 8080 },
  };
  const parsed = parseRequest(message as unknown as IncomingMessage, { address, port: 40_000, tls: undefined }, noProxies);
  const { url, query, cookies } = parsed;
  return {
    ...{ protocol: "HLS", stream: "live", url: url.href, address: parsed.address, query, headers: parsed.headers, cookies },
    ...{ connection, carriesToken: true, infoOnly: false },
  };
}

export function identityOf(viewer: number): Identity {
  return {
    type: "viewer",
    stream: "live",
    address: addressOf(viewer),
    token: own(`viewer-${String(viewer).padStart(8, "0")}`),
    madeToken: false,
    protocol: "HLS",
    url: own(`http://live.example.org/hls/live/1_2/index.m3u8?tkn=viewer-${String(viewer).padStart(8, "0")}`),
  };
}

/** The sessions as the server has them, with the keeper of limits and no declared limit, on a clock that is moved by hand. */
export function coreScene(): { readonly clock: FakeClock; readonly sessions: Sessions } {
  const clock = new FakeClock();
  const rules = {};
  const places = new LimitKeeper({
    ...{ clock, log, rules: () => rules, streamTags: () => [], bitrate: () => 0 },
    rates: () => sessions.rates(),
    endPublisher: () => {},
  });
  const sessions: Sessions = createSessions({ clock, log, settings: () => defaultSessionSettings, places });
  return { clock, sessions };
}

export const yes = async () => allow();
