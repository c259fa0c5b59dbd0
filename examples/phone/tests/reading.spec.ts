/** In Node: digits that were drawn by hand are read, turned ones after 200 steps only. */

import { expect, test } from '@playwright/test';

import { best } from '../src/lesson.ts';
import type { Learner } from '../src/learner.ts';
import { gather } from '../src/samples.ts';
import { codes, picture, type Point, type Stroke } from '../src/strokes.ts';
import { assetsOf, learnerOf } from './files.ts';

type Pair = readonly [number, number];

const path = (...points: Pair[]): Point[] => points.map(([x, y]) => ({ x, y }));

/** A part of an ellipse: its middle, its radii, and angles, clockwise from the right. */
function arc([x, y]: Pair, [across, down]: Pair, from: number, to: number): Point[] {
  return Array.from({ length: 25 }, (_, i) => {
    const angle = ((from + ((to - from) * i) / 24) * Math.PI) / 180;
    return { x: x + across * Math.cos(angle), y: y + down * Math.sin(angle) };
  });
}

const DIGITS: readonly (readonly Stroke[])[] = [
  [arc([0.5, 0.5], [0.25, 0.4], -90, 270)],
  [path([0.4, 0.25], [0.55, 0.1], [0.55, 0.9])],
  [[...arc([0.5, 0.3], [0.22, 0.2], -170, 20), ...path([0.25, 0.9], [0.78, 0.9])]],
  [[...arc([0.48, 0.3], [0.2, 0.2], -150, 90), ...arc([0.48, 0.7], [0.23, 0.2], -90, 150)]],
  [path([0.45, 0.1], [0.2, 0.6], [0.8, 0.6]), path([0.6, 0.35], [0.6, 0.95])],
  [[...path([0.75, 0.1], [0.35, 0.1], [0.32, 0.45]), ...arc([0.5, 0.65], [0.23, 0.24], -110, 150)]],
  [[...path([0.65, 0.1], [0.4, 0.4]), ...arc([0.5, 0.68], [0.2, 0.22], 180, -180)]],
  [path([0.25, 0.12], [0.75, 0.12], [0.42, 0.9])],
  [[...arc([0.5, 0.3], [0.17, 0.2], 90, 450), ...arc([0.5, 0.7], [0.21, 0.2], -90, 270)]],
  [[...arc([0.5, 0.3], [0.2, 0.2], 0, 360), ...path([0.7, 0.3], [0.62, 0.9])]],
];

test('drawn digits', async () => {
  const assets = await assetsOf('page');
  const { classes, degrees, scale, zero_point } = assets.about;
  const learner = await learnerOf(assets);
  async function right(of: Learner, turned: number): Promise<number> {
    const x = DIGITS.flatMap((strokes) => [...codes(picture(strokes, turned), scale, zero_point)]);
    const outputs = await of.predict(Int8Array.from(x));
    const row = (digit: number) => outputs.subarray(digit * classes, (digit + 1) * classes);
    return DIGITS.filter((_, digit) => best(row(digit)) === digit).length;
  }
  expect(await right(learner, 0)).toBeGreaterThanOrEqual(9);
  expect(await right(learner, degrees)).toBeLessThanOrEqual(5);

  for (const chosen of assets.batches) {
    const { x, y } = gather(assets.shipped, chosen);
    await learner.learn(x, y);
  }

  expect(await right(learner, degrees)).toBeGreaterThanOrEqual(7);
});
