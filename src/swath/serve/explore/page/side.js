// The chosen tile, and the gallery: its neighbours, the selection, the ranking, the marks.

import { json, picture } from "/page/archive.js";
import { Pictures } from "/page/map.js";
import { complain, element, number, on, set, state } from "/page/state.js";

const PAGE = 60; // tiles of a long gallery at a time
const NEIGHBOURS = 24;
let about = null; // of the current tile
let shown = PAGE;
let similarity = new Map();
let order = "likeliest";
let pictures = null; // many in one request: 24 requests took longer than all the rest of a click

export function start() {
  pictures = new Pictures(state.archive, paintThumbs);
  on("current", chooseTile);
  on("current marks label", drawTile);
  on("tab neighbours selected scores marks current", drawGallery);
  on("tab selected", () => { shown = PAGE; drawGallery(); });
  for (const tab of tabs()) tab.addEventListener("click", () => set({ tab: tab.dataset.tab }));
  drawTile();
  drawGallery();
}

const tabs = () => [...document.querySelectorAll("[data-tab]")];

async function chooseTile() {
  const row = state.current;
  about = null;
  if (row < 0) return;
  try {
    const [tile, near] = await Promise.all([json(`/api/tile/${row}`), json(`/api/neighbours/${row}?k=${NEIGHBOURS}`)]);
    if (row !== state.current) return; // another one was chosen meanwhile
    about = tile;
    similarity = new Map(near.rows.map((other, k) => [other, near.similarities[k]]));
    set({ neighbours: near.rows });
    drawTile();
    document.getElementById("tile").dataset.answered = row;
  } catch (error) { complain(error); }
}

function drawTile() {
  const card = document.getElementById("tile"), { archive, current } = state;
  if (current < 0) {
    card.replaceChildren(element("h2", {}, "Tile"), element("p", { class: "empty" },
      "Choose a tile on the map or in the plot: its picture, what is known of it, and the tiles most like it are shown here."));
    return;
  }
  const known = about?.row === current ? about : null;
  const mark = state.marks.get(current);
  const button = (value, word, title, kind) => element("button", {
    type: "button", class: kind, title, "aria-pressed": String(mark === value), "data-mark": word,
    onclick: () => document.dispatchEvent(new CustomEvent("mark", { detail: mark === value ? null : value })),
  }, word);
  card.replaceChildren(
    element("img", { class: "large", src: picture(archive, current, 256), alt: `picture of tile ${known?.id ?? current}`, width: 128, height: 128 }),
    element("div", { class: "facts" },
      element("h2", {}, known?.id ?? "…"),
      known ? chips(known.labels) : null,
      element("p", { class: "note" }, known ? facts(known) : ""),
      element("div", { class: "row" },
        element("span", { class: "note" }, state.label ? `${state.label}?` : "an example?"),
        button(1, "Yes", "It has the label (y)", "yes"), button(0, "No", "It has not (n)", "no")),
    ),
  );
}

function chips(labels) {
  if (labels === null) return element("p", { class: "note" }, "not labelled");
  if (!labels.length) return element("p", { class: "note" }, "none of the labels");
  return element("p", { class: "chips" }, ...labels.map((name) => element("span", { class: "chip" }, name)));
}

function facts(known) {
  const place = known.lonlat && `${known.lonlat[1].toFixed(4)}, ${known.lonlat[0].toFixed(4)}`;
  return [known.split, known.acquired, place].filter(Boolean).join(" · ") || "no split, date or place";
}

// Rows of the gallery as it is now, with what stands under each.
export function galleryRows() {
  const { tab, scores } = state;
  if (tab === "neighbours") return state.current < 0 ? [] : state.neighbours;
  if (tab === "selection") return scores ? [...state.selected].sort((a, b) => scores[b] - scores[a]) : state.selected;
  if (tab === "marks") return [...state.marks.keys()];
  return scores ? ranked(scores).filter((row) => row === state.current || !state.marks.has(row)) : []; // what is yet to be marked
}

let rankedOf = null, rankedRows = [];

function ranked(scores) {
  if (rankedOf === scores && rankedRows.order === order) return rankedRows;
  const value = order === "likeliest" ? (row) => -scores[row] : (row) => Math.abs(scores[row] - 0.5);
  rankedOf = scores;
  rankedRows = Array.from(scores.keys()).sort((a, b) => value(a) - value(b));
  rankedRows.order = order;
  return rankedRows;
}

