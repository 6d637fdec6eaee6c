// What the colours mean; a word of it puts the others in the shade.

import { NOTHING, chosen, colourOf, ramp, rangeOf, valuesOf } from "/page/colours.js";
import { element, number, set, state } from "/page/state.js";

export function drawLegend() {
  const colouring = chosen(), legend = document.getElementById("legend");
  const parts = colouring.names.length ? words(colouring) : [scale(colouring)];
  legend.replaceChildren(...parts, colouring.about ? element("span", { class: "note" }, colouring.about) : "");
}

function words(colouring) {
  const parts = colouring.names.map((name, code) => {
    const swatch = element("i");
    swatch.style.background = colourOf(colouring, code);
    return element("button", {
      type: "button", class: "word", "aria-pressed": String(state.spotlight === code),
      title: state.spotlight === code ? "Show all" : "Show these alone",
      onclick: () => set({ spotlight: state.spotlight === code ? null : code }),
    }, swatch, name, element("small", {}, number(countOf(colouring, code))));
  });
  const nothing = colouring.counts.at(-1);
  if (!nothing) return parts;
  const swatch = element("i");
  swatch.style.background = NOTHING();
  return [...parts, element("span", { class: "word" }, swatch, colouring.key === "error" ? "not scored" : "none", element("small", {}, number(nothing)))];
}

// Of labels all tiles that have one, also those in the colour of a rarer one.
function countOf(colouring, code) {
  const place = colouring.key === "label" ? state.archive.vocabulary.indexOf(colouring.names[code]) : -1;
  return place >= 0 ? state.archive.label_counts[place] : colouring.counts[code];
}

function scale(colouring) {
  const [low, high] = rangeOf(valuesOf(colouring));
  const said = (value) => colouring.key === "date" ? new Date(value * 864e5).toISOString().slice(0, 10) : value.toFixed(2);
  const bar = element("i", { class: "ramp" });
  const stops = [0, 0.25, 0.5, 0.75, 1].map((share) => `rgb(${ramp(share).join(" ")})`);
  bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  return element("span", { class: "word" }, said(low), bar, said(high));
}
