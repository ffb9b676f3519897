// One camera's live connection. It tries again for ever: the server's process may be killed at any instant.

import { parseLiveMessage } from '../wire/parse';
import type { LiveMessage } from '../wire/types';

/** A supervisor brings the server back in a few hundred milliseconds; waiting longer than it would be seen. */
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 2000;
/** A server that is stopped or unreachable answers a handshake neither with yes nor with no. */
const HANDSHAKE_MS = 4000;

export interface SocketEvents {
  opened(): void;
  message(message: LiveMessage): void;
  media(fragment: ArrayBuffer): void;
  /** It is trying again already. */
  closed(): void;
}

export class LiveSocket {
  #url: string;
  #events: SocketEvents;
  #socket: WebSocket | null = null;
  #timer: number | undefined;
  #retry_ms = FIRST_RETRY_MS;
  #running = false;

  constructor(url: string, events: SocketEvents) {
    this.#url = url;
    this.#events = events;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#connect();
  }

  stop(): void {
    this.#running = false;
    this.#release();
  }

  /** Closes it and connects anew after the back-off: what came can't be used. */
  restart(): void {
    if (!this.#running) return;
    this.#release();
    this.#later();
  }

  /** What came could be used. Opening alone doesn't reset the back-off: a stream that never plays would spin. */
  healthy(): void {
    this.#retry_ms = FIRST_RETRY_MS;
  }

  /** There is reason to believe that the server is back: doesn't wait out the back-off. */
  retryNow(): void {
    if (!this.#running || this.#socket !== null) return;
    this.#release();
    this.#connect();
  }

  #connect(): void {
    const socket = new WebSocket(this.#url);
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    this.#timer = window.setTimeout(() => this.#lost(), HANDSHAKE_MS);
    socket.onopen = () => {
      window.clearTimeout(this.#timer);
      this.#events.opened();
    };
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (typeof data !== 'string') return this.#events.media(data);
      const message = parseLiveMessage(data);
      if (message !== null) this.#events.message(message);
    };
    socket.onclose = () => this.#lost();
  }

  #lost(): void {
    this.#release();
    this.#later();
  }

  #later(): void {
    this.#timer = window.setTimeout(() => this.#connect(), this.#retry_ms);
    this.#retry_ms = Math.min(this.#retry_ms * 2, LAST_RETRY_MS);
    this.#events.closed();
  }

  #release(): void {
    window.clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}
