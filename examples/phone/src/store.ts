/** What the browser keeps across a reload: IndexedDB. */

import { del, get, set } from 'idb-keyval';

import type { Samples } from './samples.ts';
import type { Tensors } from './tensors.ts';

/** A point of the curve. */
export interface Measured {
  readonly step: number;
  /** Cross-entropy a sample. */
  readonly loss: number;
  /** Share of the unseen digits that are read. */
  readonly accuracy: number;
}

export interface Progress {
  /** Trace of the shipped model: progress with another one is of no use. */
  readonly start: string;
  /** File of the model from which the run began. */
  readonly model: Uint8Array;
  readonly tensors: Tensors;
  readonly step: number;
  readonly own: Samples;
  readonly batches: Int32Array[];
  readonly curve: Measured[];
}

const KEY = 'edgetrain';

export const keep = (progress: Progress): Promise<void> => set(KEY, progress);
export const kept = (): Promise<Progress | undefined> => get(KEY);
export const forget = (): Promise<void> => del(KEY);
