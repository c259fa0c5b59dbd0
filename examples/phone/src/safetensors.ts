/** Files of edgetrain: 8 bytes with the length of a JSON header, the header, raw tensors. */

import { ARRAYS, bytesOf, type Dtype, type Tensor, type Tensors } from './tensors.ts';

const ENTRY = 'edgetrain';

export interface File {
  /** Text of the metadata by its key. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: Tensors;
}

interface Place {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** Reads a file as if nobody had checked it; throws an Error that says what is wrong. */
export function parse(content: Uint8Array): File {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const length = content.length < 8 ? NaN : Number(view.getBigUint64(0, true));
  if (!(length <= content.length - 8)) throw new Error('it is truncated, or no safetensors file');
  const { __metadata__: metadata = {}, ...places } = header(content.subarray(8, 8 + length));
  const body = new Uint8Array(content.subarray(8 + length)); // a copy: aligned for every type
  const tensors = new Map<string, Tensor>();
  for (const [name, place] of Object.entries(places)) tensors.set(name, tensor(name, place, body));
  return { metadata: metadata as Record<string, string>, tensors };
}

function header(text: Uint8Array): Record<string, unknown> {
  try {
    const found: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
    if (typeof found === 'object' && found !== null) return found as Record<string, unknown>;
  } catch {
    // said below
  }
  throw new Error('its header is not JSON');
}

function tensor(name: string, place: unknown, body: Uint8Array): Tensor {
  const { dtype, shape, data_offsets: offsets } = (place ?? {}) as Place;
  const Kind = Object.hasOwn(ARRAYS, dtype) ? ARRAYS[dtype] : undefined;
  if (!Kind || !Array.isArray(shape) || !Array.isArray(offsets)) {
    throw new Error(`its tensor ${name} has no type or place that is known`);
  }
  const [start, end] = offsets;
  const size = shape.reduce((product: number, n: number) => product * n, 1);
  if (!(start >= 0 && end <= body.length && end - start === size * Kind.BYTES_PER_ELEMENT)) {
    throw new Error(`its tensor ${name} is truncated`);
  }
  return { dtype, shape, data: new Kind(body.slice(start, end).buffer) };
}

/** Writes a file; larger elements first, as safetensors wants them, so that each is aligned. */
export function write({ metadata, tensors }: File): Uint8Array<ArrayBuffer> {
  const places: Record<string, unknown> = { __metadata__: metadata };
  const sorted = [...tensors].sort(
    ([a, x], [b, y]) =>
      y.data.BYTES_PER_ELEMENT - x.data.BYTES_PER_ELEMENT || (a < b ? -1 : a > b ? 1 : 0),
  );
  let end = 0;
  for (const [name, { dtype, shape, data }] of sorted) {
    places[name] = { dtype, shape, data_offsets: [end, end + data.byteLength] };
    end += data.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(places));
  const start = 8 + Math.ceil(text.length / 8) * 8;
  const content = new Uint8Array(start + end).fill(0x20, 8, start);
  new DataView(content.buffer).setBigUint64(0, BigInt(start - 8), true);
  content.set(text, 8);
  let at = start;
  for (const [, { data }] of sorted) {
    content.set(bytesOf(data), at);
    at += data.byteLength;
  }
  return content;
}

/** A model's description in its file, as text; throws if the file is not a model of edgetrain. */
export function description({ metadata }: File): string {
  const entry = metadata[ENTRY];
  if (entry === undefined) throw new Error('it is a safetensors file, but not of edgetrain');
  const { kind } = JSON.parse(entry) as { kind: unknown };
  if (kind !== 'model') throw new Error(`it holds a ${String(kind)}, not an int8 model`);
  return entry;
}

/**
 * Adds a line to the history in a model's file. The rest of the description stays as it is, byte
 * for byte: a JSON number such as 1.0 would not survive a round trip through JavaScript.
 */
export function signed(file: File, line: string): File {
  const history = /("history":\s*\[(?:[^"\]]|"(?:[^"\\]|\\.)*")*)\]/;
  const longer = description(file).replace(history, (_, lines: string) => {
    return `${lines}${/\[\s*$/.test(lines) ? '' : ','}${JSON.stringify(line)}]`;
  });
  return { ...file, metadata: { ...file.metadata, [ENTRY]: longer } };
}

/** All of a model but what it learned: equal for the files for which a graph was made. */
export function network(file: File): string {
  const { history, ...rest } = JSON.parse(description(file)) as Record<string, unknown>;
  const layout = [...file.tensors].map(([name, { dtype, shape, data }]) => {
    return [name, dtype, shape, name.endsWith('/scale') ? Array.from(data as Float64Array) : []];
  });
  return JSON.stringify([rest, layout.sort()]);
}
