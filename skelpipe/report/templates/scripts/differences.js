// Class by class: the rows of the table filled anew for another pair of runs. Shares come in thousandths.
const points = (value) => (value === null ? "\u2014" : (value < 0 ? "\u2212" : "+") + Math.abs(value / 10).toFixed(1));
const shareText = (value) => (value === null ? "\u2014" : (value / 10).toFixed(1));

const pairOf = (data, one, two) => {
  if (one === two) return null;
  const known = data.pairs[`${Math.min(one, two)}-${Math.max(one, two)}`];
  if (one < two) return known;
  const turned = (each) => each.map((value) => (value === null ? null : -value));
  return { ...known, difference: turned(known.difference), low: turned(known.high), high: turned(known.low) };
};

// As differences_page.bar_svg draws.
const bar = (difference, low, high, reach) => {
  const at = (value) => 132 + (128 * Math.max(-reach, Math.min(reach, value))) / reach;
  const svg = draw("svg", { viewBox: "0 0 264 20", preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(draw("path", { class: "axis", d: "M132 0V20" }));
  if (difference !== null) {
    const [from, to] = [at(Math.min(0, difference)), at(Math.max(0, difference))];
    svg.append(draw("rect", { class: "box", x: from, y: 4, width: to - from, height: 12 }));
  }
  if (low !== null) svg.append(draw("path", { class: "span", d: `M${at(low)} 10H${at(high)}M${at(low)} 6V14M${at(high)} 6V14` }));
  return svg;
};

for (const block of all(".compared")) {
  const data = values("script.compared-values", block);
  const [one, two] = [block.querySelector("select.one"), block.querySelector("select.two")];
  const body = block.querySelector("tbody");
  const told = block.querySelector(".told");
  const fill = () => {
    const [a, b] = [Number(one.value), Number(two.value)];
    const pair = pairOf(data, a, b);
    block.querySelector(".name-one").textContent = data.runs[a].label;
    block.querySelector(".name-two").textContent = data.runs[b].label;
    if (!pair) {
      body.replaceChildren();
      told.textContent = "Both are the same run: choose another one.";
      return;
    }
    const most = Math.max(1, ...[...pair.difference, ...pair.low, ...pair.high].filter((v) => v !== null).map(Math.abs));
    const reach = Math.ceil(most / 100) * 100;
    all(".reach", block).forEach((each) => (each.textContent = String(reach / 10)));
    const places = data.classes.map((_, place) => place);
    const rank = (place) => (pair.difference[place] === null ? -Infinity : pair.difference[place]);
    places.sort((p, q) => rank(q) - rank(p) || p - q);
    body.replaceChildren(
      ...places.map((place) => {
        const [difference, low, high] = [pair.difference[place], pair.low[place], pair.high[place]];
        const sure = low !== null && (low > 0 || high < 0);
        const row = make("tr", { className: `${difference > 0 ? "gain" : difference < 0 ? "loss" : ""}${sure ? " sure" : ""}` });
        row.append(
          Object.assign(make("th", { className: "text", textContent: data.classes[place] }), { scope: "row" }),
          make("td", { className: "bar-cell" }, bar(difference, low, high, reach)),
          make(
            "td",
            { className: "diff" },
            make("b", { textContent: points(difference) }),
            " ",
            make("span", { textContent: low === null ? "\u2014" : `${points(low)} to ${points(high)}` }),
          ),
          make("td", { className: "detail", textContent: shareText(data.accuracies[b][place]) }),
          make("td", { className: "detail", textContent: shareText(data.accuracies[a][place]) }),
        );
        return row;
      }),
    );
    told.textContent = pair.told;
    body.parentElement.dispatchEvent(new Event("filled"));
  };
  one.addEventListener("change", fill);
  two.addEventListener("change", fill);
}
