/** In a real browser: what is missing, damaged or foreign is said on the page. */

import { expect, test, type Page } from '@playwright/test';

const message = (page: Page) => page.locator('#message');

test('a browser without WebAssembly', async ({ page }) => {
  await page.addInitScript('delete globalThis.WebAssembly');
  await page.goto('/');

  await expect(message(page)).toHaveText(/^This browser has no WebAssembly/);
  await expect(message(page)).toHaveClass('error');
  await expect(page.locator('#page')).toHaveAttribute('inert');
});

test('a graph that is not there', async ({ page }) => {
  await page.route('**/train.onnx', (route) => route.fulfill({ status: 404, body: 'no' }));
  await page.goto('/');

  await expect(message(page)).toHaveText(
    'train.onnx could not be loaded: the server answers 404. Was make_model.py run? Reload to retry.',
  );
});

test('the static server says that a file is not there', async ({ request }) => {
  expect((await request.get('/nothing.onnx')).status()).toBe(404);
});

test('a graph whose download breaks off', async ({ page }) => {
  await page.route('**/infer.onnx', (route) => route.abort());
  await page.goto('/');

  await expect(message(page)).toHaveText(/^infer\.onnx could not be loaded: the server cannot be/);
});

test('a graph that is damaged', async ({ page }) => {
  await page.route('**/train.onnx', (route) => route.fulfill({ body: 'not a graph' }));
  await page.goto('/');

  await expect(message(page)).toHaveText(/^train\.onnx cannot be opened/);
});

test('samples that are damaged', async ({ page }) => {
  await page.route('**/digits.safetensors', (route) => route.fulfill({ body: '<!doctype html>' }));
  await page.goto('/');

  await expect(message(page)).toHaveText(/^digits\.safetensors is damaged: it is truncated/);
});

test('a runtime that cannot be loaded', async ({ page }) => {
  await page.route('**/*.wasm', (route) => route.abort());
  await page.goto('/');

  await expect(message(page)).toHaveText(/^The WebAssembly of onnxruntime-web cannot be loaded/);
});

test('a thread that cannot be started', async ({ page }) => {
  await page.route('**/worker-*.js', (route) => route.abort());
  await page.goto('/');

  await expect(message(page)).toHaveText(/^The thread that computes could not be started/);
});

test('a foreign file', async ({ page }) => {
  await page.goto('/');
  await expect(page.locator('#page')).not.toHaveAttribute('inert');
  const trace = await page.locator('#trace').textContent();

  for (const [name, reason] of [
    ['holiday.jpg', 'truncated, or no safetensors file'],
    ['large.safetensors', 'it holds another network'],
  ] as const) {
    const file = name === 'holiday.jpg' ? jpeg : 'build/large/model.safetensors';
    await page.locator('#open').setInputFiles(file);
    await expect(message(page)).toContainText(reason);
    await expect(message(page)).toHaveClass('error');
  }

  expect(await page.locator('#trace').textContent()).toBe(trace);
});

const jpeg = { name: 'holiday.jpg', mimeType: 'image/jpeg', buffer: Buffer.alloc(4000, 0xff) };

test('a browser that keeps nothing', async ({ page }) => {
  await page.addInitScript(() => {
    IDBFactory.prototype.open = () => {
      throw new DOMException('denied', 'SecurityError');
    };
  });
  await page.goto('/');
  await expect(message(page)).toHaveText('Ready.');
  await page.locator('#borrow').click();
  await page.locator('#digit-3').click();

  await expect(message(page)).toHaveText(/^This browser keeps nothing here/);
  await expect(page.locator('#samples li')).toHaveText(['3']);
});

test('what was kept for another network is left alone', async ({ page }) => {
  await page.goto('/');
  await page.locator('#borrow').click();
  await page.locator('#digit-3').click();
  await page.waitForFunction(() => indexedDB.databases().then((found) => found.length > 0));
  await page.route('**/model.json', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ json: { ...(await response.json()), start: '00000000' } });
  });
  await page.reload();

  await expect(message(page)).toHaveText('Ready.');
  await expect(page.locator('#samples li')).toHaveCount(0);
});
