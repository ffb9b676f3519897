import { describe, expect, it } from 'vitest';
import { FrameInterval, HOLD_S, MAX_HOLD_S, MAX_LATE_S, Results } from './results';

const FRAME_S = 0.04;
const box = { x: 0.1, y: 0.1, w: 0.2, h: 0.2, label: '', score: 1 };
const result = (media_s: number, source = 'motion', boxes = [box]) =>
  ({ type: 'result', source, media_s, boxes }) as const;

describe('Results', () => {
  it('draws a result on the very picture it was found in', () => {
    const results = new Results();
    for (const media_s of [1, 1.04, 1.08]) results.add(result(media_s));
    const [match] = results.match(1.0400004, FRAME_S);
    expect(match?.found.media_s).toBe(1.04);
    expect(match?.exact).toBe(true);
    expect(match?.strength).toBe(1);
  });

  it('never draws a result on a picture before it', () => {
    const results = new Results();
    results.add(result(1.04));
    expect(results.match(1, FRAME_S)).toEqual([]);
  });

  it('holds the last one for a slower analyser, then fades it away', () => {
    const results = new Results();
    results.add(result(1));
    const [soon] = results.match(1.04, FRAME_S);
    expect(results.match(1.12, FRAME_S)[0]?.strength).toBe(soon?.strength);
    const [late] = results.match(1.2, FRAME_S);
    expect(soon?.exact).toBe(false);
    expect(soon?.strength).toBeGreaterThan(late?.strength ?? 1);
    expect(results.match(1 + HOLD_S + 0.01, FRAME_S)).toEqual([]);
  });

  it('holds that of an analyser of two pictures a second until its next is due, and none for ever', () => {
    const results = new Results();
    for (const media_s of [1, 1.5]) results.add(result(media_s));
    expect(results.match(1.96, FRAME_S)).toHaveLength(1);
    expect(results.match(2.3, FRAME_S)).toEqual([]);
    results.add(result(9));
    expect(results.match(9 + MAX_HOLD_S - 0.01, FRAME_S)).toHaveLength(1);
    expect(results.match(9 + MAX_HOLD_S + 0.01, FRAME_S)).toEqual([]);
  });

  it('holds one that comes when its picture is gone from its arrival on, and says how late it is', () => {
    const results = new Results();
    for (const media_s of [1, 3.5]) results.add(result(media_s, 'slow'));
    results.match(5.6, FRAME_S);
    results.add(result(6, 'slow'));
    results.prune(8.1);
    const [match] = results.match(8.1, FRAME_S);
    expect([match?.found.media_s, match?.exact]).toEqual([6, false]);
    expect(match?.late_s).toBeCloseTo(2.1, 6);
    expect(results.match(8.1 + MAX_HOLD_S - 0.01, FRAME_S)).toHaveLength(1);
    expect(results.match(8.1 + MAX_HOLD_S + 0.01, FRAME_S)).toEqual([]);
  });

  it('draws none that is of another scene', () => {
    const results = new Results();
    results.add(result(1));
    expect(results.match(1 + MAX_LATE_S + 1, FRAME_S)).toEqual([]);
  });

  it('holds only until the next: an empty one clears at once', () => {
    const results = new Results();
    results.add(result(1));
    results.add(result(1.04, 'motion', []));
    const [match] = results.match(1.08, FRAME_S);
    expect(match?.found.boxes).toEqual([]);
  });

  it('matches each source by itself, and whatever order they came in', () => {
    const results = new Results();
    results.add(result(1.08));
    results.add(result(1.04, 'faces'));
    results.add(result(1.04));
    const matches = results.match(1.04, FRAME_S);
    expect(matches.map((it) => [it.source, it.exact])).toEqual([['motion', true], ['faces', true]]);
  });

  it('stays bounded, pruned or not', () => {
    const results = new Results();
    for (let i = 0; i < 5000; i++) results.add(result(i * FRAME_S));
    expect(results.match(1, FRAME_S)).toEqual([]); // the oldest are gone
    expect(results.match(4999 * FRAME_S, FRAME_S)[0]?.exact).toBe(true);
    results.prune(10_000);
    expect(results.match(10_000, FRAME_S)).toEqual([]);
    for (let i = 0; i < 100; i++) results.add(result(1, `source ${i}`));
    expect(results.match(1, FRAME_S).length).toBeLessThanOrEqual(64);
  });
});

describe('FrameInterval', () => {
  it('is that of the pictures, also when some were skipped and after a seek', () => {
    const interval = new FrameInterval();
    for (const media_s of [1, 1.04, 1.12, 1.16, 9, 9.04, 0]) interval.note(media_s);
    expect(interval.value_s).toBeCloseTo(0.04, 6);
  });
});
