/** In a real browser: draw, teach, learn, reload, download; the traces are Python's. */

import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { expect, test, type Download, type Page } from '@playwright/test';

const PYTHON = process.env['PYTHON'] ?? 'python3';
const SEVEN = [[0.25, 0.2], [0.75, 0.2], [0.45, 0.85]] as const; // prettier-ignore
const ONE = [[0.35, 0.3], [0.55, 0.15], [0.55, 0.85]] as const; // prettier-ignore

const FOLDER = fileURLToPath(new URL('..', import.meta.url));
const READ = `
import sys
from make_model import RULE
from edgetrain import fixed
from edgetrain import data as datasets
from edgetrain.files import load
from edgetrain.state import trace
model = load(sys.argv[1])
data, state = datasets.load('build/turned.npz'), RULE.init(model)
print(*model.history, sep='\\n')
print('first trace', trace(model, state))
scores = RULE.predict(model, state, model.quantize_input(data.x_test), fixed)
print('right', (scores.argmax(axis=1) == data.y_test).sum())
`;

const python = (...args: string[]): string =>
  execFileSync(PYTHON, args, { cwd: FOLDER, encoding: 'utf8' });

/** Opens the page and waits until the network is there. */
export async function open(page: Page): Promise<void> {
  await page.goto('/');
  await expect(page.locator('#page')).not.toHaveAttribute('inert');
}

/** Draws with the mouse; points in units of the pad. */
async function draw(page: Page, points: readonly (readonly [number, number])[]): Promise<void> {
  await page.locator('#pad').scrollIntoViewIfNeeded();
  const box = await page.locator('#pad').boundingBox();
  if (!box) throw new Error('the pad is not there');
  for (const [i, [x, y]] of points.entries()) {
    await page.mouse.move(box.x + x * box.width, box.y + y * box.height, { steps: 5 });
    if (i === 0) await page.mouse.down();
  }
  await page.mouse.up();
}

async function learn(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Learn 200 steps' }).click();
  await expect(page.locator('#message')).toHaveText(/^Learned: step \d+\.$/, { timeout: 60_000 });
}

async function saved(page: Page, button: string): Promise<string> {
  const started = page.waitForEvent('download');
  await page.getByRole('button', { name: button }).click();
  return ((await started) satisfies Download).path();
}

const text = (page: Page, id: string): Promise<string | null> =>
  page.locator(`#${id}`).textContent();

test('its 200 steps are those of Python', async ({ page }) => {
  await open(page);
  const about = JSON.parse(await readFile(`${FOLDER}build/page/model.json`, 'utf8'));

  await page.getByRole('button', { name: 'Check' }).click();

  await expect(page.locator('#verdict')).toHaveText('Equal after each of 200 steps.');
  expect(await text(page, 'here')).toBe(about.traces.at(-1));
  expect(await text(page, 'python')).toBe(about.traces.at(-1));
  expect(await text(page, 'trace')).toBe(`${about.start} · step 0`);
});

test('draw, teach, learn, predict, reload, and the same in Python', async ({ page }) => {
  await open(page);
  await draw(page, ONE);
  await expect(page.locator('#prediction')).toHaveText(/^\d$/);
  await page.getByRole('button', { name: '9', exact: true }).click(); // what it would never guess
  await draw(page, SEVEN);
  await page.getByRole('button', { name: '7', exact: true }).click();
  await expect(page.locator('#samples li')).toHaveText(['7', '9']);
  const before = Number.parseFloat((await text(page, 'learned')) ?? '');
  await draw(page, ONE);
  await learn(page);

  await expect(page.locator('#prediction')).toHaveText('9'); // while it stood on the pad
  await page.getByRole('button', { name: 'Clear' }).click();
  await draw(page, SEVEN);
  await expect(page.locator('#prediction')).toHaveText('7');
  const after = Number.parseFloat((await text(page, 'learned')) ?? '');
  expect(before).toBeLessThan(60);
  expect(after).toBeGreaterThan(85);

  const trace = (await text(page, 'trace')) as string;
  expect(trace).toMatch(/^[0-9a-f]{8} · step 200$/);
  await page.reload();
  await expect(page.locator('#message')).toHaveText('Welcome back: it goes on at step 200.');
  expect(await text(page, 'trace')).toBe(trace);
  await expect(page.locator('#samples li')).toHaveText(['7', '9']);
  await draw(page, ONE);
  await expect(page.locator('#prediction')).toHaveText('9');

  await learn(page);
  const [learned] = ((await text(page, 'trace')) as string).split(' ');
  const run = await saved(page, 'Download run');
  expect(python('replay_run.py', run)).toBe(`400 steps: ${learned}, on the page ${learned}\n`);
});

