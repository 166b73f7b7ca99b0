"use strict";
// Losses of echopair.models.losses and their gradients, for points in two dimensions; pure functions.
// Rows are ordered as there: the clips of the first view, then those of the second one, and so on. The test of this
// page compares every number with Python's.

/**
 * Loss of a batch, its gradient by the points, and what each pair of points contributes.
 * @param {number[][]} points V N points [x, y], of any norm.
 * @param {object} settings objective, views (V), clips (N), and what the objective reads of: temperature, margin,
 *   sampling ("all", "semi_hard" or "hard"), classes (of each clip), queue (points), varianceWeight.
 * @returns {{loss: number, gradient: number[][], pull: number[][] | null}} pull[i][j] is the derivative of the loss by
 *   the cosine of point i, as anchor, and row j (points, then the queue): below 0 they attract, above 0 they repel.
 */
function lossAndGradient(points, settings) {
  if (settings.objective === "vicreg") return vicreg(points, settings);
  const units = points.map(unit), others = units.concat((settings.queue ?? []).map(unit));
  const cosines = units.map(one => others.map(other => dot(one, other)));
  const { loss, pull } = OF_COSINES[settings.objective](cosines, settings, units);
  const gradient = points.map(() => [0, 0]);
  const keysAreConstant = settings.objective === "moco";
  pull.forEach((row, i) => {
    for (let j = 0; j < row.length; j++) {
      if (row[j] === 0) continue;
      add(gradient[i], others[j], row[j]);
      if (!keysAreConstant) add(gradient[j], units[i], row[j]);
    }
  });
  return { loss, pull, gradient: gradient.map((one, i) => throughNormalisation(one, units[i], norm(points[i]))) };
}

/** The loss when all similarities are equal; null for losses where that says nothing. */
function chanceLevel({ objective, views, clips, margin, queue }) {
  const levels = {
    nt_xent: Math.log(views * clips - 1), supervised_contrastive: Math.log(views * clips - 1),
    decoupled: Math.log(views * (clips - 1)), moco: Math.log(1 + (queue ?? []).length), triplet: margin,
  };
  return levels[objective] ?? null;
}

/** Mean squared distance of the views of a clip on the unit circle (Wang and Isola, ICML 2020). */
function alignment(points, { views, clips }) {
  const units = points.map(unit);
  return mean(viewPairs(views, clips).map(([i, j]) => squaredDistance(units[i], units[j])));
}

/** Logarithm of the mean of exp(-2 d^2) over all pairs of points on the unit circle (Wang and Isola, ICML 2020). */
function uniformity(points) {
  const units = points.map(unit);
  const potentials = units.flatMap((one, i) => units.slice(0, i).map(other => Math.exp(-2 * squaredDistance(one, other))));
  return Math.log(mean(potentials));
}

/** Shares of the softmax of similarities at a temperature. */
function softmax(similarities, temperature) {
  const highest = Math.max(...similarities);
  const exponentials = similarities.map(one => Math.exp((one - highest) / temperature));
  const sum = total(exponentials);
  return exponentials.map(one => one / sum);
}

/** Effective number of shares, the exponential of their entropy; 0 if all are 0. */
function perplexity(weights) {
  const sum = total(weights);
  return sum > 0 ? Math.exp(-total(weights.map(one => one > 0 ? one / sum * Math.log(one / sum) : 0))) : 0;
}

const OF_COSINES = {
  nt_xent: (cosines, settings) => contrast(cosines, settings, isView, anyOther),
  decoupled: (cosines, settings) => contrast(cosines, settings, isView, isNegative),
  supervised_contrastive: (cosines, settings) => contrast(
    cosines, settings, (i, j, { clips, classes }) => i !== j && classes[i % clips] === classes[j % clips], anyOther),
  moco: (cosines, settings) => contrast( // the first view is the query, the second one the key
    cosines.slice(0, settings.clips), settings, (i, j, { clips }) => j === i + clips,
    (i, j, { clips }) => j === i + clips || j >= 2 * clips),
  contrastive_pairs: contrastivePairs,
  triplet,
};

// Which rows j are what to the anchor i.
const anyOther = (i, j) => i !== j;
const isView = (i, j, { clips }) => i !== j && i % clips === j % clips;
const isNegative = (i, j, { clips }) => i % clips !== j % clips;

/** Mean over anchors of the logarithm of the sum of e^(s/t) over the compared rows, less the mean s/t of positives. */
function contrast(cosines, settings, isPositive, isCompared) {
  const { temperature } = settings, anchors = cosines.length;
  let loss = 0;
  const pull = cosines.map((row, i) => {
    const weights = row.map((cosine, j) => isCompared(i, j, settings) ? Math.exp((cosine - 1) / temperature) : 0);
    const sum = total(weights), positives = [];
    for (let j = 0; j < row.length; j++) {
      weights[j] /= sum * temperature * anchors;
      if (isPositive(i, j, settings)) positives.push(j);
    }
    for (const j of positives) weights[j] -= 1 / (positives.length * temperature * anchors);
    loss += Math.log(sum) + (1 - mean(positives.map(j => row[j]))) / temperature;
    return weights;
  });
  return { loss: loss / anchors, pull };
}

