/** The thread that computes, so that the page stays responsive. */

import { expose } from 'comlink';
import * as ort from 'onnxruntime-web/wasm';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm?url';

import { Learner, openGraphs, type Graphs } from './learner.ts';
import { gather, type Samples } from './samples.ts';
import type { Tensors } from './tensors.ts';

ort.env.wasm.wasmPaths = { wasm };
ort.env.wasm.numThreads = 1; // more need headers that a plain static server does not send

let graphs: Graphs;
let learner: Learner;
let seed: number;

const worker = {
  async open(train: Uint8Array, infer: Uint8Array, seed_: number): Promise<void> {
    graphs = await openGraphs(ort, train, infer);
    seed = seed_;
  },

  /** Goes on from these tensors; returns their trace. */
  restore(tensors: Tensors, step: number): string {
    learner = new Learner(graphs, tensors, seed, step);
    return learner.trace;
  },

  async learn({ x, y }: Samples): Promise<{ loss: number; trace: string }> {
    return { loss: await learner.learn(x, y), trace: learner.trace };
  },

  predict(x: Int8Array): Promise<Int32Array> {
    return learner.predict(x);
  },

  /** Takes the steps of a run from these tensors on, beside the learner; its trace after each. */
  async replay(tensors: Tensors, samples: Samples, batches: Int32Array[]): Promise<string[]> {
    const other = new Learner(graphs, tensors, seed);
    const traces: string[] = [];
    for (const chosen of batches) {
      const { x, y } = gather(samples, chosen);
      await other.learn(x, y);
      traces.push(other.trace);
    }
    return traces;
  },

  tensors(): Tensors {
    return learner.tensors;
  },
};

export type Worker = typeof worker;
expose(worker);
