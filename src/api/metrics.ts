import type { Context, Hono } from "hono";
import type { Settings } from "../config/settings.ts";
import { answerText, callbackOf } from "./command.ts";
import { loadReport } from "./load-report.ts";
import type { Authorizer } from "./mist/authorize.ts";
import type { ApiParts } from "./parts.ts";
import { refuse } from "./rest/frame/mount.ts";
import { type Bindings, principalOf } from "./rest/rest.ts";

/** Paths that `prometheus` cannot take away. */
const taken = ["", "api", "api2", "ws"];

/**
 * `GET /metrics` for those who may use the REST API, and the path of MistServer's `prometheus` for everybody, as there; with `.json`
 * behind it, the numbers in the form that load balancers read.
 * To be mounted after what must not be hidden by that path.
 */
export function metricRoutes(app: Hono<{ Bindings: Bindings }>, parts: ApiParts, authorizer: Authorizer): void {
  const answer = async (context: Context): Promise<Response> =>
    context.body(await parts.metrics.text(), 200, {
      "content-type": parts.metrics.contentType,
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    });
  app.on(["GET", "HEAD"], "*", async (context, next) => {
    const open = openPath(parts.configuration.settings);
    if (open === undefined) return await next();
    if (context.req.path === open) return await answer(context);
    if (context.req.path !== `${open}.json`) return await next();
    const callback = callbackOf(new URL(context.req.url).searchParams);
    return context.body(answerText(loadReport(parts), callback), 200, {
      "content-type": callback === undefined ? "application/json" : "text/javascript",
      "access-control-allow-origin": "*",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    });
  });
  app.get("/metrics", async (context) => {
    try {
      await principalOf(context.env.incoming, context.req.header(), parts, authorizer);
      return await answer(context);
    } catch (error) {
      return refuse(parts, error);
    }
  });
}

/** Where the metrics are open to everybody; undefined: nowhere. */
function openPath({ kept }: Settings): string | undefined {
  const setting = kept["prometheus"];
  const name = typeof setting === "string" ? setting.replace(/^\/+/, "") : "";
  return taken.includes(name) ? undefined : `/${name}`;
}
