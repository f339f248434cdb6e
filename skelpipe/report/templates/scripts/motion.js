// Clips as moving skeletons. Nothing moves by itself for whoever asked for less motion, and never out of sight.
const BYTES_UNSEEN = 255;
const still = matchMedia("(prefers-reduced-motion: reduce)");
const players = [];
const chosen = { speed: 1, turn: 0 };

class Player {
  constructor(figure, bones) {
    const { motion, layout } = values("script.clip-values", figure);
    this.bones = bones[layout];
    this.svg = figure.querySelector("svg.player");
    this.button = figure.querySelector("button.play");
    this.clock = figure.querySelector(".clock");
    [this.frames, this.bodies, this.joints, this.depth] = motion.shape;
    this.bytes = Uint8Array.from(atob(motion.data), (letter) => letter.charCodeAt(0));
    this.seconds = motion.seconds;
    this.measure(motion);
    this.paths = [];
    for (let body = 0; body < this.bodies; body++) {
      for (const side of "lmr") {
        const path = draw("path", { class: `b${body} ${side}`, "vector-effect": "non-scaling-stroke" });
        this.svg.append(path);
        this.paths.push({ path, body, bones: this.bones.filter((bone) => bone[2] === side) });
      }
    }
    this.time = 0;
    this.playing = false;
    this.seen = false;
    this.button.addEventListener("click", () => this.set(!this.playing));
    this.show();
  }

  // The middle of all that is seen, and how far it reaches whichever way it is turned.
  measure() {
    const low = [255, 255, 255];
    const high = [0, 0, 0];
    this.each((spot) => {
      for (let axis = 0; axis < this.depth; axis++) {
        low[axis] = Math.min(low[axis], spot[axis]);
        high[axis] = Math.max(high[axis], spot[axis]);
      }
    });
    this.middle = low.map((value, axis) => (value + high[axis]) / 2);
    let reach = 1;
    this.each((spot) => {
      const side = this.depth > 2 ? spot[2] - this.middle[2] : 0;
      reach = Math.max(reach, Math.hypot(spot[0] - this.middle[0], side));
    });
    const tall = Math.max(1, high[1] - low[1]);
    this.svg.setAttribute("viewBox", `${-reach - 4} ${-tall / 2 - 4} ${2 * reach + 8} ${tall + 8}`);
  }

  each(tell) {
    for (let start = 0; start < this.bytes.length; start += this.depth) {
      const spot = this.bytes.subarray(start, start + this.depth);
      if (spot[0] !== BYTES_UNSEEN) tell(spot);
    }
  }

  spot(frame, body, joint, cos, sin) {
    const start = ((frame * this.bodies + body) * this.joints + joint) * this.depth;
    if (this.bytes[start] === BYTES_UNSEEN) return null;
    const x = this.bytes[start] - this.middle[0];
    const z = this.depth > 2 ? this.bytes[start + 2] - this.middle[2] : 0;
    return [x * cos + z * sin, this.middle[1] - this.bytes[start + 1]];
  }

  show() {
    const frame = Math.min(this.frames - 1, Math.floor(this.time / this.seconds));
    const angle = (chosen.turn * Math.PI) / 180;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    for (const { path, body, bones } of this.paths) {
      let line = "";
      for (const [joint, parent] of bones) {
        const [from, to] = [this.spot(frame, body, joint, cos, sin), this.spot(frame, body, parent, cos, sin)];
        if (from && to) line += `M${from[0].toFixed(1)} ${from[1].toFixed(1)}L${to[0].toFixed(1)} ${to[1].toFixed(1)}`;
      }
      path.setAttribute("d", line);
    }
    this.clock.textContent = `${(frame * this.seconds).toFixed(1)} of ${(this.frames * this.seconds).toFixed(1)} s`;
  }

  set(playing) {
    this.playing = playing;
    this.button.textContent = playing ? "Pause" : "Play";
    this.button.setAttribute("aria-label", `${playing ? "Pause" : "Play"} ${this.name ?? ""}`.trim());
    tellAll();
  }

  forward(seconds) {
    if (!this.playing || !this.seen) return;
    const whole = this.frames * this.seconds;
    this.time = (this.time + chosen.speed * seconds) % whole;
    this.show();
  }
}

let tellAll = () => {};
if (document.getElementById("bones")) {
  const bones = JSON.parse(document.getElementById("bones").textContent);
  const every = document.getElementById("play-all");
  tellAll = () => (every.textContent = players.some((player) => player.playing) ? "Pause all" : "Play all");
  const sight = new IntersectionObserver((entries) => {
    for (const entry of entries) entry.target.player.seen = entry.isIntersecting;
  });
  for (const figure of all("figure.clip")) {
    const player = new Player(figure, bones);
    player.name = figure.querySelector("figcaption .note").textContent;
    figure.player = player;
    players.push(player);
    sight.observe(figure);
  }
  every.addEventListener("click", () => {
    const playing = !players.some((player) => player.playing);
    players.forEach((player) => player.set(playing));
  });
  document.getElementById("speed").addEventListener("change", (event) => (chosen.speed = Number(event.target.value)));
  document.getElementById("turn").addEventListener("input", (event) => {
    chosen.turn = Number(event.target.value);
    players.forEach((player) => player.show());
  });
  if (!still.matches) players.forEach((player) => player.set(true));
  still.addEventListener("change", () => still.matches && players.forEach((player) => player.set(false)));
  let before = performance.now();
  const go = (now) => {
    players.forEach((player) => player.forward(Math.min(0.1, (now - before) / 1000)));
    before = now;
    requestAnimationFrame(go);
  };
  requestAnimationFrame(go);
}
