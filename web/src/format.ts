// Numbers as a person reads them, in a width that hardly changes from one value to the next.

/** `12.4 s`, `3:04.2`, `1:02:03`, `4 d 03:12`. */
export function uptime(seconds: number): string {
  const tenths = Math.floor(seconds * 10);
  if (tenths < 600) return `${(tenths / 10).toFixed(1)} s`;
  const whole = Math.floor(tenths / 10);
  const [s, m, h] = [whole % 60, Math.floor(whole / 60) % 60, Math.floor(whole / 3600)];
  if (h === 0) return `${m}:${two(s)}.${tenths % 10}`;
  if (h < 24) return `${h}:${two(m)}:${two(s)}`;
  return `${Math.floor(h / 24)} d ${two(h % 24)}:${two(m)}`;
}

/** `820 kB`, `61.3 MB`, `1.25 GB`: powers of ten, as a drive or a network counts. */
export function bytes(count: number): string {
  if (count < 1e6) return `${Math.round(count / 1e3)} kB`;
  if (count < 1e9) return `${(count / 1e6).toFixed(1)} MB`;
  return `${(count / 1e9).toFixed(2)} GB`;
}

/** `25.0`, and a dash where nothing flows: zeros would hide the numbers among them. */
export function rate(perSecond: number): string {
  return perSecond > 0 ? perSecond.toFixed(1) : '–';
}

/** `1 284 007`: groups apart by a narrow space that doesn't break. */
export function count(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, '\u202f');
}

/** `0.3 s`, `12 s`, `4 min`, `2 h`: an age grows less precise as it grows. */
export function age(seconds: number): string {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
