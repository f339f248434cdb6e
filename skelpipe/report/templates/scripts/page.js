// What the other scripts share.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const make = (tag, settings = {}, ...inside) => {
  const element = Object.assign(document.createElement(tag), settings);
  element.append(...inside);
  return element;
};
const SVG = "http://www.w3.org/2000/svg";
const draw = (tag, attributes = {}) => {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};
const values = (selector, root) => JSON.parse(root.querySelector(selector).textContent);
// A number with as many digits as one can use, and a true minus sign.
const short = (value) => String(Number(value.toPrecision(4))).replace("-", "\u2212");

// A button that copies the text above it.
for (const text of all("pre.copied")) {
  const button = make("button", { type: "button", textContent: "Copy" });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text); // no clipboard for a page: it is marked, to be copied by keys
      button.textContent = "Marked: press Ctrl+C";
    }
  });
  text.after(make("div", { className: "bar" }, button));
}
