// Waiting for a condition with a limit, never for a time.

export class Failure extends Error {}

/** The first value of `probe()` that isn't null, undefined or false. A failing probe is asked again. */
export async function until(what, limit_ms, probe) {
  const began_ms = performance.now();
  let last;
  for (;;) {
    try {
      const value = await probe();
      if (value !== null && value !== undefined && value !== false) return value;
    } catch (error) {
      if (/has been closed|Target crashed/.test(error.message)) throw error; // it won't come back
      last = error;
    }
    if (performance.now() - began_ms > limit_ms) {
      const why = last === undefined ? '' : ` (last error: ${last.message.split('\n')[0]})`;
      throw new Failure(`waited ${limit_ms / 1000} s in vain until ${what}${why}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

export function check(condition, what) {
  if (!condition) throw new Failure(what);
}

/** What `work()` returns and how long it took. */
export async function timed(work) {
  const began_ms = performance.now();
  const value = await work();
  return { value, took_ms: Math.round(performance.now() - began_ms) };
}
