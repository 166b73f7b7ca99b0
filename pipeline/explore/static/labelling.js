// The selection with its labels, exports, and the rows to label next.

import { pictureOf } from "./clip.js";
import { make } from "./colouring.js";
import { ask, download } from "./server.js";

const LISTED = 200;
const byId = (id) => document.getElementById(id);
const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** The panels beside the map; `onShow(row)` selects a row, `onLabels()` is called after labels have changed, `onDone()` when the field is left. */
export class Labelling {
  constructor(data, clips, { describe, onShow, onLabels, onDone }) {
    Object.assign(this, { data, clips, describe, onShow, onLabels, onDone, selected: [], next: [], offered: "", suggestedRow: null });
    const field = byId("label");
    byId("label-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.give(field.value.trim());
    });
    field.addEventListener("focus", () => this.offer());
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.onDone();
    });
    document.addEventListener("keydown", (event) => {
      const typing = event.target === field && field.value !== this.offered;
      if (typing || event.key.toLowerCase() !== "z" || event.shiftKey || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.undo();
    });
    byId("undo").addEventListener("click", () => this.undo());
    byId("save-classifier").addEventListener("click", () => this.saveClassifier());
    byId("unlabel").addEventListener("click", () => this.give(""));
    byId("export").addEventListener("click", () => this.downloaded("selection", "export", { rows: this.selected }));
    byId("export-labels").addEventListener("click", () => this.downloaded("labels", "labels.csv"));
    this.countLabels();
  }

  /** The field offers the last label: Enter repeats it, typing replaces it. */
  offer() {
    this.offered = byId("label").value;
    byId("label").select();
  }

  labelOf(row) {
    return this.data.given[row] ?? this.data.own_labels[row];
  }

  labelled() {
    return this.data.own_labels.map((_, row) => row).filter((row) => this.labelOf(row));
  }

  select(rows) {
    this.selected = rows;
    if (rows.length !== 1 || rows[0] !== this.suggestedRow) this.suggestedRow = null;
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
    const where = make("span", "where");
    where.append(make("bdi", "", name));
    button.append(where, make("span", "when", time), make("span", "what", label));
    button.title = `Play ${name}, ${time}`;
    button.addEventListener("click", () => this.onShow(row, this.selected));
    const item = make("li");
    item.append(button);
    return item;
  }

  async give(label) {
    const rows = this.selected;
    if (!rows.length || (!label && !rows.some((row) => row in this.data.given))) return;
    const answer = await this.asked("labels", { rows, label });
    if (!answer) return;
    const goesOn = label && this.suggestedRow !== null;
    if (!goesOn) this.onDone();
    this.changed(Object.fromEntries(rows.map((row) => [row, label])), answer.undoable);
    await this.suggest();
    if (goesOn && this.suggestedRow === rows[0] && this.next.length) this.showSuggested(this.next[0].row);
  }

  /** Take back the last labelling, of this page or another. */
  async undo() {
    if (byId("undo").disabled) return;
    const answer = await this.asked("undo", { rows: [] });
    if (!answer) return;
    this.changed(answer.given, answer.undoable);
    await this.suggest();
  }

  /** Rows were given these labels, "" for none. */
  changed(labels, undoable) {
    for (const [row, label] of Object.entries(labels)) {
      if (label) this.data.given[row] = label;
      else delete this.data.given[row];
      if (label && !this.data.classes.includes(label)) this.data.classes.push(label);
    }
    this.data.undoable = undoable;
    this.select(this.selected);
    this.countLabels();
    this.onLabels();
  }

  /** What the server answers, or nothing, with the reason on the page. */
  async asked(path, content) {
    byId("problem").textContent = "";
    try {
      return await ask(path, content);
    } catch (error) {
      byId("problem").textContent = error.message;
      return null;
    }
  }

  async saveClassifier() {
    const button = byId("save-classifier");
    const command = byId("classifier-command");
    button.disabled = command.hidden = true;
    byId("classifier").textContent = "Fitting ...";
    try {
      const answer = await ask("classifier", { rows: [] });
      byId("classifier").textContent = answer.said;
      command.textContent = answer.command;
      command.hidden = false;
    } catch (error) {
      byId("classifier").textContent = error.message;
    }
    button.disabled = false;
  }

  countLabels() {
    const labels = new Set();
    let count = 0;
    for (const row of this.labelled()) {
      labels.add(this.labelOf(row));
      count++;
    }
    byId("labelled").textContent = count ? `${counted(count, "row")} with a label, ${counted(labels.size, "label")}` : "No labels yet";
    byId("export-labels").disabled = byId("save-classifier").disabled = count === 0;
    byId("undo").disabled = !this.data.undoable;
    byId("known-labels").replaceChildren(...[...labels].sort().map((label) => Object.assign(make("option"), { value: label })));
  }

  async downloaded(what, path, content) {
    const table = document.querySelector("h1").textContent.replace(/\.parquet$/, "");
    const text = await this.asked(path, content);
    if (text !== null) download(`${table}.${what}.csv`, text);
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

  /** Show a row of these and write its label; after it the next one is shown. */
  showSuggested(row) {
    this.onShow(row);
    this.suggestedRow = row;
    byId("label").focus();
    this.offer();
  }

  async suggested({ row, label, probability }) {
    const { name, time } = this.describe(row);
    const percent = `${Math.round(100 * probability)} %`;
    const button = make("button");
    button.title = [name, time, ...(label ? [`${label} ${percent}`] : [])].join(", ");
    button.setAttribute("aria-label", `Select and play ${button.title}`);
    button.append(pictureOf(await this.clips.get(row), name));
    if (label) {
      const guess = make("span", "guess");
      guess.append(make("span", "", label), percent);
      button.append(guess);
    }
    button.addEventListener("click", () => this.showSuggested(row));
    const item = make("li");
    item.append(button);
    return item;
  }
}
