import type { Listener } from "./listener.ts";

/** Lets tasks about the same stream go to a listener one after the other. */
export function createTurns(): { take<T>(listener: Listener, stream: string, task: () => Promise<T>): Promise<T> } {
  const tails = new WeakMap<Listener, Map<string, Promise<unknown>>>();
  return {
    take(listener, stream, task) {
      const byStream = tails.get(listener) ?? new Map<string, Promise<unknown>>();
      tails.set(listener, byStream);
      const tail = byStream.get(stream);
      const turn = tail ? tail.then(task) : task();
      byStream.set(stream, turn);
      void turn.then(() => {
        if (byStream.get(stream) === turn) byStream.delete(stream);
      });
      return turn;
    },
  };
}
