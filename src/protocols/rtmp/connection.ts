import { isSluiceError, SluiceError } from "../../base/errors.ts";
import { peerGone } from "../../base/exit.ts";
import type { Format } from "../../media/format.ts";
import type { CloseReason } from "../../streams/stream.ts";
import type { Host, TcpConnection } from "../protocol.ts";
import { accessRequest, type ConnectInfo, readConnect } from "./access-request.ts";
import { type Command, commandMessage, readCommand } from "./command.ts";
import { answerConnect } from "./connect.ts";
import { RtmpPeer } from "./peer.ts";
import { play } from "./play.ts";
import { publish } from "./publish.ts";
import type { Role } from "./role.ts";
import { splitAggregate } from "./wire/aggregate.ts";
import { ChunkReader } from "./wire/chunk-reader.ts";
import { ReceivedBytes, readNumber, readUserControl, userControl, userEvent } from "./wire/control.ts";
import { type HandshakeCrypto, ServerHandshake } from "./wire/handshake.ts";
import { messageType, type RtmpMessage } from "./wire/message.ts";

/** From the TCP connection to `publish` or `play`, and between two of them. */
const idleMs = 15_000;
/** How often a silent client is pinged, and when a publisher counts as gone. */
const pingMs = 10_000;
const silentMs = 60_000;
const maxCommands = 1_000;
/** Messages that may wait while it is decided whether the client may go on. */
const maxWaitingBytes = 4 * 1024 * 1024;
const maxWaiting = 4_096;
/** The only message stream: each client has one role at a time, and shared chunks carry this number. */
const onlyStream = 1;

const unpublished: CloseReason = { code: "CLEAN_INTENDED_STOP", text: "received deleteStream" };

export type ConnectionOptions = { readonly host: Host; readonly crypto: HandshakeCrypto; readonly format: Format };

/** Serves one RTMP connection until it is over. Rejects with what broke it; a refused client is an orderly end. */
export function serveConnection(tcp: TcpConnection, options: ConnectionOptions): Promise<void> {
  return new Connection(tcp, options).over;
}

class Connection {
  readonly #tcp: TcpConnection;
  readonly #options: ConnectionOptions;
  readonly #peer: RtmpPeer;
  readonly #reader = new ChunkReader();
  readonly #received = new ReceivedBytes();
  readonly #end = Promise.withResolvers<void>();
  readonly #ping: Disposable;
  #handshake: ServerHandshake | undefined;
  #connect: ConnectInfo | undefined;
  #role: Role | undefined;
  /** While a decision is awaited, what the client sends meanwhile waits here. */
  #waiting: RtmpMessage[] | undefined;
  #waitingBytes = 0;
  #commands = 0;
  #deadline: Disposable | undefined;
  #lastByteAt: number;
  #ended = false;

