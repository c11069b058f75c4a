import { messageOf } from "../../base/errors.ts";
import type { ApiParts, Asker } from "../parts.ts";
import { activeStreamsCall, statsStreamsCall } from "./streams/active-streams.ts";
import type { AuthorizeReply } from "./authorize.ts";
import { type Call, type CallContext, complain, type Reply } from "./call.ts";
import { capabilitiesCall, loadCall } from "./capabilities.ts";
import { clientsCall, totalsCall } from "./sessions/clients.ts";
import { configCall, configReply, protocolCalls } from "./settings/config.ts";
import { browseCall, deleteSourceCall } from "./streams/files.ts";
import { pushCalls } from "./streams/push-calls.ts";
import { clearLogsCall, endpointCall, logReply, processesCall, saveCall, shutdownCall, versionCall } from "./server-calls.ts";
import { sessionCalls } from "./sessions/session-calls.ts";
import { bandwidthCall, serverTagCalls, uiSettingsCall } from "./settings/kept.ts";
import { variableCalls } from "./settings/variables.ts";
import { wholeConfigCalls } from "./settings/whole-config.ts";
import { streamTagCalls } from "./streams/stream-tags.ts";
import { addedReply, streamCalls, streamsReply } from "./streams/streams.ts";
import { jwksCalls, streamKeyCalls } from "./token-calls.ts";

/** THE table of calls, in the order in which MistServer works through a request: changes, then questions, then steering. */
const before: readonly Call[] = [
  ...wholeConfigCalls,
  configCall,
  ...jwksCalls,
  bandwidthCall,
  ...streamCalls,
  deleteSourceCall,
  ...protocolCalls,
  ...serverTagCalls,
  capabilitiesCall,
  loadCall,
  browseCall,
  ...streamKeyCalls,
  uiSettingsCall,
  versionCall,
];
const after: readonly Call[] = [
  clientsCall,
  totalsCall,
  activeStreamsCall,
  statsStreamsCall,
  endpointCall,
  shutdownCall,
  ...sessionCalls,
  ...streamTagCalls,
  ...pushCalls,
  ...variableCalls,
  processesCall,
  clearLogsCall,
  saveCall,
];

/** The members of a command that mean something, in order; those of the frame (`authorize`, `logout`, `minimal`, `log`) aside. */
export const callNames: readonly string[] = [...before, ...after].map(({ name }) => name);

export type RunOptions = {
  readonly parts: ApiParts;
  readonly asker: Asker;
  /** Only what was asked for. */
  readonly minimal: boolean;
  /** Left out of a minimal answer when there is no account. */
  readonly authorize: AuthorizeReply | undefined;
};

/** Runs a command that is allowed to run. Unknown members are ignored. `afterwards` is to be run when the answer is sent. */
export async function runCommand(
  command: Readonly<Record<string, unknown>>,
  { parts, asker, minimal, authorize }: RunOptions,
): Promise<{ readonly reply: Reply; readonly afterwards: readonly (() => void)[] }> {
  const context: CallContext = { parts, asker, added: new Map(), afterwards: [] };
  const reply: Reply = { LTS: 1, ...(authorize && { authorize }) };
  const asked = (name: string): boolean => Object.hasOwn(command, name);
  await runAll(before, command, context, reply);
  if (!minimal || asked("streams")) reply["streams"] = await streamsReply(parts);
  else if (asked("addstream") || asked("deletestream")) reply["streams"] = addedReply(context.added);
  if (!minimal || asked("config")) reply["config"] = configReply(parts);
  if (!minimal || asked("log")) reply["log"] = logReply(parts);
  await runAll(after, command, context, reply);
  return { reply, afterwards: context.afterwards };
}

async function runAll(
  calls: readonly Call[],
  command: Readonly<Record<string, unknown>>,
  context: CallContext,
  reply: Reply,
): Promise<void> {
  for (const call of calls) {
    if (!Object.hasOwn(command, call.name)) continue;
    try {
      await call.run(command[call.name], context, reply);
    } catch (error) {
      // One call that fails (a full disk) must not hide the answers of the others.
      complain(context, reply, `${call.name} failed: ${messageOf(error)}`, "ERROR");
    }
  }
}
