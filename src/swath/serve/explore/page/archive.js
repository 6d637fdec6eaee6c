// The archive as the server describes it: numbers of all tiles as typed arrays, and what is asked tile by tile.

async function answer(path, options) {
  const response = await fetch(path, options);
  if (!response.ok) {
    const text = await response.text();
    let detail = text;
    try { detail = JSON.parse(text).detail; } catch { /* plain text is said as it is */ }
    throw new Error(typeof detail === "string" ? detail : `the server refused ${path} (${response.status})`);
  }
  return response;
}

export const json = async (path) => (await answer(path)).json();

export async function load() {
  const [about, block, labels] = await Promise.all([
    json("/api/archive"),
    answer("/api/block").then((response) => response.arrayBuffer()),
    json("/api/labels"),
  ]);
  const array = (name) => {
    const { type, offset, length } = about.arrays[name];
    return type === "uint8" ? new Uint8Array(block, offset, length) : new Float32Array(block, offset, length);
  };
  return { ...about, array, labels, layouts: { near: array("near"), pca: array("pca") }, corners: array("corners") };
}

export const picture = (archive, row, px) => `/picture/${row}?px=${px}&v=${archive.version}`;
export const sheet = (archive, rows, px) => `/sheet?rows=${rows.join(",")}&px=${px}&v=${archive.version}`;

// Marks of one label to the server; what it wrote, and a score for every tile or null.
export async function sendMarks(label, positive, negative) {
  const body = JSON.stringify({ label, positive, negative });
  const response = await answer("/api/labels", { method: "POST", body, headers: { "content-type": "application/json" } });
  const bytes = await response.arrayBuffer();
  const length = new DataView(bytes).getUint32(0, true);
  const found = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  const scores = new Float32Array(bytes, 4 + length);
  return { ...found, scores: scores.length ? scores : null };
}
