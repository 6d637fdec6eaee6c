// What the map has below its dots: the pictures of the tiles, their outlines, a scale, streets where asked for.

import { sheet } from "/page/archive.js";
import { on, state } from "/page/state.js";
import { View } from "/page/view.js";

const WORLD_M = 2 * Math.PI * 6378137; // of Web Mercator
const MOST_PICTURES = 6000, LEAST_SIDE_PX = 9, OUTLINE_SIDE_PX = 26;
const DOT_ON_PICTURE = 0.09; // radius in sides of a tile, so that its picture can be seen
const HELD = 20000; // pictures, before those out of sight are let go
const AT_ONCE = 4;

export class TileMap extends View {
  constructor(figure, archive, { streets }) {
    super(figure);
    this.archive = archive;
    this.streets = streets ? new Streets(() => this.soon()) : null;
    this.pictures = new Pictures(archive, () => this.soon());
    this.scaleBar = document.createElement("div");
    this.scaleBar.className = "scale";
    this.credit = document.createElement("div");
    this.credit.className = "credit";
    this.stage.append(this.scaleBar, this.credit);
    this.credit.title = this.credit.textContent = [streets ? "© OpenStreetMap contributors" : "", archive.attribution].filter(Boolean).join(" · ");
    this.side = this.typicalSide();
    this.before = () => this.drawGround();
    on("pictures", () => this.soon());
    this.place(...this.middles());
  }

  get radius() {
    const usual = super.radius;
    if (!this.onPictures || this.isShaded) return usual;
    return Math.max(this.ratio, Math.min(usual, this.side * this.scale * DOT_ON_PICTURE));
  }

  // Over pictures the dots in the shade are left out: they would hide what the chosen ones stand in.
  get layers() {
    return this.onPictures && this.isShaded ? [1] : [0, 1];
  }

  get isShaded() { return state.selected.length > 0 || state.spotlight !== null; }

  middles() {
    const { corners, tiles } = this.archive;
    const x = new Float32Array(tiles), y = new Float32Array(tiles);
    for (let row = 0; row < tiles; row++) {
      for (let k = 0; k < 4; k++) {
        x[row] += corners[row * 8 + 2 * k] / 4;
        y[row] += corners[row * 8 + 2 * k + 1] / 4;
      }
    }
    return [x, y];
  }

  typicalSide() {
    const { corners, tiles } = this.archive, sides = [];
    for (let row = 0; row < tiles; row += Math.max(1, Math.floor(tiles / 500))) {
      const side = Math.hypot(corners[row * 8 + 2] - corners[row * 8], corners[row * 8 + 3] - corners[row * 8 + 1]);
      if (side === side) sides.push(side);
    }
    return sides.sort((a, b) => a - b)[sides.length >> 1] ?? 1;
  }

  drawGround() {
    const context = this.ground.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    this.streets?.draw(context, this);
    const side = this.side * this.scale;
    const rows = side >= LEAST_SIDE_PX ? this.inSight() : [];
    this.onPictures = document.getElementById("pictures").checked && rows.length > 0 && rows.length <= MOST_PICTURES;
    if (this.onPictures) this.drawPictures(context, rows, side);
    if (side >= OUTLINE_SIDE_PX * this.ratio && rows.length <= MOST_PICTURES) this.drawOutlines(context, rows);
    this.drawScale();
  }

  inSight() {
    const [west, north] = this.plane(0, 0), [east, south] = this.plane(this.width, this.height), edge = this.side;
    const rows = [];
    for (let row = 0; row < this.x.length; row++) {
      if (this.x[row] > west - edge && this.x[row] < east + edge && this.y[row] > south - edge && this.y[row] < north + edge) {
        rows.push(row);
      }
    }
    return rows;
  }