test('edgetrain evaluates the model that was downloaded', async ({ page }) => {
  await open(page);
  await learn(page);
  const shown = await text(page, 'learned');
  const [trace] = ((await text(page, 'trace')) as string).split(' ');

  const model = await saved(page, 'Download model');

  const data = ['--data', 'build/turned.npz', '--json'];
  const { accuracy } = JSON.parse(python('-m', 'edgetrain', 'evaluate', model, ...data));
  const told = python('-c', READ, model);
  const right = Number(/right (\d+)/.exec(told)?.[1]);
  expect(shown).toBe(`${(right / 4).toFixed(1)} % of 400 unseen digits`);
  expect(Math.abs(accuracy - right / 400)).toBeLessThan(0.01); // of int8 outputs, which can tie
  expect(told).toMatch(`mono_forward, 200 steps, trace ${trace}\n`);
});

test('a downloaded model is opened again, and a run goes on from it', async ({ page }) => {
  await open(page);
  await learn(page);
  const shown = await text(page, 'learned');
  const model = await saved(page, 'Download model');
  await page.getByRole('button', { name: 'Forget all' }).click();
  await expect(page.locator('#message')).toHaveText(/^Forgotten/);
  expect(await text(page, 'learned')).not.toBe(shown);

  await page.locator('#open').setInputFiles({
    name: 'mine.safetensors',
    mimeType: 'application/octet-stream',
    buffer: await readFile(model),
  });

  await expect(page.locator('#message')).toHaveText(
    'mine.safetensors is open; it begins with step 0.',
  );
  expect(await text(page, 'learned')).toBe(shown);
  const [start] = ((await text(page, 'trace')) as string).split(' ');
  expect(python('-c', READ, model)).toMatch(`first trace ${start}\n`);
  await learn(page);
  await page.reload();
  await learn(page);
  const [trace] = ((await text(page, 'trace')) as string).split(' ');
  const run = await saved(page, 'Download run');
  expect(python('replay_run.py', run, model)).toContain(`400 steps: ${trace}, on`);
});

test('learning is stopped by the same button', async ({ page }) => {
  await open(page);
  await page.getByRole('button', { name: 'Learn 200 steps' }).click();
  await expect(page.locator('#trace')).toHaveText(/step [1-9]/);
  await expect(page.getByRole('button', { name: 'Forget all' })).toBeDisabled();
  await page.getByRole('button', { name: 'Stop' }).click();

  await expect(page.locator('#message')).toHaveText(/^Learned/);
  expect(Number((await text(page, 'trace'))?.split('step ')[1])).toBeLessThan(200);
});

test('what is taught while it learns is kept with the right step', async ({ page }) => {
  await open(page);
  await page.getByRole('button', { name: 'Learn 200 steps' }).click();
  for (const digit of ['0', '1', '2', '3']) {
    await page.getByRole('button', { name: 'Take a shipped digit' }).click();
    await page.getByRole('button', { name: digit, exact: true }).click();
  }
  await page.getByRole('button', { name: 'Stop' }).click();
  await expect(page.locator('#message')).toHaveText(/^Learned/);
  const [trace] = ((await text(page, 'trace')) as string).split(' ');
  await page.reload();
  await expect(page.locator('#message')).toHaveText(/^Welcome back/);

  expect(await text(page, 'trace')).toContain(trace);
  const run = await saved(page, 'Download run');
  expect(python('replay_run.py', run)).toContain(`: ${trace}, on the page ${trace}`);
});

test('forgetting brings the shipped network back, for good', async ({ page }) => {
  await open(page);
  const shipped = await text(page, 'trace');
  await draw(page, ONE);
  await page.getByRole('button', { name: '1', exact: true }).click();
  await learn(page);
  await page.getByRole('button', { name: 'Forget all' }).click();
  await expect(page.locator('#trace')).toHaveText(shipped as string);
  await page.reload();

  await expect(page.locator('#message')).toHaveText('Ready.');
  expect(await text(page, 'trace')).toBe(shipped);
  await expect(page.locator('#samples li')).toHaveCount(0);
});

test('without strokes: shipped digits, by keyboard', async ({ page }) => {
  await open(page);
  await page.getByRole('button', { name: '4', exact: true }).click();
  await expect(page.locator('#message')).toHaveText(/^Draw a digit first/);
  await page.getByRole('button', { name: 'Take a shipped digit' }).focus();
  await page.keyboard.press('Enter');

  await expect(page.locator('#message')).toHaveText(/^A shipped digit: it is a \d\.$/);
  await expect(page.locator('#prediction')).toHaveText(/^\d$/);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await expect(page.locator('#samples li')).toHaveText(['0']);
});
