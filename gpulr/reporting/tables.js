// Tables: wide ones say that they scroll, columns sort, and cells of the confusion matrix show what is behind.
const find = (id) => document.getElementById(id);
const made = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

for (const region of document.querySelectorAll(".scroll")) {
  const hint = made("p", { className: "more fine", textContent: "Scroll sideways for more →" });
  hint.setAttribute("aria-hidden", "true");
  region.prepend(hint);
  const look = () => {
    const beyond = region.scrollWidth - region.clientWidth;
    hint.hidden = beyond < 2;
    region.classList.toggle("beyond", region.scrollLeft < beyond - 1);
  };
  region.addEventListener("scroll", look, { passive: true });
  new ResizeObserver(look).observe(region);
  look();
}

// What a cell sorts by: a number where it begins with one; a dash comes last.
function keyOf(cell) {
  const text = cell.firstChild ? cell.firstChild.textContent.trim() : "";
  const plain = text.replace(/,/g, "").replace(/−/g, "-").replace(/^[<>+]\s*/, "");
  if (text === "–" || text === "") return NaN;
  if (text === "never" || text === "∞") return Infinity;
  return /^-?[\d.]/.test(plain) && Number.isFinite(parseFloat(plain)) ? parseFloat(plain) : text;
}

function compared(a, b) {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
  if (typeof a === "number" && typeof b === "number") return a - b || 0;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (head.matches(".interval")) return;  // of pictures
    const button = made("button", { type: "button", className: "sort" }, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down < 0 ? "descending" : "ascending");
      const keyed = [...body.rows].map((row) => [keyOf(row.cells[column]), row]);
      keyed.sort(([a], [b]) => {
        const last = Number.isNaN(a) || Number.isNaN(b);
        return (last ? 1 : down) * compared(a, b);
      });
      body.append(...keyed.map(([, row]) => row));
    });
  });
}
