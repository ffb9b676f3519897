/** The time, to the second, for texts such as "since 12 s". */
export const now = $state({ ms: Date.now() });

export function followTime(): () => void {
  const timer = window.setInterval(() => (now.ms = Date.now()), 1000);
  return () => window.clearInterval(timer);
}
