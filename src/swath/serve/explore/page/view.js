// Tiles as dots that one can move, zoom, point at and draw around: what map and plot have in common.
//
// Dots are painted into the bytes of a canvas: 100,000 take some milliseconds, with or without a graphics card.

import { paintOf } from "/page/colours.js";
import { on, set, state } from "/page/state.js";

const REACH_PX = 14; // how near to a tile one must point
const MARGIN = 0.06;
const views = [];
let paint = null; // shared by all views
let lastUsed = null;

export const lastUsedView = () => lastUsed ?? views.find((view) => view.count > 0);

export function repaint() {
  paint = paintOf();
  for (const view of views) view.soon();
}

export class View {
  // x, y: (N,) places in the plane, y up, NaN where a tile has none.
  constructor(figure) {
    this.figure = figure;
    this.stage = figure.querySelector(".stage");
    [this.ground, this.dots, this.marks] = ["ground", "dots", "marks"].map((name) => {
      const canvas = document.createElement("canvas");
      canvas.className = name;
      this.stage.append(canvas);
      return canvas;
    });
    this.stage.view = this;
    this.scale = 1; // device pixels a unit of the plane
    this.centre = [0, 0];
    this.outline = null; // of a box or lasso being drawn
    this.before = null; // painted below the dots by the map
    views.push(this);
    new ResizeObserver(() => this.resize()).observe(this.stage);
    this.listen();
    on("hovered current neighbours marks selected", () => this.drawMarks());
  }

  place(x, y) {
    this.x = x;
    this.y = y;
    this.order = shuffled(x);
    this.count = this.order.length;
    this.fit();
  }

  fit() {
    const [west, east] = spread(this.x, this.order), [south, north] = spread(this.y, this.order);
    this.extent = [Math.max(east - west, 1e-9), Math.max(north - south, 1e-9)];
    this.centre = [(west + east) / 2, (south + north) / 2];
    this.fitted = true;
    this.scale = this.fittingScale();
    this.soon();
  }

  fittingScale() {
    const room = 1 - 2 * MARGIN;
    return Math.min((this.width * room) / this.extent[0], (this.height * room) / this.extent[1]) || 1;
  }

  get ratio() { return Math.min(2, window.devicePixelRatio || 1); }

  resize() {
    const box = this.stage.getBoundingClientRect();
    this.width = Math.max(1, Math.round(box.width * this.ratio));
    this.height = Math.max(1, Math.round(box.height * this.ratio));
    for (const canvas of [this.ground, this.dots, this.marks]) {
      canvas.width = this.width;
      canvas.height = this.height;
    }
    if (!this.order) return;
    if (this.fitted) this.scale = this.fittingScale();
    this.draw(); // at once: a canvas that was resized is blank
  }

