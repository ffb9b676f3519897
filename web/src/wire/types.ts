// What the server says, as docs/api.md has it. Unknown fields are ignored; `parse.ts` checks what is used.

export interface Process {
  name: string;
  kind: string;
  camera: string | null;
  pid: number | null;
  state: string;
  detail: string | null;
  uptime_s: number;
  restarts: number;
  cpu_percent: number;
  memory_bytes: number;
  frames_in_per_s: number;
  frames_out_per_s: number;
  dropped: number;
  last_exit: string | null;
  /** What is wrong with it now, in several lines, such as a traceback. */
  trouble: string | null;
}

export interface Camera {
  name: string;
  url: string;
  state: string;
  detail: string | null;
  width: number | null;
  height: number | null;
  codec: string | null;
  fps: number;
  viewers: number;
}

export interface Health {
  status: string;
  reasons: string[];
}

/** A rectangle in fractions of the picture's width and height, from the top left. */
export interface Box {
  x: number;
  y: number;
  w: number;
  h: number;
  label: string;
  score: number;
}

export interface InitMessage {
  type: 'init';
  mime: string;
  width: number;
  height: number;
}

export interface ClockMessage {
  type: 'clock';
  media_s: number;
  captured_unix_ms: number;
  now_unix_ms: number;
}

export interface ResultMessage {
  type: 'result';
  source: string;
  media_s: number;
  boxes: Box[];
}

export interface DroppedMessage {
  type: 'dropped';
  count: number;
}

export interface StateMessage {
  type: 'state';
  state: string;
  detail: string | null;
}

export type LiveMessage = InitMessage | ClockMessage | ResultMessage | DroppedMessage | StateMessage;
