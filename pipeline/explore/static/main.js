// The page: joins the map, the legend, the card of a row and the labels.

import { Card, Clips, Tip } from "./clip.js";
import { showLegend, waysToColour } from "./colouring.js";
import { Labelling } from "./labelling.js";
import { RowMap } from "./map.js";
import { ask } from "./server.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const byId = (id) => document.getElementById(id);

const data = await ask("map");
const clips = new Clips();
let similarities = null;
let coloured = null;

const card = new Card(byId("clip"), clips, describe);
const labelling = new Labelling(data, clips, { describe, onShow: show, onLabels, onDone: () => byId("map").focus() });
const map = new RowMap(byId("map"), data, { onSelect: select, onHover: (row) => tip.show(row) });
const tip = new Tip(byId("map"), clips, describe);
const ways = waysToColour(data, (row) => labelling.labelOf(row), () => similarities ?? data.x.map(() => null));

/** Name, folder, time and label of a row, as texts. */
function describe(row) {
  const [, folder, name] = data.recordings[data.recording[row]].match(/^(.*\/)?([^/]*)$/);
  return { name, folder: folder ?? "", time: `${clock(data.start[row])} to ${clock(data.end[row])}`, label: labelling.labelOf(row) };
}

function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const [hours, minutes] = [Math.floor(tenths / 36000), Math.floor(tenths / 600) % 60];
  const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** Rows were selected on the map, by a click or a lasso. */
function select(rows) {
  map.current = rows.length === 1 ? rows[0] : null;
  map.placeRing();
  labelling.select(rows);
  card.show(map.current, true);
  compare();
}

/** Show and play a row, within a selection or alone. */
function show(row, among = [row]) {
  map.select([row, ...among.filter((one) => one !== row)]);
  if (among.length === 1) labelling.select(among);
  card.show(row, true);
  compare();
}

async function compare() {
  if (byId("colour").value !== "similarity") return;
  similarities = map.current === null ? null : await ask(`rows/${map.current}/similarities`);
  recolour();
}

function onLabels() {
  card.relabel();
  recolour();
}

function recolour() {
  coloured = ways[byId("colour").value].colour();
  showLegend(byId("legend"), coloured, (chosen) => {
    const [grey] = coloured.palette;
    map.colour(coloured.numbers, coloured.palette.map((one, number) => (chosen === null || number === chosen ? one : grey)));
  });
  return map.colour(coloured.numbers, coloured.palette);
}

function pressed(button, active) {
  byId(button).setAttribute("aria-pressed", String(active));
}

for (const [name, { title }] of Object.entries(ways)) byId("colour").append(new Option(title, name));
byId("colour").value = labelling.labelled().length ? "label" : "cluster";
byId("colour").addEventListener("change", () => (byId("colour").value === "similarity" ? compare() : recolour()));
for (const lasso of [false, true]) {
  byId(lasso ? "lasso" : "move").addEventListener("click", () => {
    map.lasso = lasso;
    pressed("lasso", lasso);
    pressed("move", !lasso);
  });
}
byId("whole").addEventListener("click", () => map.whole());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);

byId("map").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in ARROWS) {
    const row = map.neighbour(...ARROWS[event.key]);
    if (row !== null) go(row);
  } else if (event.key === "Enter" || event.key === " ") card.play();
  else if (event.key === "+" || event.key === "=") map.zoom(1);
  else if (event.key === "-") map.zoom(-1);
  else if (event.key.toLowerCase() === "l" && labelling.selected.length) byId("label").focus();
  else if (event.key === "Escape") {
    map.select([]);
    select([]);
  } else return;
  event.preventDefault();
});

/** Go to a row by a key; it is shown, and played by Enter. */
function go(row) {
  map.select([row]);
  labelling.select([row]);
  card.show(row, false);
  compare();
  const { name, time, label } = describe(row);
  byId("announced").textContent = [name, time, label || "no label"].join(", ");
}

await recolour();
await map.whole();
window.echopairMap = map; // for tests and the console
document.body.dataset.ready = "true";
labelling.suggest();
