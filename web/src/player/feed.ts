// Fragments into one video element, through one source buffer, serially. A feed lives as long as one timeline:
// another `init` makes another feed.

import type { Range } from './lag';

/** More than this behind the end is never played again. */
const KEEP_S = 10;
/** Removing costs; so it removes down to this, and has peace for a while. */
const TRIM_TO_S = 5;
/** With this much unappended, the browser isn't taking any: it is better to start anew, at live. */
const QUEUE_BYTES = 32 * 1024 * 1024;

export interface FeedEvents {
  appended(): void;
  /** This feed is of no use any more. `why` is a sentence for a person. */
  broken(why: string): void;
}

export class Feed {
  #video: HTMLVideoElement;
  #events: FeedEvents;
  #source = new MediaSource();
  #buffer: SourceBuffer | null = null;
  #url: string;
  #queue: ArrayBuffer[] = [];
  #queued_bytes = 0;
  #madeRoom = false;
  #closed = false;

  constructor(video: HTMLVideoElement, mime: string, events: FeedEvents) {
    this.#video = video;
    this.#events = events;
    this.#url = URL.createObjectURL(this.#source);
    this.#source.addEventListener('sourceopen', () => this.#open(mime), { once: true });
    video.onerror = () => this.#fail(`the browser stopped decoding (${video.error?.message || 'no reason given'})`);
    video.src = this.#url;
  }

  append(fragment: ArrayBuffer): void {
    if (this.#closed) return;
    this.#queue.push(fragment);
    this.#queued_bytes += fragment.byteLength;
    if (this.#queued_bytes > QUEUE_BYTES) return this.#fail('the browser takes no more data');
    this.#pump();
  }

  get ranges(): Range[] {
    // The buffer's, not the element's: the element's lags behind by a task.
    const buffered = this.#closed ? undefined : this.#buffer?.buffered;
    return Array.from({ length: buffered?.length ?? 0 }, (_, i) => ({
      start_s: buffered?.start(i) ?? 0,
      end_s: buffered?.end(i) ?? 0,
    }));
  }

  /** The element keeps what it shows until it gets another source. */
  close(): void {
    this.#closed = true;
    this.#queue = [];
    this.#video.onerror = null;
    URL.revokeObjectURL(this.#url);
  }

  #open(mime: string): void {
    if (this.#closed) return;
    try {
      this.#buffer = this.#source.addSourceBuffer(mime);
    } catch (error) {
      return this.#fail(`the browser refused ${mime} (${reason(error)})`);
    }
    this.#buffer.addEventListener('updateend', () => {
      if (this.#closed) return;
      this.#events.appended();
      this.#pump();
    });
    this.#buffer.addEventListener('error', () => this.#fail('the browser could not read the fragments'));
    this.#pump();
  }

  /** At most one operation is in flight; `updateend` comes back here. */
  #pump(): void {
    const buffer = this.#buffer;
    if (buffer === null || this.#closed || buffer.updating || this.#source.readyState !== 'open') return;
    if (this.#trim(buffer, KEEP_S, TRIM_TO_S)) return;
    if (this.#queue.length === 0) return;

    // All that waits, in one go: a viewer that just came gets some fifty fragments at once.
    const bytes = joined(this.#queue, this.#queued_bytes);
    try {
      buffer.appendBuffer(bytes);
    } catch (error) {
      return this.#refused(buffer, bytes, error);
    }
    this.#madeRoom = false;
    this.#queue = [];
    this.#queued_bytes = 0;
  }

  #refused(buffer: SourceBuffer, bytes: ArrayBuffer, error: unknown): void {
    const full = error instanceof DOMException && error.name === 'QuotaExceededError';
    if (!full || this.#madeRoom) return this.#fail(`the browser took no fragment (${reason(error)})`);
    this.#madeRoom = true; // once for each append: if that doesn't help, nothing does
    this.#queue = [bytes];
    if (!this.#trim(buffer, 0, 1)) this.#fail('the browser has no room for a single fragment');
  }

  /** Removes all but the last `to_s` seconds if there are more than `over_s`. Whether it began to. */
  #trim(buffer: SourceBuffer, over_s: number, to_s: number): boolean {
    const { buffered } = buffer;
    if (buffered.length === 0) return false;
    const start_s = buffered.start(0);
    const end_s = buffered.end(buffered.length - 1);
    if (end_s - start_s <= over_s || end_s - to_s <= start_s) return false;
    buffer.remove(0, end_s - to_s);
    return true;
  }

  #fail(why: string): void {
    if (this.#closed) return;
    this.close();
    this.#events.broken(why);
  }
}

function joined(parts: readonly ArrayBuffer[], length_bytes: number): ArrayBuffer {
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return only;
  const all = new Uint8Array(length_bytes);
  let at = 0;
  for (const part of parts) {
    all.set(new Uint8Array(part), at);
    at += part.byteLength;
  }
  return all.buffer;
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
