// Many at once: two pages that show pictures, and bare connections that count fragments.

import { advances, look, moves } from './picture.mjs';
import { check, timed, until } from './wait.mjs';

const LIMIT_MS = 30_000;
const CONNECTIONS = 8;
/** Two seconds of a camera with 25 pictures a second. */
const FRAGMENTS = 50;

/** `page` is one viewer; opens another page and the connections beside it. */
export async function watchTogether(page, camera) {
  const other = await page.context().newPage();
  try {
    await other.goto(page.url(), { waitUntil: 'domcontentloaded' });
    const { took_ms } = await timed(() => connections(other, camera));
    await other.bringToFront();
    await until(`the second page shows ${camera}`, LIMIT_MS, async () => (await look(other, camera)).picture === 'live');
    await seen(other, camera);
    await page.bringToFront();
    await seen(page, camera);
    return { viewers: CONNECTIONS + 2, connections_ms: took_ms };
  } finally {
    await other.close();
    await page.bringToFront();
  }
}

async function seen(page, camera) {
  await advances(page, camera, LIMIT_MS);
  await moves(page, camera, LIMIT_MS);
}

/** Each connection must get `init`, then an initialisation segment, then fragments, all well formed. */
async function connections(page, camera) {
  const counts = await page.evaluate(
    ({ camera, count, fragments, limit }) => {
      const url = `/api/cameras/${encodeURIComponent(camera)}/live`;
      const boxType = (data) => new TextDecoder('latin1').decode(new Uint8Array(data, 4, 4));
      const one = () =>
        new Promise((resolve) => {
          const socket = new WebSocket(new URL(url, location.href.replace(/^http/, 'ws')));
          socket.binaryType = 'arraybuffer';
          const got = { init: 0, segment: 0, fragments: 0, wrong: 0 };
          const finish = () => {
            socket.onclose = null;
            socket.close();
            resolve(got);
          };
          socket.onclose = finish;
          setTimeout(finish, limit);
          socket.onmessage = ({ data }) => {
            if (typeof data === 'string') {
              if (JSON.parse(data).type === 'init') got.init++;
            } else if (boxType(data) === 'ftyp' && got.init > got.segment) got.segment++;
            else if (boxType(data) === 'moof' && got.segment > 0) got.fragments++;
            else got.wrong++;
            if (got.fragments >= fragments) finish();
          };
        });
      return Promise.all(Array.from({ length: count }, one));
    },
    { camera, count: CONNECTIONS, fragments: FRAGMENTS, limit: LIMIT_MS },
  );
  for (const [i, got] of counts.entries()) {
    const well = got.init >= 1 && got.segment === got.init && got.wrong === 0 && got.fragments >= FRAGMENTS;
    check(well, `viewer ${i + 1} of ${CONNECTIONS} on ${camera} got ${JSON.stringify(got)}`);
  }
}
