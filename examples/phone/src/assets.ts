/** What make_model.py made: graphs, model, samples, and what Python computed with them. */

import { parse, type File } from './safetensors.ts';
import type { Samples } from './samples.ts';
import { typed, type Tensors } from './tensors.ts';

/** model.json. */
export interface Description {
  readonly rule: string;
  readonly seed: number;
  readonly batch: number;
  readonly classes: number;
  /** By which the camera is turned. */
  readonly degrees: number;
  /** Of the network's input: real = scale * (code - zero_point). */
  readonly scale: number;
  readonly zero_point: number;
  /** What 1 of the graphs' outputs and losses stands for. */
  readonly unit: number;
  /** Trace of the untouched model and state. */
  readonly start: string;
  /** Traces that Python computed after every step of the shipped run. */
  readonly traces: readonly string[];
}

export interface Assets {
  readonly about: Description;
  readonly train: Uint8Array;
  readonly infer: Uint8Array;
  readonly model: Uint8Array;
  /** State of the first step. */
  readonly state: Tensors;
  readonly shipped: Samples;
  readonly unseen: Samples;
  /** The batches of the shipped run. */
  readonly batches: Int32Array[];
}

/**
 * Fetches everything.
 *
 * @param fetched gives the contents of a file by its name.
 */
export async function loadAssets(fetched = download): Promise<Assets> {
  const names = ['train.onnx', 'infer.onnx', 'model.safetensors'];
  const [train, infer, model] = (await Promise.all(names.map(fetched))) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const { tensors: data } = await read('digits.safetensors', fetched, parse);
  const samples = (name: string): Samples => ({
    x: typed(data, `${name}/x`, 'I8'),
    y: typed(data, `${name}/y`, 'I32'),
  });
  const about = await read('model.json', fetched, (content) => {
    return JSON.parse(new TextDecoder().decode(content)) as Description;
  });
  return {
    about,
    train,
    infer,
    model,
    state: (await read('state.safetensors', fetched, parse)).tensors,
    shipped: samples('shipped'),
    unseen: samples('unseen'),
    batches: rows(typed(data, 'batches', 'I32'), about.batch),
  };
}

/** Cuts a matrix into its rows. */
function rows(matrix: Int32Array, columns: number): Int32Array[] {
  return Array.from({ length: matrix.length / columns }, (_, i) =>
    matrix.subarray(i * columns, (i + 1) * columns),
  );
}

async function download(name: string): Promise<Uint8Array> {
  let reason: string;
  try {
    const response = await fetch(`./${name}`);
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
    reason = `the server answers ${response.status}`;
  } catch {
    reason = 'the server cannot be reached';
  }
  throw new Error(
    `${name} could not be loaded: ${reason}. Was make_model.py run? Reload to retry.`,
  );
}

async function read<T>(
  name: string,
  fetched: (name: string) => Promise<Uint8Array>,
  parsed: (content: Uint8Array) => T,
): Promise<T> {
  const content = await fetched(name);
  try {
    return parsed(content);
  } catch (error) {
    throw new Error(`${name} is damaged: ${(error as Error).message}`);
  }
}

/** All parameters and state of the first step with a model, by the names of the graphs. */
export function startOf(model: File, state: Tensors): Tensors {
  const start = new Map(state);
  for (const [name, tensor] of model.tensors) {
    if (/^node\/.*\/[wb]$/.test(name)) start.set(name, tensor);
    if (/^head\/.*\/[wb]$/.test(name)) start.set(`state/${name}`, tensor);
  }
  return start;
}

/** A model's file with these parameters in place of its own. */
export function modelWith(model: File, tensors: Tensors): File {
  const found = new Map(model.tensors);
  for (const name of found.keys()) {
    const learned = tensors.get(name) ?? tensors.get(`state/${name}`);
    if (learned) found.set(name, learned);
  }
  return { ...model, tensors: found };
}
