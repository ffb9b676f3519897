// Asks one address again and again, one request in flight, and knows since when there is no answer.

/** A local server answers in a millisecond; one that takes this long is stopped. */
const TIMEOUT_MS = 2000;

export class Poll<T> {
  value = $state.raw() as T;
  /** Set while the server can't be reached or refuses: since when, and why. */
  lost = $state.raw<{ since: Date; why: string } | null>(null);
  /** How many answers came so far. */
  answers = $state(0);

  #path: string;
  #parse: (body: unknown) => T;
  #every_ms: number;
  #timer: number | undefined;
  #running = false;
  #asking: AbortController | null = null;

  constructor(path: string, parse: (body: unknown) => T, every_ms: number, initial: T) {
    this.#path = path;
    this.#parse = parse;
    this.#every_ms = every_ms;
    this.value = initial;
  }

  /** Polls while the tab is visible, until the function that it returns is called. */
  run(): () => void {
    const follow = () => (document.hidden ? this.#pause() : this.#resume());
    document.addEventListener('visibilitychange', follow);
    follow();
    return () => {
      document.removeEventListener('visibilitychange', follow);
      this.#pause();
    };
  }

  #resume(): void {
    if (this.#running) return;
    this.#running = true;
    void this.#ask();
  }

  #pause(): void {
    this.#running = false;
    window.clearTimeout(this.#timer);
    this.#asking?.abort();
  }

  async #ask(): Promise<void> {
    const began_ms = performance.now();
    const asking = new AbortController();
    this.#asking = asking;
    const limit = window.setTimeout(() => asking.abort(), TIMEOUT_MS);
    try {
      const value = await fetchJson(this.#path, asking.signal);
      if (this.#asking !== asking) return; // paused and resumed meanwhile: that one goes on
      this.value = this.#parse(value);
      this.answers += 1;
      this.lost = null;
    } catch (error) {
      if (this.#asking !== asking || !this.#running) return;
      this.lost = { since: this.lost?.since ?? new Date(), why: why(error) };
    } finally {
      window.clearTimeout(limit);
    }
    if (!this.#running) return;
    this.#timer = window.setTimeout(() => void this.#ask(), this.#every_ms - (performance.now() - began_ms));
  }
}

/** Any answer in JSON is an answer, except one that says what is wrong with the question. */
async function fetchJson(path: string, signal: AbortSignal): Promise<unknown> {
  const response = await fetch(path, { signal, cache: 'no-store', headers: { accept: 'application/json' } });
  const body: unknown = await response.json();
  if (typeof body === 'object' && body !== null && 'error' in body) throw new Error(String(body.error));
  return body;
}

function why(error: unknown): string {
  if (error instanceof DOMException && error.name === 'AbortError') return `no answer within ${TIMEOUT_MS / 1000} s`;
  if (error instanceof TypeError) return 'the connection fails';
  if (error instanceof SyntaxError) return 'the answer is not JSON';
  return error instanceof Error ? error.message : String(error);
}
