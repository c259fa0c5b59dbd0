import { defineConfig } from 'vite';

export default defineConfig({
  appType: 'mpa', // a file that is missing is an error, not the page again
  base: './', // any folder of any static server
  publicDir: 'build/page',
  worker: { format: 'es' },
  build: { target: 'es2022' },
});