  drawPictures(context, rows, side) {
    const px = [16, 32, 64, 128].find((size) => size >= side * 0.9) ?? 128;
    const missing = [];
    for (const row of rows) {
      const found = this.pictures.of(row, px);
      if (!found) missing.push(row);
      const held = found ?? this.pictures.any(row);
      if (!held) continue;
      const [a, b, , d] = this.cornersOf(row), size = held.px;
      context.setTransform((b[0] - a[0]) / size, (b[1] - a[1]) / size, (d[0] - a[0]) / size, (d[1] - a[1]) / size, a[0], a[1]);
      const seam = size * 0.004; // neighbours meet without a hairline between them
      // Half a pixel in from the edge: smoothing would mix in the tile that is next on the sheet.
      context.drawImage(held.bitmap, held.left + 0.5, held.top + 0.5, size - 1, size - 1, -seam, -seam, size + 2 * seam, size + 2 * seam);
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    this.pictures.want(missing, px, rows.length);
  }

  drawOutlines(context, rows) {
    context.beginPath();
    for (const row of rows) {
      this.cornersOf(row).forEach(([x, y], k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.closePath();
    }
    context.lineWidth = this.ratio;
    context.strokeStyle = "rgb(128 140 134 / 45%)";
    context.stroke();
  }

  cornersOf(row) {
    const { corners } = this.archive;
    return [0, 2, 4, 6].map((k) => [
      (corners[row * 8 + k] - this.centre[0]) * this.scale + this.width / 2,
      this.height / 2 - (corners[row * 8 + k + 1] - this.centre[1]) * this.scale,
    ]);
  }

  drawScale() {
    const north = this.centre[1] + this.archive.origin[1];
    const metres = this.ratio / this.scale / Math.cosh(north / 6378137); // of a CSS pixel on the ground
    const most = 110 * metres, power = 10 ** Math.floor(Math.log10(most));
    const length = [5, 2, 1].map((factor) => factor * power).find((candidate) => candidate <= most) ?? power;
    this.scaleBar.style.width = `${length / metres}px`;
    this.scaleBar.textContent = length >= 1000 ? `${length / 1000} km` : `${length} m`;
  }
}

// Pictures of tiles, many in one request, kept while they may be of use.
export class Pictures {
  constructor(archive, ready) {
    this.archive = archive;
    this.ready = ready;
    this.held = new Map(); // "px:row" -> {bitmap, left, top, px}
    this.queue = [];
    this.under = new Set();
    this.running = 0;
  }

  of(row, px) { return this.held.get(`${px}:${row}`); }

  any(row) { return [128, 64, 32, 16].map((px) => this.of(row, px)).find(Boolean); }

  want(rows, px, inSight) {
    if (this.held.size > HELD + inSight) this.held.clear();
    const fresh = rows.filter((row) => !this.under.has(`${px}:${row}`));
    const size = px >= 64 ? 64 : 256;
    this.queue = []; // what was wanted for another view of the map is no longer
    for (let start = 0; start < fresh.length; start += size) this.queue.push([fresh.slice(start, start + size), px]);
    this.next();
  }

  next() {
    while (this.running < AT_ONCE && this.queue.length) this.fetch(...this.queue.shift());
  }

  async fetch(rows, px) {
    this.running++;
    const keys = rows.map((row) => `${px}:${row}`);
    for (const key of keys) this.under.add(key);
    try {
      const response = await fetch(sheet(this.archive, rows, px));
      if (!response.ok) return; // the dots stay; a damaged tile says so when it is chosen
      const bitmap = await createImageBitmap(await response.blob());
      const across = Math.ceil(Math.sqrt(rows.length));
      keys.forEach((key, k) => this.held.set(key, { bitmap, left: (k % across) * px, top: Math.floor(k / across) * px, px }));
      for (const key of keys) this.under.delete(key);
      this.ready();
    } finally {
      this.running--;
      this.next();
    }
  }
}

// The background of OpenStreetMap; only a page that was asked for with ?streets may load it.
class Streets {
  constructor(ready) {
    this.ready = ready;
    this.images = new Map();
  }

  draw(context, map) {
    const { origin } = map.archive;
    const level = Math.max(0, Math.min(19, Math.round(Math.log2((WORLD_M * map.scale) / map.ratio / 256))));
    const count = 2 ** level, side = WORLD_M / count;
    const [west, north] = map.plane(0, 0), [east, south] = map.plane(map.width, map.height);
    const column = (x) => Math.floor((x + origin[0] + WORLD_M / 2) / side);
    const line = (y) => Math.floor((WORLD_M / 2 - y - origin[1]) / side);
    context.globalAlpha = matchMedia("(prefers-color-scheme: dark)").matches ? 0.55 : 0.85;
    for (let j = Math.max(0, line(north)); j <= Math.min(count - 1, line(south)); j++) {
      for (let i = Math.max(0, column(west)); i <= Math.min(count - 1, column(east)); i++) {
        const image = this.image(level, i, j);
        if (!image.complete || !image.naturalWidth) continue;
        const x = (i * side - WORLD_M / 2 - origin[0] - map.centre[0]) * map.scale + map.width / 2;
        const y = map.height / 2 - (WORLD_M / 2 - j * side - origin[1] - map.centre[1]) * map.scale;
        context.drawImage(image, x, y, side * map.scale + 0.5, side * map.scale + 0.5);
      }
    }
    context.globalAlpha = 1;
  }

  image(level, i, j) {
    const key = `${level}/${i}/${j}`;
    if (!this.images.has(key)) {
      const image = new Image();
      image.onload = this.ready;
      image.src = `https://tile.openstreetmap.org/${key}.png`;
      this.images.set(key, image);
    }
    return this.images.get(key);
  }
}
