import type { SluiceError } from "../../base/errors.ts";
import { unwrapper } from "../../base/time.ts";
import { type TagType, tagType } from "../../containers/flv/tag.ts";
import { createTagDemuxer } from "../../containers/flv/tag-demuxer.ts";
import { isTrackList } from "../../media/format.ts";
import type { CloseReason, StreamWriter } from "../../streams/stream.ts";
import type { Admission } from "../protocol.ts";
import { scriptTagBody } from "./command.ts";
import { decided, endingOf, type Role, type RoleContext } from "./role.ts";
import { userControl, userEvent } from "./wire/control.ts";
import { messageType, type RtmpMessage } from "./wire/message.ts";

/**
 * Asks whether the client may publish, and tells it. Gives undefined after a refusal, which the client has been told and
 * after which its connection ends. Rejects only with errors that are no decision; the client has been told no then, too.
 */
export async function publish(context: RoleContext): Promise<Role | undefined> {
  const { host, peer, streamId, request } = context;
  const admission = await decided(context, host.publish(request), refusalCode);
  if (!admission) return undefined;
  peer.send(userControl(userEvent.streamBegin, streamId));
  peer.status(streamId, "status", "NetStream.Publish.Start", `Publishing ${admission.askedName}.`);
  return new Publisher(context, admission);
}

/** Both codes make OBS, ffmpeg and librtmp give up. */
function refusalCode(error: SluiceError): string {
  return error.code === "access.taken" || error.code === "access.unknown" ? "NetStream.Publish.BadName" : "NetStream.Publish.Denied";
}

class Publisher implements Role {
  readonly publishes = true;
  readonly #context: RoleContext;
  readonly #admission: Admission<StreamWriter>;
  readonly #demuxer = createTagDemuxer({ ownsBodies: true });
  readonly #unwrap = unwrapper(32);
  /** Time of the newest audio or video message, unwrapped, ms. */
  #mediaTime = 0;
  #closed: Promise<void> | undefined;

  constructor(context: RoleContext, admission: Admission<StreamWriter>) {
    this.#context = context;
    this.#admission = admission;
    for (const signal of [admission.signal, admission.value.signal]) {
      if (signal.aborted) this.#onWithdrawn(signal);
      else signal.addEventListener("abort", () => this.#onWithdrawn(signal), { once: true });
    }
  }

  message(message: RtmpMessage): void {
    if (this.#closed) return;
    if (message.type === messageType.audio || message.type === messageType.video) {
      this.#mediaTime = this.#unwrap(message.timestamp);
      this.#tag(message.type, this.#mediaTime, message.payload);
    } else {
      // Data may carry any time, often zero: it takes the turn of the clock that is nearest to the media, and moves nothing.
      const time = this.#mediaTime + ((message.timestamp - this.#mediaTime) | 0);
      this.#tag(tagType.script, time, scriptTagBody(message));
    }
  }

  received(bytes: number): void {
    this.#admission.count(0, bytes);
  }

  close(reason: CloseReason): Promise<void> {
    this.#closed ??= this.#close(reason);
    return this.#closed;
  }

  #tag(type: TagType, time: number, body: Uint8Array): void {
    for (const output of this.#demuxer.tag(type, time, body)) {
      if (isTrackList(output)) this.#admission.value.describe(output.tracks);
      else this.#admission.value.write(output);
    }
  }

  async #close(reason: CloseReason): Promise<void> {
    this.#admission.ends(reason, this.#context.peer.bytesSent);
    try {
      await this.#admission.value.close(reason);
    } catch (error) {
      this.#context.fail(error);
    } finally {
      this.#admission[Symbol.dispose]();
    }
  }

  #onWithdrawn(signal: AbortSignal): void {
    if (this.#closed) return;
    const ending = endingOf(signal);
    this.#context.peer.status(this.#context.streamId, "error", "NetStream.Publish.Denied", ending.message);
    void this.close({ code: "CLEAN_CONTROLLER_REQ", text: ending.message });
    this.#context.finish();
  }
}
