/** Samples that a page learns from, and the order in which it does. */

export interface Samples {
  /** int8 codes, one sample after the other. */
  readonly x: Int8Array;
  /** A label for each. */
  readonly y: Int32Array;
}

/** Of the samples that a person made, so many newest ones are learned from. */
const NEWEST = 64;

/** Puts samples behind others. */
export function joined(a: Samples, b: Samples): Samples {
  const [x, y] = [new Int8Array(a.x.length + b.x.length), new Int32Array(a.y.length + b.y.length)];
  x.set(a.x);
  x.set(b.x, a.x.length);
  y.set(a.y);
  y.set(b.y, a.y.length);
  return { x, y };
}

/** The chosen samples, in the order of the choice. */
export function gather({ x, y }: Samples, chosen: ArrayLike<number>): Samples {
  const size = x.length / y.length;
  const found = { x: new Int8Array(chosen.length * size), y: new Int32Array(chosen.length) };
  Array.from(chosen).forEach((index, i) => {
    found.x.set(x.subarray(index * size, (index + 1) * size), i * size);
    found.y[i] = y[index] as number;
  });
  return found;
}

/**
 * Which samples a step learns from: each of the person's newest once, but in turn where they would
 * fill more than half of the batch; shipped ones, in their order, fill the rest.
 *
 * @param step number of the step.
 * @param batch samples a step.
 * @param shipped how many samples come first.
 * @param own how many of the person's follow them.
 */
export function choose(step: number, batch: number, shipped: number, own: number): number[] {
  const newest = Math.min(own, NEWEST);
  const turns = Math.min(newest, batch >> 1);
  const rest = batch - turns;
  return [
    ...Array.from({ length: turns }, (_, i) => shipped + own - 1 - ((step * turns + i) % newest)),
    ...Array.from({ length: rest }, (_, i) => (step * rest + i) % shipped),
  ];
}
