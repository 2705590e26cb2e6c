// The items of the page: unpacked task by task when they are asked for, filtered, sorted, searched, linked to.
// Whatever a model wrote is put in as text, never as markup.

const STEP = 20; // items that are shown at once
const LONG = 4000; // characters of an answer that are shown before somebody asks for the rest
const MOST_CELLS = 1e6; // of the table by which two answers are compared; longer ones are not marked
const ALIKE = 0.15; // with fewer words in common two answers are two answers, and nothing is marked

const index = JSON.parse(document.getElementById("index").textContent);
const filters = document.getElementById("filters");
const list = document.getElementById("list");
const more = document.getElementById("more");
const unpacked = new Map();
let found = []; // the entries that pass the filters, in order
let asked = 0; // counts requests, so that a slow one does not overwrite a later one

/** An element with a class and a text, inside `parent`. */
function add(parent, tag, className = "", text = null) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== null) element.textContent = text;
  parent.append(element);
  return element;
}

/** A task's record, unpacked once: base64 of raw deflate of JSON. All but the first stand behind this script. */
function unpack(number) {
  if (!unpacked.has(number)) unpacked.set(number, number === 0 ? inflate(0) : wholePage.then(() => inflate(number)));
  return unpacked.get(number);
}

const wholePage = new Promise((resolve) => {
  if (document.readyState !== "loading") resolve();
  document.addEventListener("DOMContentLoaded", resolve);
});

async function inflate(number) {
  const packed = document.getElementById(`pack-${number}`).textContent;
  const binary = atob(packed);
  const bytes = new Uint8Array(binary.length);
  for (let n = 0; n < binary.length; n++) bytes[n] = binary.charCodeAt(n); // Uint8Array.from is twenty times as slow
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const task = JSON.parse(await new Response(stream).text());
  const changes = task.items.flatMap((item) => item.changes.filter((change) => change !== null));
  const square = changes.reduce((sum, change) => sum + change * change, 0);
  task.spread = Math.sqrt(square / changes.length) || 1;
  return task;
}

// Which arms and items are shown

/** The places of the arms of a persona and of all that they are held against; of all arms where none is asked for. */
function armsShown(task, persona) {
  const shown = new Set();
  task.arms.forEach((_, place) => {
    if (persona && task.personas[place] !== persona) return;
    for (let at = place; at !== null && at !== undefined; at = task.baselines[at]) shown.add(at);
  });
  return [...shown].sort((a, b) => a - b);
}

function verdictsOf(item, arms) {
  const answers = item.asked.flatMap((question) => arms.flatMap((arm) => question.answers[arm]));
  const judged = answers.filter((answer) => "flagged" in answer);
  return judged.map((answer) => (answer.question ? verdictOf(answer) : String(answer.flagged)));
}

/** What a judge made of an answer: of harm, or of whether it refuses. */
function verdictOf({ flagged, question }) {
  const [yes, no] = question ? ["refused", "answered"] : ["flagged", "not flagged"];
  return { true: yes, false: no, null: "no verdict" }[String(flagged)];
}

function textOf(item) {
  if (item.searched === undefined) {
    const texts = item.asked.flatMap((question) => [
      question.prompt,
      ...question.options,
      ...question.answers.flat().map((answer) => answer.text || ""),
    ]);
    item.searched = [item.id, item.category, ...texts].join("\n").toLowerCase();
  }
  return item.searched;
}

/** How far an item changed in any of the arms, for the task's usual change. */
function changeOf({ task, item }, arms) {
  return Math.max(0, ...arms.map((arm) => Math.abs(item.changes[arm] ?? 0))) / task.spread;
}

function passes(entry, wanted) {
  const { item, arms } = entry;
  if (wanted.category && item.category !== wanted.category) return false;
  if (wanted.verdict && !verdictsOf(item, arms).includes(wanted.verdict)) return false;
  if (wanted.flip === "any" && !arms.some((arm) => item.flips[arm])) return false;
  if (wanted.flip && wanted.flip !== "any" && !arms.some((arm) => item.flips[arm] === wanted.flip)) return false;
  return !wanted.search || textOf(item).includes(wanted.search);
}

