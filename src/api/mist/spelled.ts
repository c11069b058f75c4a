import { setImmediate } from "node:timers/promises";

/**
 * Milliseconds of work after which others have their turn; a request's work may be long, but nobody is to notice. To spell the rows
 * of a turn takes about as long again.
 */
const sliceMs = 2;

/** A part of an answer that is JSON text already, in pieces: long ones are made and sent without stopping everything else. */
export class Spelled {
  readonly pieces: readonly string[];
  constructor(pieces: readonly string[]) {
    this.pieces = pieces;
  }
  get length(): number {
    return this.pieces.reduce((sum, { length }) => sum + length, 0);
  }
}

/** Spells rows as the inside of a JSON list (without brackets), one piece for each turn; undefined rows are left out. */
export async function spellRows<T>(items: Iterable<T>, rowOf: (item: T) => readonly unknown[] | undefined): Promise<readonly string[]> {
  const pieces: string[] = [];
  let rows: (readonly unknown[])[] = [];
  let began = performance.now();
  const spell = (): void => {
    if (rows.length > 0) pieces.push(`${pieces.length > 0 ? "," : ""}${JSON.stringify(rows).slice(1, -1)}`);
    rows = [];
  };
  let seen = 0;
  for (const item of items) {
    const row = rowOf(item);
    if (row) rows.push(row);
    if (++seen % 64 !== 0 || performance.now() - began < sliceMs) continue;
    spell();
    await setImmediate();
    began = performance.now();
  }
  spell();
  return pieces;
}

/** The pieces of an object's JSON whose members may be `Spelled`. */
export function spellObject(value: Readonly<Record<string, unknown>>): readonly string[] {
  const pieces: string[] = ["{"];
  for (const [name, member] of Object.entries(value)) {
    if (member === undefined) continue;
    pieces.push(`${pieces.length > 1 ? "," : ""}${JSON.stringify(name)}:`);
    if (member instanceof Spelled) pieces.push(...member.pieces);
    else pieces.push(JSON.stringify(member));
  }
  return [...pieces, "}"];
}
