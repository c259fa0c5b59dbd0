/** Prints how long a step takes in onnxruntime-web, one thread, in Node. */

import { expect, test } from '@playwright/test';

import { gather } from '../src/samples.ts';
import { assetsOf, learnerOf } from '../tests/files.ts';

const ROUNDS = 5;
const BURST = 10; // steps that are timed together: the fastest burst was disturbed least

test('MLP 784-128-128-10, batch 32', async () => {
  const assets = await assetsOf('large');
  const batches = assets.batches.map((chosen) => gather(assets.shipped, chosen));
  let least = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const learner = await learnerOf(assets);
    for (let first = 0; first < batches.length; first += BURST) {
      const before = process.cpuUsage();
      for (const { x, y } of batches.slice(first, first + BURST)) await learner.learn(x, y);
      const { user, system } = process.cpuUsage(before); // microseconds, of this process alone
      least = Math.min(least, (user + system) / 1000 / BURST);
    }
    expect(learner.trace).toBe(assets.about.traces.at(-1));
  }
  console.log(`${least.toFixed(2)} ms a step`);
});
