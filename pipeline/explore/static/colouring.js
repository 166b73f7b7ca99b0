// What rows can be coloured by: each way gives a colour's number for every row, the colours, and what the legend says.

const NO_VALUE = 0; // number of the colour of rows without a value, the first of all palettes

/** The colour of rows without a value, or of the categories beyond the colours. */
const greyOf = (dark) => (dark ? "#4d565d" : "#c6c8c9");

/** The ways that the rows allow, by name: a title, and `colour()` that colours the rows as they are now. */
export function waysToColour(data, labelOf, similarities) {
  const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = (name) => data.colours[name][dark() ? "dark" : "light"];
  const byCategory = (valueOf, without, many, order = null) => () => categories(data.x.length, valueOf, theme("categories"), greyOf(dark()), without, many, order);
  const byNumber = (values, lowest, highest, name, ends, unknown = "") => () => ramp(values(), lowest, highest, theme(name), greyOf(dark()), ends, unknown);
  const longest = data.start.reduce((a, b) => Math.max(a, b), 0);
  const ways = {
    label: { title: "label", colour: byCategory(labelOf, "no label", "other labels", data.classes) },
    cluster: { title: "cluster (k-means)", colour: byCategory((row) => `cluster ${data.cluster[row] + 1}`, "", "") },
    recording: {
      title: "recording",
      colour: byCategory((row) => data.recordings[data.recording[row]].split("/").pop(), "", "other recordings"),
    },
  };
  if (data.hour) {
    const hours = ["0 h", "6 h", "12 h", "18 h", "24 h"];
    ways.hour = { title: "time of day", colour: byNumber(() => data.hour, 0, 24, "day", hours, "no time in the name") };
  }
  if (longest > 0) {
    ways.start = {
      title: "time in the recording",
      colour: byNumber(() => data.start, 0, longest, "ramp", ["0 s", `${longest.toFixed(longest < 10 ? 1 : 0)} s`]),
    };
  }
  ways.similarity = {
    title: "similarity to the selected row",
    colour: byNumber(similarities, 0, 1, "ramp", ["0", "1"], "select a row to compare with"),
  };
  return ways;
}

/** Colours of values in the order in which they get them; without one, the most frequent come first. */
function categories(rows, valueOf, colours, grey, without, many, order) {
  const values = Array.from({ length: rows }, (_, row) => valueOf(row));
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
  const none = counts.get("") || 0;
  counts.delete("");
  const byCount = () => [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || a.localeCompare(b, "en", { numeric: true }));
  const ordered = order ?? byCount();
  const coloured = ordered.slice(0, colours.length);
  const number = new Map(coloured.map((value, n) => [value, n + 1]));
  const beyond = ordered.slice(colours.length).filter((value) => counts.has(value));
  const legend = coloured
    .map((title, n) => ({ title, count: counts.get(title), colour: colours[n], number: n + 1 }))
    .filter(({ count }) => count);
  const rest = beyond.reduce((sum, value) => sum + counts.get(value), 0);
  if (rest) legend.push({ title: `${beyond.length} ${many}`, count: rest, colour: grey });
  if (none) legend.push({ title: without, count: none, colour: grey });
  return { numbers: values.map((value) => number.get(value) ?? NO_VALUE), palette: [grey, ...colours], legend };
}

function ramp(values, lowest, highest, colours, grey, ends, unknown) {
  const last = colours.length - 1;
  const numberOf = (value) =>
    value === null ? NO_VALUE : 1 + Math.max(0, Math.min(last, Math.round((last * (value - lowest)) / (highest - lowest))));
  const numbers = Array.from(values, numberOf);
  const none = numbers.filter((number) => number === NO_VALUE).length;
  const legend = none ? [{ title: unknown, count: none, colour: grey }] : [];
  return { numbers, palette: [grey, ...colours], ramp: { colours, ends }, legend };
}

/** Fill the legend; a press on a category shows it alone, by `onChosen(number or null)`. */
export function showLegend(element, coloured, onChosen) {
  element.replaceChildren();
  if (coloured.ramp) {
    const scale = make("div", "scale");
    const gradient = make("div", "gradient");
    gradient.style.background = `linear-gradient(to right, ${coloured.ramp.colours.join(",")})`;
    const [first, ...others] = coloured.ramp.ends;
    scale.append(make("span", "", first), gradient, make("span", "", others.at(-1)));
    if (others.length > 1) {
      gradient.setAttribute("role", "img");
      gradient.setAttribute("aria-label", `from ${first} over ${others.slice(0, -1).join(", ")} to ${others.at(-1)}`);
    }
    element.append(scale);
  }
  for (const entry of coloured.legend) {
    const button = make(entry.number ? "button" : "div", "entry");
    const swatch = make("span", "swatch");
    swatch.style.background = entry.colour;
    button.append(swatch, make("span", "", entry.title), make("span", "count", entry.count.toLocaleString("en")));
    if (entry.number) {
      button.title = `Show ${entry.title} alone`;
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        const pressed = button.getAttribute("aria-pressed") === "true";
        for (const one of element.querySelectorAll("button")) one.setAttribute("aria-pressed", "false");
        button.setAttribute("aria-pressed", String(!pressed));
        onChosen(pressed ? null : entry.number);
      });
    }
    element.append(button);
  }
}

/** An element with a class and a text. */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}
