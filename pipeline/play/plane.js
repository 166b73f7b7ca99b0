// Draws the first tab: points, arrows, the loss around them, and the curve.

const SIZE = 600, LONGEST_ARROW = 0.3, SECTORS = 144, MANY_POINTS = 32, CELLS = 32;
const CLASSES = [["A", "#56b4e9"], ["B", "#e69f00"], ["C", "#2bb48a"], ["D", "#f0e442"], ["E", "#cc79a7"]]; // Okabe and Ito
const SHAPES = [
  "M-11 0a11 11 0 1 0 22 0a11 11 0 1 0-22 0", "M-10-10H10V10H-10Z", "M0-15L14 10H-14Z", "M0-14L14 0L0 14L-14 0Z",
  "M-7-12H7L14 0L7 12H-7L-14 0Z",
];
const byId = id => document.getElementById(id);
const px = value => value.toFixed(1);
const fixed = (value, digits) => value.toFixed(digits).replace("-", "−");
const onCircle = settings => settings.objective !== "vicreg";

/** From coordinates of points to those of the picture, which shows -extent to extent. */
const place = ([x, y], extent) => [SIZE / 2 * (1 + x / extent), SIZE / 2 * (1 - y / extent)];

function arrow([x, y], [dx, dy], kind) {
  const length = Math.hypot(dx, dy);
  if (length < 1.5) return "";
  const head = Math.min(9, length / 2) / length, [ex, ey] = [x + dx, y + dy];
  const [bx, by] = [ex - dx * head, ey - dy * head], [nx, ny] = [-dy * head * 0.6, dx * head * 0.6];
  return `<path class="${kind}" d="M${px(x)} ${px(y)}L${px(ex)} ${px(ey)}M${px(bx + nx)} ${px(by + ny)}L${px(ex)} ${px(ey)}L${px(bx - nx)} ${px(by - ny)}"/>`;
}

/** Loss, and direction of descent, of the selected point at other places: [[x, y], loss, gradient]. */
function field({ points, selected, settings, extent }) {
  const at = where => {
    const moved = points.map((one, row) => row === selected ? where : one);
    const { loss, gradient } = lossAndGradient(moved, settings);
    return [where, loss, gradient[selected]];
  };
  if (onCircle(settings)) {
    const sectors = points.length > MANY_POINTS ? SECTORS / 2 : SECTORS; // so that dragging stays quick
    return Array.from({ length: sectors }, (_, n) => 2 * Math.PI * (n + 0.5) / sectors).map(a => at([Math.cos(a), Math.sin(a)]));
  }
  const axis = Array.from({ length: CELLS }, (_, n) => extent * (2 * (n + 0.5) / CELLS - 1));
  return axis.flatMap(y => axis.map(x => at([x, y])));
}

function drawField(state) {
  const { settings, extent } = state, probes = field(state), losses = probes.map(one => one[1]);
  const lowest = Math.min(...losses), range = Math.max(...losses) - lowest;
  const opacity = loss => range > 1e-9 ? (0.55 * (loss - lowest) / range).toFixed(3) : 0;
  const steepest = Math.max(1e-9, ...probes.map(one => norm(one[2])));
  const ring = onCircle(settings), side = SIZE / CELLS;
  let cells = "", directions = "";
  probes.forEach(([where, loss, gradient], n) => {
    const [x, y] = place(where, extent);
    if (!ring) cells += `<rect class="cell" fill-opacity="${opacity(loss)}" shape-rendering="crispEdges" x="${px(x - side / 2)}" y="${px(y - side / 2)}" width="${px(side)}" height="${px(side)}"/>`;
    if (ring ? n % 4 : n % 2 || Math.floor(n / CELLS) % 2) return;
    const scale = (ring ? 24 : 30) / steepest, start = ring ? place([0.78 * where[0], 0.78 * where[1]], extent) : [x, y];
    directions += arrow(start, [-gradient[0] * scale, gradient[1] * scale], "field");
  });
  byId("cells").innerHTML = cells;
  byId("directions").innerHTML = directions;
  // Around the circle, a gradient of CSS; its angles run clockwise.
  const stops = probes.map(([, loss], n) => `color-mix(in srgb, var(--ink) ${100 * opacity(loss)}%, transparent) ${360 * (1 - (n + 0.5) / probes.length)}deg`);
  byId("ring").style.background = ring ? `conic-gradient(from 90deg, ${stops.reverse().join()})` : "none";
  byId("field-range").textContent = `${fixed(lowest, 2)} to ${fixed(lowest + range, 2)}`;
}