// The form

function wishes() {
  const wanted = Object.fromEntries(new FormData(filters));
  wanted.search = wanted.search.trim().toLowerCase();
  return wanted;
}

/** Offer choices, [value, text], and hide a filter that has nothing to choose. */
function offer(name, choices) {
  const select = filters.elements[name];
  const before = select.options.length ? select.value : null;
  select.replaceChildren();
  for (const [value, text] of choices) add(select, "option", "", text).value = value;
  if (choices.some(([value]) => value === before)) select.value = before;
  select.parentElement.hidden = choices.length < 2;
}

const distinct = (values) => [...new Set(values)].filter(Boolean).sort();

function offerChoices(entries) {
  const of = (values) => distinct(values).map((value) => [value, value]);
  const categories = of(entries.map(({ item }) => item.category));
  const flips = of(entries.flatMap(({ item, arms }) => arms.map((arm) => item.flips[arm])));
  const verdicts = new Set(entries.flatMap(({ item, arms }) => verdictsOf(item, arms)));
  const named = [["true", "flagged"], ["false", "not flagged"], ["null", "missing"]];
  named.push(...["refused", "answered", "no verdict"].map((name) => [name, name]));
  const told = named.filter(([value]) => verdicts.has(value));
  offer("category", [["", "every category"], ...categories]);
  offer("verdict", told.length ? [["", "every verdict"], ...told] : []);
  offer("flip", flips.length ? [["", "flipped or not"], ["any", "any flip"], ...flips] : []);
}

/** Every item of the tasks that are asked for, with the arms that are shown of it. */
async function entriesOf(taskWanted, persona) {
  const places = taskWanted === "" ? index.tasks.map((_, place) => place) : [Number(taskWanted)];
  const tasks = await Promise.all(places.map(unpack));
  return tasks.flatMap((task, n) => {
    const arms = armsShown(task, persona);
    return task.items.map((item) => ({ task, item, arms, place: places[n] }));
  });
}

async function refresh() {
  const mine = ++asked;
  const entries = await entriesOf(filters.elements.task.value, filters.elements.persona.value);
  if (mine !== asked) return;
  offerChoices(entries);
  const wanted = wishes();
  found = entries.filter((entry) => passes(entry, wanted));
  if (wanted.order === "change") {
    for (const entry of found) entry.change = changeOf(entry, entry.arms);
    found.sort((a, b) => b.change - a.change);
  }
  say(`${found.length} of ${entries.length} items${leftOut(entries)}.`);
  list.replaceChildren();
  showMore();
}

function leftOut(entries) {
  const places = distinct(entries.map(({ place }) => String(place))).map(Number);
  const missing = places.reduce((sum, place) => sum + index.tasks[place].total - index.tasks[place].kept, 0);
  return missing ? `; ${missing} more, which changed least, are not in this page` : "";
}

function say(text) {
  document.getElementById("found").textContent = text;
}

function showMore() {
  const start = list.children.length;
  for (const entry of found.slice(start, start + STEP)) list.append(card(entry));
  more.hidden = list.children.length >= found.length;
}

// One item

function anchorOf({ task, item, place }) {
  return ["item", index.tasks[place].name, item.id].map(encodeURIComponent).join("/");
}

function card(entry) {
  const { item } = entry;
  const article = document.createElement("article");
  article.className = "card item";
  article.tabIndex = -1;
  const header = add(article, "header");
  add(header, "h3", "", filters.elements.task.value === "" ? `${index.tasks[entry.place].name}: ${item.id}` : item.id);
  if (item.category && !item.folded) add(header, "span", "chip", item.category);
  const link = add(header, "a", "", "#");
  link.href = `#${anchorOf(entry)}`;
  link.setAttribute("aria-label", `Link to ${item.id}`);
  if (!item.folded) {
    fill(article, entry);
    return article;
  }
  const details = add(article, "details");
  add(details, "summary", "", item.folded);
  details.addEventListener("toggle", () => details.children.length > 1 || fill(details, entry));
  return article;
}

