import { type Call, complain, isObject } from "../call.ts";
import { keep, keptValue } from "../settings/kept.ts";

/**
 * Pushes out, which Sluice does not have yet. Clients that look see that there are none, in MistServer's shapes; what would start
 * one is refused with words instead of being kept as if it would happen.
 */
export const pushCalls: readonly Call[] = [
  refusedCall("push_start"),
  {
    name: "push_list",
    run(_value, _context, reply) {
      reply["push_list"] = null;
    },
  },
  { name: "push_stop", run: () => {} },
  { name: "push_stop_graceful", run: () => {} },
  refusedCall("push_auto_add", autoPushes),
  { name: "push_auto_remove", run: (_value, _context, reply) => autoPushes(reply) },
  { name: "push_auto_list", run: (_value, _context, reply) => autoPushes(reply) },
  {
    name: "push_settings",
    async run(value, context, reply) {
      const now = settingsOf(keptValue(context.parts.configuration.settings, "push_settings"));
      if (isObject(value)) await keep(context, "push_settings", { ...now, ...settingsOf(value, now) });
      reply["push_settings"] = settingsOf(keptValue(context.parts.configuration.settings, "push_settings"));
    },
  },
];

function refusedCall(name: string, answer: (reply: Record<string, unknown>) => void = () => {}): Call {
  return {
    name,
    run(_value, context, reply) {
      complain(context, reply, `${name}: Sluice cannot push out yet; nothing was started or kept`);
      answer(reply);
    },
  };
}

function autoPushes(reply: Record<string, unknown>): void {
  reply["auto_push"] = null;
  reply["push_auto_list"] = null;
}

type PushSettings = { readonly maxspeed: number; readonly wait: number };

/** MistServer's defaults for what is not a number. */
function settingsOf(value: unknown, otherwise: PushSettings = { maxspeed: 0, wait: 3 }): PushSettings {
  const given = isObject(value) ? value : {};
  const numberOf = (member: unknown, usual: number): number =>
    typeof member === "number" && Number.isFinite(member) && member >= 0 ? Math.floor(member) : usual;
  return { maxspeed: numberOf(given["maxspeed"], otherwise.maxspeed), wait: numberOf(given["wait"], otherwise.wait) };
}
