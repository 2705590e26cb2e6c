// Tables that can be sorted by any column; without the script they are in the run's order.

/** What a cell is sorted by: its value, else the first number in it, else its text. */
function keyOf(cell) {
  if (cell?.dataset.value !== undefined) return Number(cell.dataset.value);
  const text = (cell?.textContent ?? "").trim().replaceAll("−", "-");
  const number = /^[<]?[+-]?\.?\d/.test(text) ? Number.parseFloat(text.replace("<", "")) : Number.NaN;
  return Number.isNaN(number) ? text : number;
}

/** Numbers before texts, what is empty last. */
function inOrder(a, b) {
  if (a === "" || b === "") return (a === "") - (b === "");
  if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b);
  return typeof a === "number" ? -1 : 1;
}

function sortBy(table, head) {
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row.cells[head.cellIndex]), row]);
  rows.sort(([a], [b]) => (a === "" || b === "" || !down ? inOrder(a, b) : inOrder(b, a)));
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

function startSorting() {
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sortBy(table, head));
    }
  }
}
