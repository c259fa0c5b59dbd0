/** At the width of a phone and of a desk, light and dark: nothing overflows, all is named. */

import AxeBuilder from '@axe-core/playwright';
import { expect, test, type Page } from '@playwright/test';

async function open(page: Page): Promise<void> {
  await page.goto('/');
  await expect(page.locator('#page')).not.toHaveAttribute('inert');
}

for (const [width, height] of [
  [390, 844],
  [1280, 900],
] as const) {
  for (const colorScheme of ['light', 'dark'] as const) {
    test.describe(`${width} pixels, ${colorScheme}`, () => {
      test.use({ viewport: { width, height }, colorScheme });

      test('it fits and is accessible', async ({ page }) => {
        await open(page);
        await page.getByRole('button', { name: 'Take a shipped digit' }).click();
        await page.getByRole('button', { name: '3', exact: true }).click();
        await page.getByRole('button', { name: 'Check' }).click();
        await expect(page.locator('#verdict')).not.toBeEmpty();

        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        expect(wide).toBe(width);
        const { violations } = await new AxeBuilder({ page }).analyze();
        expect(violations).toEqual([]);
      });
    });
  }
}

test.describe('with fingers', () => {
  test.use({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });

  test('one draws, the page stays, and a second does not draw', async ({ page }) => {
    await open(page);
    const box = await page.locator('#pad').boundingBox();
    if (!box) throw new Error('the pad is not there');
    const client = await page.context().newCDPSession(page);
    const at = (x: number, y: number, id: number) => {
      return { x: box.x + x * box.width, y: box.y + y * box.height, id };
    };
    const send = (type: 'touchStart' | 'touchMove' | 'touchEnd', ...touchPoints: object[]) =>
      client.send('Input.dispatchTouchEvent', { type, touchPoints: touchPoints as never });

    await send('touchStart', at(0.5, 0.9, 0));
    await send('touchMove', at(0.5, 0.5, 0));
    await send('touchStart', at(0.5, 0.5, 0), at(0.1, 0.9, 1));
    await send('touchMove', at(0.5, 0.1, 0), at(0.9, 0.9, 1));
    await send('touchEnd');

    await expect(page.locator('#prediction')).toHaveText(/^\d$/);
    expect(await page.evaluate(() => scrollY)).toBe(0);
    const { left, right } = await page.locator('#pad').evaluate(inkOf);
    expect(left).toBeGreaterThan(0.4);
    expect(right).toBeLessThan(0.6);
  });
});

/** How far to the left and right the ink of a pad reaches, from 0 to 1. */
function inkOf(canvas: Element): { left: number; right: number } {
  const { width, height } = canvas as HTMLCanvasElement;
  const pen = (canvas as HTMLCanvasElement).getContext('2d') as CanvasRenderingContext2D;
  const { data } = pen.getImageData(0, 0, width, height);
  const columns = Array.from({ length: width * height }, (_, i) => i)
    .filter((i) => (data[4 * i + 3] as number) > 0)
    .map((i) => (i % width) / width);
  const least = (values: number[]) => values.reduce((a, b) => Math.min(a, b), 1);
  return { left: least(columns), right: 1 - least(columns.map((x) => 1 - x)) };
}