  soon() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.draw(); });
  }

  screen(row) {
    return [
      (this.x[row] - this.centre[0]) * this.scale + this.width / 2,
      this.height / 2 - (this.y[row] - this.centre[1]) * this.scale,
    ];
  }

  plane(px, py) {
    return [this.centre[0] + (px - this.width / 2) / this.scale, this.centre[1] + (this.height / 2 - py) / this.scale];
  }

  get layers() { return [0, 1]; }

  get radius() {
    const base = this.count > 40000 ? 1.3 : this.count > 8000 ? 1.9 : 2.8;
    const zoomed = Math.max(1, this.scale / this.fittingScale());
    return Math.min(6, base * zoomed ** 0.35) * this.ratio;
  }

  draw() {
    if (!paint || !this.order || !this.width) return;
    this.before?.();
    const context = this.dots.getContext("2d");
    if (!this.image || this.image.width !== this.width || this.image.height !== this.height) {
      this.image = context.createImageData(this.width, this.height);
    }
    const pixels = new Uint32Array(this.image.data.buffer);
    pixels.fill(0);
    for (const layer of this.layers) this.drawDots(pixels, layer);
    context.putImageData(this.image, 0, 0);
    this.drawMarks();
    this.drawn = performance.now();
  }

  drawDots(pixels, layer) {
    const { x, y, order, width, height, scale } = this;
    const [solid, rim] = disc(this.radius, width);
    const edge = Math.ceil(this.radius) + 1;
    const left = width / 2 - this.centre[0] * scale, top = height / 2 + this.centre[1] * scale;
    for (const row of order) {
      if (paint.layer[row] !== layer) continue;
      const px = Math.round(x[row] * scale + left), py = Math.round(top - y[row] * scale);
      if (px < edge || py < edge || px >= width - edge || py >= height - edge) continue;
      const at = py * width + px, colour = paint.rgba[row];
      for (let k = 0; k < solid.length; k++) pixels[at + solid[k]] = colour;
      for (let k = 0; k < rim.length; k += 2) {
        const place = at + rim[k];
        if (pixels[place] === 0) pixels[place] = ((colour & 0xffffff) | (rim[k + 1] << 24)) >>> 0;
      }
    }
  }

  drawMarks() {
    if (!this.order || !this.width) return;
    const context = this.marks.getContext("2d"), css = getComputedStyle(document.documentElement);
    context.clearRect(0, 0, this.width, this.height);
    const ring = (row, radius, colour, thick) => {
      if (!(this.x[row] === this.x[row])) return;
      const [px, py] = this.screen(row);
      context.beginPath();
      context.arc(px, py, radius * this.ratio, 0, 7);
      context.lineWidth = (thick + 2) * this.ratio;
      context.strokeStyle = css.getPropertyValue("--card");
      context.stroke();
      context.lineWidth = thick * this.ratio;
      context.strokeStyle = colour;
      context.stroke();
    };
    const ink = css.getPropertyValue("--ink"), accent = css.getPropertyValue("--accent");
    if (state.tab === "neighbours") for (const row of state.neighbours) ring(row, 4.5, ink, 1.2);
    for (const [row, mark] of state.marks) ring(row, 5, css.getPropertyValue(mark ? "--yes" : "--no"), 2);
    if (state.current >= 0) ring(state.current, 8, accent, 2.6);
    if (state.hovered >= 0) ring(state.hovered, 7, ink, 1.6);
    if (this.outline) drawOutline(context, this.outline, accent, this.ratio);
  }

  nearest(px, py) {
    const [wantX, wantY] = this.plane(px, py);
    let best = -1, least = ((REACH_PX * this.ratio) / this.scale) ** 2;
    for (const row of this.order) {
      const dx = this.x[row] - wantX, dy = this.y[row] - wantY, apart = dx * dx + dy * dy;
      if (apart < least) { least = apart; best = row; }
    }
    return best;
  }

  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const [x, y] = this.plane(px, py);
    const fitting = this.fittingScale();
    this.scale = Math.min(fitting * 4000, Math.max(fitting * 0.5, this.scale * factor));
    this.centre = [x - (px - this.width / 2) / this.scale, y - (this.height / 2 - py) / this.scale];
    this.moved();
  }

  move(dx, dy) {
    this.centre = [this.centre[0] - dx / this.scale, this.centre[1] + dy / this.scale];
    this.moved();
  }

  moved() {
    this.fitted = false;
    lastUsed = this;
    this.soon();
  }

  // Bring a tile into sight where it is not.
  show(row) {
    if (!this.order || !(this.x[row] === this.x[row])) return;
    const [px, py] = this.screen(row), edge = 12 * this.ratio;
    if (px > edge && py > edge && px < this.width - edge && py < this.height - edge) return;
    this.centre = [this.x[row], this.y[row]];
    this.moved();
  }

  inside(outline) {
    const found = [];
    for (const row of this.order) {
      const [px, py] = this.screen(row);
      if (holds(outline, px, py)) found.push(row);
    }
    return found;
  }

  listen() {
    const at = (event) => {
      const box = this.stage.getBoundingClientRect();
      return [(event.clientX - box.left) * this.ratio, (event.clientY - box.top) * this.ratio];
    };
    let from = null, travelled = 0;
    this.stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      lastUsed = this;
      from = at(event);
      travelled = 0;
      this.stage.setPointerCapture(event.pointerId);
      if (state.tool !== "move") this.outline = [from];
    });
    this.stage.addEventListener("pointermove", (event) => {
      const here = at(event);
      if (!from) {
        const row = this.order ? this.nearest(...here) : -1;
        this.pointer = [event.clientX, event.clientY];
        if (row !== state.hovered) set({ hovered: row });
        return;
      }
      const step = [here[0] - from[0], here[1] - from[1]];
      travelled += Math.abs(step[0]) + Math.abs(step[1]);
      if (state.tool === "move") { this.move(...step); from = here; return; }
      this.outline = state.tool === "lasso" ? [...this.outline, here] : boxOf(this.outline[0], here);
      this.drawMarks();
      from = here;
    });
    const end = (event) => {
      if (!from) return;
      const outline = this.outline, here = at(event);
      from = this.outline = null;
      if (travelled < 5 * this.ratio) {
        const row = this.nearest(...here);
        if (row >= 0) set({ current: row, tab: "neighbours" });
        this.drawMarks();
        return;
      }
      if (!outline) return;
      const found = this.inside(outline);
      const rows = event.shiftKey ? [...new Set([...state.selected, ...found])] : found;
      set({ selected: rows, spotlight: null, tab: "selection" });
    };
    this.stage.addEventListener("pointerup", end);
    this.stage.addEventListener("pointercancel", () => { from = this.outline = null; this.drawMarks(); });
    this.stage.addEventListener("pointerleave", () => { if (state.hovered >= 0) set({ hovered: -1 }); });
    this.stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...at(event));
    }, { passive: false });
    this.stage.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
      if (event.key in steps) this.move(...steps[event.key].map((step) => step * this.ratio));
      else if (event.key === "Enter") {
        const row = this.nearestToMiddle();
        if (row >= 0) set({ current: row, tab: "neighbours" });
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });
    this.stage.addEventListener("focus", () => { lastUsed = this; });
    for (const button of this.figure.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => {
        lastUsed = this;
        if (button.dataset.zoom === "fit") this.fit();
        else this.zoom(button.dataset.zoom === "in" ? 1.6 : 1 / 1.6);
      });
    }
  }

  nearestToMiddle() {
    let best = -1, least = Infinity;
    for (const row of this.order) {
      const apart = (this.x[row] - this.centre[0]) ** 2 + (this.y[row] - this.centre[1]) ** 2;
      if (apart < least) { least = apart; best = row; }
    }
    return best;
  }
}

