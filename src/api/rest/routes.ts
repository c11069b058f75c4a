import { eventRoutes } from "../events/routes.ts";
import type { ApiParts } from "../parts.ts";
import { decisionRoutes } from "./decisions.ts";
import { outboxRoutes } from "./outbox.ts";
import type { Route } from "./route.ts";
import { triggerRoutes } from "./triggers.ts";

/** Every call of the REST API. Add a line for another resource; its checks, its documentation and the client's types follow. */
export function restRoutes(parts: ApiParts): readonly Route[] {
  return [...triggerRoutes(parts), ...outboxRoutes(parts), ...eventRoutes(parts), ...decisionRoutes(parts)];
}
