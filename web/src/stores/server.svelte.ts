// What the server says of itself, polled. The intervals: numbers of processes are read at a glance, so they move
// more than twice a second; a camera's state also comes over its live connection.

import { parseCameras, parseHealth, parseProcesses } from '../wire/parse';
import { Poll } from './poll.svelte';

export const processes = new Poll('/api/processes', parseProcesses, 400, []);
export const cameras = new Poll('/api/cameras', parseCameras, 1000, []);
export const health = new Poll('/api/health', parseHealth, 1000, { status: '', reasons: [] });

/** Polls all of them until the function that it returns is called. */
export function followServer(): () => void {
  const stops = [processes.run(), cameras.run(), health.run()];
  return () => stops.forEach((stop) => stop());
}
