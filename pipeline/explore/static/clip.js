// Pictures and sounds of rows: the tip beside the pointer, the card of the selected row, and its player.

import { make } from "./colouring.js";
import { ask } from "./server.js";

const KEPT = 300;
const HOVER_MILLISECONDS = 60;

/** Asks the server for rows, and keeps the last ones. */
export class Clips {
  constructor() {
    this.kept = new Map();
  }

  /** Resolves to picture, sound and scale of a row, or to the reason why it has none. */
  get(row) {
    if (!this.kept.has(row)) {
      const found = ask(`rows/${row}`).catch((error) => {
        this.kept.delete(row);
        return { reason: error.message };
      });
      this.kept.set(row, found);
      if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
    }
    return this.kept.get(row);
  }
}

/** The picture of a row, or why there is none. */
export function pictureOf(clip, description) {
  if (clip.reason) return make("p", "problem", clip.reason);
  const picture = make("img", "mel");
  picture.src = clip.picture;
  picture.alt = `Log-mel of ${description}, ${clip.scale}`;
  return picture;
}

/** The tip beside the pointer: name, label and spectrogram of the row below it. */
export class Tip {
  constructor(map, clips, describe) {
    Object.assign(this, { map, clips, describe, row: null, timer: 0, x: 0, y: 0 });
    this.element = map.querySelector(".tip");
    map.addEventListener("pointermove", (event) => {
      const box = map.getBoundingClientRect();
      [this.x, this.y] = [event.clientX - box.left, event.clientY - box.top];
    });
    map.addEventListener("pointerleave", () => this.show(null));
  }

  show(row) {
    this.row = row;
    clearTimeout(this.timer);
    if (row === null) this.element.hidden = true;
    else this.timer = setTimeout(() => this.fill(row), HOVER_MILLISECONDS);
  }

  async fill(row) {
    const clip = await this.clips.get(row);
    if (this.row !== row) return;
    const { name, time, label } = this.describe(row);
    this.element.replaceChildren(pictureOf(clip, name), make("div", "name", name), make("div", "", time), make("div", "", label));
    this.element.hidden = false;
    const { clientWidth, clientHeight } = this.map;
    const { offsetWidth, offsetHeight } = this.element;
    this.element.style.left = `${this.x + 18 + offsetWidth > clientWidth ? Math.max(4, this.x - 18 - offsetWidth) : this.x + 18}px`;
    this.element.style.top = `${Math.max(4, Math.min(this.y + 12, clientHeight - offsetHeight - 4))}px`;
  }
}

const labelledTime = (time, label) => (label ? `${time}: ${label}` : time);

/** The card of the selected row, with its player. */
export class Card {
  constructor(element, clips, describe) {
    Object.assign(this, { element, clips, describe, row: null, audio: null });
    this.heading = element.querySelector("h2");
    this.usual = [...element.children].slice(1);
  }

  async show(row, andPlay) {
    this.row = row;
    this.audio?.pause();
    this.audio = null;
    if (row === null) {
      this.element.replaceChildren(this.heading, ...this.usual);
      return;
    }
    const clip = await this.clips.get(row);
    if (this.row !== row) return;
    const { name, folder, time, label } = this.describe(row);
    const picture = make("div", "picture");
    picture.append(pictureOf(clip, name));
    const texts = [make("p", "name", name), make("p", "place", labelledTime(time, label))];
    if (folder) texts.push(make("p", "", folder));
    if (clip.scale) texts.push(make("p", "", clip.scale));
    this.element.replaceChildren(this.heading, picture, ...texts);
    if (clip.reason) return;
    this.audio = this.player(clip.sound, `${name}, ${time}`, picture);
    this.element.append(this.audio);
    if (andPlay) this.play();
  }

  /** Show the label that the row has now. */
  relabel() {
    const shown = this.element.querySelector(".place");
    if (!shown || this.row === null) return;
    const { time, label } = this.describe(this.row);
    shown.textContent = labelledTime(time, label);
  }

  player(sound, name, picture) {
    const audio = make("audio");
    audio.controls = true;
    audio.setAttribute("controlslist", "nodownload noplaybackrate noremoteplayback");
    audio.setAttribute("aria-label", `Play ${name}`);
    audio.src = sound;
    const line = make("div", "progress");
    picture.append(line);
    const advance = () => {
      line.style.left = `${(100 * audio.currentTime) / (audio.duration || 1)}%`;
      if (!audio.paused) requestAnimationFrame(advance);
    };
    for (const event of ["play", "seeked", "timeupdate"]) audio.addEventListener(event, advance);
    return audio;
  }

  /** Play the row from its beginning. */
  play() {
    if (!this.audio) return;
    this.audio.currentTime = 0;
    // A browser plays nothing before the first click or key; the player then waits for one.
    this.audio.play().catch(() => {});
  }
}
