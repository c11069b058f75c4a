import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";

/** One request that a client has made. */
export type EdgeRequest = { readonly path: string; readonly status: number; readonly fromOrigin: boolean; readonly at: number };

type Kept = { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: Buffer };

/**
 * A small CDN: keeps what the origin calls `public`, by address alone, asks once for what several want at the same time, and
 * passes everything else on. It tells the origin by `X-Forwarded-For` who asks: what the client calls itself in
 * `X-Test-Address`, else 127.0.0.1. Cookies go no further for what is kept, as CDNs do it.
 */
export async function startEdge(
  origin: number,
): Promise<{ readonly port: number; readonly requests: readonly EdgeRequest[] } & AsyncDisposable> {
  const requests: EdgeRequest[] = [];
  const kept = new Map<string, Promise<Kept>>();
  const ask = (path: string, headers: Readonly<Record<string, string | string[] | undefined>>, method: string): Promise<Kept> =>
    new Promise((resolve, reject) => {
      const call = request({ port: origin, host: "127.0.0.1", path, method, headers }, (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("error", reject);
        response.on("end", () => {
          const all = Object.entries(response.headers).filter(
            ([name]) => !["connection", "keep-alive", "transfer-encoding"].includes(name),
          );
          resolve({
            status: response.statusCode ?? 0,
            headers: Object.fromEntries(all) as Record<string, string>,
            body: Buffer.concat(parts),
          });
        });
      });
      call.on("error", reject);
      call.end();
    });
  const server = createServer((incoming, outgoing) => {
    const path = incoming.url ?? "/";
    const address = String(incoming.headers["x-test-address"] ?? "127.0.0.1");
    const headers = { ...incoming.headers, "x-forwarded-for": address, connection: "close" };
    const answer = async (): Promise<void> => {
      const known = kept.get(path);
      const got = known ?? ask(path, headers, incoming.method ?? "GET");
      // While nobody knows whether it may be kept, those who want the same wait for it; segments only: playlists are each viewer's.
      if (!known && path.includes(".ts")) kept.set(path, got);
      const { status, headers: own, body } = await got;
      if (!/\bpublic\b/.test(own["cache-control"] ?? "")) kept.delete(path);
      requests.push({ path, status, fromOrigin: !known, at: performance.now() });
      outgoing.writeHead(status, own).end(body);
    };
    answer().catch(() => outgoing.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
