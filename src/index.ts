export {
  type Allow,
  allow,
  type Deny,
  type DenyLife,
  deny,
  type Keep,
  keep,
  type Limits,
  type Rewrite,
  rewrite,
  type Scope,
  type ViewerLife,
  type Yes,
} from "./base/decision.ts";
export {
  type Config,
  defineConfig,
  type HandlerSetting,
  type StreamSetting,
  type TriggerEntry,
  type TriggerSetting,
} from "./config/define.ts";
export type { FailureCause } from "./triggers/failure/failure-cause.ts";
export { type LastAnswer, lastKnown, type OnFail } from "./triggers/failure/on-fail.ts";
export type { Payload, TriggerName } from "./triggers/table.ts";
export type { Handler, HandlerOptions } from "./triggers/trigger.ts";
export { createServer, type ServerOptions, type SluiceServer } from "./server.ts";
export type { ServerControl, Viewer } from "./base/server-control.ts";
export { accessControl, type AccessControlOptions } from "./policies/access-control.ts";
export { bandwidthLimit, type BandwidthLimitOptions } from "./policies/bandwidth-limit.ts";
export { type DirectoryStream, liveDirectory, type LiveDirectoryOptions } from "./policies/live-directory.ts";
export { offlineFallback, type OfflineFallbackOptions } from "./policies/offline-fallback.ts";
export { pushTokens, type PushTokensOptions } from "./policies/push-tokens.ts";
export { viewerLimit, type ViewerLimitOptions } from "./policies/viewer-limit.ts";
export { viewTokens, type ViewTokensOptions } from "./policies/view-tokens.ts";
export type { Policy, PolicyContext } from "./policies/policy.ts";
export type { KeepRule } from "./base/server-control.ts";
