// How the player stays within a second of live. Pure: what is buffered goes in, what to do comes out.

export interface Range {
  start_s: number;
  end_s: number;
}

export type Steer = { do: 'rate'; rate: number } | { do: 'seek'; to_s: number };

/** Behind this much, it catches up by playing faster; a person doesn't notice 1.1. */
const HURRY_S = 0.5;
/** And goes on until this little is left: without the distance between the two the rate would flutter. */
const RELAXED_S = 0.3;
/** Behind this much, playing faster would take ten seconds and more: it jumps. */
const JUMP_S = 1;
/** It lands so far before the end: four frames at 25 a second, enough for the jitter of a local network. */
const TARGET_S = 0.16;
/** Closer than this to the end of a range, playback is about to stall there. */
const BRINK_S = 0.06;

/** What to do at `position_s`, with `ranges` buffered in rising order, while playing at `rate`. */
export function steer(position_s: number, ranges: readonly Range[], rate: number): Steer {
  const last = ranges.at(-1);
  if (last === undefined) return { do: 'rate', rate: 1 };

  const edge = { do: 'seek', to_s: Math.max(last.start_s, last.end_s - TARGET_S) } as const;
  const here = ranges.find((it) => it.start_s <= position_s && position_s <= it.end_s);
  if (here === undefined) return edge; // before, after or between all that is there
  if (here !== last && here.end_s - position_s < BRINK_S) return edge; // a hole ahead

  const lag_s = last.end_s - position_s;
  if (lag_s > JUMP_S) return edge;
  if (lag_s > HURRY_S) return { do: 'rate', rate: lag_s > (HURRY_S + JUMP_S) / 2 ? 1.1 : 1.05 };
  if (lag_s > RELAXED_S && rate > 1) return { do: 'rate', rate };
  return { do: 'rate', rate: 1 };
}
