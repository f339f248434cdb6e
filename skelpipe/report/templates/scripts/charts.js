// Line charts: names that hide and show their lines, and values under a pointer or by the arrow keys.
const BOX = { left: 50, right: 370, top: 10, bottom: 190 }; // as plots/svg.py draws

const scale = ([first, last, logarithmic], low, high) => (value) => {
  const of = logarithmic ? Math.log : (each) => each;
  return low + ((high - low) * (of(value) - of(first))) / (of(last) - of(first));
};

const readable = (svg, panel, labels, hidden) => {
  const x = scale(panel.scales.x, BOX.left, BOX.right);
  const y = scale(panel.scales.y, BOX.bottom, BOX.top);
  const places = [...new Set(panel.lines.flatMap((line) => line.points.map((point) => point[0])))].sort((a, b) => a - b);
  const read = make("div", { className: "read", hidden: true });
  read.setAttribute("role", "status");
  const layer = svg.appendChild(draw("g", { class: "cursor" }));
  svg.parentElement.append(read);
  svg.setAttribute("tabindex", "0");
  let at = -1;

  const show = (place) => {
    at = Math.max(0, Math.min(places.length - 1, place));
    const value = places[at];
    layer.replaceChildren(draw("path", { d: `M${x(value)} ${BOX.top}V${BOX.bottom}` }));
    const rows = [];
    for (const line of panel.lines) {
      const point = line.points.find((each) => each[0] === value);
      if (!point || hidden.has(line.order)) continue;
      const spread = point[2] ? ` \u00b1 ${short(point[2])}` : "";
      const key = svg.closest("figure").querySelector(`.legend [data-line="${line.order}"] .sample`).cloneNode(true);
      rows.push([point[1], make("div", {}, key, make("span", { className: "name", textContent: labels[line.order] }), make("b", { textContent: short(point[1]) + spread }))]);
      const dot = draw("g", { class: `s${line.order % 7}` });
      dot.append(draw("circle", { cx: x(value), cy: y(point[1]), r: 4, fill: "none", stroke: "currentColor", "stroke-width": 2 }));
      layer.append(dot);
    }
    rows.sort((a, b) => b[0] - a[0]);
    read.replaceChildren(make("div", { textContent: `${panel.x} ${short(value)}` }), ...rows.map((row) => row[1]));
    read.hidden = false;
    // Beside the line, on the side that has room.
    const share = x(value) / 380;
    read.style.left = share < 0.5 ? `${100 * share + 3}%` : "auto";
    read.style.right = share < 0.5 ? "auto" : `${100 * (1 - share) + 3}%`;
    read.style.top = "34px";
  };
  const leave = () => {
    at = -1;
    read.hidden = true;
    layer.replaceChildren();
  };

  svg.addEventListener("pointermove", (event) => {
    const frame = svg.getBoundingClientRect();
    const spot = ((event.clientX - frame.left) / frame.width) * 380;
    let nearest = 0;
    places.forEach((value, place) => {
      if (Math.abs(x(value) - spot) < Math.abs(x(places[nearest]) - spot)) nearest = place;
    });
    show(nearest);
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -places.length, End: places.length }[event.key];
    if (event.key === "Escape") leave();
    if (!step) return;
    event.preventDefault();
    show(at < 0 && step > 0 ? (event.key === "End" ? places.length : 0) : at + step);
  });
};

for (const figure of all("figure.chart")) {
  const { labels, panels } = values("script.points", figure);
  const hidden = new Set();
  all("svg.panel", figure).forEach((svg, place) => readable(svg, panels[place], labels, hidden));
  for (const button of all(".legend button", figure)) {
    button.addEventListener("click", () => {
      const line = Number(button.dataset.line);
      const on = hidden.delete(line);
      if (!on) hidden.add(line);
      button.setAttribute("aria-pressed", String(on));
      all(`.line[data-line="${line}"]`, figure).forEach((each) => each.classList.toggle("off", !on));
    });
  }
}
