#!/usr/bin/env node
// Drives the page in a real browser, against a running server, and says how long everything took.
//
//   node e2e/live.mjs --url http://127.0.0.1:8080 [--camera NAME] [--source BLOCK] [--screenshot FILE]
//     [--kill]

import { parseArgs } from 'node:util';
import { withBrowser } from './browser.mjs';
import { killEach } from './kill.mjs';
import { advances, boxes, look, moves, tiles } from './picture.mjs';
import { complete, updatesPerSecond } from './table.mjs';
import { watchTogether } from './viewers.mjs';
import { check, until } from './wait.mjs';

const LIMIT_MS = 30_000;

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    camera: { type: 'string' },
    source: { type: 'string' },
    screenshot: { type: 'string' },
    kill: { type: 'boolean', default: false },
  },
});
if (options.url === undefined) {
  console.error('usage: live.mjs --url URL [--camera NAME] [--source BLOCK] [--screenshot FILE] [--kill]');
  process.exit(2);
}

try {
  await withBrowser(async (context) => {
    const page = context.pages()[0] ?? (await context.newPage());
    try {
      await run(page);
    } finally {
      if (options.screenshot !== undefined) await page.screenshot({ path: options.screenshot, timeout: 5000 });
    }
  });
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  process.exitCode = 1;
}

async function run(page) {
  const crashes = [];
  page.on('pageerror', (error) => crashes.push(error.message));
  const began_ms = performance.now();
  const since = () => Math.round(performance.now() - began_ms);
  await page.goto(options.url, { waitUntil: 'domcontentloaded', timeout: LIMIT_MS });

  const camera = await until('the page shows a camera', LIMIT_MS, async () => {
    const names = await tiles(page);
    return options.camera === undefined ? names[0] : names.find((it) => it === options.camera);
  });
  await until(`the first picture of ${camera}`, LIMIT_MS, async () => (await look(page, camera)).picture === 'live');
  const first_picture_ms = since();
  await advances(page, camera, LIMIT_MS);
  await moves(page, camera, LIMIT_MS);
  step(`${camera} plays, first picture after ${first_picture_ms} ms`);

  await boxes(page, camera, 0, LIMIT_MS);
  const first_box_ms = since();
  step(`boxes are drawn, ${first_box_ms} ms after the page was asked for`);

  if (options.source !== undefined) {
    const drawn = async () => (await look(page, camera)).sources.includes(options.source);
    await until(`a box of ${options.source} is drawn`, LIMIT_MS, drawn);
    step(`a box of ${options.source} is drawn`);
  }

  const table = await complete(page, LIMIT_MS);
  const updates_per_s = await updatesPerSecond(page, LIMIT_MS);
  step(`the table shows ${table.length} processes and changes ${updates_per_s.toFixed(1)} times a second`);

  const { viewers } = await watchTogether(page, camera);
  step(`${viewers} viewers get pictures`);

  const recoveries = options.kill ? await killEach(page, camera) : [];
  if (options.kill) console.table(recoveries);

  check(crashes.length === 0, `the page threw: ${crashes.join('; ')}`);
  const { behind_s, boxesTotal, boxesExact } = await look(page, camera);
  const slowest = (field) => recoveries.reduce((most, it) => Math.max(most, it[field]), 0);
  const summary = {
    ok: true,
    camera,
    first_picture_ms,
    first_box_ms,
    behind_s,
    boxes: boxesTotal,
    boxes_on_their_own_picture: boxesExact,
    processes: table.length,
    table_updates_per_s: Number(updates_per_s.toFixed(2)),
    viewers,
    killed: recoveries.length,
    slowest_row_ready_ms: slowest('row_ready_ms'),
    longest_picture_frozen_ms: slowest('picture_frozen_ms'),
  };
  console.log(JSON.stringify(summary));
}

function step(what) {
  console.log(`ok  ${what}`);
}
