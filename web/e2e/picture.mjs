// What one can see of a camera on an open page.

import { check, until } from './wait.mjs';

/** The names of the cameras that have a tile. */
export function tiles(page) {
  return page.$$eval('[data-camera]', (all) => all.map((it) => it.dataset.camera));
}

/** Everything the page says of one camera, and what its video element says. */
export function look(page, camera) {
  return page.evaluate((name) => {
    const tile = document.querySelector(`[data-camera="${name}"]`);
    const video = document.querySelector(`[data-testid="video-${name}"]`);
    const overlay = document.querySelector(`[data-testid="overlay-${name}"]`);
    return {
      state: tile.dataset.state,
      picture: tile.dataset.picture,
      behind_s: tile.dataset.behindS === undefined ? null : Number(tile.dataset.behindS),
      media_s: Number(tile.dataset.mediaTime ?? NaN),
      current_s: video.currentTime,
      boxes: Number(overlay.dataset.boxes),
      sources: (overlay.dataset.sources ?? '').split(' '),
      boxesTotal: Number(overlay.dataset.boxesTotal),
      boxesExact: Number(overlay.dataset.boxesExact),
    };
  }, camera);
}

/**
 * Until the video played on for a second, as the sum of its forward steps: after a restart its time begins anew, and a
 * jump to live isn't playing.
 */
export async function advances(page, camera, limit_ms) {
  let before_s = (await look(page, camera)).current_s;
  let played_s = 0;
  await until(`the video of ${camera} plays on for a second`, limit_ms, async () => {
    const { current_s, picture } = await look(page, camera);
    const step_s = current_s - before_s;
    before_s = current_s;
    if (step_s > 0 && step_s < 0.5) played_s += step_s;
    return played_s >= 1 && picture === 'live';
  });
}

/** Until the pixels are those of a picture, and then of another one. */
export async function moves(page, camera, limit_ms) {
  const first = await until(`the video of ${camera} isn't blank`, limit_ms, async () => {
    const pixels = await sample(page, camera);
    return spread(pixels) > 8 ? pixels : null;
  });
  await until(`the picture of ${camera} changes`, limit_ms, async () => {
    return difference(first, await sample(page, camera)) > 1.5;
  });
}

/** Until a box was drawn that wasn't yet when there were `after` of them, and is there to be seen. */
export async function boxes(page, camera, after, limit_ms) {
  await until(`a box is drawn on ${camera}`, limit_ms, async () => {
    return (await look(page, camera)).boxesTotal > after;
  });
  await until(`a box on ${camera} has pixels`, limit_ms, () => painted(page, camera));
  const { boxesTotal } = await look(page, camera);
  check(boxesTotal > after, `the boxes of ${camera} went from ${after} to ${boxesTotal}`);
}

/** Watches the pictures of a camera come in; tells the longest time without a new one. */
export async function stopwatch(page, camera) {
  const handle = await page.evaluateHandle((name) => {
    const video = document.querySelector(`[data-testid="video-${name}"]`);
    const watch = { last_ms: performance.now(), longest_ms: 0, handle: 0 };
    watch.handle = video.requestVideoFrameCallback(function next(now) {
      watch.longest_ms = Math.max(watch.longest_ms, now - watch.last_ms);
      watch.last_ms = now;
      watch.handle = video.requestVideoFrameCallback(next);
    });
    watch.stop = () => video.cancelVideoFrameCallback(watch.handle);
    return watch;
  }, camera);
  const longestGap_ms = () =>
    handle.evaluate((watch) => {
      watch.stop();
      return Math.round(Math.max(watch.longest_ms, performance.now() - watch.last_ms));
    });
  return { longestGap_ms };
}

/** Pixels that aren't transparent on the overlay, read in the same task as the number of boxes it claims. */
function painted(page, camera) {
  return page.evaluate((name) => {
    const overlay = document.querySelector(`[data-testid="overlay-${name}"]`);
    if (Number(overlay.dataset.boxes) === 0) return false;
    const { data } = overlay.getContext('2d').getImageData(0, 0, overlay.width, overlay.height);
    let opaque = 0;
    for (let i = 3; i < data.length; i += 4) if (data[i] > 32) opaque++;
    return opaque > 50;
  }, camera);
}

/** The luma of the video, 64 by 36. */
function sample(page, camera) {
  return page.evaluate((name) => {
    const video = document.querySelector(`[data-testid="video-${name}"]`);
    const canvas = new OffscreenCanvas(64, 36);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(video, 0, 0, 64, 36);
    const { data } = context.getImageData(0, 0, 64, 36);
    const luma = [];
    for (let i = 0; i < data.length; i += 4) luma.push((data[i] * 2 + data[i + 1] * 5 + data[i + 2]) >> 3);
    return luma;
  }, camera);
}

function spread(luma) {
  const mean = luma.reduce((sum, it) => sum + it, 0) / luma.length;
  return Math.sqrt(luma.reduce((sum, it) => sum + (it - mean) ** 2, 0) / luma.length);
}

function difference(a, b) {
  return a.reduce((sum, it, i) => sum + Math.abs(it - b[i]), 0) / a.length;
}
