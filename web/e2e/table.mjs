// The process table on the page, against what the API says.

import { check, until } from './wait.mjs';

export function rows(page) {
  return page.$$eval('tr[data-process]', (all) =>
    all.map((row) => ({
      name: row.dataset.process,
      pid: Number(row.dataset.pid),
      state: row.dataset.state,
      restarts: Number(row.dataset.restarts),
      lastExit: row.querySelector('[data-field="last-exit"]').textContent,
    })),
  );
}

export async function processes(page) {
  return page.evaluate(async () => (await fetch('/api/processes')).json());
}

/** Until the table shows each process of the API, by name, with a process id and a state. */
export async function complete(page, limit_ms) {
  return until('the table shows every process of the API', limit_ms, async () => {
    const shown = await rows(page);
    const expected = (await processes(page)).map((it) => it.name);
    const same = shown.length === expected.length && expected.every((name, i) => shown[i].name === name);
    return same && shown.every((row) => row.state !== '') ? shown : null;
  });
}

/** How often a second the numbers in the table change, measured over ten changes. */
export async function updatesPerSecond(page, limit_ms) {
  const rate = await page.evaluate((limit) => {
    const { promise, resolve } = Promise.withResolvers();
    const times = [];
    const observer = new MutationObserver(() => {
      times.push(performance.now());
      if (times.length === 11) resolve(10_000 / (times[10] - times[0]));
    });
    const table = document.querySelector('[data-testid="processes"]');
    observer.observe(table, { subtree: true, characterData: true, childList: true });
    setTimeout(() => resolve(0), limit);
    return promise.finally(() => observer.disconnect());
  }, limit_ms);
  check(rate >= 2, `the numbers in the table change ${rate.toFixed(2)} times a second; it should be twice or more`);
  return rate;
}
