/** The curve of a run, as SVG: accuracy on unseen digits, and loss. */

import type { Measured } from './store.ts';

const SVG = 'http://www.w3.org/2000/svg';
const [WIDTH, HEIGHT] = [360, 200];
const BOX = { left: 42, right: 350, top: 10, bottom: 176 };
const LEAST_STEPS = 200;

/** Draws the whole curve anew. */
export function drawCurve(place: HTMLElement, curve: readonly Measured[]): void {
  const svg = element('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img' });
  const steps = Math.max(LEAST_STEPS, curve.at(-1)?.step ?? 0);
  const x = (step: number): number => BOX.left + (step / steps) * (BOX.right - BOX.left);
  const y = (share: number): number => BOX.bottom - share * (BOX.bottom - BOX.top);
  svg.setAttribute('aria-label', summary(curve));
  for (const percent of [0, 50, 100]) {
    const at = y(percent / 100);
    svg.append(element('line', { class: 'grid', x1: BOX.left, x2: BOX.right, y1: at, y2: at }));
    svg.append(label(`${percent} %`, BOX.left - 5, at + 3.5, 'end'));
  }
  for (const step of [0, steps / 2, steps]) {
    const anchor = step === 0 ? 'start' : step === steps ? 'end' : 'middle';
    svg.append(label(`${Math.round(step)}${step === steps ? ' steps' : ''}`, x(step), 192, anchor));
  }
  const losses = curve.filter(({ loss }) => !Number.isNaN(loss));
  const most = Math.max(...losses.map(({ loss }) => loss), 1);
  svg.append(
    line(
      'loss',
      losses.map((at) => [x(at.step), y(at.loss / most)]),
    ),
  );
  svg.append(
    line(
      'accuracy',
      curve.map((at) => [x(at.step), y(at.accuracy)]),
    ),
  );
  place.replaceChildren(svg);
}

function summary(curve: readonly Measured[]): string {
  const percent = ({ accuracy }: Measured): string => `${(100 * accuracy).toFixed(1)} %`;
  const [first, last] = [curve[0], curve.at(-1)];
  if (!first || !last) return 'Nothing was learned yet';
  return `Accuracy on unseen digits: from ${percent(first)} to ${percent(last)}`;
}

function line(kind: string, points: readonly (readonly [number, number])[]): SVGElement {
  const text = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ');
  return element('polyline', { class: kind, points: text });
}

function label(text: string, x: number, y: number, anchor: string): SVGElement {
  const found = element('text', { x, y, 'text-anchor': anchor });
  found.textContent = text;
  return found;
}

function element(name: string, attributes: Record<string, string | number>): SVGElement {
  const found = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, String(value));
  return found;
}
