import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Where `npm run dev` finds the API; the built page asks the server that it came from.
  server: { proxy: { '/api': { target: 'http://127.0.0.1:8080', ws: true } } },
  // Without it the test runner takes Svelte's server half, in which runes don't react.
  resolve: process.env.VITEST ? { conditions: ['browser'] } : {},
  plugins: [
    svelte({
      compilerOptions: {
        // From the content alone: the default hashes the file's path, which differs between machines.
        cssHash: ({ hash, css }) => `fw-${hash(css)}`,
      },
    }),
  ],
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    // Fixed names: the server embeds these very files, and a change shows as a change, not as a new file.
    rolldownOptions: {
      output: {
        codeSplitting: false,
        entryFileNames: 'assets/app.js',
        assetFileNames: 'assets/app[extname]',
      },
    },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
