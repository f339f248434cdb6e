// Tables that are ordered by a click on a heading, and filtered by what is typed; tables of class data.
const FEWEST_ROWS = 8; // below that there is nothing to filter

const number = (text) => {
  const found = text.replace(/\u2212/g, "-").match(/^\s*([+-]?\d[\d,]*(\.\d+)?)/);
  return found ? Number(found[1].replace(/,/g, "")) : NaN;
};

// Cells that reach over several rows are put into each of them, so that rows can part.
const part = (table) => {
  for (const cell of all("tbody [rowspan]", table)) {
    let row = cell.parentElement;
    for (let n = cell.rowSpan - 1; n > 0 && row.nextElementSibling; n--) {
      row = row.nextElementSibling;
      const again = cell.cloneNode(true);
      again.removeAttribute("rowspan");
      row.insertBefore(again, row.children[cell.cellIndex]);
    }
    cell.removeAttribute("rowspan");
    cell.scope = "row";
  }
};

// Of equal first cells one behind another only the first is shown.
const quiet = (table) => {
  for (const body of table.tBodies) {
    let before = "";
    for (const row of body.rows) {
      if (row.hidden || row.classList.contains("heading")) continue;
      const cell = row.cells[0];
      if (cell.classList.contains("recipe")) {
        cell.classList.toggle("again", cell.textContent === before);
        row.classList.toggle("start", cell.textContent !== before);
        before = cell.textContent;
      }
    }
  }
};

const order = (table, column, up) => {
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => !row.classList.contains("heading"));
    const keyed = rows.map((row, place) => {
      const text = row.cells[column].textContent.trim();
      return { row, place, text, value: number(text) };
    });
    const numeric = keyed.some((each) => !Number.isNaN(each.value));
    keyed.sort((a, b) => {
      if (numeric && Number.isNaN(a.value) !== Number.isNaN(b.value)) return Number.isNaN(a.value) ? 1 : -1;
      const by = numeric && !Number.isNaN(a.value) ? a.value - b.value : a.text.localeCompare(b.text);
      return (up ? by : -by) || a.place - b.place;
    });
    body.append(...keyed.map((each) => each.row));
  }
  quiet(table);
};

const sortable = (table) => {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, column) => {
    if (!head.textContent.trim() || head.classList.contains("bar-head")) return;
    const button = make("button", { type: "button", title: "order by this" }, ...head.childNodes);
    button.addEventListener("click", () => {
      // Figures from the highest on, names from A on; a second click turns it round.
      const text = head.classList.contains("text");
      const up = head.ariaSort ? head.ariaSort !== "ascending" : text;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.ariaSort = up ? "ascending" : "descending";
      head.setAttribute("aria-sort", head.ariaSort);
      order(table, column, up);
    });
    head.append(button);
  });
  table.addEventListener("filled", () => {
    const column = heads.findIndex((head) => head.hasAttribute("aria-sort"));
    if (column >= 0) order(table, column, heads[column].getAttribute("aria-sort") === "ascending");
  });
};

const filterable = (table) => {
  const own = () => all("tbody tr:not(.heading)", table); // of class by class they change
  if (own().length < FEWEST_ROWS) return;
  const box = make("input", { type: "search", placeholder: "words of a row" });
  const told = make("span", { className: "note" });
  told.setAttribute("role", "status");
  const filter = () => {
    const rows = own();
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    told.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
    quiet(table);
  };
  box.addEventListener("input", filter);
  table.addEventListener("filled", filter);
  table.parentElement.before(make("div", { className: "bar filter" }, make("label", {}, "Filter ", box), told));
};

for (const table of all("table.data")) {
  part(table);
  quiet(table);
  sortable(table);
  filterable(table);
}
