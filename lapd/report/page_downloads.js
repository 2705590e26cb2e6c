// What can be saved: every table as CSV, LaTeX or Markdown, every picture as SVG with its numbers as CSV. No server has
// a part in it.

/** Hand a text to the reader as a file. */
function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const slug = (text) => text.trim().toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) || "report";

/** A line of buttons below an element: [label, what it does]. */
function saveLine(after, what, choices) {
  const line = document.createElement("p");
  line.className = "save";
  add(line, "span", "", "Save as ");
  for (const [label, act] of choices) {
    const button = add(line, "button", "", label);
    button.type = "button";
    button.setAttribute("aria-label", `Save ${what} as ${label}`);
    button.addEventListener("click", act);
  }
  after.after(line);
}

// Tables

function plainText(cell) {
  const copy = cell.cloneNode(true);
  for (const drawn of copy.querySelectorAll("[aria-hidden]")) drawn.remove();
  return copy.textContent.replace(/\s+/g, " ").trim();
}

/** A cell's text, or where exact numbers are asked for and it has such, those: a cell may hold several. */
const partsOf = (cell, exact) => (exact && cell.dataset.parts ? cell.dataset.parts.split("|") : [plainText(cell)]);

/** A table as rows of texts, its head first; what heads a group of rows becomes their first column. */
function rowsOf(table, exact = false) {
  const grouped = table.querySelector("th[scope=rowgroup]") !== null;
  const rows = [];
  let group = "";
  for (const row of table.rows) {
    const cells = [...row.cells];
    if (cells.length === 1 && cells[0].colSpan > 1) {
      if (cells[0].scope === "rowgroup") group = cells[0].dataset.name ?? plainText(cells[0]);
      continue; // a heading or a note, no row
    }
    const first = row.parentElement.tagName === "THEAD" ? (table.dataset.groups ?? "") : group;
    rows.push([...(grouped ? [first] : []), ...cells.flatMap((cell) => partsOf(cell, exact))]);
  }
  return rows;
}

/** RFC 4180, with a plain minus; a text that a spreadsheet would take for a formula has an apostrophe before it. */
function csv(rows) {
  const field = (text) => {
    let plain = text.replaceAll("−", "-");
    if (/^[=@\t]|^[+-](?![\d.])/.test(plain)) plain = `'${plain}`;
    return /[",\n\r]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
  };
  return rows.map((row) => `${row.map(field).join(",")}\r\n`).join("");
}

const LATEX = {
  "\\": "\\textbackslash{}",
  "~": "\\textasciitilde{}",
  "^": "\\textasciicircum{}",
  "−": "$-$",
  "●": "$\\bullet$",
  "→": "$\\to$",
  "<": "$<$",
  ">": "$>$",
  "|": "\\textbar{}",
};

function latex(rows, caption) {
  const escaped = (text) => text.replace(/[\\~^−●→<>|&%$#_{}]/gu, (char) => LATEX[char] ?? `\\${char}`);
  const line = (row) => `${row.map(escaped).join(" & ")} \\\\\n`;
  const [head, ...body] = rows;
  const columns = `l${"r".repeat(Math.max(0, head.length - 1))}`;
  return (
    `\\begin{table}\n\\caption{${escaped(caption)}}\n\\begin{tabular}{${columns}}\n\\hline\n${line(head)}\\hline\n` +
    `${body.map(line).join("")}\\hline\n\\end{tabular}\n\\end{table}\n`
  );
}

function markdown(rows) {
  const line = (row) => `| ${row.map((text) => text.replace(/[\\|<>*_`[\]]/g, "\\$&")).join(" | ")} |\n`;
  const [head, ...body] = rows;
  return line(head) + line(head.map(() => "---")) + body.map(line).join("");
}

function offerTable(table) {
  const caption = table.caption ? plainText(table.caption) : "Table";
  const name = slug(caption);
  saveLine(table.closest(".scroll") ?? table, caption, [
    ["CSV", () => save(`${name}.csv`, "text/csv", csv(rowsOf(table, true)))],
    ["LaTeX", () => save(`${name}.tex`, "text/x-tex", latex(rowsOf(table), caption))],
    ["Markdown", () => save(`${name}.md`, "text/markdown", markdown(rowsOf(table)))],
  ]);
}

// Pictures

/** The page's light colours, which a picture keeps wherever it goes: the first rule of its style. */
const lightColours = () => document.styleSheets[0].cssRules[0].style;

/** A picture of the page that stands alone: colours instead of the page's variables, a size, a font. */
function standalone(svg) {
  const copy = svg.cloneNode(true);
  const [, , width, height] = svg.getAttribute("viewBox").split(/[\s,]+/);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  copy.setAttribute("font-family", "sans-serif");
  const colours = lightColours();
  const text = new XMLSerializer().serializeToString(copy);
  return text.replace(/var\((--[\w-]+)\)/g, (_, name) => colours.getPropertyValue(name).trim() || "#000");
}

function offerPicture(figure) {
  const svg = figure.querySelector("svg");
  const caption = figure.dataset.name ?? figure.querySelector("figcaption")?.textContent ?? svg.getAttribute("aria-label") ?? "picture";
  const choices = [["SVG", () => save(`${slug(caption)}.svg`, "image/svg+xml", standalone(svg))]];
  if (figure.dataset.numbers) choices.push(["CSV", () => save(`${slug(caption)}.csv`, "text/csv", figure.dataset.numbers)]);
  saveLine([...figure.querySelectorAll("svg")].at(-1), caption, choices); // below all that are the same for other screens
}

// Texts

function offerText(block) {
  const { name } = block.dataset;
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(block.textContent);
    } catch {
      getSelection().selectAllChildren(block); // where a page from disk may not copy, it is left to the reader
    }
  };
  saveLine(block, name, [[name, () => save(name, "text/plain", block.textContent)]]);
  const button = add(block.nextElementSibling, "button", "", "Copy");
  button.type = "button";
  button.addEventListener("click", copy);
}

function startDownloads() {
  document.querySelectorAll("main table").forEach(offerTable);
  document.querySelectorAll("figure:has(svg)").forEach(offerPicture);
  document.querySelectorAll("pre[data-name]").forEach(offerText);
}