const NOTHING_YET = {
  neighbours: "Choose a tile to see the ones that are most like it to the network.",
  selection: "Draw a box (b) or a lasso (l) on the map or in the plot. What you select in one is shown in the other, and here.",
  ranking: "Mark a tile with yes (y), and every tile of the archive is ranked by how much it looks like your examples. Each no (n) makes the ranking sharper.",
  marks: "Tiles that you mark with yes (y) or no (n) are gathered here.",
};

function drawGallery() {
  const { tab } = state, rows = galleryRows();
  for (const button of tabs()) button.setAttribute("aria-selected", String(button.dataset.tab === tab));
  label("selection", state.selected.length);
  label("marks", state.marks.size);
  document.getElementById("gallery-head").replaceChildren(...head(tab, rows));
  const gallery = document.getElementById("gallery");
  if (!rows.length) {
    gallery.replaceChildren(element("p", { class: "empty" }, NOTHING_YET[tab]));
    return;
  }
  const seen = rows.slice(0, shown);
  const more = rows.length - seen.length;
  gallery.replaceChildren(
    element("div", { class: "thumbs" }, ...seen.map((row) => thumb(row, under(tab, row)))),
    more > 0 ? element("button", { type: "button", class: "more", onclick: () => { shown += 2 * PAGE; drawGallery(); } }, `Show more (${number(more)})`) : "",
  );
  paintThumbs();
  gallery.dataset.of = tab === "neighbours" ? state.current : tab;
}

function label(name, count) {
  const tab = document.querySelector(`[data-tab="${name}"]`), word = name[0].toUpperCase() + name.slice(1);
  tab.textContent = count ? `${word} ${number(count)}` : word;
}

function head(tab, rows) {
  if (tab === "selection" && rows.length) {
    const all = (value, word) => element("button", { type: "button", onclick: () => document.dispatchEvent(new CustomEvent("mark-all", { detail: { rows, value } })) }, word);
    return [all(1, "All yes"), all(0, "All no"), element("button", { type: "button", onclick: () => set({ selected: [] }) }, "Let go")];
  }
  if (tab === "ranking" && rows.length) {
    const pick = (name, title) => element("button", {
      type: "button", role: "radio", title, "aria-checked": String(order === name),
      onclick: () => { order = name; shown = PAGE; drawGallery(); },
    }, name === "likeliest" ? "Likeliest" : "Least sure");
    return [element("div", { class: "group", role: "radiogroup", "aria-label": "Order" },
      pick("likeliest", "Most like the examples first"), pick("unsure", "Where a mark would teach most"))];
  }
  return [];
}

function under(tab, row) {
  if (tab === "neighbours") return similarity.get(row)?.toFixed(2) ?? "";
  return state.scores ? state.scores[row].toFixed(2) : "";
}

function thumb(row, words) {
  const mark = state.marks.get(row);
  const kind = ["thumb", mark === 1 ? "is-yes" : mark === 0 ? "is-no" : "", row === state.current ? "is-current" : ""];
  return element("button", {
    type: "button", class: kind.filter(Boolean).join(" "), "data-row": row,
    "aria-label": `tile ${row}${words ? `, ${words}` : ""}${mark === undefined ? "" : mark ? ", yes" : ", no"}`,
    onclick: () => chooseFromGallery(row),
    onpointerenter: () => set({ hovered: row }), onpointerleave: () => set({ hovered: -1 }),
    onfocus: () => set({ hovered: row }), onblur: () => set({ hovered: -1 }),
  }, element("canvas", { width: thumbPx(), height: thumbPx() }), element("span", {}, words));
}

const thumbPx = () => (state.archive.size_px <= 64 ? 64 : 128);

// Put what has come into the gallery, and ask for the rest.
function paintThumbs() {
  const px = thumbPx(), missing = [];
  for (const canvas of document.querySelectorAll("#gallery canvas:not([data-painted])")) {
    const row = Number(canvas.parentElement.dataset.row), found = pictures.of(row, px);
    if (!found) { missing.push(row); continue; }
    canvas.getContext("2d").drawImage(found.bitmap, found.left, found.top, px, px, 0, 0, px, px);
    canvas.dataset.painted = "";
  }
  pictures.want(missing, px, missing.length);
}

// A tile of the gallery becomes the current one; the gallery stays, but for that of neighbours, which follows.
export function chooseFromGallery(row) {
  set({ current: row, hovered: -1 });
}

export function step(by) {
  const rows = galleryRows().slice(0, shown);
  if (!rows.length) return;
  const at = rows.indexOf(state.current);
  const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
  chooseFromGallery(next);
  document.querySelector(`.thumb[data-row="${next}"]`)?.scrollIntoView({ block: "nearest" });
}
