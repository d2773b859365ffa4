// The trials table: search, filters, sorting, pages of rows made when they are shown.

const DATA = JSON.parse(byId("data").textContent);
const PAGE_ROWS = 50;
const [CELL, QUERY, REPEAT, OK, SCORES, COST, COST_TEXT, TIME, TIME_TEXT, FAULT, PREVIEW] =
  Array.from({ length: 11 }, (_, at) => at);

const list = { shown: [], page: 0, sort: null, isUp: true, haystacks: [] };
const hasRepeats = DATA.trials.some((trial) => trial[REPEAT] > 1);
const outcomes = new Map();

const queryOf = (trial) => DATA.queries[trial[QUERY]];
const cellOf = (trial) => DATA.cells[trial[CELL]];

function columnsOfTrials() {
  return [
    { title: "question", value: (trial) => queryOf(trial).id, make: questionCell },
    { title: "cell", value: (trial) => trial[CELL], make: cellCell },
    ...DATA.scores.map((name, at) => ({
      title: name,
      value: (trial) => trial[SCORES][at],
      make: (trial) => scoreCell(trial, at),
      hides: at > 0 ? "lesser" : "",
    })),
    { title: "USD", value: (trial) => trial[COST], make: (trial) => figureCell(trial[COST_TEXT]), hides: "least" },
    { title: "time", value: (trial) => trial[TIME], make: (trial) => figureCell(trial[TIME_TEXT]), hides: "least" },
  ];
}

function questionCell(trial, number) {
  const query = queryOf(trial);
  const button = el("button", { type: "button", class: "link open", "data-trial": number });
  addText(button.appendChild(el("bdi", {})), query.id);
  if (hasRepeats) button.append(` · repeat ${trial[REPEAT]}`);
  const question = addText(el("bdi", { class: "question" }), query.text);
  return el("th", { scope: "row", class: "question-cell" }, el("div", { class: "question-line" }, button, question), previewLine(trial));
}

function previewLine(trial) {
  return addText(el("bdi", { class: trial[OK] ? "preview" : "preview failed" }), trial[PREVIEW]);
}

function cellCell(trial) {
  const cell = cellOf(trial);
  return el("td", { class: "cell-cell", title: cell.name }, chip(cell), " ", addText(el("bdi", { class: "cell-name" }), cell.name));
}

function figureCell(text) {
  return el("td", { class: "figure" }, text);
}

function scoreCell(trial, at) {
  const value = trial[SCORES][at];
  if (value === null || value === undefined) return el("td", { class: "figure" }, MISSING);
  const isRange = value >= 0 && value <= 1;
  const text = Number.isInteger(value) ? String(value) : value.toFixed(2);
  const shade = isRange ? ` mark-${value === 1 ? "full" : value === 0 ? "none" : "part"}` : "";
  return el("td", { class: "figure" }, el("span", { class: "score" + shade }, text));
}

// ---- filters

function outcomeChoices() {
  outcomes.set("answered", (trial) => trial[OK]);
  outcomes.set("failed", (trial) => !trial[OK]);
  for (const fault of new Set(DATA.trials.map((trial) => trial[FAULT]).filter(Boolean))) {
    outcomes.set("failed: " + fault, (trial) => trial[FAULT] === fault);
  }
  DATA.scores.forEach((name, at) => {
    const known = (trial) => trial[SCORES][at] !== null && trial[SCORES][at] !== undefined;
    outcomes.set(`${name}: 1`, (trial) => trial[SCORES][at] === 1);
    outcomes.set(`${name}: below 1`, (trial) => known(trial) && trial[SCORES][at] < 1);
    outcomes.set(`${name}: no score`, (trial) => trial[OK] && !known(trial));
    const disagree = disagreeing(at);
    outcomes.set(`${name}: cells disagree`, (trial) => disagree.has(trial[QUERY]));
  });
}

/** Questions on which trials differ in a score. */
function disagreeing(at) {
  const [least, most] = [new Map(), new Map()];
  for (const trial of DATA.trials) {
    const value = trial[SCORES][at];
    if (value === null || value === undefined) continue;
    least.set(trial[QUERY], Math.min(value, least.get(trial[QUERY]) ?? value));
    most.set(trial[QUERY], Math.max(value, most.get(trial[QUERY]) ?? value));
  }
  return new Set([...most.keys()].filter((query) => most.get(query) > least.get(query)));
}

function fillSelect(id, choices) {
  const select = byId(id);
  for (const [value, text] of choices) select.append(el("option", { value }, text));
  select.closest("label").hidden = choices.length < 2;
}

function applyFilters() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const cell = byId("filter-cell").value;
  const outcome = outcomes.get(byId("filter-outcome").value);
  const difficulty = byId("filter-difficulty").value;
  list.shown = [];
  DATA.trials.forEach((trial, number) => {
    if (cell !== "" && trial[CELL] !== Number(cell)) return;
    if (difficulty && queryOf(trial).difficulty !== difficulty) return;
    if (outcome && !outcome(trial)) return;
    if (!words.every((word) => list.haystacks[number].includes(word))) return;
    list.shown.push(number);
  });
  sortShown();
  list.page = 0;
  showPage();
}

