// A headless Chromium with a profile of its own, which is gone afterwards, however the run ends.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
];

/** Runs `work(context)`, and leaves neither process nor profile behind. */
export async function withBrowser(work) {
  let context = null;
  // Interrupted, the browser is closed; then whatever waits for it fails, and the way out is the usual one.
  const interrupt = () => void context?.close();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  const profile = await mkdtemp(join(tmpdir(), 'framewire-e2e-'));
  try {
    context = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      headless: true,
      handleSIGINT: false,
      handleSIGTERM: false,
      args: ARGS,
      viewport: { width: 1280, height: 900 },
    });
    return await work(context);
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    await context?.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}
