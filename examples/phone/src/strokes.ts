/**
 * Strokes to pictures, made as the shipped digits were: a bitmap of 32 x 32 in which the digit
 * fills the frame, counted in blocks of 4 x 4; then the camera turns it.
 */

export interface Point {
  readonly x: number;
  readonly y: number;
}
export type Stroke = readonly Point[];

const FINE = 32;
export const SIDE = 8;
const BLOCK = FINE / SIDE;
/** Half the width of a pen, in fine pixels: pictures then have as much ink as the shipped digits. */
const PEN = 2.5;

/**
 * Ink in every block, SIDE x SIDE numbers from 0 to 1, row by row.
 *
 * @param strokes in any unit, y downwards; at least one point.
 * @param degrees by which the picture is turned, clockwise.
 */
export function picture(strokes: readonly Stroke[], degrees: number): Float64Array {
  const turned = turn(fit(strokes), degrees);
  const ink = new Float64Array(SIDE * SIDE);
  for (let row = 0; row < FINE; row++) {
    for (let column = 0; column < FINE; column++) {
      if (turned.some((stroke) => isNear(stroke, column + 0.5, row + 0.5))) {
        const block = Math.floor(row / BLOCK) * SIDE + Math.floor(column / BLOCK);
        ink[block] = (ink[block] as number) + 1 / BLOCK ** 2;
      }
    }
  }
  return ink;
}

/** int8 codes of a picture, for a network that reads real numbers in this quantization. */
export function codes(ink: Float64Array, scale: number, zeroPoint: number): Int8Array {
  return Int8Array.from(ink, (real) =>
    Math.max(-128, Math.min(127, Math.round(real / scale) + zeroPoint)),
  );
}

/** Moves and scales strokes so that they fill the frame, the longer side from edge to edge. */
function fit(strokes: readonly Stroke[]): Stroke[] {
  const points = strokes.flat();
  const [left, right] = range(points.map(({ x }) => x));
  const [top, bottom] = range(points.map(({ y }) => y));
  const scale = (FINE - 2 * PEN) / Math.max(right - left, bottom - top, 1e-9);
  const along = (value: number, low: number, high: number): number =>
    FINE / 2 + (value - (low + high) / 2) * scale;
  return strokes.map((stroke) =>
    stroke.map(({ x, y }) => ({ x: along(x, left, right), y: along(y, top, bottom) })),
  );
}

function range(values: readonly number[]): readonly [number, number] {
  return values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)] as const, [
    Infinity,
    -Infinity,
  ] as readonly [number, number]);
}

function turn(strokes: readonly Stroke[], degrees: number): Stroke[] {
  const angle = (degrees * Math.PI) / 180;
  const [cos, sin, middle] = [Math.cos(angle), Math.sin(angle), FINE / 2];
  return strokes.map((stroke) =>
    stroke.map(({ x, y }) => ({
      x: middle + (x - middle) * cos - (y - middle) * sin,
      y: middle + (x - middle) * sin + (y - middle) * cos,
    })),
  );
}

/** Whether the pen, moved along a stroke, covers a point. */
function isNear(stroke: Stroke, x: number, y: number): boolean {
  return stroke.some((end, i) => {
    const start = stroke[Math.max(i - 1, 0)] as Point;
    const [dx, dy] = [end.x - start.x, end.y - start.y];
    const along = ((x - start.x) * dx + (y - start.y) * dy) / (dx * dx + dy * dy || 1);
    const t = Math.max(0, Math.min(1, along));
    return (x - start.x - t * dx) ** 2 + (y - start.y - t * dy) ** 2 <= PEN ** 2;
  });
}