// Rows that have a place, in an order that favours none: a pack sorted by class would show the last class on top.
function shuffled(x) {
  const rows = [];
  for (let row = 0; row < x.length; row++) if (x[row] === x[row]) rows.push(row);
  let seed = 12345;
  for (let k = rows.length - 1; k > 0; k--) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const other = seed % (k + 1);
    [rows[k], rows[other]] = [rows[other], rows[k]];
  }
  return Uint32Array.from(rows);
}

function spread(values, rows) {
  let low = Infinity, high = -Infinity;
  for (const row of rows) {
    if (values[row] < low) low = values[row];
    if (values[row] > high) high = values[row];
  }
  return rows.length ? [low, high] : [0, 1];
}

// Offsets of the pixels of a disc: whole ones, and those of its rim with their share in 0..255.
function disc(radius, width) {
  const solid = [], rim = [], reach = Math.ceil(radius);
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const cover = radius + 0.5 - Math.hypot(dx, dy);
      if (cover >= 1) solid.push(dy * width + dx);
      else if (cover > 0) rim.push(dy * width + dx, Math.round(cover * 255));
    }
  }
  return [solid, rim];
}

const boxOf = ([x0, y0], [x1, y1]) => [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];

function holds(outline, px, py) {
  let inside = false;
  for (let k = 0, before = outline.length - 1; k < outline.length; before = k++) {
    const [x0, y0] = outline[k], [x1, y1] = outline[before];
    if (y0 > py !== y1 > py && px < ((x1 - x0) * (py - y0)) / (y1 - y0) + x0) inside = !inside;
  }
  return inside;
}

function drawOutline(context, outline, colour, ratio) {
  context.beginPath();
  outline.forEach(([px, py], k) => (k ? context.lineTo(px, py) : context.moveTo(px, py)));
  context.closePath();
  context.lineWidth = 1.6 * ratio;
  context.strokeStyle = colour;
  context.fillStyle = colour;
  context.globalAlpha = 0.12;
  context.fill();
  context.globalAlpha = 1;
  context.stroke();
}
