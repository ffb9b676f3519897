// Draws results on a canvas that lies exactly over a video element.

import type { Match } from './results';

/** Told apart on any picture, also by most who see fewer colours; the dark rim under each line does the rest. */
const COLOURS = ['#ffd166', '#5ad1ff', '#ff8fd0', '#8ef58a', '#ffffff', '#ff9b6a'];
const RIM = 'rgb(0 0 0 / 0.6)';

/** An analyser has one colour on all pictures. */
const colours = new Map<string, string>();

export class Overlay {
  #canvas: HTMLCanvasElement;
  #total = 0;
  #exact = 0;

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
    this.clear();
  }

  draw(matches: readonly Match[], width: number, height: number): void {
    const context = this.#fresh();
    if (context === null) return;
    const picture = contain(width, height, this.#canvas.width, this.#canvas.height);
    let count = 0;
    const sources: string[] = [];
    for (const match of matches) {
      drawMatch(context, match, picture, colourOf(match.source));
      count += match.found.boxes.length;
      if (match.found.boxes.length > 0) sources.push(match.source);
      this.#count(match);
    }
    this.#publish(count, sources);
  }

  clear(): void {
    this.#fresh();
    this.#publish(0, []);
  }

  #fresh(): CanvasRenderingContext2D | null {
    const canvas = this.#canvas;
    const width = Math.round(canvas.clientWidth * devicePixelRatio);
    const height = Math.round(canvas.clientHeight * devicePixelRatio);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const context = canvas.getContext('2d');
    context?.clearRect(0, 0, width, height);
    return context;
  }

  #count({ found, exact }: Match): void {
    if (found.seen) return;
    found.seen = true;
    this.#total += found.boxes.length;
    if (exact) this.#exact += found.boxes.length;
  }

  /** For whoever drives the page from outside. */
  #publish(count: number, sources: readonly string[]): void {
    const { dataset } = this.#canvas;
    dataset.sources = sources.join(' ');
    dataset.boxes = String(count);
    dataset.boxesTotal = String(this.#total);
    dataset.boxesExact = String(this.#exact);
  }
}

function colourOf(source: string): string {
  const known = colours.get(source);
  if (known !== undefined) return known;
  const next = COLOURS[colours.size % COLOURS.length] ?? RIM;
  colours.set(source, next);
  return next;
}

interface Rect {
  x: number;
  y: number;
  w: number;
  h: number;
}

/** Where `object-fit: contain` puts a picture of the given size. */
export function contain(width: number, height: number, outerWidth: number, outerHeight: number): Rect {
  if (width <= 0 || height <= 0) return { x: 0, y: 0, w: outerWidth, h: outerHeight };
  const scale = Math.min(outerWidth / width, outerHeight / height);
  const w = width * scale;
  const h = height * scale;
  return { x: (outerWidth - w) / 2, y: (outerHeight - h) / 2, w, h };
}

function drawMatch(context: CanvasRenderingContext2D, match: Match, picture: Rect, colour: string): void {
  const unit = devicePixelRatio;
  const line = (match.exact ? 2 : 1.25) * unit;
  context.globalAlpha = match.strength;
  context.lineJoin = 'round';
  context.setLineDash(match.exact ? [] : [6 * unit, 4 * unit]);
  for (const box of match.found.boxes) {
    const x = picture.x + box.x * picture.w;
    const y = picture.y + box.y * picture.h;
    const w = box.w * picture.w;
    const h = box.h * picture.h;
    context.strokeStyle = RIM;
    context.lineWidth = line + 2 * unit;
    context.strokeRect(x, y, w, h);
    context.strokeStyle = colour;
    context.lineWidth = line;
    context.strokeRect(x, y, w, h);
    const label = match.late_s > 0 ? `${box.label} (${match.late_s.toFixed(1)} s ago)`.trim() : box.label;
    if (label !== '') drawLabel(context, label, x, y, picture.x + picture.w, colour, unit);
  }
  context.globalAlpha = 1;
}

function drawLabel(
  context: CanvasRenderingContext2D,
  label: string,
  x: number,
  y: number,
  right: number,
  colour: string,
  unit: number,
): void {
  context.font = `600 ${11 * unit}px ui-sans-serif, system-ui, sans-serif`;
  context.textBaseline = 'middle';
  const height = 16 * unit;
  const width = context.measureText(label).width + 8 * unit;
  const top = y >= height ? y - height : y; // inside, where there is no room above
  context.fillStyle = colour;
  const left = Math.max(unit, Math.min(x, right - width)); // whole, also at the right edge
  context.fillRect(left - unit, top, width, height);
  context.fillStyle = '#10151c';
  context.fillText(label, left + 3 * unit, top + height / 2 + unit / 2);
}
