/** A pad to draw on with a finger, a pen or a mouse. */

import type { Point, Stroke } from './strokes.ts';

const WIDTH = 0.075; // of a line, where the pad is 1 wide

export class Pad {
  strokes: Stroke[] = [];
  private current: Point[] = [];
  private pointer: number | undefined; // the one that draws: other fingers do not

  /**
   * @param canvas square.
   * @param onChange called whenever the strokes are others.
   */
  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly onChange: () => void,
  ) {
    canvas.addEventListener('pointerdown', (event) => {
      if (event.button !== 0 || this.pointer !== undefined) return;
      canvas.setPointerCapture(event.pointerId);
      this.pointer = event.pointerId;
      this.strokes.push((this.current = []));
      this.add(event);
    });
    canvas.addEventListener('pointermove', (event) => {
      if (event.pointerId === this.pointer) this.add(event);
    });
    canvas.addEventListener('lostpointercapture', (event) => {
      if (event.pointerId === this.pointer) this.pointer = undefined;
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  clear(): void {
    this.strokes = [];
    this.current = [];
    this.draw();
    this.onChange();
  }

  private add(event: PointerEvent): void {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const events = event.getCoalescedEvents?.() ?? [];
    for (const { clientX, clientY } of events.length ? events : [event]) {
      this.current.push({ x: (clientX - left) / width, y: (clientY - top) / height });
    }
    this.draw();
    this.onChange();
  }

  private draw(): void {
    const side = Math.round(this.canvas.clientWidth * devicePixelRatio);
    const pen = this.canvas.getContext('2d') as CanvasRenderingContext2D;
    this.canvas.width = this.canvas.height = side;
    pen.scale(side, side);
    pen.lineWidth = WIDTH;
    pen.lineCap = pen.lineJoin = 'round';
    for (const stroke of this.strokes) {
      pen.beginPath();
      stroke.forEach(({ x, y }, i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      if (stroke.length === 1) pen.lineTo((stroke[0] as Point).x, (stroke[0] as Point).y);
      pen.stroke();
    }
  }
}
