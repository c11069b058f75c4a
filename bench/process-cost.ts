import { readdirSync, readFileSync } from "node:fs";

/** What a process and its children have used so far. */
export type Cost = { readonly cpuSeconds: number; readonly residentBytes: number };

const ticksPerSecond = 100; // Linux's USER_HZ, fixed for what /proc shows
const pageBytes = 4096;

/** Sums user and system time and resident memory over `pid` and all that descend from it. */
export function costOf(pid: number): Cost {
  let ticks = 0;
  let pages = 0;
  for (const one of familyOf(pid)) {
    try {
      const stat = readFileSync(`/proc/${one}/stat`, "utf8");
      // The name in parentheses may contain spaces: the fields are counted from behind it. utime and stime are 14 and 15.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      ticks += Number(fields[11]) + Number(fields[12]);
      pages += Number(readFileSync(`/proc/${one}/statm`, "utf8").split(" ")[1]);
    } catch {
      // It ended between the listing and the reading.
    }
  }
  return { cpuSeconds: ticks / ticksPerSecond, residentBytes: pages * pageBytes };
}

function familyOf(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // As above.
    }
  }
  const family = [pid];
  for (const one of family) family.push(...(children.get(one) ?? []));
  return family;
}
