import { SluiceError } from "../../base/errors.ts";
import type { CloseReason, LiveOptions, Program, Stream } from "../stream.ts";
import { type HubContext, LiveStream } from "./live-stream.ts";
import { LiveWriter } from "./live-writer.ts";
import { Relay } from "./relay.ts";

/** A live stream without a publisher of its own: one writer after the other copies into it what it is to show. */
export class LiveProgram implements Program {
  readonly stream: LiveStream;
  readonly #context: HubContext;
  readonly #options: LiveOptions;
  readonly #onEnded: (program: LiveProgram) => void;
  #relay: Relay | undefined;
  #source: Stream | undefined;

  /** Takes over `stream`, of which the directory's listeners hear no more; `onEnded` is called once, when the programme has ended. */
  constructor(stream: LiveStream, options: LiveOptions, context: HubContext, onEnded: (program: LiveProgram) => void) {
    this.stream = stream;
    this.#options = { ...options, resume: true };
    this.#context = context;
    this.#onEnded = onEnded;
  }

  get source(): Stream | undefined {
    return this.#source;
  }

  feed(source: Stream, onEnd: () => void): void {
    if (this.stream.over) return;
    this.#leave();
    this.#source = source;
    const writer = new LiveWriter(this.stream, this.#options, this.#context.log, () => {});
    this.stream.attach(writer, this.#options, new SluiceError("access.taken", "the programme has gone over to another stream"));
    let begun = false;
    let ended = false;
    const onSourceEnd = (): void => {
      // A source may be over already: then the caller has not got this far yet.
      if (!begun) ended = true;
      else if (this.#source === source) {
        this.#source = undefined;
        onEnd();
      }
    };
    this.#relay = new Relay(source, writer, onSourceEnd);
    begun = true;
    if (ended) this.#context.microtask(onSourceEnd);
  }

  pause(): void {
    this.#leave();
    if (!this.stream.over) this.stream.detach(true);
  }

  end(reason: CloseReason): void {
    if (this.stream.over) return;
    this.#leave();
    this.stream.close(reason);
    this.#onEnded(this);
  }

  [Symbol.dispose](): void {
    this.end({ code: "CLEAN_INACTIVE", text: "nobody watches any more" });
  }

  /** Regular work of its stream: rates, formats that nobody watches. It never waits for a publisher. */
  tick(): void {
    this.stream.tick();
  }

  #leave(): void {
    this.#relay?.[Symbol.dispose]();
    this.#relay = undefined;
    this.#source = undefined;
  }
}
