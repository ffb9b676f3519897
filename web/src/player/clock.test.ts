import { describe, expect, it } from 'vitest';
import { LiveClock } from './clock';

/** A message sent at server time `now`, of a picture captured 40 ms before, whose timeline began at 1 000 000. */
const message = (now: number) => ({
  type: 'clock' as const,
  media_s: (now - 40 - 1_000_000) / 1000,
  captured_unix_ms: now - 40,
  now_unix_ms: now,
});

describe('LiveClock', () => {
  it('knows nothing before the first message', () => {
    expect(new LiveClock().behind_s(1, 5)).toBeNull();
  });

  it('corrects for a client whose clock is an hour ahead', () => {
    const clock = new LiveClock();
    clock.note(message(1_010_000), 1_010_001 + 3_600_000);
    expect(clock.behind_s(9.5, 1_010_001 + 3_600_000)).toBeCloseTo(0.5, 6);
  });

  it('believes the message that was on its way the shortest', () => {
    const clock = new LiveClock();
    for (const [i, delay] of [300, 5, 800, 120].entries()) {
      const sent = 1_010_000 + i * 1000;
      clock.note(message(sent), sent + delay);
    }
    expect(clock.behind_s(13, 1_013_505)).toBeCloseTo(0.5, 6);
  });

  it('is not moved by one picture that lay in a queue', () => {
    const clock = new LiveClock();
    for (let sent = 1_010_000; sent < 1_015_000; sent += 1000) clock.note(message(sent), sent);
    clock.note({ ...message(1_015_000), captured_unix_ms: 1_015_900 }, 1_015_000);
    expect(clock.behind_s(15, 1_015_500)).toBeCloseTo(0.5, 6);
  });

  it('forgets old skews, so that it recovers when a clock was set', () => {
    const clock = new LiveClock();
    clock.note(message(1_010_000), 1_010_000 - 60_000);
    for (let i = 1; i <= 30; i++) clock.note(message(1_010_000 + i * 1000), 1_010_000 + i * 1000);
    expect(clock.behind_s(40, 1_040_500)).toBeCloseTo(0.5, 6);
  });

  it('waits for a new message after the timeline started anew', () => {
    const clock = new LiveClock();
    clock.note(message(1_010_000), 1_010_000);
    clock.newTimeline();
    expect(clock.behind_s(0, 1_010_100)).toBeNull();
    clock.note({ type: 'clock', media_s: 0, captured_unix_ms: 1_010_500, now_unix_ms: 1_010_540 }, 1_010_540);
    expect(clock.behind_s(0, 1_010_700)).toBeCloseTo(0.2, 6);
  });
});
