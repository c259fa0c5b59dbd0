/** The thread that computes, so that the page stays responsive. */

import { expose } from 'comlink';
import * as ort from 'onnxruntime-web/wasm';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm?url';

import { Learner, openGraphs, shapeOf, type Graphs, type Metrics } from './learner.ts';
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

  async learn({ x, y }: Samples): Promise<Metrics & { trace: string }> {
    return { ...(await learner.learn(x, y)), trace: learner.trace };
  },

  /** Outputs for any number of samples; what lacks to a full batch is filled up with zeros. */
  async predict(x: Int8Array): Promise<Int32Array> {
    const size = shapeOf(graphs.infer).reduce((product, n) => product * n, 1);
    const [batch = 1] = shapeOf(graphs.infer);
    const found: number[] = [];
    for (let start = 0; start < x.length; start += size) {
      const part = new Int8Array(size);
      part.set(x.subarray(start, start + size));
      const outputs = await learner.predict(part);
      const samples = (Math.min(size, x.length - start) / size) * batch;
      found.push(...outputs.subarray(0, (outputs.length / batch) * samples));
    }
    return Int32Array.from(found);
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
