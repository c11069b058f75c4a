import { baseName } from "../../../base/stream-name.ts";
import type { SessionView, TotalsRow } from "../../../sessions/session.ts";
import type { ApiParts } from "../../parts.ts";
import { type Call, each, isObject, pickFields, textsOf } from "../call.ts";
import { Spelled, spellObject, spellRows } from "../spelled.ts";

type ClientRow = { readonly session: SessionView; readonly seconds: number };

/** In MistServer's order; the last three are counted by packet protocols only, of which there are none yet. */
const clientFields = {
  host: ({ session }: ClientRow) => session.host,
  stream: ({ session }: ClientRow) => session.stream,
  protocol: ({ session }: ClientRow) => session.protocol,
  conntime: ({ seconds }: ClientRow) => seconds,
  position: ({ session }: ClientRow) => Math.round(session.positionMs / 1000),
  down: ({ session }: ClientRow) => session.down,
  up: ({ session }: ClientRow) => session.up,
  downbps: ({ session }: ClientRow) => Math.round(session.downPerSecond),
  upbps: ({ session }: ClientRow) => Math.round(session.upPerSecond),
  sessid: ({ session }: ClientRow) => session.id,
  pktcount: () => 0,
  pktlost: () => 0,
  pktretransmit: () => 0,
  // FrameWorks' MistServer has these; shown only when they are asked for.
  tags: ({ session }: ClientRow) => session.tags,
} as const;

const clientFieldNames = Object.keys(clientFields) as (keyof typeof clientFields)[];
const usualClientFields = clientFieldNames.filter((field) => field !== "tags");

/**
 * `clients`: one row for each session that was alive at `time`: Unix seconds, negative counts back, absent is now. Bytes, position and
 * rates are those of now, or of the session's end: there is no history of each session. Rows are made in turns, as there may be
 * a hundred thousand.
 */
export const clientsCall: Call = {
  name: "clients",
  async run(value, { parts }, reply) {
    if (!Array.isArray(value)) {
      reply["clients"] = new Spelled(await clientsAt(isObject(value) ? value : {}, parts));
      return;
    }
    const pieces: string[] = ["["];
    for (const question of value as readonly unknown[]) {
      if (pieces.length > 1) pieces.push(",");
      pieces.push(...(await clientsAt(isObject(question) ? question : {}, parts)));
    }
    reply["clients"] = new Spelled([...pieces, "]"]);
  },
};

async function clientsAt(question: Readonly<Record<string, unknown>>, { sessions, clock }: ApiParts): Promise<readonly string[]> {
  const now = Math.floor(clock.now() / 1000);
  const time = instant(question["time"], now);
  const fields = pickFields(question["fields"], clientFieldNames, usualClientFields);
  const streams = textsOf(question["streams"]);
  const protocols = textsOf(question["protocols"]);
  const ids = new Set(textsOf(question["sessids"]));
  const hosts = new Set(textsOf(question["hosts"]));
  const columns = fields.map((field) => clientFields[field]);
  const data = await spellRows(sessions.views(), (session) => {
    const { id, host } = session;
    if (!isAlive(session, time, now) || !hasStream(session, streams) || !hasProtocol(session, protocols)) return undefined;
    if ((ids.size > 0 && !ids.has(id)) || (hosts.size > 0 && !hosts.has(host))) return undefined;
    const past = Math.max(0, Math.min(session.seconds, time - Math.floor(session.startedAt / 1000)));
    const row = { session, seconds: time >= now ? session.seconds : past };
    return columns.map((column) => column(row));
  });
  return spellObject({ data: data.length === 0 ? null : new Spelled(["[", ...data, "]"]), fields, time });
}

/** A session that has ended was alive for its seconds. One that was refused or is still asked about never played. */
function isAlive({ state, startedAt, seconds }: SessionView, time: number, now: number): boolean {
  const start = Math.floor(startedAt / 1000);
  if (state === "accepted") return start <= time || time >= now;
  return state === "ended" && time < now && start <= time && time < start + seconds;
}

function hasStream({ stream }: SessionView, wanted: readonly string[]): boolean {
  return wanted.length === 0 || wanted.includes(stream) || wanted.includes(baseName(stream));
}

/** `INPUT` means `INPUT:RTMP` too; a session over several protocols has them joined by commas. */
function hasProtocol({ protocol }: SessionView, wanted: readonly string[]): boolean {
  return wanted.length === 0 || protocol.split(",").some((one) => wanted.includes(one) || wanted.includes(one.split(":")[0] ?? one));
}

const totalFields = {
  clients: (row: TotalsRow) => row.clients,
  inputs: (row: TotalsRow) => row.inputs,
  outputs: (row: TotalsRow) => row.outputs,
  downbps: (row: TotalsRow) => row.downbps,
  upbps: (row: TotalsRow) => row.upbps,
  perc_lost: () => 0,
  perc_retrans: () => 0,
} as const;

const totalFieldNames = Object.keys(totalFields) as (keyof typeof totalFields)[];

/** `totals`: one row for each second; null everywhere when there is nothing to tell. */
export const totalsCall: Call = {
  name: "totals",
  run(value, { parts }, reply) {
    reply["totals"] = each(value, (question) => totalsOf(question, parts));
  },
};

function totalsOf(question: Readonly<Record<string, unknown>>, { sessions }: ApiParts): unknown {
  const fields = pickFields(question["fields"], totalFieldNames);
  const totals = sessions.totals({
    streams: textsOf(question["streams"]),
    protocols: textsOf(question["protocols"]),
    ...bound("start", question["start"]),
    ...bound("end", question["end"]),
  });
  if (!totals) return { data: null, end: null, fields, interval: null, start: null };
  const data = totals.rows.map((row) => fields.map((field) => totalFields[field](row)));
  // Run-length list of [how many steps, seconds of each]: rows follow each other without a gap.
  const interval = totals.rows.length > 1 ? [[totals.rows.length - 1, 1]] : [];
  return { data, end: totals.end, fields, interval, start: totals.start };
}

function bound<K extends string>(key: K, value: unknown): { readonly [P in K]?: number } {
  const number = numberOf(value);
  return number === undefined || number === 0 ? {} : ({ [key]: number } as { readonly [P in K]: number });
}

function instant(value: unknown, now: number): number {
  const time = numberOf(value) ?? 0;
  return time === 0 ? now : Math.floor(time < 0 ? now + time : time);
}

function numberOf(value: unknown): number | undefined {
  const number = typeof value === "number" || (typeof value === "string" && value.trim() !== "") ? Number(value) : Number.NaN;
  return Number.isFinite(number) ? number : undefined;
}