function sortShown() {
  if (!list.sort) return;
  const sign = list.isUp ? 1 : -1;
  const value = list.sort.value;
  list.shown.sort((one, other) => {
    const [a, b] = [value(DATA.trials[one]), value(DATA.trials[other])];
    const [isA, isB] = [a !== null && a !== undefined, b !== null && b !== undefined];
    if (!isA || !isB) return isA === isB ? one - other : isA ? -1 : 1;
    return sign * (a < b ? -1 : a > b ? 1 : 0) || one - other;
  });
}

function showPage() {
  const pages = Math.max(1, Math.ceil(list.shown.length / PAGE_ROWS));
  list.page = Math.min(list.page, pages - 1);
  const first = list.page * PAGE_ROWS;
  const numbers = list.shown.slice(first, first + PAGE_ROWS);
  byId("trials-body").replaceChildren(...numbers.map(rowOf));
  const all = list.shown.length.toLocaleString("en");
  byId("found").textContent = `${all} of ${DATA.trials.length.toLocaleString("en")} trials`;
  byId("page-words").textContent = list.shown.length
    ? `${(first + 1).toLocaleString("en")} to ${(first + numbers.length).toLocaleString("en")} of ${all}`
    : "";
  byId("pager").hidden = pages < 2;
  byId("page-back").disabled = list.page === 0;
  byId("page-on").disabled = list.page === pages - 1;
}

function rowOf(number) {
  const trial = DATA.trials[number];
  const row = el("tr", { class: trial[OK] ? "" : "failed" });
  for (const column of columns) {
    const cell = column.make(trial, number);
    if (column.hides) cell.classList.add(column.hides);
    row.append(cell);
  }
  row.addEventListener("click", (event) => {
    if (!event.target.closest("button, a") && !String(getSelection())) openTrial(number);
  });
  return row;
}

// ---- start

const columns = columnsOfTrials();

function startTrials() {
  list.haystacks = DATA.trials.map((trial) => {
    const query = queryOf(trial);
    const parts = [query.id, query.text, query.difficulty, ...query.tickers, ...query.tags];
    return [...parts, cellOf(trial).name, trial[FAULT], trial[PREVIEW]].join(" ").toLowerCase();
  });
  outcomeChoices();
  fillSelect("filter-cell", DATA.cells.map((cell, at) => [String(at), `${cell.letter}  ${cell.name}`]));
  fillSelect("filter-outcome", [...outcomes.keys()].map((name) => [name, name]));
  const difficulties = [...new Set(DATA.queries.map((query) => query.difficulty).filter(Boolean))].sort();
  fillSelect("filter-difficulty", difficulties.map((one) => [one, one]));
  for (const column of columns) byId("trials-head").append(headOf(column));
  byId("trials-table").classList.toggle("many", DATA.scores.length > 3);
  byId("filters").hidden = false;
  byId("trials-table").hidden = false;
  let waiting = 0;
  byId("filters").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(applyFilters, 90);
  });
  byId("filters").addEventListener("reset", () => setTimeout(applyFilters, 0));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("page-back").addEventListener("click", () => turnPage(-1));
  byId("page-on").addEventListener("click", () => turnPage(1));
  byId("trials-body").addEventListener("click", (event) => {
    const button = event.target.closest("button.open");
    if (button) openTrial(Number(button.dataset.trial));
  });
  for (const button of document.querySelectorAll("button[data-search]")) {
    button.addEventListener("click", () => searchFor(button.dataset.search));
  }
  for (const button of document.querySelectorAll("button[data-query]")) {
    button.addEventListener("click", () => openPair(button.dataset));
  }
  applyFilters();
}

/** Opens a question's trial of one cell beside that of another; searches where it has none. */
function openPair({ query, cell, beside }) {
  const find = (letter) =>
    DATA.trials.findIndex((trial) => queryOf(trial).id === query && cellOf(trial).letter === letter);
  const [one, other] = [find(cell), find(beside)];
  if (one < 0) searchFor(query);
  else openTrial(one, other < 0 ? null : other);
}

function headOf(column) {
  const button = el("button", { type: "button", class: "sort" }, column.title);
  const isFigure = column.title !== "question" && column.title !== "cell";
  const head = el("th", { scope: "col", class: `${isFigure ? "figure" : ""} ${column.hides || ""}` }, button);
  button.addEventListener("click", () => {
    list.isUp = list.sort === column ? !list.isUp : !isFigure;
    list.sort = column;
    for (const other of byId("trials-head").children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", list.isUp ? "ascending" : "descending");
    sortShown();
    list.page = 0;
    showPage();
  });
  return head;
}

function turnPage(by) {
  list.page += by;
  showPage();
  byId("trials").scrollIntoView();
}

function searchFor(text) {
  byId("filters").reset();
  byId("search").value = text;
  applyFilters();
  byId("trials").scrollIntoView();
  byId("search").focus({ preventScroll: true });
}
