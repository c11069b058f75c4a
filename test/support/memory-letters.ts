import type { Letter, LetterStore } from "../../src/triggers/delivery/letter.ts";

/** Letters in memory, which survive an outbox as a disk does, and a disk that a test can break. */
export interface MemoryLetters extends LetterStore {
  rows(): readonly Letter[];
  /** Changes wait until `release`. */
  hold(): void;
  release(): void;
  /** Changes are refused with these words; undefined: no more. */
  fail(words: string | undefined): void;
}

const rowBytes = 300;

export function createMemoryLetters(): MemoryLetters {
  const rows = new Map<number, Letter>();
  let last = 0;
  let words: string | undefined;
  let door: PromiseWithResolvers<void> | undefined;
  const change = async <T>(work: () => T): Promise<T> => {
    await door?.promise;
    if (words !== undefined) throw new Error(words);
    return work();
  };
  const bytesOf = ({ payload }: Letter): number => payload.length + rowBytes;
  const sorted = (): Letter[] => [...rows.values()].toSorted((a, b) => a.id - b.id);
  const dead = (): Letter[] => sorted().filter(({ state }) => state === "dead");
  const sizeOf = (list: readonly Letter[]) => ({ letters: list.length, bytes: list.reduce((sum, letter) => sum + bytesOf(letter), 0) });
  return {
    rows: sorted,
    hold: () => void (door = Promise.withResolvers()),
    release: () => {
      door?.resolve();
      door = undefined;
    },
    fail: (reason) => void (words = reason),
    add: (letter) =>
      change(() => {
        const id = ++last;
        rows.set(id, { ...letter, id, attempts: 0, nextAt: letter.createdAt, state: "waiting", error: "" });
        return id;
      }),
    remove: (id) => change(() => void rows.delete(id)),
    update: (id, outcome) =>
      change(() => {
        const row = rows.get(id);
        if (row) rows.set(id, { ...row, ...outcome });
      }),
    read: async (id) => rows.get(id),
    waiting: async () =>
      sorted()
        .filter(({ state }) => state === "waiting")
        .map((row) => ({ ...row, bytes: bytesOf(row) })),
    list: async ({ state, after = 0, limit }) =>
      sorted()
        .filter((row) => row.id > after && (!state || row.state === state))
        .slice(0, limit),
    deadSize: async () => sizeOf(dead()),
    dropDead: (bytes) =>
      change(() => {
        const dropped: Letter[] = [];
        for (const row of dead()) {
          if (sizeOf(dropped).bytes >= bytes) break;
          rows.delete(row.id);
          dropped.push(row);
        }
        return sizeOf(dropped);
      }),
  };
}
