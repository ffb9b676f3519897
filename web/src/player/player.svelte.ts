// One camera's live picture: socket → feed → video element, results → overlay, clock → how far behind live.

import type { LiveMessage } from '../wire/types';
import { LiveClock, wallClock_ms } from './clock';
import { Feed } from './feed';
import { JUMP_S, Jumps, steer } from './lag';
import { Overlay } from './overlay';
import { FrameInterval, Results } from './results';
import { LiveSocket } from './socket';
import { cannotPlay } from './support';

/** A picture that has been on the screen for longer isn't live any more, and the tile says so. */
const OLD_MS = 1000;
/** How often it looks whether that is so; also how often a person can read another number. */
const TICK_MS = 200;
/** A new timeline begins with what the server has since a key frame: its first pictures flit by on the way to live.
 * They aren't shown; but after this long anything is, so that a picture each few seconds is seen too. */
const SETTLE_MS = 1500;
/** Those first pictures come in one go, with less than this between two; only after them is the end the end. */
const BURST_GAP_MS = 15;
/** A camera of over 66 pictures a second, or a slow network, has no such gap. */
const BURST_MS = 400;
/** A camera that streams sends a clock message each second; without any for so long the connection is dead. */
const SILENCE_MS = 5000;
/** A hidden tab is soon shown again, or not for hours: after this long it stops costing the server anything. */
const HIDDEN_MS = 15_000;

export interface Screen {
  video: HTMLVideoElement;
  /** Keeps the last picture while the video element changes its source, so that the tile doesn't flash. */
  still: HTMLCanvasElement;
  overlay: HTMLCanvasElement;
}

export class Player {
  connected = $state(false);
  /** What the server said of the camera over this connection. */
  camera = $state.raw<{ state: string; detail: string | null } | null>(null);
  /** Why there is no picture although one comes. */
  problem = $state<string | null>(null);
  size = $state.raw<{ width: number; height: number } | null>(null);
  codec = $state<string | null>(null);
  dropped = $state(0);
  /** Media time of the picture on the screen; null before the first. */
  media_s = $state<number | null>(null);
  behind_s = $state<number | null>(null);
  /** How old the picture on the screen is, once it is too old to be called live. */
  old_s = $state<number | null>(null);
  /** The video element shows pictures of this timeline; else the still of the last one covers for it. */
  settled = $state(false);
  /** The browser wants a click before it plays. */
  blocked = $state(false);
  /** Boxes on the picture now, of all sources. */
  found = $state(0);

  #socket: LiveSocket;
  #clock = new LiveClock();
  #results = new Results();
  #interval = new FrameInterval();
  #jumps = new Jumps();
  #feed: Feed | null = null;
  #screen: Screen | null = null;
  #overlay: Overlay | null = null;
  #presented_ms = 0;
  #began_ms = 0;
  /** How far behind live the newest picture was when it was shown; a tick later it can be read. */
  #nextBehind_s: number | null = null;
  #heard_ms = 0;
  #hiding: number | undefined;
  #burst: number | undefined;

