/** In Node: onnxruntime-web takes the steps that Python took, with the same bits. */

import { expect, test } from '@playwright/test';

import { gather } from '../src/samples.ts';
import { assetsOf, learnerOf } from './files.ts';

for (const network of ['page', 'large']) {
  test(`every trace of 200 steps is Python's: ${network}`, async () => {
    const assets = await assetsOf(network);
    const learner = await learnerOf(assets);
    expect(learner.trace).toBe(assets.about.start);

    const traces: string[] = [];
    for (const chosen of assets.batches) {
      const { x, y } = gather(assets.shipped, chosen);
      await learner.learn(x, y);
      traces.push(learner.trace);
    }

    expect(traces).toHaveLength(200);
    expect(traces).toEqual(assets.about.traces);
    expect(new Set(traces).size).toBe(200);
  });
}

test('one bit of a weight changes the traces', async () => {
  const assets = await assetsOf('page');
  const learner = await learnerOf(assets);
  const name = 'node/hidden1/w';
  const weights = learner.tensors.get(name);
  if (!weights) throw new Error(`there is no ${name}`);
  const data = Int8Array.from(weights.data as Int8Array);
  data[0] = (data[0] as number) ^ 1;
  learner.tensors = new Map(learner.tensors).set(name, { ...weights, data });

  const { x, y } = gather(assets.shipped, assets.batches[0] as Int32Array);
  await learner.learn(x, y);

  expect(learner.trace).not.toBe(assets.about.traces[0]);
});

for (const label of [-1, 10]) {
  test(`a label of ${label} changes nothing, and is said`, async () => {
    const assets = await assetsOf('page');
    const learner = await learnerOf(assets);
    const { x, y } = gather(assets.shipped, assets.batches[0] as Int32Array);
    y[7] = label;

    await expect(learner.learn(x, y)).rejects.toThrow('a label is out of range');

    expect(learner.trace).toBe(assets.about.start);
  });
}
