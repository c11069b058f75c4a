import { eventRoutes } from "../events/routes.ts";
import type { ApiParts } from "../parts.ts";
import { accountRoutes } from "./accounts.ts";
import { configRoutes } from "./config.ts";
import { decisionRoutes } from "./decisions.ts";
import { limitRoutes } from "./limits.ts";
import { listingRoutes } from "./listing.ts";
import { outboxRoutes } from "./outbox.ts";
import { operatorTokenRoutes } from "./operator-tokens.ts";
import { policyRoutes } from "./policies.ts";
import type { Route } from "./route.ts";
import { sessionRoutes } from "./sessions.ts";
import { signRoutes } from "./sign.ts";
import { statusRoutes } from "./status.ts";
import { streamKeyRoutes } from "./stream-keys.ts";
import { streamRoutes } from "./streams.ts";
import { tokenRoutes } from "./tokens.ts";
import { triggerRoutes } from "./triggers.ts";

/** Every call of the REST API. Add a line for another resource; its checks, its documentation and the client's types follow. */
export function restRoutes(parts: ApiParts): readonly Route[] {
  return [
    ...statusRoutes(parts),
    ...streamRoutes(parts),
    ...sessionRoutes(parts),
    ...decisionRoutes(parts),
    ...eventRoutes(parts),
    ...triggerRoutes(parts),
    ...limitRoutes(parts),
    ...listingRoutes(parts),
    ...outboxRoutes(parts),
    ...configRoutes(parts),
    ...streamKeyRoutes(parts),
    ...operatorTokenRoutes(parts),
    ...policyRoutes(parts),
    ...signRoutes(parts),
    ...tokenRoutes(parts),
    ...accountRoutes(parts),
  ];
}
