// The selection with its labels, exports, and the rows to label next.

import { pictureOf } from "./clip.js";
import { make } from "./colouring.js";
import { ask, download } from "./server.js";

const LISTED = 200;
const byId = (id) => document.getElementById(id);
const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** The panels beside the map; `onShow(row)` selects a row, `onLabels()` is called after labels have changed. */
export class Labelling {
  constructor(data, clips, { describe, onShow, onLabels }) {
    Object.assign(this, { data, clips, describe, onShow, onLabels, selected: [], next: [], before: [] });
    byId("label-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.give(byId("label").value.trim());
    });
    // Typing replaces the last label, and Enter alone repeats it.
    byId("label").addEventListener("focus", () => byId("label").select());
    byId("label").addEventListener("keydown", (event) => event.key === "Escape" && byId("map").focus());
    byId("unlabel").addEventListener("click", () => this.give(""));
    byId("undo").addEventListener("click", () => this.undo());
    byId("export").addEventListener("click", () => this.export("selection", this.selected));
    byId("export-labels").addEventListener("click", () => this.export("labels", this.labelled()));
    this.countLabels();
  }

  labelOf(row) {
    return this.data.given[row] ?? this.data.own_labels[row];
  }

  labelled() {
    return this.data.own_labels.map((_, row) => row).filter((row) => this.labelOf(row));
  }

  select(rows) {
    this.selected = rows;
    const none = rows.length === 0;
    byId("selection").textContent = none ? "Nothing selected" : `${counted(rows.length, "row")} selected`;
    byId("selection-help").hidden = !none;
    byId("label-form").querySelector("button").disabled = byId("label").disabled = byId("export").disabled = none;
    byId("unlabel").disabled = !rows.some((row) => row in this.data.given);
    this.listRows();
  }

  listRows() {
    const items = this.selected.length < 2 ? [] : this.selected.slice(0, LISTED).map((row) => this.listed(row));
    if (this.selected.length > LISTED) items.push(make("li", "", `and ${counted(this.selected.length - LISTED, "other row")}`));
    byId("rows").replaceChildren(...items);
  }

  listed(row) {
    const { name, time, label } = this.describe(row);
    const button = make("button");
    button.append(make("span", "where", name), make("span", "when", time), make("span", "what", label));
    button.title = `Play ${name}, ${time}`;
    button.addEventListener("click", () => this.onShow(row, this.selected));
    const item = make("li");
    item.append(button);
    return item;
  }

  async give(label) {
    const rows = this.selected;
    if (!rows.length || (!label && !rows.some((row) => row in this.data.given))) return;
    const before = new Map();
    for (const row of rows) {
      const had = this.data.given[row] ?? "";
      before.set(had, [...(before.get(had) ?? []), row]);
    }
    if (!(await this.set(new Map([[label, rows]])))) return;
    this.before.push(before);
    const wasSuggested = label && rows.length === 1 && this.next.some((one) => one.row === rows[0]);
    await this.refresh(rows);
    if (wasSuggested && this.next.length) {
      this.onShow(this.next[0].row);
      byId("label").select();
    } else byId("map").focus();
  }

  /** Take the last labels back. */
  async undo() {
    const before = this.before.at(-1);
    if (!before || !(await this.set(before))) return;
    this.before.pop();
    await this.refresh(this.selected);
  }

  /** Give labels to rows, by label, "" for none; false if the server refuses. */
  async set(rowsOf) {
    byId("problem").textContent = "";
    try {
      for (const [label, rows] of rowsOf) {
        await ask("labels", { rows, label });
        for (const row of rows) {
          if (label) this.data.given[row] = label;
          else delete this.data.given[row];
        }
      }
      return true;
    } catch (error) {
      byId("problem").textContent = error.message;
      return false;
    }
  }

  async refresh(rows) {
    byId("undo").disabled = this.before.length === 0;
    this.select(rows);
    this.countLabels();
    this.onLabels();
    await this.suggest();
  }

  countLabels() {
    const labels = new Set();
    let count = 0;
    for (const row of this.labelled()) {
      labels.add(this.labelOf(row));
      count++;
    }
    byId("labelled").textContent = count ? `${counted(count, "row")} with a label, ${counted(labels.size, "label")}` : "No labels yet";
    byId("export-labels").disabled = count === 0;
    byId("known-labels").replaceChildren(...[...labels].sort().map((label) => Object.assign(make("option"), { value: label })));
  }

  async export(what, rows) {
    const table = document.querySelector("h1").textContent.replace(/\.parquet$/, "");
    try {
      download(`${table}.${what}.csv`, await ask("export", { rows }));
    } catch (error) {
      byId("problem").textContent = error.message;
    }
  }

  async suggest() {
    byId("next").setAttribute("aria-busy", "true");
    try {
      this.next = await ask("suggestions");
    } catch (error) {
      byId("next-help").textContent = error.message;
      return;
    }
    const guessed = this.next.some((one) => one.label);
    byId("next-help").textContent = !this.next.length
      ? "Every row has a label."
      : guessed
        ? "The probe of your labels is least sure of these; each label refits it."
        : "These are spread over the table; from two different labels on, a probe chooses.";
    const items = await Promise.all(this.next.map((one) => this.suggested(one)));
    byId("next").replaceChildren(...items);
    byId("next").setAttribute("aria-busy", "false");
  }

  async suggested({ row, label, probability }) {
    const { name, time } = this.describe(row);
    const guess = label ? `${label} ${Math.round(100 * probability)} %` : "";
    const button = make("button");
    button.title = [name, time, guess].filter(Boolean).join(", ");
    button.setAttribute("aria-label", `Select and play ${button.title}`);
    button.append(pictureOf(await this.clips.get(row), name), make("span", "guess", guess));
    button.addEventListener("click", () => {
      this.onShow(row);
      byId("label").focus();
    });
    const item = make("li");
    item.append(button);
    return item;
  }
}
