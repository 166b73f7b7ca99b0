// The map: drawn by regl-scatterplot, with a ring around the current row, and moved over by keys.

import createScatterplot from "./regl-scatterplot.js";

const ZOOM = 1.4;
const RARE = 10; // fewer than one coloured row in so many are drawn larger

/** The map in an element that has a canvas and a ring; the callbacks get rows by their number. */
export class RowMap {
  constructor(element, data, { onSelect, onHover }) {
    this.element = element;
    this.canvas = element.querySelector("canvas");
    this.ring = element.querySelector(".ring");
    this.data = data;
    this.current = null;
    this.fitting = false;
    this.fitted = null; // the view of the whole map
    this.plot = createScatterplot({
      canvas: this.canvas,
      sizeBy: "valueA",
      pointSizeSelected: 1,
      pointOutlineWidth: 1,
      opacity: 0.9,
      opacityInactiveMax: 0.3,
      lassoOnLongPress: false,
      colorBy: "valueA",
      actionKeyMap: { lasso: "shift" },
    });
    this.plot.subscribe("select", ({ points }) => {
      if (points.length === 1) this.plot.deselect({ preventEvent: true }); // the ring marks it; the others stay bright
      onSelect(points);
    });
    this.plot.subscribe("deselect", () => onSelect([]));
    this.plot.subscribe("pointOver", (row) => onHover(row));
    this.plot.subscribe("pointOut", () => onHover(null));
    for (const event of ["view", "draw"]) this.plot.subscribe(event, () => this.placeRing());
    new ResizeObserver(() => this.resize()).observe(element);
  }

  /** Fill the element; a view of the whole map stays one. */
  async resize() {
    const { width, height } = this.element.getBoundingClientRect();
    const isWhole = this.fitting || this.fitted?.every((value, n) => value === this.plot.get("cameraView")[n]);
    await this.plot.set({ width, height });
    if (isWhole) await this.whole();
  }

  /** Draw the rows in colours: a number of `palette` for each, those of 0 below the others and smaller if these are few. */
  async colour(numbers, palette) {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim();
    const { length } = numbers;
    const size = length > 20000 ? 3 : length > 2000 ? 5 : 8;
    const order = numbers.map((_, row) => row).sort((a, b) => Math.min(1, numbers[a]) - Math.min(1, numbers[b]));
    const coloured = numbers.filter((number) => number > 0).length;
    const larger = coloured < length / RARE ? 1.8 : 1;
    this.plot.set({
      pointSize: palette.map((_, number) => (number > 0 ? larger * size : size)),
      backgroundColor: style.getPropertyValue("--card").trim(),
      lassoColor: style.getPropertyValue("--accent").trim(),
      pointColor: palette,
      pointColorActive: ink,
      pointColorHover: ink,
    });
    const spatialIndex = this.plot.get("spatialIndex") ?? undefined;
    const selected = this.plot.get("selectedPoints") ?? [];
    await this.plot.draw(
      { x: this.data.x, y: this.data.y, z: numbers },
      { zDataType: "categorical", spatialIndex, select: selected.length ? selected : undefined },
    );
    this.plot.set({ pointOrder: order });
  }

  set lasso(active) {
    this.plot.set({ mouseMode: active ? "lasso" : "panZoom" });
  }

  /** Select rows and show the first; the callback is not called. */
  select(rows) {
    this.current = rows.length ? rows[0] : null;
    if (rows.length > 1) this.plot.select(rows, { preventEvent: true });
    else this.plot.deselect({ preventEvent: true });
    this.bringIntoView();
    this.placeRing();
  }

  /** Show all rows. */
  async whole() {
    this.fitting = true;
    await this.plot.zoomToPoints(this.data.x.map((_, row) => row), { padding: 0.08 });
    this.fitted = [...this.plot.get("cameraView")];
    this.fitting = false;
  }

  zoom(steps) {
    const [x, y] = this.plot.get("cameraTarget");
    return this.plot.zoomToLocation([x, y], this.plot.get("cameraDistance")[0] / ZOOM ** steps);
  }

  bringIntoView() {
    if (this.current === null) return;
    const [x, y] = this.plot.getScreenPosition(this.current) ?? [0, 0];
    const { width, height } = this.element.getBoundingClientRect();
    if (x > 0 && y > 0 && x < width && y < height) return;
    this.plot.zoomToLocation([this.data.x[this.current], this.data.y[this.current]], this.plot.get("cameraDistance")[0]);
  }

  placeRing() {
    const place = this.current === null ? null : this.plot.getScreenPosition(this.current);
    this.ring.hidden = !place;
    if (place) this.ring.style.transform = `translate(${place[0]}px, ${place[1]}px)`;
  }

  /** The nearest row within 45 degrees of a direction, or null; without a current row the one nearest to the middle. */
  neighbour(right, up) {
    const { x, y } = this.data;
    const from = this.current;
    let best = null;
    let nearest = Infinity;
    for (let row = 0; row < x.length; row++) {
      const dx = from === null ? x[row] : x[row] - x[from];
      const dy = from === null ? y[row] : y[row] - y[from];
      const along = dx * right + dy * up;
      const across = Math.abs(dx * up) + Math.abs(dy * right);
      if (from !== null && (along <= 0 || across > along)) continue;
      const distance = dx * dx + dy * dy;
      if (distance < nearest) [best, nearest] = [row, distance];
    }
    return best;
  }
}