function fill(parent, entry) {
  entry.item.asked.forEach((question, n) => {
    add(parent, "p", "text prompt", question.prompt);
    if (question.options.length) optionsTable(parent, entry, question, n === entry.item.asked.length - 1);
    else answersGrid(parent, entry, question, n === 0);
  });
}

/** What the values are of, in words and unit. */
const metricOf = ({ metric, unit }) => (unit && !metric.endsWith(unit) ? `${metric}, ${unit}` : metric);

/** An arm's value, its change and its flip. */
function measured(parent, { task, item }, arm, name = "") {
  const value = item.values[arm];
  const change = item.changes[arm];
  const told = value === null ? "" : name + number(value);
  const moved = change === null ? "" : task.reworded ? `${number(change)} % other words` : number(change, true);
  const text = told && moved ? `${told} (${moved}) ` : `${told || moved} `;
  if (text.trim()) add(parent, "span", "", text);
  if (item.flips[arm]) add(parent, "span", "chip flip", item.flips[arm]);
}

function number(value, signed = false) {
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 1 ? 1 : 2;
  const text = Math.abs(value).toFixed(digits);
  const sign = Number(text) === 0 ? "" : value < 0 ? "−" : signed ? "+" : "";
  return sign + text;
}

function optionsTable(parent, entry, question, withValues) {
  const frame = add(parent, "div", "scroll");
  frame.tabIndex = 0;
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", `Options of ${entry.item.id}`);
  const table = add(frame, "table", "options");
  const arms = entry.arms.filter((arm) => question.answers[arm].length);
  const head = add(add(table, "thead"), "tr");
  add(head, "th", "", "log-likelihood (nats)").scope = "col";
  for (const arm of arms) add(head, "th", "", entry.task.arms[arm]).scope = "col";
  const body = add(table, "tbody");
  question.options.forEach((option, place) => {
    const row = add(body, "tr");
    const name = add(row, "th", "", option);
    name.scope = "row";
    if (question.right === place) add(name, "span", "chip", "right");
    for (const arm of arms) {
      const answer = question.answers[arm][0];
      const chosen = answer.chosen === place;
      add(row, "td", chosen ? "chosen" : "", `${chosen ? "● " : ""}${number(answer.logprobs[place])}`);
    }
  });
  if (!withValues) return;
  const foot = add(add(table, "tfoot"), "tr");
  add(foot, "th", "", `${metricOf(entry.task)} (change)`).scope = "row";
  for (const arm of arms) measured(add(foot, "td"), entry, arm);
}

function answersGrid(parent, entry, question, withValues) {
  const grid = add(parent, "div", "answers");
  for (const arm of entry.arms) {
    const answers = question.answers[arm];
    if (!answers.length) continue;
    const column = add(grid, "div");
    add(column, "h4", "", entry.task.arms[arm]);
    if (withValues) measured(add(column, "p", "value"), entry, arm, `${metricOf(entry.task)}: `);
    const before = question.answers[entry.task.baselines[arm]] ?? [];
    answers.forEach((answer, n) => written(column, answer, before[n], answers.length > 1 ? n + 1 : 0));
  }
}

/** One written answer: how it ended, what a judge and graders made of it, and its words. */
function written(column, answer, before, count) {
  const chips = add(column, "p", "value");
  if (count) add(chips, "span", "chip", `answer ${count}`);
  if ("flagged" in answer) {
    add(chips, "span", answer.flagged === false ? "chip" : "chip bad", verdictOf(answer));
  }
  if (answer.end) add(chips, "span", "chip bad", answer.end);
  if (answer.loop) add(chips, "span", "chip bad", `loops for ${answer.loop} words`);
  for (const grade of answer.grades ?? []) {
    const value = grade.value === null ? `none (${grade.reason})` : number(grade.value);
    add(chips, "span", "chip", `${grade.dimension} by ${grade.grader}: ${value}`);
  }
  const why = [...(answer.categories ?? []), answer.reason].filter(Boolean).join(": ");
  if (why) folded(column, "p", "reason", why, null);
  const text = answer.text.trim();
  if (!text) add(column, "p", "text soft", "no text");
  else folded(column, "p", "text", text, before?.text?.trim());
  if (!chips.children.length) chips.remove();
}

