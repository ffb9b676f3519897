// Kills each process and watches the page get over it.

import { advances, boxes, look, moves, stopwatch } from './picture.mjs';
import { processes, rows } from './table.mjs';
import { until } from './wait.mjs';

const LIMIT_MS = 15_000;

/** One after another, all but the supervisor; for each how long what took, in milliseconds since the kill. */
export async function killEach(page, camera) {
  const report = [];
  for (const { name, kind, camera: own } of await processes(page)) {
    if (kind === 'supervisor') continue;
    // What works for one camera is watched on that camera's tile, unless there is nothing to see on it anyway.
    const seen = own !== null && (await look(page, own)).picture === 'live';
    report.push(await killOne(page, name, seen ? own : camera));
  }
  return report;
}

async function killOne(page, name, camera) {
  const before = await settled(page, name);
  const pictures = await stopwatch(page, camera);
  const began_ms = performance.now();
  const since = () => Math.round(performance.now() - began_ms);
  process.kill(before.pid, 'SIGKILL');

  const back = until(`the row of ${name} shows that it is back`, LIMIT_MS, async () => {
    const now = await rowOf(page, name);
    const runs = now.pid > 0 && now.pid !== before.pid && now.state === 'ready';
    return runs && now.restarts === before.restarts + 1 && now.lastExit.includes('SIGKILL');
  }).then(since);
  const plays = advances(page, camera, LIMIT_MS).then(since);
  const [row_ms, plays_ms] = await Promise.all([back, plays]);

  // From here on nothing of before the kill is on its way any more.
  await advances(page, camera, LIMIT_MS);
  const { boxesTotal } = await look(page, camera);
  await moves(page, camera, LIMIT_MS);
  await boxes(page, camera, boxesTotal, LIMIT_MS);
  const frozen_ms = await pictures.longestGap_ms();
  return { process: name, row_ready_ms: row_ms, picture_frozen_ms: frozen_ms, played_1s_ms: plays_ms, all_well_ms: since() };
}

/** Ready, with a process id that page and API agree on: the one killed before may still be settling. */
function settled(page, name) {
  return until(`${name} is ready to be killed`, LIMIT_MS, async () => {
    const row = await rowOf(page, name);
    const api = (await processes(page)).find((it) => it.name === name);
    return row.state === 'ready' && row.pid > 0 && row.pid === api.pid && row.restarts === api.restarts ? row : null;
  });
}

async function rowOf(page, name) {
  return (await rows(page)).find((it) => it.name === name);
}
