import type { SluiceError } from "../../base/errors.ts";
import { exitOf } from "../../base/exit.ts";
import { type PumpEnd, pump } from "../../base/pump.ts";
import type { Format } from "../../media/format.ts";
import type { CloseReason, Stream } from "../../streams/stream.ts";
import type { Admission } from "../protocol.ts";
import { dataMessage, statusMessage } from "./command.ts";
import { decided, endingOf, type Role, type RoleContext } from "./role.ts";
import { userControl, userEvent } from "./wire/control.ts";

/**
 * Asks whether the client may watch, and tells it; then media flows until one of the two ends it. Gives undefined after a
 * refusal. Rejects only with errors that are no decision; the client has been told no then, too.
 */
export async function play(context: RoleContext, format: Format): Promise<Role | undefined> {
  const { host, peer, streamId, request } = context;
  const admission = await decided(context, host.play(request), refusalCode);
  if (!admission) return undefined;
  const name = admission.askedName;
  peer.send(
    userControl(userEvent.streamBegin, streamId),
    statusMessage(streamId, { level: "status", code: "NetStream.Play.Reset", description: `Playing and resetting ${name}.` }),
    statusMessage(streamId, { level: "status", code: "NetStream.Play.Start", description: `Started playing ${name}.` }),
    dataMessage(streamId, ["|RtmpSampleAccess", true, true]),
  );
  return new Player(context, admission, format);
}

function refusalCode(error: SluiceError): string {
  const absent = error.code === "access.offline" || error.code === "access.unknown" || error.code === "source.failed";
  return absent ? "NetStream.Play.StreamNotFound" : "NetStream.Play.Failed";
}

class Player implements Role {
  readonly publishes = false;
  readonly #context: RoleContext;
  readonly #admission: Admission<Stream>;
  readonly #stop = new AbortController();
  readonly #over: Promise<void>;

  constructor(context: RoleContext, admission: Admission<Stream>, format: Format) {
    this.#context = context;
    this.#admission = admission;
    this.#over = this.#run(format);
  }

  /** A viewer has nothing to say. */
  message(): void {}

  received(bytes: number): void {
    this.#admission.count(0, bytes);
  }

  close(reason: CloseReason): Promise<void> {
    this.#admission.ends(reason);
    this.#stop.abort();
    return this.#over;
  }

  async #run(format: Format): Promise<void> {
    const { host, tcp } = this.#context;
    try {
      const end = await pump(this.#admission.value.chunks(format, "live"), tcp.sink, {
        signal: AbortSignal.any([this.#admission.signal, this.#stop.signal]),
        count: (bytes) => this.#admission.count(bytes, 0),
        position: this.#admission.position,
        clock: host.clock,
      });
      this.#admission.ends(exitOf(end, this.#admission.signal));
      this.#say(end);
    } catch (error) {
      this.#context.fail(error);
    } finally {
      this.#admission[Symbol.dispose]();
    }
  }

  /** Tells the client why nothing more comes. */
  #say(end: PumpEnd): void {
    const { peer, streamId, finish } = this.#context;
    if (end === "peer-gone" || (end === "withdrawn" && !this.#admission.signal.aborted)) return;
    const name = this.#admission.askedName;
    if (end === "withdrawn") peer.status(streamId, "error", "NetStream.Play.Failed", endingOf(this.#admission.signal).message);
    else if (end === "too-slow")
      peer.status(streamId, "error", "NetStream.Play.InsufficientBW", "The connection is too slow for this stream.");
    else {
      peer.send(
        statusMessage(streamId, {
          level: "status",
          code: "NetStream.Play.UnpublishNotify",
          description: `${name} is not published any more.`,
        }),
        dataMessage(streamId, ["onPlayStatus", { level: "status", code: "NetStream.Play.Complete" }]),
        userControl(userEvent.streamEof, streamId),
        statusMessage(streamId, { level: "status", code: "NetStream.Play.Stop", description: `Stopped playing ${name}.` }),
      );
    }
    finish();
  }
}