function drawPoints(state) {
  const { points, selected, settings, extent, result, arrowScale } = state, { views, clips } = settings;
  const places = points.map(one => place(one, extent)), unitPixels = SIZE / 2 / extent;
  places.forEach(([x, y], row) => {
    const node = byId("dots").children[row];
    node.setAttribute("transform", `translate(${px(x)} ${px(y)})`);
    node.classList.toggle("chosen", row === selected);
    node.setAttribute("tabindex", row === selected ? 0 : -1);
    node.setAttribute("aria-valuenow", Math.round(Math.atan2(points[row][1], points[row][0]) * 180 / Math.PI));
    node.setAttribute("aria-valuetext", `x ${points[row][0].toFixed(2)}, y ${points[row][1].toFixed(2)}, gradient ${norm(result.gradient[row]).toPrecision(2)}`);
  });
  byId("steps").innerHTML = result.gradient.map((one, row) => {
    const longest = Math.min(1, 0.45 * unitPixels / Math.max(1e-9, norm(one) * arrowScale * unitPixels));
    const scale = arrowScale * unitPixels * longest;
    const along = unit(one), [x, y] = places[row]; // from the edge of the point
    return arrow([x - 13 * along[0], y + 13 * along[1]], [-one[0] * scale, one[1] * scale], "step");
  }).join("");
  byId("twins").innerHTML = viewPairs(views, clips).map(([i, j]) => onCircle(settings)
    ? bracket(points[i], points[j], 1.17 + 0.03 * (i % clips % 5), extent) : line(places[i], places[j], "twins", 1.3)).join("");
  const queue = (settings.queue ?? []).map(one => place(one, extent));
  byId("queue").innerHTML = queue.map(([x, y]) => `<circle class="queued" cx="${px(x)}" cy="${px(y)}" r="5"/>`).join("");
  const strengths = pushes(state), strongest = Math.max(1e-12, ...strengths.map(Math.abs));
  byId("forces").innerHTML = strengths.map((one, row) => Math.abs(one) / strongest < 0.02 ? "" : line(
    places[selected], [...places, ...queue][row], one < 0 ? "pulls" : "pushes", 0.8 + 6 * Math.abs(one) / strongest)).join("");
}

/** How hard each row (points, then the queue) pushes the selected point, below 0 if it pulls. */
function pushes({ points, selected, settings, result }) {
  const rows = points.length + (settings.queue ?? []).length, { pull } = result;
  if (!pull) return Array(rows).fill(0);
  if (settings.objective === "moco") return pull[selected] ?? Array(rows).fill(0);
  return Array.from({ length: rows }, (_, row) => pull[selected][row] + pull[row][selected]);
}

const line = ([x, y], [ex, ey], kind, width) =>
  `<path class="${kind}" style="stroke-width:${width.toFixed(1)}" d="M${px(x)} ${px(y)}L${px(ex)} ${px(ey)}"/>`;

/** Joins two points on the circle outside of it, so that nothing is crossed. */
function bracket(one, other, radius, extent) {
  const at = (point, r) => place([r * point[0], r * point[1]], extent).map(px).join(" ");
  const clockwise = one[0] * other[1] - one[1] * other[0] < 0 ? 1 : 0, r = px(radius * SIZE / 2 / extent);
  return `<path class="twins" d="M${at(one, 1)}L${at(one, radius)}A${r} ${r} 0 0 ${clockwise} ${at(other, radius)}L${at(other, 1)}"/>`;
}

function drawCurve(losses, chance) {
  const shown = [...losses, ...(chance === null ? [] : [chance])];
  const lowest = Math.min(...shown), range = Math.max(Math.max(...shown) - lowest, 1e-6), last = Math.max(10, losses.length - 1);
  const y = loss => 14 + 90 * (1 - (loss - lowest) / range), x = step => 46 + 322 * step / last;
  const track = losses.map((loss, step) => `${px(x(step))},${px(y(loss))}`).join(" ");
  byId("curve").innerHTML = `<path class="axis" d="M46 10V106H370"/>
    ${chance === null ? "" : `<path class="chance" d="M46 ${px(y(chance))}H370"/><text x="368" y="${px(y(chance) + (y(chance) < 30 ? 13 : -4))}" text-anchor="end">chance</text>`}
    <polyline class="line" points="${track}"/><circle cx="${px(x(losses.length - 1))}" cy="${px(y(losses.at(-1)))}" r="3" fill="var(--accent)"/>
    <text x="40" y="18" text-anchor="end">${fixed(lowest + range, 2)}</text><text x="40" y="108" text-anchor="end">${fixed(lowest, 2)}</text>
    <text x="46" y="123">loss over steps</text><text x="370" y="123" text-anchor="end">${last}</text>`;
  byId("curve").setAttribute("aria-label", `Loss over ${losses.length - 1} steps, from ${losses[0].toFixed(3)} to ${losses.at(-1).toFixed(3)}`);
}