  constructor(camera: string) {
    const url = new URL(`/api/cameras/${encodeURIComponent(camera)}/live`, location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    this.#socket = new LiveSocket(url.href, {
      opened: () => this.#opened(),
      message: (message) => this.#message(message),
      media: (fragment) => this.#media(fragment),
      closed: () => (this.connected = false),
    });
  }

  /** Plays on this screen until the function that it returns is called. */
  attach(screen: Screen): () => void {
    this.#screen = screen;
    this.#overlay = new Overlay(screen.overlay);
    const stopFrames = eachFrame(screen.video, (now, shown) => this.#presented(now, shown));
    const tick = window.setInterval(() => this.#tick(), TICK_MS);
    const visibility = () => this.#visibility();
    document.addEventListener('visibilitychange', visibility);
    if (!document.hidden) this.#socket.start();

    return () => {
      document.removeEventListener('visibilitychange', visibility);
      window.clearTimeout(this.#hiding);
      window.clearTimeout(this.#burst);
      window.clearInterval(tick);
      stopFrames();
      this.#socket.stop();
      this.#feed?.close();
      screen.video.removeAttribute('src');
      screen.video.load();
      this.#screen = null;
    };
  }

  retryNow(): void {
    this.#socket.retryNow();
  }

  play(): void {
    this.#screen?.video.play().then(
      () => (this.blocked = false),
      (error: unknown) => (this.blocked = error instanceof DOMException && error.name === 'NotAllowedError'),
    );
  }

  #opened(): void {
    this.connected = true;
    this.camera = null;
    this.#heard_ms = performance.now();
    this.#clock = new LiveClock(); // it may be another server, with another clock
  }

  #message(message: LiveMessage): void {
    this.#heard_ms = performance.now();
    switch (message.type) {
      case 'init':
        return this.#init(message.mime, message.width, message.height);
      case 'clock':
        return this.#clock.note(message, wallClock_ms());
      case 'result':
        this.#results.add(message);
        if (Math.abs(message.media_s - (this.media_s ?? -1)) < this.#interval.value_s / 2) this.#drawResults();
        return;
      case 'dropped':
        this.dropped += message.count;
        return;
      case 'state':
        this.camera = { state: message.state, detail: message.detail };
    }
  }

  #media(fragment: ArrayBuffer): void {
    this.#heard_ms = performance.now();
    this.#feed?.append(fragment);
    if (this.settled) return;
    window.clearTimeout(this.#burst);
    this.#burst = window.setTimeout(() => this.#steer(), BURST_GAP_MS);
  }

  #init(mime: string, width: number, height: number): void {
    if (this.#screen === null) return;
    this.#keepStill(this.#screen);
    this.#feed?.close();
    this.#feed = null;
    this.#clock.newTimeline();
    this.#results.clear();
    this.#interval = new FrameInterval();
    this.#jumps = new Jumps();
    this.size = width > 0 && height > 0 ? { width, height } : null;
    this.codec = /codecs="([^"]*)"/.exec(mime)?.[1] ?? null;
    this.settled = false;
    this.#began_ms = performance.now();
    this.problem = cannotPlay(mime);
    if (this.problem !== null) return this.#blank(this.#screen);
    this.#feed = new Feed(this.#screen.video, mime, {
      appended: () => this.#steer(),
      broken: (why) => this.#broken(why),
    });
  }

  #broken(why: string): void {
    this.#feed = null;
    this.problem = `The picture can't be shown: ${why}. Starting anew.`;
    this.#socket.restart();
  }

  #presented(now: number, { mediaTime, expectedDisplayTime }: VideoFrameCallbackMetadata): void {
    if (this.#feed === null) return; // the last of a feed that is gone
    const end_s = this.#feed.ranges.at(-1)?.end_s ?? mediaTime;
    this.settled ||= end_s - mediaTime <= JUMP_S || now - this.#began_ms > SETTLE_MS;
    if (!this.settled) return;

    this.#presented_ms = now;
    this.#interval.note(mediaTime);
    this.media_s = mediaTime;
    this.problem = null;
    this.#socket.healthy();
    const behind_s = this.#clock.behind_s(mediaTime, performance.timeOrigin + expectedDisplayTime);
    this.#nextBehind_s = behind_s === null ? null : Math.max(0, behind_s);
    if (this.old_s !== null) this.behind_s = this.#nextBehind_s; // not the age of the old one until the next tick
    this.old_s = null;
    this.#drawResults();
    this.#results.prune(mediaTime);
  }

  #drawResults(): void {
    if (this.media_s === null || this.#screen === null) return;
    const { videoWidth, videoHeight } = this.#screen.video;
    const matches = this.#results.match(this.media_s, this.#interval.value_s);
    this.#overlay?.draw(matches, videoWidth, videoHeight);
    this.found = matches.reduce((sum, it) => sum + it.found.boxes.length, 0);
  }

  #steer(): void {
    const video = this.#screen?.video;
    if (video === undefined || this.#feed === null || video.readyState === 0 || video.seeking) return;
    const now = performance.now();
    const bursts = now - this.#heard_ms < BURST_GAP_MS && now - this.#began_ms < BURST_MS;
    if (bursts && !this.settled) return; // `#media` has seen to it that this is called again
    const next = steer(video.currentTime, this.#feed.ranges, video.playbackRate, this.#jumps.may(now));
    if (next.do !== 'rate') {
      if (next.do === 'jump') this.#jumps.note(now);
      video.currentTime = next.to_s;
      video.playbackRate = 1;
    } else if (video.playbackRate !== next.rate) {
      video.playbackRate = next.rate;
    }
    if (video.paused && !document.hidden && !this.blocked) this.play();
  }

  #tick(): void {
    this.#steer();
    const now = performance.now();
    this.behind_s = this.#nextBehind_s;
    if (this.media_s !== null && now - this.#presented_ms > OLD_MS) this.#tooOld(now);
    const streaming = this.camera?.state === 'streaming';
    if (this.connected && streaming && now - this.#heard_ms > SILENCE_MS) this.#socket.restart();
  }

  #tooOld(now: number): void {
    const onScreen_s = (now - this.#presented_ms) / 1000;
    this.old_s = onScreen_s + (this.#nextBehind_s ?? 0);
    this.behind_s = this.old_s;
    // Boxes belong to what is happening; on an old picture they would say that something still is.
    this.#overlay?.clear();
    this.found = 0;
  }

  #visibility(): void {
    window.clearTimeout(this.#hiding);
    if (document.hidden) {
      this.#hiding = window.setTimeout(() => {
        this.#socket.stop();
        this.connected = false;
      }, HIDDEN_MS);
      return;
    }
    this.#socket.start();
    this.#jumps = new Jumps();
    this.#steer(); // the browser paused it meanwhile: this jumps to live
  }

  /** No picture at all, rather than the last of something else. */
  #blank({ video }: Screen): void {
    this.media_s = this.old_s = this.behind_s = this.#nextBehind_s = null;
    this.#overlay?.clear();
    this.found = 0;
    video.removeAttribute('src');
    video.load();
  }

  #keepStill({ video, still }: Screen): void {
    if (video.readyState < 2 || !this.settled) return; // then the still before it is the better one
    still.width = video.videoWidth;
    still.height = video.videoHeight;
    still.getContext('2d')?.drawImage(video, 0, 0);
  }
}

function eachFrame(video: HTMLVideoElement, shown: VideoFrameRequestCallback): () => void {
  if (!('requestVideoFrameCallback' in video)) return () => {}; // `cannotPlay` tells the person
  let handle = video.requestVideoFrameCallback(function next(now, metadata) {
    shown(now, metadata);
    handle = video.requestVideoFrameCallback(next);
  });
  return () => video.cancelVideoFrameCallback(handle);
}
