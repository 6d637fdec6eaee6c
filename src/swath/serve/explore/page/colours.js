// A colour for every tile: by what was chosen, dimmed where something else is in the spotlight.

import { state } from "/page/state.js";

const TWELVE = [
  "#3b7dd8", "#e08a2e", "#2f9e77", "#d1495b", "#8a63c9", "#b9a125",
  "#3fb0c9", "#c86fa8", "#7a9a3a", "#94704c", "#5f6fe0", "#98a39d",
];
const OF_SPLIT = { train: "#3f7fd0", val: "#f0b429", test: "#e0457b", gap: "#7c8783" };
const OF_ERROR = { right: "#7fa594", wrong: "#d1344b", "1 wrong": "#e6ad45", "2 wrong": "#e0702e", "3 or more wrong": "#d1344b" };
const RAMP = [[58, 84, 148], [50, 136, 150], [112, 186, 122], [242, 208, 92]];
const isDark = matchMedia("(prefers-color-scheme: dark)");

export const NOTHING = () => (isDark.matches ? "#5b6762" : "#b3bbb6");
const FAINT = () => (isDark.matches ? [62, 72, 68] : [212, 216, 211]);

export function colourOf(colouring, code) {
  const name = colouring.names[code];
  if (colouring.key === "split") return OF_SPLIT[name];
  if (colouring.key === "error") return OF_ERROR[name];
  return TWELVE[code % TWELVE.length];
}

export function ramp(share) {
  const at = Math.min(1, Math.max(0, share)) * (RAMP.length - 1);
  const k = Math.min(RAMP.length - 2, Math.floor(at));
  return RAMP[k].map((low, channel) => Math.round(low + (RAMP[k + 1][channel] - low) * (at - k)));
}

// Those of the archive, and the ranking as soon as there is one.
export function colourings() {
  const known = state.archive.colourings;
  if (!state.scores) return known;
  return [...known, { key: "score", title: "ranking", names: [], about: `Scores of “${state.label}”.` }];
}

export const colouringsKeys = () => colourings().map(({ key, title }) => ({ key, title }));

export const chosen = () => colourings().find((each) => each.key === state.colouring) ?? colourings()[0];

export function valuesOf(colouring) {
  return colouring.key === "score" ? state.scores : state.archive.array(`colour-${colouring.key}`);
}

export function rangeOf(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

const packed = ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0; // bytes R, G, B, A
const fromHex = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));

// rgba (N,) for a canvas, and layer (N,): 0 below, 1 above.
export function paintOf() {
  const colouring = chosen(), values = valuesOf(colouring), count = state.archive.tiles;
  const rgba = new Uint32Array(count), layer = new Uint8Array(count);
  const faint = packed(FAINT()), nothing = packed(fromHex(NOTHING()));
  const lit = spotlit(colouring, values);
  const isCode = colouring.names.length > 0;
  const table = isCode ? colouring.names.map((_, code) => packed(fromHex(colourOf(colouring, code)))) : rampTable();
  const [low, high] = isCode ? [0, 1] : rangeOf(values);
  const scale = 255 / Math.max(high - low, 1e-12);
  for (let row = 0; row < count; row++) {
    const value = values[row];
    const known = isCode ? value !== state.archive.nothing : value === value;
    const colour = !known ? nothing : isCode ? table[value] : table[Math.round((value - low) * scale)];
    const dim = lit !== null && !lit[row];
    rgba[row] = dim ? faint : colour;
    layer[row] = known && !dim ? 1 : 0;
  }
  return { rgba, layer };
}

const rampTable = () => Array.from({ length: 256 }, (_, k) => packed(ramp(k / 255)));

// (N,) 1 where a tile is in the light, or null where all are.
function spotlit(colouring, values) {
  const { selected, spotlight, archive } = state;
  if (!selected.length && spotlight === null) return null;
  const lit = new Uint8Array(archive.tiles);
  if (spotlight === null) {
    for (const row of selected) lit[row] = 1;
    return lit;
  }
  const label = colouring.key === "label" ? archive.vocabulary.indexOf(colouring.names[spotlight]) : -1;
  const bits = label >= 0 ? archive.array("labels") : null; // all tiles that have it, whatever they have besides
  const width = Math.ceil(archive.vocabulary.length / 8);
  for (let row = 0; row < archive.tiles; row++) {
    lit[row] = bits ? (bits[row * width + (label >> 3)] >> (label & 7)) & 1 : Number(values[row] === spotlight);
  }
  if (selected.length) {
    const among = new Uint8Array(archive.tiles);
    for (const row of selected) among[row] = lit[row];
    return among;
  }
  return lit;
}

export function onSchemeChange(listener) {
  isDark.addEventListener("change", listener);
}
