import type { Micros } from "../../base/time.ts";
import type { Format, Muxer } from "../../media/format.ts";
import type { Packet } from "../../media/packet.ts";
import type { Track } from "../../media/track.ts";
import { tsCodecs } from "./elementary-codec.ts";
import { ProgramWriter } from "./program-writer.ts";

/** Program tables come at least so often, so that who joins in the middle need not wait for a keyframe. */
const psiEveryMicros: Micros = 500_000;

/**
 * MPEG-TS without end (ISO/IEC 13818-1), one program. Before each video keyframe stand the program tables, an access unit
 * delimiter and the parameter sets; audio frames are joined up to 100 ms.
 */
export const mpegts: Format = {
  name: "mpegts",
  codecs: tsCodecs,
  createMuxer: (tracks) => new TsMuxer(tracks),
};

class TsMuxer implements Muxer {
  #program: ProgramWriter;
  #version = 0;
  #tablesAt: Micros | undefined;
  header: Uint8Array;

  constructor(tracks: readonly Track[]) {
    this.#program = new ProgramWriter(tracks);
    this.header = this.#tables();
  }

  add(packet: Packet): readonly Uint8Array[] {
    const program = this.#program;
    if (!program.has(packet.trackId)) return [];
    const keyframe = packet.keyframe && program.isVideo(packet.trackId);
    const due = this.#tablesAt === undefined || Math.abs(packet.dts - this.#tablesAt) >= psiEveryMicros;
    if (keyframe || due) {
      // What came before belongs before the tables: a viewer who starts here does not want it.
      program.flush();
      program.psi();
      this.#tablesAt = packet.dts;
    }
    program.add(packet);
    return this.#taken();
  }

  retrack(tracks: readonly Track[]): readonly Uint8Array[] {
    const before = this.end();
    const old = this.#program;
    this.#program = new ProgramWriter(tracks, ++this.#version);
    this.#program.out.continueFrom(old.out);
    this.header = this.#tables();
    this.#tablesAt = undefined;
    return [...before, this.header];
  }

  end(): readonly Uint8Array[] {
    this.#program.flush();
    return this.#taken();
  }

  #tables(): Uint8Array {
    this.#program.psi();
    return this.#program.out.take();
  }

  #taken(): readonly Uint8Array[] {
    const bytes = this.#program.out.take();
    return bytes.length > 0 ? [bytes] : [];
  }
}
