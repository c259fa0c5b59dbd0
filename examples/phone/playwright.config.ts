import { existsSync } from 'node:fs';

import { defineConfig } from '@playwright/test';

const SYSTEM = '/usr/bin/chromium'; // a distribution's package; else what Playwright installed

export default defineConfig({
  projects: [
    { name: 'tests', testDir: 'tests' },
    { name: 'speed', testDir: 'bench' },
  ],
  outputDir: 'test-results',
  workers: 1, // of two cores, one is for the browser
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
