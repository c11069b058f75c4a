export { allow, deny, keep, rewrite } from "../base/decision.ts";
export type { Payload, TriggerName } from "../triggers/table.ts";
export type { Handler } from "../triggers/trigger.ts";
export { lastKnown } from "../triggers/failure/on-fail.ts";
export { createReceiver, type Receiver, type ReceiverHandler, type ReceiverHandlers, type ReceiverOptions } from "./receiver.ts";
export { MistClient, type MistClientOptions } from "./mist/client.ts";
export { createMistControl, type MistControl, type MistControlOptions } from "./mist/control.ts";
export { areInstalled, installTriggers, removeTriggers } from "./mist/install.ts";
export type { MistClientRow, MistConfig, MistPick, MistTotals, MistTrigger } from "./mist/shapes.ts";
