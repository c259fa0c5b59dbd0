/** One person's lesson: the network in its thread, the samples, and what happened so far. */

import { wrap, type Remote } from 'comlink';

import { modelWith, startOf, type Assets } from './assets.ts';
import { network, parse, signed, write } from './safetensors.ts';
import { choose, gather, joined, type Samples } from './samples.ts';
import { forget, keep, kept, type Measured } from './store.ts';
import type { Tensor, Tensors } from './tensors.ts';
import type { Worker as Api } from './worker.ts';

const NO_SAMPLES: Samples = { x: new Int8Array(), y: new Int32Array() };

export class Lesson {
  own = NO_SAMPLES;
  curve: Measured[] = [];
  trace = '';
  step = 0;
  private batches: Int32Array[] = [];

  private constructor(
    readonly assets: Assets,
    private readonly worker: Remote<Api>,
    private model: Uint8Array,
  ) {}

  /** Opens the graphs in a thread of their own, with the network as it was shipped. */
  static async open(assets: Assets): Promise<Lesson> {
    const thread = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
    const worker = wrap<Api>(thread);
    const failed = new Promise<never>((_, reject) => {
      thread.onerror = () => reject(new Error('The thread that computes could not be started.'));
    });
    await Promise.race([failed, worker.open(assets.train, assets.infer, assets.about.seed)]);
    const lesson = new Lesson(assets, worker, assets.model);
    await lesson.begin(assets.model);
    return lesson;
  }

  /** Begins with a model's file; throws, and stays as it is, if the graphs are not for it. */
  async begin(content: Uint8Array): Promise<void> {
    const { model, state } = this.assets;
    const file = parse(content);
    if (network(file) !== network(parse(model))) throw new Error('it holds another network');
    [this.model, this.batches, this.curve] = [content, [], []];
    await this.restore(startOf(file, state), 0);
    await this.measure(NaN);
  }

  /** Outputs for samples, one after the other. */
  predict(x: Int8Array): Promise<Int32Array> {
    return this.worker.predict(x);
  }

  /** Adds a sample of the person's. */
  teach(x: Int8Array, label: number): void {
    this.own = joined(this.own, { x, y: Int32Array.of(label) });
  }

  /** Learns from one batch, and measures. */
  async learn(): Promise<void> {
    const { about, shipped } = this.assets;
    const chosen = choose(this.step, about.batch, shipped.y.length, this.own.y.length);
    const { loss, trace } = await this.worker.learn(gather(joined(shipped, this.own), chosen));
    this.batches.push(Int32Array.from(chosen));
    [this.step, this.trace] = [this.step + 1, trace];
    await this.measure((loss * about.unit) / about.batch);
  }

  /** Takes the steps of the shipped run on the shipped network; the trace after each. */
  check(): Promise<string[]> {
    const { model, state, shipped, batches } = this.assets;
    return this.worker.replay(startOf(parse(model), state), shipped, batches);
  }

  /** The network as it is now, as a file that edgetrain reads. */
  async modelFile(): Promise<Uint8Array<ArrayBuffer>> {
    const file = modelWith(parse(this.model), await this.worker.tensors());
    const line = `${this.assets.about.rule}, ${this.step} steps, trace ${this.trace}`;
    return write(this.step ? signed(file, line) : file);
  }

  /** Every sample and batch so far, for replay_run.py: with them Python gets the same trace. */
  runFile(): Uint8Array<ArrayBuffer> {
    const { x, y } = joined(this.assets.shipped, this.own);
    const { batch } = this.assets.about;
    const chosen = new Int32Array(this.step * batch);
    this.batches.forEach((row, i) => chosen.set(row, i * batch));
    return write({
      metadata: { trace: this.trace },
      tensors: new Map<string, Tensor>([
        ['x', { dtype: 'I8', shape: [y.length, x.length / y.length], data: x }],
        ['y', { dtype: 'I32', shape: [y.length], data: y }],
        ['batches', { dtype: 'I32', shape: [this.step, batch], data: chosen }],
      ]),
    });
  }

  /** Lets the browser keep everything. */
  async keep(): Promise<void> {
    const tensors = await this.worker.tensors();
    const { own, step, model } = this; // read now: steps may have been taken in the meantime
    const [curve, batches] = [[...this.curve], [...this.batches]];
    await keep({ start: this.assets.about.start, own, curve, step, batches, model, tensors });
  }

  /** Goes on with what the browser kept; false if that is of another network, or nothing. */
  async resume(): Promise<boolean> {
    const found = await kept();
    if (found?.start !== this.assets.about.start) return false;
    [this.own, this.curve, this.batches] = [found.own, found.curve, found.batches];
    this.model = found.model;
    await this.restore(found.tensors, found.step);
    return true;
  }

  /** Forgets everything that was taught and learned. */
  async forget(): Promise<void> {
    await forget();
    this.own = NO_SAMPLES;
    await this.begin(this.assets.model);
  }

  private async restore(tensors: Tensors, step: number): Promise<void> {
    this.trace = await this.worker.restore(tensors, step);
    this.step = step;
  }

  private async measure(loss: number): Promise<void> {
    const { unseen, about } = this.assets;
    const outputs = await this.predict(unseen.x);
    const right = unseen.y.filter((label, i) => {
      return label === best(outputs.subarray(i * about.classes, (i + 1) * about.classes));
    });
    this.curve.push({ step: this.step, loss, accuracy: right.length / unseen.y.length });
  }
}

/** The index of the largest output. */
export function best(outputs: Int32Array): number {
  return outputs.reduce((found, value, i) => (value > (outputs[found] as number) ? i : found), 0);
}
