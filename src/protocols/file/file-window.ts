import type { FileHandle } from "node:fs/promises";

const windowSize = 1024 * 1024;

/** Looks at a file's bytes through a window that moves with the reader, so that a file of any length costs 1 MiB. */
export class FileWindow {
  readonly size: number;
  readonly #handle: FileHandle;
  readonly #bytes = new Uint8Array(windowSize);
  #from = 0;
  #length = 0;

  constructor(handle: FileHandle, size: number) {
    this.#handle = handle;
    this.size = size;
  }

  /** The bytes at an offset if they lie in the window. Valid until the next `load`. At most 64 KiB. */
  peek(offset: number, length: number): Uint8Array | undefined {
    const at = offset - this.#from;
    if (at < 0 || at + length > this.#length) return undefined;
    return this.#bytes.subarray(at, at + length);
  }

  /** Moves the window to an offset. */
  async load(offset: number): Promise<void> {
    this.#from = offset;
    this.#length = 0;
    while (this.#length < windowSize && offset + this.#length < this.size) {
      const { bytesRead } = await this.#handle.read(this.#bytes, this.#length, windowSize - this.#length, offset + this.#length);
      if (bytesRead === 0) break;
      this.#length += bytesRead;
    }
  }

  /** The bytes at an offset, or undefined when the file ends before them. */
  async at(offset: number, length: number): Promise<Uint8Array | undefined> {
    const here = this.peek(offset, length);
    if (here || offset + length > this.size) return here;
    await this.load(offset);
    return this.peek(offset, length);
  }
}
