// How the player stays within a second of live. Pure: what is buffered goes in, what to do comes out.

export interface Range {
  start_s: number;
  end_s: number;
}

/** It seeks where there is nothing to play on with; it jumps, where it may, where it only fell behind. */
export type Steer = { do: 'rate'; rate: number } | { do: 'seek' | 'jump'; to_s: number };

/** Behind this much, it catches up by playing faster. */
const HURRY_S = 0.5;
/** A person hardly notices, and half a second is caught up in five. */
const HURRY_RATE = 1.1;
/** And goes on until this little is left: without the distance between the two the rate would flutter. */
const RELAXED_S = 0.3;
/** While it mayn't jump. */
const RUSH_RATE = 1.25;
/** Behind this much, playing faster would take ten seconds and more: it jumps. */
export const JUMP_S = 1;
/** It lands so far before the end: four frames at 25 a second, enough for the jitter of a local network. */
const TARGET_S = 0.16;
/** Closer than this to the end of a range, playback is about to stall there. */
const BRINK_S = 0.06;

/** What to do at `position_s`, with `ranges` buffered in rising order, while playing at `rate`. */
export function steer(position_s: number, ranges: readonly Range[], rate: number, mayJump: boolean): Steer {
  const last = ranges.at(-1);
  if (last === undefined) return { do: 'rate', rate: 1 };

  const to_s = Math.max(last.start_s, last.end_s - TARGET_S);
  const here = ranges.find((it) => it.start_s <= position_s && position_s <= it.end_s);
  if (here === undefined) return { do: 'seek', to_s }; // before, after or between all that is there
  if (here !== last && here.end_s - position_s < BRINK_S) return { do: 'seek', to_s }; // a hole ahead

  const lag_s = last.end_s - position_s;
  if (lag_s > JUMP_S) return mayJump ? { do: 'jump', to_s } : { do: 'rate', rate: RUSH_RATE };
  const hurries = lag_s > (rate > 1 ? RELAXED_S : HURRY_S);
  return { do: 'rate', rate: hurries ? HURRY_RATE : 1 };
}

/**
 * How often it may jump. A jump makes the browser decode again from the key frame before: where that takes longer than
 * a second, jumping at once again and again would show one picture a jump, and never arrive.
 */
export class Jumps {
  #last_ms = -Infinity;
  #pause_ms = FIRST_PAUSE_MS;

  may(now_ms: number): boolean {
    return now_ms - this.#last_ms >= this.#pause_ms;
  }

  /** It jumps now. */
  note(now_ms: number): void {
    const again = now_ms - this.#last_ms < 2 * this.#pause_ms;
    this.#pause_ms = again ? Math.min(2 * this.#pause_ms, LAST_PAUSE_MS) : FIRST_PAUSE_MS;
    this.#last_ms = now_ms;
  }
}

const FIRST_PAUSE_MS = 2000;
const LAST_PAUSE_MS = 32_000;
