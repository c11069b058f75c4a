import { HandlerFailure } from "../answer.ts";
import type { NewLetter } from "./letter.ts";
import type { Firing, Listener } from "../listener.ts";
import type { Deliver } from "./outbox.ts";
import { type Payload, type TriggerDefinition, type TriggerName, triggers } from "../table.ts";
import { payloadText, type Raise } from "../wire.ts";

/** What must keep its order: all that is told of one session, or of one stream. */
export function orderKeyOf(name: TriggerName, payload: Readonly<Record<string, unknown>>): string {
  if (name === "USER_END") return sessionOrderKey(String(payload.sessionId));
  const { filter } = triggers[name] as TriggerDefinition;
  return filter === undefined ? "server" : `stream:${String(payload[filter])}`;
}

/** The order key of what is told of a session. */
export function sessionOrderKey(sessionId: string): string {
  return `session:${sessionId}`;
}

/** A firing as a letter to one handler. */
export function letterOf({ name, id, payload }: Firing, handler: string, now: number): NewLetter {
  return { trigger: name, handler, orderKey: orderKeyOf(name, payload), payload: JSON.stringify(payload), uuid: id, createdAt: now };
}

/**
 * Delivers letters to the handlers that `find` knows. A handler that is not configured (any more) has failed: it may come back.
 */
export function deliverTo(find: (trigger: TriggerName, handler: string) => Listener | undefined): Deliver {
  return async ({ trigger, handler, payload, uuid, createdAt, attempt, sequence }, signal) => {
    const listener = find(trigger as TriggerName, handler);
    if (!listener) throw new HandlerFailure("no handler with this address is configured for reliable delivery now");
    const name = listener.trigger;
    const values = JSON.parse(payload) as Readonly<Record<string, unknown>>;
    const body = (): string => payloadText(name, values as Payload<typeof name>);
    const raise = (): Raise => ({ name, uuid, unixMillis: createdAt, body: body(), delivery: { attempt, sequence } });
    await listener.ask({ name, id: uuid, mode: "live", payload: values, raise }, signal, { attempts: 0 });
  };
}