/** A text whose words that are not in `before` are marked; the rest of a long one waits for a click. */
function folded(parent, tag, className, text, before) {
  const shown = text.length > LONG ? text.slice(0, LONG) : text;
  const paragraph = add(parent, tag, className);
  for (const [words, isNew] of marked(before, shown)) add(paragraph, isNew ? "mark" : "span", "", words);
  if (shown === text) return;
  const button = add(parent, "button", "", `Show all ${text.length.toLocaleString("en")} characters`);
  button.type = "button";
  button.addEventListener("click", () => {
    paragraph.textContent = text;
    button.remove();
  });
}

// Words that differ

const wordsOf = (text) => text.match(/\s+|[\p{L}\p{N}\p{M}'’]+|[^\s\p{L}\p{N}\p{M}]/gu) ?? [];

/** `text` in pieces, [words, whether they are new]: those that are in no longest common part of it and `before`. */
function marked(before, text) {
  if (!before || before === text) return [[text, false]];
  const [old, now] = [wordsOf(before), wordsOf(text)];
  const kept = common(old, now);
  const solid = now.filter((word) => word.trim()).length;
  if (!kept || now.filter((word, n) => word.trim() && kept[n]).length < ALIKE * solid) return [[text, false]];
  const pieces = [];
  now.forEach((word, n) => {
    const isNew = !kept[n] && Boolean(word.trim());
    const last = pieces.at(-1);
    if (last && last[1] === isNew) last[0] += word;
    else pieces.push([word, isNew]);
  });
  return pieces;
}

/** Which words of `now` are in a longest common subsequence with `old`; null where the two are too long. */
function common(old, now) {
  const width = now.length + 1;
  if (old.length * now.length > MOST_CELLS) return null;
  const lengths = new Uint16Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      const at = i * width + j;
      lengths[at] = old[i] === now[j] ? lengths[at + width + 1] + 1 : Math.max(lengths[at + width], lengths[at + 1]);
    }
  }
  const kept = new Array(now.length).fill(false);
  for (let i = 0, j = 0; i < old.length && j < now.length; ) {
    const at = i * width + j;
    if (old[i] === now[j]) {
      kept[j] = true;
      i++;
      j++;
    } else if (lengths[at + width] >= lengths[at + 1]) i++;
    else j++;
  }
  return kept;
}

// Links to one item

/** The task's place and the item's id in the address, or null. */
function linked() {
  const [kind, name, id] = location.hash.slice(1).split("/");
  if (kind !== "item" || id === undefined) return null;
  try {
    const place = index.tasks.findIndex((task) => task.name === decodeURIComponent(name));
    return place < 0 ? null : { place, id: decodeURIComponent(id) };
  } catch {
    return null; // no address of ours
  }
}

/** Show the item in the address alone, if there is one. */
async function openLinked() {
  const link = linked();
  if (!link) return false;
  const mine = ++asked;
  filters.elements.task.value = String(link.place);
  const entries = await entriesOf(String(link.place), filters.elements.persona.value);
  if (mine !== asked) return true;
  offerChoices(entries);
  found = entries.filter(({ item }) => item.id === link.id);
  say(found.length ? "One item, by its link. Any filter brings the others back." : "There is no such item in this page.");
  list.replaceChildren();
  showMore();
  (list.firstElementChild ?? filters).scrollIntoView();
  list.firstElementChild?.focus({ preventScroll: true });
  return true;
}

async function startItems() {
  if (!index.tasks.length) return;
  document.getElementById("viewer").hidden = false;
  if (typeof DecompressionStream === "undefined") {
    say("This browser cannot unpack the items: a newer one can.");
    return;
  }
  const every = index.tasks.length > 1 ? [["", "every task"]] : [];
  offer("task", [...index.tasks.map(({ name }, place) => [String(place), name]), ...every]);
  const personas = index.personas.map((persona) => [persona, persona]);
  offer("persona", personas.length > 1 ? [...personas, ["", "everybody"]] : personas);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("input", refresh);
  more.addEventListener("click", showMore);
  window.addEventListener("hashchange", openLinked);
  if (!(await openLinked())) await refresh();
}
