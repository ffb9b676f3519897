// Which results belong on the picture that is on the screen? Matched by media time, never by arrival.

import type { Box, ResultMessage } from '../wire/types';

/** A result of an analyser slower than the video is shown this long after the picture it was found in, … */
export const HOLD_S = 0.25;
/** … or, of one that looks at few pictures a second, until its next is due and half as long again; but … */
const HOLD_INTERVALS = 1.5;
/** … never longer than this: what it was found in has moved on. */
export const MAX_HOLD_S = 1.5;
/** A displayed picture is at most about a second behind; what is older than this can't come onto the screen again. */
const KEEP_S = 3;
/** Bounds memory against an analyser that stamps its results in the future, where pruning by age can't reach. */
const KEEP_RESULTS = 512;
/** As many analysers as one can tell apart on a picture, and a bound. */
const KEEP_SOURCES = 12;

export interface Found {
  media_s: number;
  boxes: readonly Box[];
  /** Whether it was on the screen yet: each is counted once. */
  seen: boolean;
}

export interface Match {
  source: string;
  found: Found;
  /** Found in this very picture; else held from an earlier one. */
  exact: boolean;
  /** 1 in the picture it was found in; while held first steady, so that an analyser of few pictures a second doesn't
   * flicker, then falling to 0. */
  strength: number;
}

export class Results {
  #bySource = new Map<string, Found[]>();

  add({ source, media_s, boxes }: ResultMessage): void {
    let found = this.#bySource.get(source);
    if (found === undefined) {
      if (this.#bySource.size >= KEEP_SOURCES) return;
      found = [];
      this.#bySource.set(source, found);
    }
    // Nearly always the newest: the search ends at once.
    let at = found.length;
    while (at > 0 && (found[at - 1]?.media_s ?? 0) > media_s) at--;
    found.splice(at, 0, { media_s, boxes, seen: false });
    if (found.length > KEEP_RESULTS) found.shift();
  }

  /** For each source the newest result that isn't newer than the picture at `media_s`, unless it is too old. */
  match(media_s: number, frame_s: number): Match[] {
    const tolerance_s = frame_s / 2;
    const matches: Match[] = [];
    for (const [source, all] of this.#bySource) {
      const found = all.findLast((it) => it.media_s < media_s + tolerance_s);
      if (found === undefined) continue;
      const age_s = media_s - found.media_s;
      const exact = Math.abs(age_s) < tolerance_s;
      const hold_s = holdFor(all);
      if (!exact && age_s > hold_s) continue;
      matches.push({ source, found, exact, strength: exact ? 1 : held(age_s / hold_s) });
    }
    return matches;
  }

  /** The picture at `media_s` is on the screen: forgets what can't come again. */
  prune(media_s: number): void {
    for (const found of this.#bySource.values()) {
      const fresh = found.findIndex((it) => it.media_s >= media_s - KEEP_S);
      found.splice(0, fresh === -1 ? found.length : fresh);
    }
  }

  clear(): void {
    this.#bySource.clear();
  }
}

/** From how far apart its last two results are. */
function holdFor(all: readonly Found[]): number {
  const interval_s = (all.at(-1)?.media_s ?? 0) - (all.at(-2)?.media_s ?? Infinity);
  return Math.min(MAX_HOLD_S, Math.max(HOLD_S, HOLD_INTERVALS * interval_s));
}

/** `age` as a part of how long it is held. */
function held(age: number): number {
  return 0.85 * Math.min(1, (1 - age) / 0.4);
}

/** How far apart two pictures are, learnt from those shown. */
export class FrameInterval {
  #previous_s: number | null = null;
  #deltas_s: number[] = [];

  note(media_s: number): void {
    const delta_s = media_s - (this.#previous_s ?? media_s);
    this.#previous_s = media_s;
    if (delta_s <= 0 || delta_s > 2) return; // the same picture again, a seek, a new timeline
    this.#deltas_s.push(delta_s);
    if (this.#deltas_s.length > 15) this.#deltas_s.shift();
  }

  /** The smallest of the last: a picture that the browser skipped doubles a distance, and none halves one. */
  get value_s(): number {
    return this.#deltas_s.length === 0 ? 1 / 30 : Math.min(...this.#deltas_s);
  }
}
