/** CRC-32/MPEG-2: polynomial 0x04C11DB7, not reflected, starts with all ones (ISO/IEC 13818-1 annex A). */
const table: Uint32Array = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  return crc >>> 0;
});

/** The checksum of `bytes` from `from` up to `to`; over a whole PSI section, its own CRC field included, it is 0. */
export function crc32(bytes: Uint8Array, from = 0, to = bytes.length): number {
  let crc = 0xffffffff;
  for (let at = from; at < to; at++) crc = (crc << 8) ^ table[((crc >>> 24) ^ bytes[at]!) & 0xff]!;
  return crc >>> 0;
}
