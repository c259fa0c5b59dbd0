/** Everything that the page shows of a lesson. */

import type { Description } from './assets.ts';
import { drawCurve } from './curve.ts';
import { best, type Lesson } from './lesson.ts';
import { SIDE } from './strokes.ts';

const SHOWN = 12; // of a person's samples

/** The element of an id; the page has them all. */
export function at<E extends HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as E;
}

export function say(text: string, isError = false): void {
  at('message').textContent = text;
  at('message').classList.toggle('error', isError);
}

/** Shows step, curve, trace and samples. */
export function show(lesson: Lesson): void {
  const { own, curve, step, trace, assets } = lesson;
  const accuracy = ((curve.at(-1)?.accuracy ?? 0) * 100).toFixed(1);
  at('learned').innerHTML = `<b>${accuracy} %</b> of ${assets.unseen.y.length} unseen digits`;
  drawCurve(at('curve'), curve);
  at('trace').textContent = `${trace} · step ${step}`;
  const mine = own.y.length === 1 ? '1 sample' : `${own.y.length} samples`;
  at('mixture').textContent =
    `It learns from ${mine} of yours and ${assets.shipped.y.length} shipped ones, ` +
    `${assets.about.batch} a step.`;
}

/** Shows the newest of a person's samples. */
export function showSamples({ own, assets }: Lesson): void {
  const size = own.x.length / own.y.length;
  const shown = Array.from(own.y, (label, i) => {
    const item = document.createElement('li');
    const sheet = document.createElement('div');
    const canvas = document.createElement('canvas');
    sheet.className = 'sheet';
    sheet.append(canvas);
    paint(canvas, own.x.subarray(i * size, (i + 1) * size), assets.about);
    item.append(sheet, String(label));
    return item;
  });
  at('samples').replaceChildren(...shown.reverse().slice(0, SHOWN));
}

/** Shows what the network makes of a picture; nothing where there is none. */
export function showPrediction(outputs: Int32Array | undefined, unit: number): void {
  at('prediction').textContent = outputs ? String(best(outputs)) : '–';
  const reals = Array.from(outputs ?? [], (output) => output * unit);
  const exps = reals.map((real) => Math.exp(real - Math.max(...reals)));
  const sum = exps.reduce((total, exp) => total + exp, 0);
  for (const [digit, button] of [...at('labels').children].entries()) {
    const share = outputs ? (exps[digit] as number) / sum : 0;
    (button as HTMLElement).style.setProperty('--share', share.toFixed(3));
  }
}

/** Paints codes as a picture of SIDE x SIDE pixels, ink on nothing. */
export function paint(
  canvas: HTMLCanvasElement,
  codes: Int8Array | undefined,
  { scale, zero_point }: Description,
): void {
  canvas.width = canvas.height = SIDE;
  const pen = canvas.getContext('2d') as CanvasRenderingContext2D;
  codes?.forEach((code, i) => {
    pen.globalAlpha = Math.max(0, Math.min(1, scale * (code - zero_point)));
    pen.fillRect(i % SIDE, Math.floor(i / SIDE), 1, 1);
  });
}

/** Shows whether the page's traces are those that Python computed. */
export function showCheck(python: readonly string[], here: readonly string[]): void {
  at('here').textContent = here.at(-1) ?? '';
  const odd = here.findIndex((trace, i) => trace !== python[i]);
  const isEqual = odd < 0 && here.length === python.length;
  at('verdict').textContent = isEqual
    ? `Equal after each of ${here.length} steps.`
    : `Step ${odd + 1} is the first that differs.`;
  at('verdict').classList.toggle('error', !isEqual);
}
