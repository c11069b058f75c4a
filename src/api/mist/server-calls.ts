import type { ApiParts } from "../parts.ts";
import type { Call } from "./call.ts";

/** The `log` member: [unix, kind, message, stream, pid, program, line], the last 100. */
export function logReply({ logEntries }: ApiParts): readonly unknown[] {
  return logEntries()
    .slice(-100)
    .map(({ unix, kind, message, stream }) => [unix, kind, message, stream, process.pid, "sluice", ""]);
}

/** `version`, before the questions; everything else about the server itself, after them. */
export const versionCall: Call = {
  name: "version",
  run(_value, { parts }, reply) {
    const { version } = parts.identity;
    const now = new Date(parts.clock.now()).toISOString();
    reply["version"] = { date: now.slice(0, 10), release: version, time: now.slice(11, 19), version };
  },
};

/** `api_endpoint`: where this API is, as the client sees it. */
export const endpointCall: Call = {
  name: "api_endpoint",
  run(_value, { parts, asker }, reply) {
    const { apiHost, apiPort } = parts.configuration.settings;
    const anywhere = apiHost === "0.0.0.0" || apiHost === "::";
    const address = apiHost.includes(":") ? `[${apiHost}]` : apiHost;
    reply["api_endpoint"] = `http://${anywhere && asker.host !== "" ? asker.host : `${address}:${apiPort}`}/`;
  },
};

/** `shutdown`: ends the server in order; from this machine only. */
export const shutdownCall: Call = {
  name: "shutdown",
  run(_value, { parts, asker, afterwards }, reply) {
    if (!asker.local) {
      parts.log.write("WARN", "A shutdown was asked for from another machine and not done", { address: asker.address });
      return;
    }
    reply["shutdown"] = "Shutting down";
    afterwards.push(parts.stop);
  },
};

/** `proc_list`: MistServer's processes of a stream (transcoders); there are none. */
export const processesCall: Call = {
  name: "proc_list",
  run(_value, _context, reply) {
    reply["proc_list"] = {};
  },
};

/** `clearstatlogs`: MistServer forgets its old log lines; here the last 100 are all there is, and they stay. */
export const clearLogsCall: Call = { name: "clearstatlogs", run: () => {} };

/** `save`: every change has been written before it was answered, so there is nothing left to do. */
export const saveCall: Call = { name: "save", run: () => {} };
