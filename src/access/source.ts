/** A source that waits for a publisher. */
export type PushSource = {
  /** Address, network or host name that may push; empty for any. */
  readonly from: string;
  /** Empty for none. */
  readonly password: string;
  /** True when nobody from outside may push. */
  readonly internal: boolean;
  /** True when only who has a stream key or a JWT may push. */
  readonly keysOnly: boolean;
};

const scheme = "push://";

/** The source of a stream that a stream key or a JWT has started: others cannot push to it while it runs. */
export const keySource = "push://STREAM_KEY_ONLY:STREAM_KEY_ONLY";

/** Reads `push://[host][@password]`; undefined for all other sources. */
export function parsePushSource(source: string): PushSource | undefined {
  if (!source.startsWith(scheme)) return undefined;
  const rest = source.slice(scheme.length);
  const at = rest.indexOf("@");
  const from = at < 0 ? rest : rest.slice(0, at);
  return {
    from: from.replace(/\/+$/, ""),
    password: at < 0 ? "" : rest.slice(at + 1),
    internal: rest.includes("INTERNAL_"),
    keysOnly: rest.includes("STREAM_KEY_ONLY"),
  };
}

/** The source as the API may show it for a running stream: without password. */
export function publicSource(source: string): string {
  const push = parsePushSource(source);
  return push ? scheme + push.from : source;
}

/** Compares without telling by its time how much was right. */
export function samePassword(offered: string, wanted: string): boolean {
  let different = offered.length ^ wanted.length;
  for (let at = 0; at < offered.length; at++) different |= offered.charCodeAt(at) ^ wanted.charCodeAt(at % wanted.length);
  return different === 0;
}