  constructor(tcp: TcpConnection, options: ConnectionOptions) {
    this.#tcp = tcp;
    this.#options = options;
    this.#peer = new RtmpPeer(tcp);
    this.#handshake = new ServerHandshake(options.crypto);
    const { clock } = options.host;
    this.#lastByteAt = clock.monotonic();
    this.#ping = clock.every(pingMs, () => this.#onPingTime());
    this.#expectRole();
    const { signal } = tcp.sink;
    if (signal.aborted) this.#onGone();
    else signal.addEventListener("abort", () => this.#onGone(), { once: true });
    tcp.onBytes((bytes) => this.#guard(() => this.#feed(bytes)));
  }

  get over(): Promise<void> {
    return this.#end.promise;
  }

  #feed(bytes: Uint8Array): void {
    if (this.#ended) return;
    this.#lastByteAt = this.#options.host.clock.monotonic();
    this.#role?.received(bytes.length);
    const due = this.#received.add(bytes.length);
    let chunks: Uint8Array | undefined = bytes;
    if (this.#handshake) {
      const step = this.#handshake.feed(bytes);
      if (step.reply) this.#peer.raw(step.reply);
      if (step.rest) this.#handshake = undefined;
      chunks = step.rest;
    } else if (due) {
      this.#peer.offer(due);
    }
    if (!chunks) return;
    for (const message of this.#reader.feed(chunks)) this.#onMessage(message);
  }

  #onMessage(message: RtmpMessage): void {
    if (this.#ended) return;
    switch (message.type) {
      case messageType.setChunkSize:
      case messageType.abort:
      case messageType.acknowledgement:
      case messageType.setPeerBandwidth:
        return; // the first two were for the reader; what the others limit is limited by the ring and the sink
      case messageType.windowAckSize:
        return this.#received.setWindow(readNumber(message));
      case messageType.userControl:
        return this.#onUserControl(message);
      default:
        if (!this.#waiting) return this.#dispatch(message);
        this.#waiting.push(message);
        this.#waitingBytes += message.payload.length;
        if (this.#waiting.length > maxWaiting || this.#waitingBytes > maxWaitingBytes)
          throw new SluiceError("input.oversized", "RTMP client sends media without waiting for the answer to publish");
    }
  }

  #onUserControl(message: RtmpMessage): void {
    const { event, value } = readUserControl(message);
    if (event === userEvent.pingRequest) this.#peer.offer(userControl(userEvent.pingResponse, value));
  }

  #dispatch(message: RtmpMessage): void {
    switch (message.type) {
      case messageType.commandAmf0:
      case messageType.commandAmf3:
        return this.#onCommand(readCommand(message));
      case messageType.aggregate:
        for (const part of splitAggregate(message)) {
          if (part.type === messageType.aggregate) throw new SluiceError("input.invalid", "RTMP Aggregate message inside another");
          this.#dispatch(part);
        }
        return;
      case messageType.audio:
      case messageType.video:
      case messageType.dataAmf0:
      case messageType.dataAmf3:
        this.#role?.message(message);
        return;
      default:
        return; // shared objects and what the future brings
    }
  }

  #onCommand(command: Command): void {
    this.#commands += 1;
    if (this.#commands > maxCommands) throw new SluiceError("input.oversized", `more than ${maxCommands} RTMP commands on one connection`);
    const { name, transaction, streamId } = command;
    if (name === "connect") {
      if (this.#connect) throw new SluiceError("input.invalid", "second RTMP connect command on one connection");
      this.#connect = readConnect(command.object);
      return answerConnect(this.#peer, command);
    }
    if (!this.#connect) throw new SluiceError("input.invalid", `RTMP command ${printable(name)} before connect`);
    switch (name) {
      case "createStream":
        return this.#peer.result(transaction, null, onlyStream);
      case "publish":
      case "play":
        return this.#open(name, command, this.#connect);
      case "releaseStream":
      case "_checkbw":
      case "checkBandwidth":
        return this.#peer.result(transaction, null, undefined);
      case "getStreamLength":
        return this.#peer.result(transaction, null, 0); // 0: live
      case "FCPublish":
        return this.#announce("onFCPublish", "NetStream.Publish.Start");
      case "FCSubscribe":
        return this.#announce("onFCSubscribe", "NetStream.Play.Start");
      case "FCUnpublish":
        this.#closeRole();
        return this.#announce("onFCUnpublish", "NetStream.Unpublish.Success");
      case "closeStream":
        if (this.#role) this.#peer.status(streamId, "status", "NetStream.Unpublish.Success", "Stopped.");
        return this.#closeRole();
      case "deleteStream":
        return this.#closeRole();
      case "pause": {
        const paused = command.args[0] === true;
        const code = paused ? "NetStream.Pause.Notify" : "NetStream.Unpause.Notify";
        return this.#peer.status(streamId, "status", code, "Live streams go on.");
      }
      case "seek":
        return this.#peer.status(streamId, "status", "NetStream.Seek.Notify", "Live streams go on.");
      default:
        return; // receiveAudio, receiveVideo, onStatus, answers to our calls, and calls of applications that we do not have
    }
  }

  #announce(method: string, code: string): void {
    this.#peer.send(commandMessage(0, [method, 0, null, { level: "status", code, description: "" }]));
  }

  #open(kind: "publish" | "play", command: Command, connect: ConnectInfo): void {
    const [name] = command.args;
    const code = kind === "publish" ? "NetStream.Publish.BadName" : "NetStream.Play.Failed";
    if (typeof name !== "string" || this.#role) {
      const problem = this.#role ? "this connection already publishes or plays" : `${kind} needs a stream name`;
      this.#peer.status(command.streamId, "error", code, problem);
      return this.#finish();
    }
    this.#deadline?.[Symbol.dispose]();
    this.#waiting = [];
    const context = {
      host: this.#options.host,
      tcp: this.#tcp,
      peer: this.#peer,
      request: accessRequest(this.#tcp, connect, name, kind),
      streamId: onlyStream,
      finish: () => this.#finish(),
      fail: (error: unknown) => this.#fail(error),
    };
    const decision = kind === "publish" ? publish(context) : play(context, this.#options.format);
    decision.then(
      (role) => this.#guard(() => this.#onDecided(role)),
      (error: unknown) => this.#fail(error),
    );
  }

  #onDecided(role: Role | undefined): void {
    const messages = this.#waiting ?? [];
    this.#waiting = undefined;
    this.#waitingBytes = 0;
    if (!role) return;
    this.#role = role;
    if (this.#ended) return this.#closeRole(peerGone);
    this.#lastByteAt = this.#options.host.clock.monotonic();
    for (const message of messages) this.#onMessage(message);
  }

  #closeRole(reason: CloseReason = unpublished): void {
    const role = this.#role;
    if (!role) return;
    this.#role = undefined;
    void role.close(reason);
    if (!this.#ended) this.#expectRole();
  }

  #expectRole(): void {
    this.#deadline?.[Symbol.dispose]();
    this.#deadline = this.#options.host.clock.after(idleMs, () =>
      this.#fail(new SluiceError("input.invalid", `RTMP client has not asked to publish or play within ${idleMs / 1000} seconds`)),
    );
  }

  #onPingTime(): void {
    const { clock } = this.#options.host;
    const silence = clock.monotonic() - this.#lastByteAt;
    if (!this.#role || silence < pingMs) return;
    if (silence >= silentMs && this.#role.publishes) {
      this.#closeRole({ code: "CLEAN_INACTIVE", text: `the publisher sent nothing for ${silentMs / 1000} seconds` });
      return this.#finish();
    }
    this.#peer.offer(userControl(userEvent.pingRequest, clock.monotonic() >>> 0));
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** An orderly end: the sink sends what is queued and lets the client read it. */
  #finish(): void {
    if (this.#ended) return;
    this.#release();
    this.#closeRole();
    this.#tcp.sink.end();
  }

  #fail(error: unknown): void {
    if (this.#role?.publishes && isSluiceError(error)) this.#peer.status(onlyStream, "error", "NetStream.Publish.Failed", error.message);
    this.#release();
    this.#closeRole({ code: "FORMAT_SPECIFIC", text: isSluiceError(error) ? error.message : "the server failed" });
    this.#end.reject(error);
  }

  #onGone(): void {
    this.#release();
    this.#closeRole(peerGone);
    this.#end.resolve();
  }

  #release(): void {
    this.#ended = true;
    this.#deadline?.[Symbol.dispose]();
    this.#ping[Symbol.dispose]();
  }
}

/** A command's name for an error message: short, and without anything that could break a log line. */
function printable(name: string): string {
  return JSON.stringify(name.slice(0, 32));
}
