/** Named integer tensors, as edgetrain's files, graphs and traces know them. */

/** Types of tensors that parameters and state have, by their names in a safetensors file. */
export const ARRAYS = {
  I8: Int8Array,
  I16: Int16Array,
  I32: Int32Array,
  I64: BigInt64Array,
  U8: Uint8Array,
  F32: Float32Array,
  F64: Float64Array,
} as const;

export type Dtype = keyof typeof ARRAYS;
export type Data =
  Int8Array | Int16Array | Int32Array | BigInt64Array | Uint8Array | Float32Array | Float64Array;

export interface Tensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: Data;
}

export type Tensors = ReadonlyMap<string, Tensor>;

/** The bytes of a tensor, little-endian as every machine with a browser has them. */
export function bytesOf(data: Data): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** The tensor of a name; an error that names it where there is none of that type. */
export function typed<D extends Dtype>(
  tensors: Tensors,
  name: string,
  dtype: D,
): InstanceType<(typeof ARRAYS)[D]> {
  const tensor = tensors.get(name);
  if (tensor?.dtype !== dtype) {
    throw new Error(`${name} must be there as ${dtype}, got ${tensor?.dtype ?? 'nothing'}`);
  }
  return tensor.data as InstanceType<(typeof ARRAYS)[D]>;
}
