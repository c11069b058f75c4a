import { SluiceError } from "../../base/errors.ts";
import { type Host, defineProtocol } from "../protocol.ts";
import { type Assets, loadAssets } from "./assets.ts";
import { answerInfo, type InfoForm } from "./info.ts";
import { serveInfoSocket } from "./info-socket.ts";
import { answerLive } from "./live/answer.ts";
import { LiveLists } from "./live/lists.ts";
import { pagePolicy, playerPage } from "./page/markup.ts";
import { answerRenewal, renewPath } from "./renew.ts";
import { encodedName } from "./stream-info.ts";

/** What a path of this protocol asks for. */
type Request =
  | { readonly kind: "page"; readonly name: string }
  | { readonly kind: "info"; readonly name: string; readonly form: InfoForm }
  | { readonly kind: "asset"; readonly path: string }
  | { readonly kind: "live" }
  | { readonly kind: "renew" }
  | { readonly kind: "icon" };

/** The player page and the stream information. Everything that a browser needs to play comes from here. */
export const http = defineProtocol({
  name: "http",
  connector: "HTTP",
  description: "Player page, stream information and the list of what plays over HTTP",
  codecs: { publish: [], play: [] },
  watch: [],
  parseOptions,
  async serve(host: Host): Promise<AsyncDisposable> {
    const assets = await loadAssets();
    const lists = new LiveLists(host);
    const route = host.http<Request>({
      protocol: "HTTP",
      match: (path) => match(path, assets),
      async handle(exchange, request) {
        switch (request.kind) {
          case "info":
            if (exchange.wantsUpgrade && request.form === "json") return serveInfoSocket(host, exchange, request.name);
            return answerInfo(host, exchange, request.name, request.form);
          case "page":
            return exchange.reply(200, pageHeaders, playerPage(request.name, encodedName(request.name), assets.urls));
          case "asset":
            return assets.send(exchange, request.path);
          case "live":
            return answerLive(lists, exchange);
          case "renew":
            return answerRenewal(host, exchange);
          case "icon":
            return exchange.reply(204, { "Cache-Control": "public, max-age=86400" });
        }
      },
    });
    return {
      [Symbol.asyncDispose]: async () => {
        route[Symbol.dispose]();
        lists[Symbol.dispose]();
      },
    };
  },
});

const pageHeaders = {
  "Content-Type": "text/html; charset=utf-8",
  "Cache-Control": "no-cache",
  "Content-Security-Policy": pagePolicy,
  "X-Content-Type-Options": "nosniff",
} as const;

function match(path: string, assets: Assets): Request | undefined {
  if (path === "/favicon.ico") return { kind: "icon" };
  if (path === "/live.json") return { kind: "live" };
  if (path === renewPath) return { kind: "renew" };
  if (assets.has(path)) return { kind: "asset", path };
  const [, form, about] = /^\/(json|info)_([^/]+)\.js$/s.exec(path) ?? [];
  if (about !== undefined) return { kind: "info", name: about, form: form === "json" ? "json" : "script" };
  const name = /^\/([^/]+)\.html$/s.exec(path)?.[1];
  return name === undefined ? undefined : { kind: "page", name };
}

function parseOptions(value: unknown): object {
  const unknown = Object.keys(value ?? {})[0];
  if (unknown !== undefined) throw new SluiceError("config.invalid", `http.${unknown} is not an option; http has none`);
  return {};
}
