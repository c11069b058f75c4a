/**
 * A reader's place on a shared ring. A cursor holds no items: who is too slow finds itself at a newer keyframe,
 * and `skips` counts how often.
 *
 *     ring:   [ 17 18 19 20 21 22 23 ]      items, oldest falls off
 *     cursor:         ^ next() gives 19
 */
export interface Cursor<T> extends Disposable {
  /** The next item, or undefined when the cursor has reached the live edge or the end (see `ended`). */
  next(): T | undefined;
  /** Calls `run` once as soon as `next()` may have something or `ended` has become true; dispose to forget it. */
  onReadable(run: () => void): Disposable;
  /** True when nothing will ever come again. */
  readonly ended: boolean;
  /** How often the reader was too slow and was moved to a newer keyframe. */
  readonly skips: number;
}