function contrastivePairs(cosines, settings, units) {
  const { views, clips, margin } = settings, size = views * clips;
  const pull = cosines.map(row => row.map(() => 0));
  const positives = viewPairs(views, clips);
  for (const [i, j] of positives) pull[i][j] = -1 / positives.length; // half a squared distance is 1 - cosine
  let loss = mean(positives.map(([i, j]) => squaredDistance(units[i], units[j]) / 2));
  const negatives = size * (size - views);
  cosines.forEach((row, i) => row.forEach((_, j) => {
    const distance = Math.sqrt(squaredDistance(units[i], units[j]));
    if (!isNegative(i, j, settings) || distance >= margin) return;
    loss += (margin - distance) ** 2 / 2 / negatives;
    if (distance > 0) pull[i][j] = (margin - distance) / distance / negatives;
  }));
  return { loss, pull };
}

function triplet(cosines, settings) {
  const { margin, sampling, views, clips } = settings;
  const pull = cosines.map(row => row.map(() => 0));
  const triplets = cosines.flatMap((row, i) => {
    const rows = [...row.keys()], negatives = rows.filter(j => isNegative(i, j, settings));
    return rows.filter(j => isView(i, j, settings)).flatMap(
      positive => chosenNegatives(row, positive, negatives, sampling).map(negative => [i, positive, negative]));
  });
  const hinge = ([i, positive, negative]) => Math.max(0, margin + 2 * (cosines[i][negative] - cosines[i][positive]));
  for (const one of triplets.filter(one => hinge(one) > 0)) {
    const [i, positive, negative] = one;
    pull[i][positive] -= 2 / triplets.length;
    pull[i][negative] += 2 / triplets.length;
  }
  return { loss: mean(triplets.map(hinge)), pull };
}

function chosenNegatives(cosines, positive, negatives, sampling) {
  if (sampling === "all") return negatives;
  const nearest = rows => rows.reduce((best, j) => cosines[j] > cosines[best] ? j : best);
  if (sampling === "hard") return [nearest(negatives)];
  const beyond = negatives.filter(j => cosines[j] < cosines[positive]);
  if (beyond.length) return [nearest(beyond)];
  return [negatives.reduce((best, j) => cosines[j] < cosines[best] ? j : best)]; // the farthest
}

const INVARIANCE_WEIGHT = 25, COVARIANCE_WEIGHT = 1, VARIANCE_EPSILON = 1e-4;

function vicreg(points, { views, clips, varianceWeight }) {
  const gradient = points.map(() => [0, 0]), pairs = viewPairs(views, clips);
  let loss = 0;
  for (const [i, j] of pairs) { // the mean over pairs and both dimensions
    const scale = INVARIANCE_WEIGHT / (2 * pairs.length);
    loss += scale * squaredDistance(points[i], points[j]);
    add(gradient[i], points[i], 2 * scale); add(gradient[i], points[j], -2 * scale);
    add(gradient[j], points[j], 2 * scale); add(gradient[j], points[i], -2 * scale);
  }
  for (let view = 0; view < views; view++) {
    const rows = points.slice(view * clips, (view + 1) * clips);
    const means = [0, 1].map(axis => mean(rows.map(one => one[axis])));
    const centred = rows.map(one => [one[0] - means[0], one[1] - means[1]]);
    const deviations = [0, 1].map(
      axis => Math.sqrt(total(centred.map(one => one[axis] ** 2)) / (clips - 1) + VARIANCE_EPSILON));
    const covariance = total(centred.map(one => one[0] * one[1])) / (clips - 1);
    const scale = 2 * COVARIANCE_WEIGHT / views;
    loss += scale * covariance ** 2;
    for (const axis of [0, 1]) {
      const shortfall = Math.max(0, 1 - deviations[axis]);
      loss += varianceWeight * shortfall / (2 * views);
      centred.forEach((one, clip) => {
        const slope = shortfall > 0 ? -varianceWeight / (2 * views) * one[axis] / ((clips - 1) * deviations[axis]) : 0;
        gradient[view * clips + clip][axis] += slope + 2 * scale * covariance * one[1 - axis] / (clips - 1);
      });
    }
  }
  return { loss, gradient, pull: null };
}

/** Every two views of each clip, as pairs of rows. */
function viewPairs(views, clips) {
  const pairs = [];
  for (let one = 0; one < views; one++)
    for (let other = one + 1; other < views; other++)
      for (let clip = 0; clip < clips; clip++) pairs.push([one * clips + clip, other * clips + clip]);
  return pairs;
}

/** The gradient by a point of a function of its direction, from that by the direction. */
function throughNormalisation(gradient, direction, length) {
  const along = dot(gradient, direction);
  return gradient.map((one, axis) => (one - along * direction[axis]) / Math.max(length, 1e-12));
}

const total = values => values.reduce((sum, one) => sum + one, 0);
const mean = values => total(values) / values.length;
const dot = (one, other) => one[0] * other[0] + one[1] * other[1];
const norm = one => Math.hypot(one[0], one[1]);
const unit = one => { const length = Math.max(norm(one), 1e-12); return [one[0] / length, one[1] / length]; };
const squaredDistance = (one, other) => (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2;
const add = (into, vector, factor) => { into[0] += factor * vector[0]; into[1] += factor * vector[1]; };
