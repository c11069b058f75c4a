import type { CallRecord, HandlerTrace } from "../triggers/journal/call-record.ts";

type Shown = CallRecord["decision"] | HandlerTrace["answer"];

/** A decision in a few words. */
export function decisionText(decision: Shown): string {
  if (decision === undefined) return "-";
  if (decision.kind === "rewrite") return `rewrite to "${decision.to}"`;
  if (decision.kind === "deny") return `deny "${decision.reason}"${decision.failed ? " (nobody said so: a handler failed)" : ""}`;
  return decision.kind;
}

/** One call in one line: when, which trigger, about what, for whom, the decision and how long it took, the id. */
export function callLine(call: CallRecord): string {
  const host = typeof call.payload["host"] === "string" ? ` ${call.payload["host"]}` : "";
  const failed = call.handlers.some((one) => one.failure !== undefined) ? " !" : "";
  return `${new Date(call.time).toISOString()} ${call.trigger} ${call.stream || "-"}${host}: ${decisionText(call.decision)}${failed} (${call.ms.toFixed(1)} ms) ${call.id}`;
}

/** One call with all that is known: payload, each handler, decision. */
export function callText(call: CallRecord): string {
  const payload = Object.entries(call.payload).map(
    ([field, value]) => `  ${field}: ${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  const handlers = call.handlers.map(handlerText);
  return [
    callLine(call),
    "payload",
    ...payload,
    "handlers",
    ...(handlers.length > 0 ? handlers : ["  none"]),
    `decision: ${decisionText(call.decision)}`,
  ].join("\n");
}

function handlerText({ id, handler, role, notAsked, answer, ms = 0, attempts, failure }: HandlerTrace): string {
  const name = `  ${handler} [${id}]${role === "decides" ? "" : `, ${role}`}`;
  if (notAsked !== undefined) return `${name}: not asked, ${notAsked}`;
  const tries = attempts !== undefined && attempts > 1 ? `, attempt ${attempts}` : "";
  const said = failure === undefined ? decisionText(answer) : `failed: ${failure}; so ${decisionText(answer)}`;
  return `${name}: ${said} (${ms.toFixed(1)} ms${tries})`;
}
