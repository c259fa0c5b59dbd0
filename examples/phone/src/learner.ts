/** A network that learns: two ONNX graphs in a stock runtime, and the tensors between them. */

import type * as Ort from 'onnxruntime-web';

import type { Data, Dtype, Tensor, Tensors } from './tensors.ts';
import { trace } from './trace.ts';

export type Runtime = Pick<typeof Ort, 'InferenceSession' | 'Tensor'>;

/** The graphs in their runtime. */
export interface Graphs {
  readonly ort: Runtime;
  readonly train: Ort.InferenceSession;
  readonly infer: Ort.InferenceSession;
}

const TYPES = { I8: 'int8', I16: 'int16', I32: 'int32' } as const;

/** Opens the graphs of a training step and of inference. */
export async function openGraphs(
  ort: Runtime,
  train: Uint8Array,
  infer: Uint8Array,
): Promise<Graphs> {
  const open = async (name: string, graph: Uint8Array) => {
    try {
      const options = { executionProviders: ['wasm'], logSeverityLevel: 3 } as const; // errors only
      return await ort.InferenceSession.create(graph, options);
    } catch (error) {
      const { message } = error as Error;
      throw new Error(
        message.startsWith('no available backend')
          ? `The WebAssembly of onnxruntime-web cannot be loaded: ${message}`
          : `${name} cannot be opened: it is damaged or not for this runtime (${message})`,
      );
    }
  };
  return { ort, train: await open('train.onnx', train), infer: await open('infer.onnx', infer) };
}

export class Learner {
  /**
   * @param graphs of one network and rule.
   * @param tensors all parameters and state, by the names of the graphs.
   * @param seed of the run.
   * @param step number of the next step.
   */
  constructor(
    private readonly graphs: Graphs,
    public tensors: Tensors,
    private readonly seed: number,
    public step = 0,
  ) {}

  get trace(): string {
    return trace(this.tensors, this.step);
  }

  /**
   * Learns from one batch.
   *
   * @param x int8 codes of exactly as many samples as the graph takes.
   * @param y a label for each.
   * @returns the cross-entropy, summed over the batch, in units of the outputs.
   */
  async learn(x: Int8Array, y: Int32Array): Promise<number> {
    const { ort, train } = this.graphs;
    const scalar = (value: number) => new ort.Tensor('int64', BigInt64Array.of(BigInt(value)), []);
    const out = await train.run({
      ...this.feeds(train, x),
      y: new ort.Tensor('int32', y, [y.length]),
      seed: scalar(this.seed),
      step: scalar(this.step),
    });
    if (number(out, 'status') !== 0)
      throw new Error('a label is out of range: nothing was learned');
    const tensors = new Map(this.tensors);
    for (const name of this.tensors.keys()) {
      const next = out[`next/${name}`];
      if (next) tensors.set(name, received(name, next));
    }
    this.tensors = tensors;
    this.step++;
    return number(out, 'loss');
  }

  /** The outputs for any number of samples, one sample after the other. */
  async predict(x: Int8Array): Promise<Int32Array> {
    const { output } = await this.graphs.infer.run(this.feeds(this.graphs.infer, x));
    return output?.data as Int32Array;
  }

  private feeds(session: Ort.InferenceSession, x: Int8Array): Record<string, Ort.Tensor> {
    const { ort } = this.graphs;
    const feeds: Record<string, Ort.Tensor> = { x: new ort.Tensor('int8', x, shapeOf(session, x)) };
    for (const [name, { dtype, shape, data }] of this.tensors) {
      if (!session.inputNames.includes(name)) continue;
      const type = TYPES[dtype as keyof typeof TYPES];
      feeds[name] = new ort.Tensor(type as 'int8', data as Int8Array, shape);
    }
    return feeds;
  }
}

/** The shape of samples: as many as there are, each as the graph takes it. */
function shapeOf(session: Ort.InferenceSession, x: Int8Array): readonly number[] {
  const found = session.inputMetadata.find(({ name }) => name === 'x');
  const [, ...sample] = found?.isTensor ? found.shape.map(Number) : [];
  return [x.length / sample.reduce((product, n) => product * n, 1), ...sample];
}

function received(name: string, { type, dims, data }: Ort.Tensor): Tensor {
  const dtype = Object.keys(TYPES).find((key) => TYPES[key as keyof typeof TYPES] === type);
  if (!dtype) throw new Error(`the graph's ${name} has the type ${type}, which no state has`);
  return { dtype: dtype as Dtype, shape: dims, data: data as Data };
}

function number(out: Ort.InferenceSession.OnnxValueMapType, name: string): number {
  return Number((out[name] as Ort.Tensor | undefined)?.data[0]);
}
