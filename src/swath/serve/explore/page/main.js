// The start of the page, and what belongs to no single part of it: legend, tip, keys.

import { load, picture } from "/page/archive.js";
import { chosen, colouringsKeys, onSchemeChange } from "/page/colours.js";
import { drawLegend } from "/page/legend.js";
import * as labels from "/page/labels.js";
import { TileMap } from "/page/map.js";
import * as side from "/page/side.js";
import { complain, element, number, on, set, state } from "/page/state.js";
import { View, lastUsedView, repaint } from "/page/view.js";

const $ = (id) => document.getElementById(id);
const TABS = ["neighbours", "selection", "ranking", "marks"];

async function main() {
  const archive = await load();
  set({ archive });
  document.title = `${archive.run} · swath explore`;
  $("run").textContent = archive.run;
  $("count").textContent = `${number(archive.tiles)} tiles`;
  set({ colouring: chosen().key });
  drawColourings();
  const map = startMap(archive), plot = startPlot(archive);
  on("colouring spotlight selected", repaint);
  on("scores", () => { drawColourings(); if (chosen().key === "score" || !state.scores) repaint(); });
  on("colouring spotlight scores selected", drawLegend);
  on("hovered", drawTip);
  on("tab", () => { map?.drawMarks(); plot.drawMarks(); });
  on("current", () => { map?.show(state.current); plot.show(state.current); });
  on("tool", drawTools);
  for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => set({ tool: button.dataset.tool }));
  $("colour").addEventListener("change", () => set({ colouring: $("colour").value, spotlight: null }));
  $("help-open").addEventListener("click", () => $("help").showModal());
  document.addEventListener("keydown", key);
  onSchemeChange(() => { repaint(); drawLegend(); });
  drawTools();
  drawLegend();
  side.start();
  repaint();
  requestAnimationFrame(() => requestAnimationFrame(() => {
    performance.mark("tiles-painted");
    document.body.dataset.ready = "yes";
  }));
  labels.start(archive.labels);
}

function startMap(archive) {
  const figure = $("map");
  if (!archive.located) {
    $("map-note").textContent = `None of the ${number(archive.tiles)} tiles says where it lies; tiles of georeferenced images do.`;
    figure.classList.add("is-empty");
    document.body.classList.add("no-map");
    return null;
  }
  const streets = new URLSearchParams(location.search).has("streets");
  const without = archive.tiles - archive.located;
  if (without) $("map-note").textContent = `${number(without)} of ${number(archive.tiles)} tiles without a location are not shown`;
  $("streets").checked = streets;
  $("streets").addEventListener("change", () => location.assign($("streets").checked ? "/?streets" : "/"));
  const map = new TileMap(figure, archive, { streets });
  $("pictures").addEventListener("change", () => map.soon());
  return map;
}

function startPlot(archive) {
  const plot = new View($("plot"));
  const place = () => {
    const flat = archive.layouts[$("layout").value];
    const x = new Float32Array(archive.tiles), y = new Float32Array(archive.tiles);
    for (let row = 0; row < archive.tiles; row++) { x[row] = flat[2 * row]; y[row] = flat[2 * row + 1]; }
    plot.place(x, y);
  };
  $("layout").addEventListener("change", place);
  place();
  return plot;
}

function drawColourings() {
  const select = $("colour"), keys = colouringsKeys();
  select.replaceChildren(...keys.map(({ key, title }) => element("option", { value: key }, title)));
  if (!keys.some(({ key }) => key === state.colouring)) set({ colouring: keys[0].key, spotlight: null });
  select.value = state.colouring;
}

function drawTools() {
  for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-checked", String(button.dataset.tool === state.tool));
  document.body.dataset.tool = state.tool;
}

function drawTip() {
  const tip = $("tip"), view = lastHovered();
  tip.hidden = state.hovered < 0 || !view;
  if (tip.hidden) return;
  tip.replaceChildren(element("img", { src: picture(state.archive, state.hovered, 128), alt: "", width: 88, height: 88 }));
  const [x, y] = view.pointer;
  const right = x + 120 > innerWidth, low = y + 120 > innerHeight;
  tip.style.left = `${x + (right ? -108 : 16)}px`;
  tip.style.top = `${y + (low ? -108 : 16)}px`;
}

// The pointer is over the stage of a view: only then a picture hangs at it.
function lastHovered() {
  for (const id of ["map", "plot"]) {
    const stage = document.querySelector(`#${id} .stage`);
    if (stage.matches(":hover") && stage.view?.pointer) return stage.view;
  }
  return null;
}

function openTab(tab) {
  set({ tab });
  $("gallery").focus({ preventScroll: true }); // arrows now go from tile to tile, not across a view
}

function nextColouring() {
  const keys = colouringsKeys().map(({ key }) => key);
  set({ colouring: keys[(keys.indexOf(state.colouring) + 1) % keys.length], spotlight: null });
  $("colour").value = state.colouring;
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  if (event.target.matches("input:not([type=checkbox]), select, textarea")) return;
  const act = {
    y: () => labels.markAndStep(1), n: () => labels.markAndStep(0), u: () => labels.markAndStep(null),
    j: () => side.step(1), k: () => side.step(-1), ArrowRight: () => side.step(1), ArrowLeft: () => side.step(-1),
    v: () => set({ tool: "move" }), b: () => set({ tool: "box" }), l: () => set({ tool: "lasso" }),
    c: nextColouring,
    "+": () => lastUsedView()?.zoom(1.6), "=": () => lastUsedView()?.zoom(1.6), "-": () => lastUsedView()?.zoom(1 / 1.6), 0: () => lastUsedView()?.fit(),
    Escape: () => set({ selected: [], spotlight: null }),
    "?": () => $("help").showModal(),
  }[event.key] ?? (TABS[event.key - 1] ? () => openTab(TABS[event.key - 1]) : null);
  if (!act) return;
  event.preventDefault();
  act();
}

main().catch((error) => {
  complain(error);
  document.body.dataset.failed = "yes";
});
