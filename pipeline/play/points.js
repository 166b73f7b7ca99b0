// The first tab: its state, what the controls do to it, and gradient descent.

const FRAME_MILLISECONDS = 70, MOST_STEPS = 2000, DEGREE = Math.PI / 180;
const MARGIN = 1.15; // of the picture of the plane, beyond its farthest point
const form = byId("settings");
const state = { preset: PRESETS[0], seed: 13, points: [], initial: [], selected: 0, settings: {}, losses: [], running: false };

/** Numbers from 0 to 1 that a seed repeats (mulberry32). */
function uniformNumbers(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Views around a random place of each clip, in the order of rows; a clip's do not depend on how many there are. */
function randomPoints(seed, views, clips, { spread = 0.4, centre } = {}) {
  const points = [];
  for (let clip = 0; clip < clips; clip++) {
    const next = uniformNumbers(1000 * seed + clip), angle = 2 * Math.PI * next();
    const from = centre ?? [Math.cos(angle), Math.sin(angle)];
    for (let view = 0; view < views; view++) {
      const [radius, turn] = [spread * Math.sqrt(-2 * Math.log(1 - next())), 2 * Math.PI * next()];
      points[view * clips + clip] = [from[0] + radius * Math.cos(turn), from[1] + radius * Math.sin(turn)];
    }
  }
  return points;
}

const queueOf = size => {
  const next = uniformNumbers(7);
  return Array.from({ length: size }, () => 2 * Math.PI * next()).map(a => [Math.cos(a), Math.sin(a)]);
};

function readSettings() {
  const values = {};
  for (const { name, value, type, dataset } of form.elements) {
    if (name) values[name] = type !== "range" ? value : "log" in dataset ? 10 ** +value : +value;
  }
  values.classes = Array.from({ length: values.clips }, (_, clip) => clip % values.classes);
  if (values.objective === "moco") values.views = 2;
  if (values.objective === "moco") values.queue = queueOf(values.queueKeys);
  return values;
}

function showSettings() {
  for (const part of document.querySelectorAll("[data-of]")) part.hidden = !part.dataset.of.split(" ").includes(form.objective.value);
  for (const input of form.querySelectorAll("input")) {
    const value = "log" in input.dataset ? 10 ** +input.value : +input.value;
    byId(`${input.name}-value`).textContent = +value.toPrecision(2);
  }
}

/** Take the settings of the form, keep the points that are still there, and begin the curve anew. */
function settingsChanged() {
  const { views, clips } = state.settings;
  const settings = readSettings();
  if (settings.views !== views || settings.clips !== clips) {
    const kept = points => randomPoints(state.seed, settings.views, settings.clips, state.preset).map((drawn, row) => {
      const [view, clip] = [Math.floor(row / settings.clips), row % settings.clips];
      return view < views && clip < clips ? points[view * clips + clip] : drawn;
    });
    state.points = kept(state.points);
    state.initial = kept(state.initial);
    state.selected = Math.min(state.selected, state.points.length - 1);
  }
  state.settings = settings;
  makeDots();
  restart();
}

function setPreset(preset) {
  state.preset = preset;
  for (const [name, value] of Object.entries(preset.settings)) {
    form[name].value = "log" in (form[name].dataset ?? {}) ? Math.log10(value) : value;
  }
  state.settings = readSettings();
  const { views, clips } = state.settings;
  state.points = preset.degrees
    ? preset.degrees.map(one => [Math.cos(one * DEGREE), Math.sin(one * DEGREE)])
    : randomPoints(state.seed, views, clips, preset);
  state.initial = state.points;
  state.selected = 0;
  byId("insight").textContent = preset.sentence;
  [...byId("presets").children].forEach((button, n) => button.setAttribute("aria-pressed", PRESETS[n] === preset));
  run(false);
  makeDots();
  restart();
}

/** The nodes of the points, which stay while the points move, so that focus and touch stay with them. */
function makeDots() {
  const { settings: { views, clips, classes, objective } } = state;
  byId("dots").innerHTML = Array.from({ length: views * clips }, (_, row) => {
    const [view, clip] = [Math.floor(row / clips), row % clips], [letter, colour] = CLASSES[classes[clip]];
    const key = objective === "moco" && view === 1;
    return `<g class="point${key ? " key" : ""}" role="slider" aria-valuemin="-180" aria-valuemax="180" aria-label="clip ${clip + 1}, view ${view + 1}, class ${letter}">
      <circle class="halo" r="21"/><path class="shape" fill="${colour}" d="${SHAPES[classes[clip]]}"/><text y="4.3">${clip + 1}</text></g>`;
  }).join("");
  const number = Math.max(...classes) + 1;
  byId("classes").innerHTML = CLASSES.slice(0, number).map(([letter, colour], n) =>
    `<svg class="mark" viewBox="-16 -16 32 32" aria-hidden="true"><path fill="${colour}" d="${SHAPES[n]}"/></svg>class ${letter}`).join(" ");
}

function restart() {
  state.losses = [];
  state.arrowScale = 0;
  redraw();
}

function redraw(stepped = false) {
  const { settings } = state;
  if (onCircle(settings)) state.points = state.points.map(unit);
  state.extent = onCircle(settings) ? 1.33 : Math.max(2.6, MARGIN * Math.max(...state.points.flat().map(Math.abs)));
  state.result = lossAndGradient(state.points, settings);
  const steepest = Math.max(...state.result.gradient.map(norm));
  if (!state.losses.length) state.arrowScale = steepest > 1e-9 ? LONGEST_ARROW * state.extent / steepest : 0;
  if (stepped || !state.losses.length) state.losses.push(state.result.loss);
  byId("circle").innerHTML = onCircle(settings)
    ? `<circle class="axis" cx="300" cy="300" r="${SIZE / 2 / state.extent}"/>` : `<path class="axis" d="M0 300H600M300 0V600"/>`;
  drawField(state);
  drawPoints(state);
  showSettings();
  showNumbers();
}

function showNumbers() {
  const { settings, result, points, selected, losses, arrowScale, extent } = state, { views, clips } = settings;
  const chance = chanceLevel(settings), strengths = pushes(state), repelling = strengths.map(one => Math.max(0, one));
  const effective = perplexity(repelling), slope = norm(result.gradient[selected]);
  const texts = {
    loss: fixed(result.loss, 4), chance: chance === null ? "none" : fixed(chance, 4),
    "gradient-norm": significant(Math.hypot(...result.gradient.flat())), alignment: fixed(alignment(points, settings), 4),
    uniformity: fixed(uniformity(points), 4),
    negatives: settings.objective === "vicreg" ? "none" : settings.queue ? settings.queue.length : views * (clips - 1),
    effective: effective ? effective.toFixed(1) : "none",
    "arrow-length": arrowScale ? `gradient of ${significant(30 / (SIZE / 2 / extent * arrowScale))}` : "no gradient here",
  };
  for (const [id, text] of Object.entries(texts)) byId(id).textContent = text;
  const strongest = repelling.indexOf(Math.max(...repelling));
  const who = strongest < points.length ? nameOf(strongest) : "a key in the queue";
  byId("selected").textContent = `Selected: ${nameOf(selected)}. Its gradient is ${significant(slope)}.` + (slope < 1e-9 ? "" : effective
    ? ` The strongest push is that of ${who}, ${Math.round(100 * repelling[strongest] / total(repelling))} % of all pushes.`
    : result.pull ? " Nothing repels it." : "");
  drawCurve(losses, chance);
}

const significant = value => value < 1e-9 ? "0" : +value.toPrecision(3) < 1e-4 ? value.toExponential(1) : String(+value.toPrecision(3));
const nameOf = row => `clip ${row % state.settings.clips + 1}, view ${Math.floor(row / state.settings.clips) + 1}`;

function step() {
  const { gradient } = state.result, rate = state.settings.learningRate;
  const moved = state.points.map((one, row) => one.map((value, axis) => value - rate * gradient[row][axis]));
  if (!moved.flat().every(value => Math.abs(value) < 1e3)) return run(false, "It diverges: lower the learning rate, then reset.");
  state.points = moved;
  redraw(true);
  if (state.losses.length > MOST_STEPS) run(false);
}

function run(on, why = "") {
  state.running = on;
  byId("run").textContent = on ? "Pause" : "Run";
  if (why) byId("selected").textContent = why;
  if (on) advance(0);
}

function advance(before) {
  requestAnimationFrame(now => {
    if (!state.running) return;
    if (now - before < FRAME_MILLISECONDS) return advance(before);
    step();
    if (state.running) advance(now);
  });
}

function select(row) {
  state.selected = row;
  redraw();
}

function move(row, where) {
  state.points = state.points.map((one, n) => n === row ? where : one);
  state.selected = row;
  restart();
}

function listenToPoints() {
  const svg = byId("plane"), dots = byId("dots");
  const whereIs = event => {
    const box = svg.getBoundingClientRect();
    const shares = [2 * (event.clientX - box.left) / box.width - 1, 1 - 2 * (event.clientY - box.top) / box.height];
    return shares.map(one => Math.max(-1 / MARGIN, Math.min(1 / MARGIN, one)) * state.extent);
  };
  let dragged = -1;
  svg.addEventListener("pointerdown", event => {
    if (!event.target.closest(".point")) return;
    // The nearest one, since points overlap; of equal ones the last, which is on top.
    const distances = state.points.map(one => squaredDistance(one, whereIs(event)));
    dragged = distances.lastIndexOf(Math.min(...distances));
    event.target.setPointerCapture(event.pointerId);
    select(dragged);
  });
  svg.addEventListener("pointermove", event => { if (dragged >= 0) move(dragged, whereIs(event)); });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { dragged = -1; });
  svg.addEventListener("keydown", event => {
    const row = state.selected, size = state.points.length;
    const turns = { PageDown: 1, PageUp: -1 }, moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (!(event.key in turns || event.key in moves)) return;
    event.preventDefault();
    if (event.key in turns) {
      select((row + turns[event.key] + size) % size);
      return dots.children[state.selected].focus();
    }
    const [x, y] = moves[event.key], angle = Math.atan2(state.points[row][1], state.points[row][0]) - 2 * DEGREE * (x - y);
    move(row, onCircle(state.settings)
      ? [Math.cos(angle), Math.sin(angle)] : [state.points[row][0] + 0.05 * x, state.points[row][1] + 0.05 * y]);
  });
}

