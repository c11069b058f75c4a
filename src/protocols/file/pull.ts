import { type FileHandle, open } from "node:fs/promises";
import { isSluiceError, messageOf, SluiceError } from "../../base/errors.ts";
import type { VodSource } from "../../streams/stream.ts";
import type { Input } from "../protocol.ts";
import { openDemuxed } from "./demuxed-source.ts";
import { flvLayout } from "./flv-layout.ts";
import { openIndexed } from "./indexed-source.ts";
import { m2tsLayout, tsLayout } from "./ts-layout.ts";

/** A path, absolute or not, with an ending that is known; `file://` may stand before it. */
const pattern = /^(?:file:\/\/)?([^:]*|[a-z]:[^:]*)\.(mp4|mov|m4v|mkv|webm|ts|m2ts|flv)$/i;

/** MistServer's inputs by ending; MP4's for all that is not here. */
const inputNames: Readonly<Record<string, string>> = { mkv: "EBML", webm: "EBML", ts: "TS", m2ts: "TS", flv: "FLV" };

/** Gives an input for the path of a recording, and undefined for other sources. */
export function fileInput(source: string): Input | undefined {
  const match = pattern.exec(source);
  if (!match) return undefined;
  const path = source.startsWith("file://") ? decodePath(source.slice("file://".length)) : source;
  const ending = (match[2] ?? "").toLowerCase();
  return { kind: "vod", name: inputNames[ending] ?? "MP4", open: () => openFile(path, ending) };
}

/** Rejects with "source.failed", and the path in the message, for whatever is wrong with the file. */
async function openFile(path: string, ending: string): Promise<VodSource> {
  const handle = await open(path, "r").catch((cause: NodeJS.ErrnoException) => {
    throw new SluiceError("source.failed", `the file "${path}" ${openProblem(cause)}`, { cause });
  });
  try {
    const status = await handle.stat();
    if (!status.isFile()) throw new SluiceError("source.failed", `"${path}" is not a file`);
    if (status.size === 0) throw new SluiceError("source.failed", `the file "${path}" is empty`);
    return await openAs(ending, handle, status.size, path);
  } catch (cause) {
    await handle.close().catch(() => {});
    if (isSluiceError(cause, "source.failed")) throw cause;
    throw new SluiceError("source.failed", `the file "${path}" cannot be read as ${ending}: ${messageOf(cause)}`, { cause });
  }
}

function openAs(ending: string, handle: FileHandle, size: number, path: string): Promise<VodSource> {
  switch (ending) {
    case "flv":
      return openDemuxed(handle, size, flvLayout);
    case "ts":
      return openDemuxed(handle, size, tsLayout);
    case "m2ts":
      return openDemuxed(handle, size, m2tsLayout);
    default:
      return openIndexed(handle, size, path, ending === "mkv" || ending === "webm" ? "EBML" : "MP4");
  }
}

function openProblem(cause: NodeJS.ErrnoException): string {
  if (cause.code === "ENOENT") return "does not exist";
  if (cause.code === "EACCES" || cause.code === "EPERM") return "may not be read by the server's user";
  return `cannot be opened: ${cause.message}`;
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
