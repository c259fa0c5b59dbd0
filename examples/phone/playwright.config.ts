import { existsSync } from 'node:fs';

import { defineConfig } from '@playwright/test';

const SYSTEM = '/usr/bin/chromium'; // a distribution's package; else what Playwright installed

export default defineConfig({
  testDir: 'tests',
  outputDir: 'test-results',
  workers: 1, // one of the tests measures time
  forbidOnly: true,
  reporter: 'list',
  use: {
    baseURL: 'http://localhost:4173',
    launchOptions: {
      ...(existsSync(SYSTEM) ? { executablePath: SYSTEM } : {}),
      args: ['--no-sandbox'], // root in a container has none
    },
  },
  webServer: { command: 'npx vite preview --port 4173 --strictPort', port: 4173 },
});
