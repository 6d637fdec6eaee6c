// What the parts of the page share; whoever changes something says so, and the others listen.

const listeners = new Map();

export const state = {
  archive: null,
  hovered: -1,
  current: -1,
  selected: [], // rows
  neighbours: [], // rows of the current tile
  colouring: null, // key
  spotlight: null, // a code of the colouring, or null
  tool: "move",
  tab: "neighbours",
  label: "",
  marks: new Map(), // row -> 1 or 0
  scores: null, // Float32Array by row
};

export function on(names, listener) {
  for (const name of names.split(" ")) listeners.set(name, [...(listeners.get(name) ?? []), listener]);
}

export function set(changes) {
  Object.assign(state, changes);
  const heard = new Set(Object.keys(changes).flatMap((name) => listeners.get(name) ?? []));
  for (const listener of heard) listener();
}

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null)); // strings become text, never markup
  return made;
}

export const number = (value) => value.toLocaleString("en-US");

export function complain(error) {
  const line = document.getElementById("problem");
  line.textContent = error.message ?? String(error);
  line.hidden = false;
  clearTimeout(complain.timer);
  complain.timer = setTimeout(() => { line.hidden = true; }, 8000);
}
