import { describe, expect, it } from 'vitest';
import { steer } from './lag';

const buffered = (...pairs: [number, number][]) => pairs.map(([start_s, end_s]) => ({ start_s, end_s }));

describe('steer', () => {
  it('plays on at 1 near the end', () => {
    expect(steer(9.8, buffered([5, 10]), 1)).toEqual({ do: 'rate', rate: 1 });
  });

  it('hurries between half a second and one, more when further behind', () => {
    expect(steer(9.4, buffered([5, 10]), 1)).toEqual({ do: 'rate', rate: 1.05 });
    expect(steer(9.1, buffered([5, 10]), 1)).toEqual({ do: 'rate', rate: 1.1 });
  });

  it('goes on hurrying until it is well within, then stops', () => {
    expect(steer(9.6, buffered([5, 10]), 1.05)).toEqual({ do: 'rate', rate: 1.05 });
    expect(steer(9.75, buffered([5, 10]), 1.05)).toEqual({ do: 'rate', rate: 1 });
  });

  it('jumps when more than a second behind, to just before the end', () => {
    expect(steer(8, buffered([5, 10]), 1)).toEqual({ do: 'seek', to_s: 9.84 });
  });

  it('jumps across a hole that playback is about to stall at', () => {
    expect(steer(9.98, buffered([5, 10], [10.4, 10.6]), 1)).toEqual({ do: 'seek', to_s: 10.44 });
    expect(steer(9.9, buffered([5, 10], [10.4, 10.6]), 1)).toEqual({ do: 'rate', rate: 1.05 });
  });

  it('finds its way from outside of everything buffered', () => {
    expect(steer(0, buffered([5, 5.1]), 1)).toEqual({ do: 'seek', to_s: 5 });
    expect(steer(30, buffered([5, 10]), 1)).toEqual({ do: 'seek', to_s: 9.84 });
    expect(steer(10.2, buffered([5, 10], [10.4, 10.6]), 1)).toEqual({ do: 'seek', to_s: 10.44 });
  });

  it('has nothing to do with nothing buffered', () => {
    expect(steer(3, [], 1.1)).toEqual({ do: 'rate', rate: 1 });
  });
});
