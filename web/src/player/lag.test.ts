import { describe, expect, it } from 'vitest';
import { Jumps, steer } from './lag';

const buffered = (...pairs: [number, number][]) => pairs.map(([start_s, end_s]) => ({ start_s, end_s }));

describe('steer', () => {
  it('plays on at 1 near the end', () => {
    expect(steer(9.8, buffered([5, 10]), 1, true)).toEqual({ do: 'rate', rate: 1 });
  });

  it('hurries between half a second and one', () => {
    expect(steer(9.4, buffered([5, 10]), 1, true)).toEqual({ do: 'rate', rate: 1.1 });
    expect(steer(9.1, buffered([5, 10]), 1, true)).toEqual({ do: 'rate', rate: 1.1 });
  });

  it('goes on hurrying until it is well within, then stops', () => {
    expect(steer(9.6, buffered([5, 10]), 1.1, true)).toEqual({ do: 'rate', rate: 1.1 });
    expect(steer(9.6, buffered([5, 10]), 1, true)).toEqual({ do: 'rate', rate: 1 });
    expect(steer(9.75, buffered([5, 10]), 1.1, true)).toEqual({ do: 'rate', rate: 1 });
  });

  it('jumps when more than a second behind, to just before the end', () => {
    expect(steer(8, buffered([5, 10]), 1, true)).toEqual({ do: 'jump', to_s: 9.84 });
  });

  it('rushes instead while it may not jump', () => {
    expect(steer(8, buffered([5, 10]), 1, false)).toEqual({ do: 'rate', rate: 1.25 });
  });

  it('jumps across a hole that playback is about to stall at', () => {
    expect(steer(9.98, buffered([5, 10], [10.4, 10.6]), 1, true)).toEqual({ do: 'seek', to_s: 10.44 });
    expect(steer(9.9, buffered([5, 10], [10.4, 10.6]), 1, true)).toEqual({ do: 'rate', rate: 1.1 });
  });

  it('finds its way from outside of everything buffered', () => {
    expect(steer(0, buffered([5, 5.1]), 1, true)).toEqual({ do: 'seek', to_s: 5 });
    expect(steer(30, buffered([5, 10]), 1, true)).toEqual({ do: 'seek', to_s: 9.84 });
    expect(steer(10.2, buffered([5, 10], [10.4, 10.6]), 1, true)).toEqual({ do: 'seek', to_s: 10.44 });
  });

  it('has nothing to do with nothing buffered', () => {
    expect(steer(3, [], 1.1, true)).toEqual({ do: 'rate', rate: 1 });
  });
});

describe('Jumps', () => {
  it('pauses longer each time that a jump did not arrive', () => {
    const jumps = new Jumps();
    const made: number[] = [];
    for (let now = 0; now < 20_000; now += 100) {
      if (!jumps.may(now)) continue;
      jumps.note(now);
      made.push(now);
    }
    expect(made).toEqual([0, 2000, 6000, 14_000]);
  });

  it('begins anew once there was peace', () => {
    const jumps = new Jumps();
    for (const now of [0, 2000, 60_000]) jumps.note(now);
    expect([jumps.may(61_900), jumps.may(62_000)]).toEqual([false, true]);
  });
});
