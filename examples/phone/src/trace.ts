/** The trace of edgetrain: CRC-32 of all parameters and state. Equal means equal. */

import { bytesOf, type Tensors } from './tensors.ts';

const TABLE = Uint32Array.from({ length: 256 }, (_, octet) => {
  for (let bit = 0; bit < 8; bit++) octet = octet & 1 ? 0xedb88320 ^ (octet >>> 1) : octet >>> 1;
  return octet;
});

/** CRC-32 of bytes, going on from that of what came before. */
export function crc32(bytes: Uint8Array, before = 0): number {
  let crc = ~before;
  for (const octet of bytes) crc = (TABLE[(crc ^ octet) & 0xff] as number) ^ (crc >>> 8);
  return ~crc >>> 0;
}

/**
 * Eight hexadecimal digits, those of `edgetrain.state.trace`: the step, then every name and tensor
 * in the order of the names.
 *
 * @param tensors parameters as node/NAME/w and node/NAME/b, and state/NAME.
 */
export function trace(tensors: Tensors, step: number): string {
  const text = new TextEncoder();
  const named = [...tensors].map(
    ([name, { data }]) => [name.replace(/^node\//, ''), data] as const,
  );
  let crc = crc32(bytesOf(BigInt64Array.of(BigInt(step))));
  for (const [name, data] of named.sort(([a], [b]) => (a < b ? -1 : 1))) {
    crc = crc32(bytesOf(data), crc32(text.encode(name), crc));
  }
  return crc.toString(16).padStart(8, '0');
}
