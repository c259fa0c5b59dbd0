/** Wires the page to a lesson. */

import { loadAssets } from './assets.ts';
import { Lesson } from './lesson.ts';
import { Pad } from './pad.ts';
import { gather } from './samples.ts';
import { codes, picture } from './strokes.ts';
import { at, paint, say, show, showCheck, showPrediction, showSamples } from './view.ts';

const STEPS = 200;
const KEEP_EVERY = 50;
const DIGITS = 10;

let lesson: Lesson;
let seen: Int8Array | undefined; // what the camera sees now
let borrowed = -1; // the shipped digit that was taken last
let isLearning = false;

const pad = new Pad(at<HTMLCanvasElement>('pad'), () => {
  const { degrees, scale, zero_point } = lesson.assets.about;
  void look(codes(picture(pad.strokes, degrees), scale, zero_point));
});

/** Shows a picture and what the network makes of it. */
async function look(picture: Int8Array | undefined): Promise<void> {
  seen = picture;
  paint(at('seen'), picture, lesson.assets.about);
  const outputs = picture && (await lesson.predict(picture));
  if (seen === picture) showPrediction(outputs, lesson.assets.about.unit);
}

function clear(): void {
  pad.clear();
  void look(undefined);
}

function borrow(): void {
  const { shipped } = lesson.assets;
  borrowed = (borrowed + 1) % shipped.y.length;
  const { x, y } = gather(shipped, [borrowed]);
  pad.clear();
  void look(x);
  say(`A shipped digit: it is a ${y[0]}.`);
}

async function teach(label: number): Promise<void> {
  if (!seen) return say('Draw a digit first, or take a shipped one.');
  lesson.teach(seen, label);
  clear();
  showSamples(lesson);
  show(lesson);
  await keep(`Taught: it is a ${label}. Now let it learn.`);
}

async function learn(): Promise<void> {
  if (isLearning) return void (isLearning = false);
  setLearning(true);
  say('Learning …');
  try {
    for (let i = 1; i <= STEPS && isLearning; i++) {
      await lesson.learn();
      show(lesson);
      await look(seen);
      if (i % KEEP_EVERY === 0) await keep('Learning …');
      await new Promise(requestAnimationFrame);
    }
  } finally {
    setLearning(false);
  }
  await keep(`Learned: step ${lesson.step}.`);
}

/** While it learns, nothing may put another network in its place. */
function setLearning(now: boolean): void {
  isLearning = now;
  at('learn').textContent = now ? 'Stop' : `Learn ${STEPS} steps`;
  for (const id of ['check', 'open', 'forget']) at<HTMLButtonElement>(id).disabled = now;
}

async function check(): Promise<void> {
  showCheck(lesson.assets.about.traces, await lesson.check());
}

/** Keeps what there is, and then says what was done. */
async function keep(done: string): Promise<void> {
  try {
    await lesson.keep();
    say(done);
  } catch {
    say('This browser keeps nothing here: download the model before you leave.', true);
  }
}

async function openModel(file: File): Promise<void> {
  try {
    await lesson.begin(new Uint8Array(await file.arrayBuffer()));
  } catch (error) {
    return say(`${file.name} was not opened: ${(error as Error).message}.`, true);
  }
  show(lesson);
  await look(seen);
  await keep(`${file.name} is open; it begins with step 0.`);
}

async function forget(): Promise<void> {
  await lesson.forget();
  clear();
  showSamples(lesson);
  show(lesson);
  say('Forgotten: this is the network as it was shipped.');
}

function download(content: Uint8Array<ArrayBuffer>, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([content]));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Lets an action follow a press; what goes wrong in it is said. */
function on(id: string, action: () => unknown): void {
  at(id).addEventListener('click', () => {
    Promise.resolve()
      .then(action)
      .catch((error: Error) => say(error.message, true));
  });
}

function wire(): void {
  const labels = Array.from({ length: DIGITS }, (_, digit) => {
    const button = document.createElement('button');
    [button.type, button.textContent, button.id] = ['button', String(digit), `digit-${digit}`];
    return button;
  });
  at('labels').replaceChildren(...labels);
  labels.forEach((button, digit) => on(button.id, () => teach(digit)));
  on('clear', clear);
  on('borrow', borrow);
  on('learn', learn);
  on('check', check);
  on('forget', forget);
  on('save-model', async () => download(await lesson.modelFile(), 'model.safetensors'));
  on('save-run', () => download(lesson.runFile(), 'run.safetensors'));
  at<HTMLInputElement>('open').addEventListener('change', ({ target }) => {
    const input = target as HTMLInputElement;
    if (input.files?.[0]) void openModel(input.files[0]);
    input.value = '';
  });
}

async function start(): Promise<void> {
  if (typeof WebAssembly === 'undefined') {
    throw new Error('This browser has no WebAssembly, which computes here: please use another.');
  }
  lesson = await Lesson.open(await loadAssets());
  const isResumed = await lesson.resume().catch(() => false);
  wire();
  at('python').textContent = lesson.assets.about.traces.at(-1) ?? '';
  at('degrees').textContent = String(lesson.assets.about.degrees);
  showSamples(lesson);
  show(lesson);
  at('page').inert = false;
  say(isResumed ? `Welcome back: it goes on at step ${lesson.step}.` : 'Ready.');
}

start().catch((error: Error) => say(error.message, true));
