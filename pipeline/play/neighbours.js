// The second tab: the sounds of a table, and how NT-Xent shares out its push among the neighbours of one of them.

const SHOWN = 12, RANKS = 40;
const sample = JSON.parse(byId("sample").textContent);
const similarity = (one, other) => one === other ? 1 : sample.similarities[Math.max(one, other)][Math.min(one, other)];
const escaped = text => text.replace(/[&<>"]/g, one => `&#${one.charCodeAt(0)};`);
const percent = share => share >= 0.0995 ? `${Math.round(100 * share)} %` : share >= 0.0005 ? `${(100 * share).toFixed(1)} %` : "< 0.05 %";
const sharesLabel = (one, other) => sample.sounds[one].labels.some(label => sample.sounds[other].labels.includes(label));

/** Colour and shape of a label: 25 that differ, and a grey circle for others and none. */
function markOf(label) {
  const number = sample.labels.indexOf(label);
  if (number < 0 || number >= 25) return ["var(--soft)", SHAPES[0]];
  return [CLASSES[number % 5][1], SHAPES[(number + Math.floor(number / 5)) % 5]];
}

/** The other sounds, nearest first. */
function ranked(anchor) {
  return sample.sounds.map((_, n) => n).filter(n => n !== anchor).sort((a, b) => similarity(anchor, b) - similarity(anchor, a));
}

function card(number, heading) {
  const { name, time, labels, picture, sound, reason } = sample.sounds[number];
  const title = `${escaped(name)}, ${time}`;
  return (reason ? `<p>${escaped(reason)}</p>` : `<img class="mel" src="${picture}" alt="Log-mel of ${title}">`)
    + `<h3><span class="weight" title="share of the push"></span>${heading}<bdi>${escaped(labels.join(", ") || name)}</bdi></h3>`
    + `<p><bdi>${labels.length ? `${escaped(name)}, ` : ""}${time}</bdi></p>`
    + (sound ? `<audio controls controlslist="nodownload noplaybackrate noremoteplayback" preload="none" src="${sound}" aria-label="Play ${title}"></audio>` : "");
}

function showAnchor(anchor) {
  byId("anchor").value = anchor;
  byId("anchor-sound").innerHTML = card(anchor, "");
  const order = ranked(anchor);
  byId("nearest").innerHTML = order.slice(0, SHOWN).map((number, rank) => `<figure class="sound">${card(number, `${rank + 1}. `)}
    <p>similarity ${fixed(similarity(anchor, number), 3)}</p><div class="bar"><i></i></div></figure>`).join("");
  showShares();
}

/** What the temperature changes. */
function showShares() {
  const anchor = +byId("anchor").value, temperature = 10 ** +byId("sound-temperature").value, order = ranked(anchor);
  const shares = softmax(order.map(number => similarity(anchor, number)), temperature);
  byId("sound-temperature-value").textContent = +temperature.toPrecision(2);
  const own = order.map(number => sharesLabel(anchor, number)), ownCount = own.filter(Boolean).length;
  byId("all-negatives").textContent = order.length;
  byId("effective-negatives").textContent = perplexity(shares).toFixed(1);
  byId("nearest-share").textContent = percent(shares[0]);
  byId("own-label-row").hidden = !sample.sounds[anchor].labels.length;
  byId("own-label-count").textContent = `${percent(ownCount / order.length)} of the negatives`;
  byId("own-label-share").textContent = percent(total(shares.filter((_, rank) => own[rank])));
  [...byId("nearest").children].forEach((figure, rank) => {
    figure.querySelector(".weight").textContent = percent(shares[rank]);
    figure.querySelector(".bar i").style.width = `${100 * shares[rank] / shares[0]}%`;
  });
  drawShares(shares, own);
  drawMap(anchor, order, shares);
}

function drawShares(shares, own) {
  const shown = shares.slice(0, RANKS), width = 322 / RANKS;
  byId("shares").innerHTML = `<path class="axis" d="M46 10V106H370"/>` + shown.map((share, rank) => {
    const height = 92 * share / shares[0];
    return `<rect class="${own[rank] ? "same" : "other"}" x="${px(47 + rank * width)}" y="${px(106 - height)}" width="${px(width - 1.5)}" height="${px(height)}"/>`;
  }).join("") + `<text x="40" y="18" text-anchor="end">${percent(shares[0])}</text><text x="40" y="108" text-anchor="end">0</text>
    <text x="46" y="123">share by rank${sample.labels.length ? "; filled: same label" : ""}</text><text x="370" y="123" text-anchor="end">${shown.length}</text>`;
  byId("shares").setAttribute("aria-label", `Shares of the ${shown.length} nearest sounds: ${percent(shares[0])} of the first, ${percent(shares.at(shown.length - 1))} of the last`);
}

const bounds = [0, 1].map(axis => [Math.min, Math.max].map(limit => limit(...sample.layout.map(one => one[axis]))));
const onMap = number => sample.layout[number].map((value, axis) => {
  const share = (value - bounds[axis][0]) / (bounds[axis][1] - bounds[axis][0] || 1);
  return axis ? 455 - 440 * share : 15 + 570 * share;
});

function drawMap(anchor, order, shares) {
  const from = onMap(anchor);
  byId("map-lines").innerHTML = order.map((number, rank) => shares[rank] < 0.002 ? ""
    : line(from, onMap(number), "share", Math.min(12, 30 * shares[rank]))).join("");
  byId("ring-of-anchor").setAttribute("transform", `translate(${from.map(px).join(" ")})`);
}

function startNeighbours() {
  byId("map").innerHTML = `<g id="map-lines"></g><g id="map-dots">${sample.sounds.map(({ name, labels }, number) => {
    const [colour, shape] = markOf(labels[0]);
    return `<g transform="translate(${onMap(number).map(px).join(" ")}) scale(.5)"><title>${escaped([labels.join(", "), name].filter(Boolean).join(": "))}</title><path class="shape" fill="${colour}" d="${shape}"/></g>`;
  }).join("")}</g><circle id="ring-of-anchor" r="12"/>`;
  byId("map-legend").innerHTML = sample.labels.slice(0, 25).map(label =>
    `<span><svg class="mark" viewBox="-16 -16 32 32" aria-hidden="true"><path fill="${markOf(label)[0]}" d="${markOf(label)[1]}"/></svg><bdi>${escaped(label)}</bdi></span>`).join("");
  const groups = Map.groupBy(sample.sounds.keys(), number => sample.sounds[number].labels.join(", "));
  byId("anchor").innerHTML = [...groups].sort().map(([label, numbers]) => {
    const options = numbers.map(number => `<option value="${number}">${escaped(`${sample.sounds[number].name}, ${sample.sounds[number].time}`)}</option>`).join("");
    return label ? `<optgroup label="${escaped(label)}">${options}</optgroup>` : options;
  }).join("");
  byId("map-dots").addEventListener("click", event => showAnchor([...byId("map-dots").children].indexOf(event.target.closest("g"))));
  byId("anchor").addEventListener("change", () => showAnchor(+byId("anchor").value));
  byId("sound-temperature").addEventListener("input", showShares);
  byId("choice").addEventListener("submit", event => event.preventDefault());
  showAnchor(+byId("anchor").value);
}

startNeighbours();
