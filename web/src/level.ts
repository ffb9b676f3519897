/** How a state is to be taken: all is well, something is on its way, something is wrong, nothing is to be expected. */
export type Level = 'good' | 'busy' | 'bad' | 'off';

const LEVELS: Record<string, Level> = {
  // of a process
  ready: 'good',
  starting: 'busy',
  stopping: 'busy',
  restarting: 'busy',
  exited: 'off',
  failed: 'bad',
  // of a camera
  streaming: 'good',
  connecting: 'busy',
  down: 'busy',
  refused: 'bad',
  unauthorised: 'bad',
  silent: 'bad',
  'bad-stream': 'bad',
  // of this page's own connection
  reconnecting: 'busy',
};

/** A state that a newer server invented is shown as something on its way: seen, and not called good. */
export function levelOf(state: string): Level {
  return LEVELS[state] ?? 'busy';
}
