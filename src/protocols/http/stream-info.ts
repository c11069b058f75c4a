import type { SluiceError } from "../../base/errors.ts";
import { retryAfterSeconds } from "../../base/refusal-headers.ts";
import type { CodecName } from "../../media/codec.ts";
import { streamMeta } from "../../media/track-json.ts";
import type { Track } from "../../media/track.ts";
import type { Stream, StreamState } from "../../streams/stream.ts";
import { type Admission, type HttpExchange, playableTracks, type StandIn, type WatchAddress } from "../protocol.ts";

/** An output as the host lists it. */
export type Output = WatchAddress & { readonly codecs: readonly CodecName[] };

/** One way to watch, as MistServer's stream information has it. */
export type Source = {
  readonly type: string;
  readonly hrn: string;
  /** Relative to the server's root. */
  readonly relurl: string;
  readonly url: string;
  readonly priority: number;
  /** Tracks that play at once: one of video, one of audio. */
  readonly simul_tracks: number;
  /** Tracks that the output can carry. */
  readonly total_matches: number;
};

/** MistServer's words for a stream that does not play. */
const stateTexts: Readonly<Record<Exclude<StreamState, "ready">, string>> = {
  offline: "Stream is offline",
  initializing: "Stream is initializing",
  booting: "Stream is booting",
  waiting: "Stream is waiting for data",
  shutdown: "Stream is shutting down",
};

/**
 * What is said of a stream that does not play; `guru` is for people who look closer. `token` (percent-encoded) lets a page
 * without cookies that waits for the stream stay the same viewer.
 */
export function offlineInfo(
  state: Exclude<StreamState, "ready">,
  more: { readonly guru?: string; readonly token?: string | undefined },
): object {
  const { guru, token } = more;
  return { error: stateTexts[state], ...(guru === undefined ? {} : { error_guru: guru }), ...(token === undefined ? {} : { tkn: token }) };
}

/**
 * What is said to somebody who may not watch: the reason, the decision's number if there is one, when to come back (whole seconds, as
 * the head says it), and nothing of the stream.
 */
export function refusedInfo(reason: string, { decisionId, retryAfterMs }: Pick<SluiceError, "decisionId" | "retryAfterMs">): object {
  return {
    error: reason,
    error_guru: reason,
    refused: true,
    ...(decisionId !== undefined && { decision: decisionId }),
    ...(retryAfterMs !== undefined && { retryAfter: retryAfterSeconds(retryAfterMs) }),
  };
}

/**
 * The stream information of a stream that plays. It shows the name that was asked for, never the stream's own: that may be
 * a secret of the operator's rewriting.
 */
export function streamInfo(exchange: HttpExchange, admission: Admission<Stream>, outputs: readonly Output[]): object {
  const stream = admission.value;
  const { width, height } = pictureSize(stream.tracks);
  const name = admission.askedName;
  return {
    capa: { selver: 2, ssl: exchange.url.protocol === "https:" },
    height,
    meta: streamMeta(stream),
    ...(admission.redirected ? { redirected: [name, name] } : {}),
    ...standInInfo(admission.standIn?.()),
    selver: 2,
    source: sources(exchange.url, name, admission.urlToken, stream.tracks, outputs, "inclzero" in exchange.query),
    type: stream.kind,
    unixoffset: Math.round(stream.unixOffset),
    width,
  };
}

/** `fallback` where viewers are kept while the stream is offline; `shows`, `offlineSince` and `liveAgain` while something else is shown to them. */
function standInInfo(standIn: StandIn | undefined): object {
  if (!standIn) return {};
  const { shown, shows, offlineSince, liveAgain, switch: how } = standIn;
  return { fallback: how, ...(shown && { shows, liveAgain, ...(offlineSince !== undefined && { offlineSince }) }) };
}

/** The ways to watch, best first, as MistServer sorts them: tracks at once, priority, tracks in all, URL. */
export function sources(
  base: URL,
  name: string,
  token: string | undefined,
  tracks: readonly Track[],
  outputs: readonly Output[],
  withoutTracks: boolean,
): readonly Source[] {
  const list = outputs.map((output): Source => {
    const playable = playableTracks(tracks, output.codecs);
    const relurl = withToken(output.path.replace(/^\//, "").replaceAll("$", encodedName(name)), token);
    return {
      hrn: output.hrn,
      priority: output.priority,
      relurl,
      simul_tracks: new Set(playable.map(({ kind }) => kind)).size,
      total_matches: playable.length,
      type: output.type,
      url: `${origin(base, output)}/${relurl}`,
    };
  });
  return list
    .filter((source) => withoutTracks || source.total_matches > 0)
    .toSorted(
      (a, b) => b.simul_tracks - a.simul_tracks || b.priority - a.priority || b.total_matches - a.total_matches || (a.url < b.url ? -1 : 1),
    );
}

/** Percent-encoded for a path; the `+` between base and wildcard stays readable, as it means itself there (RFC 3986 section 3.3). */
export function encodedName(name: string): string {
  return encodeURIComponent(name).replaceAll("%2B", "+");
}

function origin(base: URL, { scheme, port }: Output): string {
  const secure = base.protocol === "https:";
  const host =
    port === undefined && scheme !== "rtmp" ? base.host : port === undefined || port === 1935 ? base.hostname : `${base.hostname}:${port}`;
  return `${scheme === "rtmp" ? "rtmp" : secure ? `${scheme}s` : scheme}://${host}`;
}

function withToken(url: string, token: string | undefined): string {
  return token === undefined ? url : `${url}${url.includes("?") ? "&" : "?"}tkn=${token}`;
}

/** MistServer's defaults where there is no picture: 640x480, with sound alone 640x20. */
function pictureSize(tracks: readonly Track[]): { readonly width: number; readonly height: number } {
  const videos = tracks.filter((track) => track.kind === "video");
  const largest = videos.toSorted((a, b) => b.width * b.height - a.width * a.height)[0];
  if (largest && largest.width > 0 && largest.height > 0) return { width: largest.width, height: largest.height };
  return videos.length === 0 && tracks.some(({ kind }) => kind === "audio") ? { width: 640, height: 20 } : { width: 640, height: 480 };
}
