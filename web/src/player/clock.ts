// When was the picture on the screen received from the camera, told by this machine's clock?
// Two offsets answer that, each estimated from the `clock` messages of one connection.

import type { ClockMessage } from '../wire/types';

/** At one message a second this is half a minute: older ones may be from before a clock was set. */
const WINDOW = 30;

export class LiveClock {
  /** Client minus server, plus the way here. The way is never negative, so the smallest is the nearest to truth. */
  #skews_ms: number[] = [];
  /** Capture time minus media time, of this timeline. */
  #captures_ms: number[] = [];

  /** `received_ms`: this machine's wall clock when the message arrived. */
  note(message: ClockMessage, received_ms: number): void {
    keep(this.#skews_ms, received_ms - message.now_unix_ms);
    keep(this.#captures_ms, message.captured_unix_ms - message.media_s * 1000);
  }

  /** The timeline starts anew: media times before and after are unrelated. The server's clock is still the same. */
  newTimeline(): void {
    this.#captures_ms = [];
  }

  /** How long ago the picture at `media_s` was received from the camera; null until a clock message has told. */
  behind_s(media_s: number, now_ms: number): number | null {
    if (this.#captures_ms.length === 0) return null;
    const serverNow_ms = now_ms - Math.min(...this.#skews_ms);
    return (serverNow_ms - (median(this.#captures_ms) + media_s * 1000)) / 1000;
  }
}

/** Monotonic within the page, so that setting the machine's clock doesn't make a picture old. */
export function wallClock_ms(): number {
  return performance.timeOrigin + performance.now();
}

function keep(values: number[], value: number): void {
  values.push(value);
  if (values.length > WINDOW) values.shift();
}

/** Not the mean: one packet that lay in a queue for a second would move it. */
function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
