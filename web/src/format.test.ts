import { expect, it } from 'vitest';
import { age, bytes, count, rate, uptime } from './format';

it('tells how long a process runs', () => {
  expect([0, 12.44, 184.2, 3723, 270_745].map(uptime)).toEqual(['0.0 s', '12.4 s', '3:04.2', '1:02:03', '3 d 03:12']);
});

it('tells how much memory', () => {
  expect([819_600, 61_300_000, 1_250_000_000].map(bytes)).toEqual(['820 kB', '61.3 MB', '1.25 GB']);
});

it('tells a rate, and a dash for none', () => {
  expect([25, 0.04, 0].map(rate)).toEqual(['25.0', '0.0', '–']);
});

it('groups digits', () => {
  expect([7, 1284, 1_284_007].map(count)).toEqual(['7', '1\u202f284', '1\u202f284\u202f007']);
});

it('tells an age', () => {
  expect([-0.1, 0.33, 12.9, 250, 8000].map(age)).toEqual(['0.0 s', '0.3 s', '12 s', '4 min', '2 h']);
});
