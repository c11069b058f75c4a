import { type SecureContext, TLSSocket } from "node:tls";
import type { Log } from "../base/log.ts";
import type { Clock } from "../base/time.ts";
import type { TlsDetails } from "../base/tls-details.ts";
import type { Peers, Stage } from "./arrival.ts";

/** Milliseconds that a TLS handshake may take. */
const handshakeMs = 10_000;

export type TlsStageOptions = {
  /** For the log. */
  readonly name: string;
  /** Asked at each connection: a new certificate counts for those that come. */
  readonly context: () => SecureContext;
  readonly peers: Peers;
  readonly clock: Clock;
  readonly log: Log;
};

/** Does the TLS handshake; the server gets the decrypted side. What is no TLS, or too slow, is closed. */
export function tlsStage({ name, context, peers, clock, log }: TlsStageOptions): Stage {
  return (socket, next) => {
    const peer = peers.of(socket);
    const secure = new TLSSocket(socket, { isServer: true, secureContext: context(), ALPNProtocols: ["http/1.1"] });
    let done = false;
    const late = clock.after(handshakeMs, () => secure.destroy());
    // Resets and wrong records are how networks and scanners end connections; "close" follows.
    socket.on("error", () => {});
    secure.on("error", () => {});
    secure.once("close", () => {
      late[Symbol.dispose]();
      // Such a connection says nothing of a viewer; a certificate that clients do not take shows here, too.
      if (!done) log.write("HIGH", `${name} connection closed: the TLS handshake was not completed`, { address: peer.address });
    });
    secure.once("secure", () => {
      done = true;
      late[Symbol.dispose]();
      peers.tell(secure, { ...peer, tls: tlsDetails(secure) });
      next(secure);
    });
  };
}

/** The details of a connection whose handshake is done. Node gives `false` for what the client did not say. */
function tlsDetails(socket: TLSSocket): TlsDetails {
  const { servername, alpnProtocol } = socket;
  return {
    protocol: socket.getProtocol() ?? "",
    cipher: socket.getCipher().standardName ?? "",
    ...(typeof servername === "string" && servername !== "" && { servername }),
    ...(typeof alpnProtocol === "string" && { alpn: alpnProtocol }),
  };
}
