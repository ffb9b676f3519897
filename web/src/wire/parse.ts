import type { Box, Camera, Health, LiveMessage, Process } from './types';

// The server is another program, and may be older or newer than this page: a missing field gets a neutral value,
// a field of the wrong type too, and a message that can't be understood is null, never an exception in the player.

type Fields = Record<string, unknown>;

export function parseProcesses(body: unknown): Process[] {
  return list(body).map((it) => ({
    name: text(it.name),
    kind: text(it.kind),
    camera: textOrNull(it.camera),
    pid: numberOrNull(it.pid),
    state: text(it.state),
    detail: textOrNull(it.detail),
    uptime_s: number(it.uptime_s),
    restarts: number(it.restarts),
    cpu_percent: number(it.cpu_percent),
    memory_bytes: number(it.memory_bytes),
    frames_in_per_s: number(it.frames_in_per_s),
    frames_out_per_s: number(it.frames_out_per_s),
    dropped: number(it.dropped),
    last_exit: textOrNull(it.last_exit),
    trouble: textOrNull(it.trouble),
  }));
}

export function parseCameras(body: unknown): Camera[] {
  return list(body).map((it) => ({
    name: text(it.name),
    url: text(it.url),
    state: text(it.state),
    detail: textOrNull(it.detail),
    width: numberOrNull(it.width),
    height: numberOrNull(it.height),
    codec: textOrNull(it.codec),
    fps: number(it.fps),
    viewers: number(it.viewers),
  }));
}

export function parseHealth(body: unknown): Health {
  const it = fields(body);
  const reasons = Array.isArray(it.reasons) ? it.reasons.map(text) : [];
  return { status: text(it.status), reasons };
}

/** Null for a type that this page doesn't know, and for text that isn't JSON. */
export function parseLiveMessage(json: string): LiveMessage | null {
  let body: unknown;
  try {
    body = JSON.parse(json);
  } catch {
    return null;
  }
  const it = fields(body);
  switch (it.type) {
    case 'init':
      return { type: 'init', mime: text(it.mime), width: number(it.width), height: number(it.height) };
    case 'clock':
      return {
        type: 'clock',
        media_s: number(it.media_s),
        captured_unix_ms: number(it.captured_unix_ms),
        now_unix_ms: number(it.now_unix_ms),
      };
    case 'result':
      return {
        type: 'result',
        source: text(it.source),
        media_s: number(it.media_s),
        boxes: list(it.boxes).map(box),
      };
    case 'dropped':
      return { type: 'dropped', count: number(it.count) };
    case 'state':
      return { type: 'state', state: text(it.state), detail: textOrNull(it.detail) };
    default:
      return null;
  }
}

function box(it: Fields): Box {
  return {
    x: number(it.x),
    y: number(it.y),
    w: number(it.w),
    h: number(it.h),
    label: text(it.label),
    score: number(it.score),
  };
}

function list(value: unknown): Fields[] {
  return Array.isArray(value) ? value.map(fields) : [];
}

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function number(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}
