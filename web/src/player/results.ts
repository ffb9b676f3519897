// Which results belong on the picture that is on the screen? Matched by media time. Only one that comes when its picture has left
// the screen already is held from its arrival on.

import type { Box, ResultMessage } from '../wire/types';

/** A result of an analyser slower than the video is shown this long after the picture it was found in, … */
export const HOLD_S = 0.25;
/** … or, of one that looks at few pictures a second, until its next is due and half as long again; but … */
const HOLD_INTERVALS = 1.5;
/** … never longer than this: what it was found in has moved on. */
export const MAX_HOLD_S = 1.5;
/** A displayed picture is at most about a second behind; what is older than this can't come onto the screen again. */
const KEEP_S = 3;
/** Whoever looks at a picture for so long tells of another scene. */
export const MAX_LATE_S = 10;
/** Bounds memory against an analyser that stamps its results in the future, where pruning by age can't reach. */
const KEEP_RESULTS = 512;
/** More than anybody runs; a bound. */
const KEEP_SOURCES = 64;

export interface Found {
  media_s: number;
  boxes: readonly Box[];
  /** The picture on the screen when it was the newest for the first time. */
  since_s: number | null;
  /** Whether it was on the screen yet: each is counted once. */
  seen: boolean;
}

export interface Match {
  source: string;
  found: Found;
  /** Found in this very picture; else held from an earlier one. */
  exact: boolean;
  /** How far its own picture was past when it came, if that had left the screen by then. */
  late_s: number;
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
    found.splice(at, 0, { media_s, boxes, since_s: null, seen: false });
    if (found.length > KEEP_RESULTS) found.shift();
  }

  /** For each source the newest result that isn't newer than the picture at `media_s`, unless it is too old. */
  match(media_s: number, frame_s: number): Match[] {
    const tolerance_s = frame_s / 2;
    const matches: Match[] = [];
    for (const [source, all] of this.#bySource) {
      const found = all.findLast((it) => it.media_s < media_s + tolerance_s);
      if (found === undefined) continue;
      const since_s = Math.min(media_s, found.since_s ?? media_s);
      found.since_s = since_s;
      const exact = Math.abs(media_s - found.media_s) < tolerance_s;
      const hold_s = holdFor(all);
      const late_s = since_s - found.media_s > hold_s ? since_s - found.media_s : 0;
      const age_s = media_s - (late_s > 0 ? since_s : found.media_s);
      if (late_s > MAX_LATE_S || (!exact && age_s > hold_s)) continue;
      matches.push({ source, found, exact, late_s, strength: exact ? 1 : held(age_s / hold_s) });
    }
    return matches;
  }

  /** The picture at `media_s` is on the screen: forgets what can't come again. */
  prune(media_s: number): void {
    for (const found of this.#bySource.values()) {
      const fresh = found.findIndex((it) => it.media_s >= media_s - KEEP_S);
      // The last two tell how long a late one is held.
      found.splice(0, Math.max(0, Math.min(fresh === -1 ? found.length : fresh, found.length - 2)));
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