function startPoints() {
  byId("plane").innerHTML = ["cells", "circle", "directions", "twins", "forces", "queue", "dots", "steps"].map(
    name => `<g id="${name}"${name === "dots" ? "" : ` pointer-events="none"`}></g>`).join("");
  byId("presets").innerHTML = PRESETS.map(one => `<button type="button">${one.title}</button>`).join("");
  [...byId("presets").children].forEach((button, n) => button.addEventListener("click", () => setPreset(PRESETS[n])));
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("input", event => {
    if (event.target.name === "objective") { // VICReg has gradients some ten times as large
      form.learningRate.value = Math.log10(form.objective.value === "vicreg" ? 0.02 : 0.2);
    }
    if (event.target.name !== "learningRate") return settingsChanged();
    state.settings.learningRate = readSettings().learningRate;
    showSettings();
  });
  byId("run").addEventListener("click", () => run(!state.running));
  byId("step").addEventListener("click", () => { run(false); step(); });
  byId("reset").addEventListener("click", () => { run(false); state.points = state.initial; restart(); });
  byId("draw").addEventListener("click", () => {
    run(false);
    state.seed += 1;
    state.points = state.initial = randomPoints(state.seed, state.settings.views, state.settings.clips, state.preset);
    restart();
  });
  listenToPoints();
  setPreset(PRESETS[0]);
}

startPoints();
