// Examples of the first tab: settings, where the points are, and what there is to see.
// `degrees` gives the angle of each point (first views, then second ones); without it, points are drawn at random.

const PRESETS = [
  {
    title: "Start", sentence: "Views of a clip (joined by a line) attract each other, all other points repel each other: run it, and watch alignment and uniformity fall.",
    settings: { objective: "nt_xent", temperature: 0.2, clips: 6, views: 2, classes: 3, learningRate: 0.2 },
  },
  {
    title: "Hard negatives", sentence: "At temperature 0.07 nearly all of the push on the selected point comes from its nearest negative; raise the temperature to 1, and the negatives share the push more evenly.",
    settings: { objective: "nt_xent", temperature: 0.07, clips: 6, views: 2, classes: 5, learningRate: 0.05 },
    degrees: [90, 113, 165, 215, 260, 330, 48, 140, 190, 240, 290, 5],
  },
  {
    title: "False negatives", sentence: "Clips 1, 3 and 5 are of one class, but nt_xent reads no labels and pushes them apart; choose supervised_contrastive, and they move together.",
    settings: { objective: "nt_xent", temperature: 0.2, clips: 6, views: 2, classes: 2, learningRate: 0.2 },
    degrees: [70, 230, 95, 265, 120, 300, 60, 220, 108, 252, 132, 312],
  },
  {
    title: "Margin reached", sentence: "Clips 1 and 2 are nearer than the margin and repel each other; clips 3 and 4 are farther from all others, so that only their own views still attract each other.",
    settings: { objective: "contrastive_pairs", margin: 0.5, clips: 4, views: 2, classes: 4, learningRate: 0.2 },
    degrees: [80, 104, 200, 320, 70, 96, 216, 338], selected: 1,
  },
  {
    title: "Near positives", sentence: "The views of each clip are close already, so nt_xent is nearly certain of them and has little gradient; decoupled leaves the positive out of the sum, and its gradient is many times as large.",
    settings: { objective: "nt_xent", temperature: 0.1, clips: 4, views: 2, classes: 4, learningRate: 0.2 },
    degrees: [80, 130, 185, 20, 84, 134, 189, 24],
  },
  {
    title: "Collapsed triplets", sentence: "All points are in one place: the loss is the margin, and the gradient is 0, so that training cannot leave; drag a point away, and it can.",
    settings: { objective: "triplet", margin: 0.2, sampling: "hard", clips: 6, views: 2, classes: 3, learningRate: 0.2 },
    degrees: Array(12).fill(60),
  },
  {
    title: "No negatives", sentence: "With a variance weight of 0 nothing keeps clips apart: the loss falls to 0 and all points stay in one corner; a variance weight of 25 spreads them.",
    settings: { objective: "vicreg", varianceWeight: 0, clips: 8, views: 2, classes: 4, learningRate: 0.02 },
    spread: 0.2, centre: [1.2, 0.8],
  },
  {
    title: "Queue", sentence: "Two clips are enough where a queue of earlier keys (grey) gives the negatives: only the queries (solid outline) have a gradient, and keys cost no memory for one.",
    settings: { objective: "moco", temperature: 0.2, queueKeys: 24, clips: 2, views: 2, classes: 2, learningRate: 0.05 },
    degrees: [100, 250, 55, 205],
  },
];
