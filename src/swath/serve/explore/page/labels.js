// Label by example: marks go to the server, which writes them down and ranks the archive.

import { sendMarks } from "/page/archive.js";
import { step } from "/page/side.js";
import { complain, element, number, on, set, state } from "/page/state.js";

const known = new Map(); // label -> what the server said of it last
let last = null; // what the server said of the current label
let sending = Promise.resolve();

const input = () => document.getElementById("label");

export function start(labels) {
  for (const label of labels) known.set(label.label, label);
  on("marks label", draw);
  document.addEventListener("mark", ({ detail }) => mark(state.current, detail));
  document.addEventListener("mark-all", ({ detail }) => markAll(detail.rows, detail.value));
  input().addEventListener("change", () => rename(input().value.trim()));
  document.getElementById("label-new").addEventListener("click", begin);
  document.getElementById("copy").addEventListener("click", copy);
  document.getElementById("save-csv").addEventListener("click", () => { location.href = `/labels/${encodeURIComponent(state.label)}.csv`; });
  const first = [...known.values()].at(-1);
  if (first) open(first);
  draw();
}

export function mark(row, value) {
  if (row < 0) return;
  markAll([row], value);
}

function markAll(rows, value) {
  const marks = new Map(state.marks);
  for (const row of rows) {
    if (value === null) marks.delete(row);
    else marks.set(row, value);
  }
  set({ marks, label: state.label || freeName() });
  send();
}

// y, n and u of the keyboard: mark, and go on to the next tile of the gallery.
export function markAndStep(value) {
  if (state.current < 0) return;
  mark(state.current, value);
  if (state.tab === "ranking" || state.tab === "selection") step(1);
}

function freeName() {
  for (let k = 1; ; k++) if (!known.has(`label ${k}`)) return `label ${k}`;
}

function open(label) {
  last = label;
  const marks = new Map([...label.positive.map((row) => [row, 1]), ...label.negative.map((row) => [row, 0])]);
  set({ label: label.label, marks, scores: null });
  if (marks.size) send();
}

function begin() {
  last = null;
  set({ label: "", marks: new Map(), scores: null });
  input().focus();
}

// Another name: a label that is known is opened; else the current one is called so from now on.
function rename(name) {
  if (!name || name === state.label) { draw(); return; }
  if (known.has(name)) { open(known.get(name)); return; }
  const before = state.label;
  set({ label: name });
  if (!state.marks.size) return;
  send().then((written) => {
    if (!written || !before) return;
    known.delete(before);
    return sendMarks(before, [], []).catch(complain); // its files go
  });
}

// Resolves to whether it was written. One after another, and only the newest marks are sent.
function send() {
  sending = sending.then(async () => {
    const { label, marks } = state, rows = (value) => [...marks].filter(([, mark]) => mark === value).map(([row]) => row);
    try {
      const found = await sendMarks(label, rows(1), rows(0));
      if (marks.size) known.set(label, found);
      else known.delete(label);
      if (label !== state.label) return true;
      last = found;
      set({ scores: found.scores });
      draw();
      document.getElementById("labelling").dataset.fitted = `${marks.size}`;
      return true;
    } catch (error) {
      complain(error);
      return false;
    }
  });
  return sending;
}

function draw() {
  input().value = state.label;
  document.getElementById("labels").replaceChildren(...[...known.keys()].map((name) => element("option", { value: name })));
  const yes = [...state.marks.values()].filter(Boolean).length, no = state.marks.size - yes;
  const line = document.getElementById("label-state");
  if (!state.marks.size) line.textContent = "Mark a few tiles that have it with yes, a few that have not with no.";
  else if (!yes) line.textContent = `${number(no)} no; a yes is needed before tiles can be ranked.`;
  else {
    const time = last?.seconds === undefined || !state.scores ? "" : `; ${number(state.archive.tiles)} tiles ranked in ${last.seconds < 0.01 ? "under 0.01" : last.seconds.toFixed(2)} s`;
    line.textContent = `${number(yes)} yes, ${number(no)} no${time}`;
  }
  const details = document.getElementById("export");
  details.hidden = !state.marks.size;
  document.getElementById("label-command").textContent = last?.command ?? "";
}

async function copy() {
  const text = document.getElementById("label-command").textContent, button = document.getElementById("copy");
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(document.getElementById("label-command"));
    button.textContent = "Selected: press Ctrl-C";
  }
  setTimeout(() => { button.textContent = "Copy the command"; }, 2000);
}
