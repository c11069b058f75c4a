import type { Micros } from "../../base/time.ts";

/** Frames that may lie between a frame's place in decode order and in presentation order: the most that H.264 and H.265 allow. */
const reorderDepth = 16;

/**
 * Works out decode times for frames that come in decode order but tell only when they are shown: the n-th frame is decoded
 * at the n-th smallest presentation time. Presentation times have to be `delay` later for that, see `presentationDelay`.
 *
 *     shown at     0  3  1  2  6  4  5      in decode order
 *     decoded at   0  1  2  3  4  5  6      (delay 1: shown at 1 4 2 3 7 5 6)
 */
export class DecodeTimes<T> {
  #items: { readonly item: T; readonly pts: Micros }[] = [];
  #times: Micros[] = [];

  /** Takes a frame; gives the frame whose decode time is certain by now, if there is one. */
  push(item: T, pts: Micros): { readonly item: T; readonly dts: Micros } | undefined {
    this.#items.push({ item, pts });
    insert(this.#times, pts);
    return this.#items.length > reorderDepth ? this.#take() : undefined;
  }

  /** The next of those that are left at the end. */
  flush(): { readonly item: T; readonly dts: Micros } | undefined {
    return this.#items.length > 0 ? this.#take() : undefined;
  }

  #take(): { readonly item: T; readonly dts: Micros } {
    const { item } = this.#items.shift()!;
    return { item, dts: this.#times.shift()! };
  }
}

/**
 * How much later frames have to be shown so that none is shown before it is decoded. `times`: presentation times in decode
 * order; `whole`: no more follow.
 */
export function presentationDelay(times: readonly Micros[], whole: boolean): Micros {
  const sorted = [...times].sort((a, b) => a - b);
  const certain = whole ? times.length : times.length - reorderDepth;
  let delay = 0;
  for (let i = 0; i < certain; i++) delay = Math.max(delay, sorted[i]! - times[i]!);
  return delay;
}

function insert(sorted: Micros[], time: Micros): void {
  let at = sorted.length;
  while (at > 0 && sorted[at - 1]! > time) at--;
  sorted.splice(at, 0, time);
}
