// One trial opened, alone or beside another trial of the same question.

const dialog = byId("trial");
const open = { number: null, beside: null, details: new Map() };

async function detailsOf(number) {
  const sealed = await unseal("pack-" + DATA.trials[number][QUERY]);
  const details = sealed.trials[number];
  const text = (at) => (at === null || at === undefined ? null : sealed.texts[at]);
  return { ...details, number, text, trial: DATA.trials[number] };
}

async function openTrial(number, beside = null) {
  open.number = number;
  open.beside = beside;
  const [one, prompts] = await Promise.all([detailsOf(number), unseal("prompts")]);
  const other = beside === null ? null : await detailsOf(beside);
  if (open.number !== number || open.beside !== beside) return;
  showHead(one);
  byId("trial-body").replaceChildren(...(other ? besideEachOther(one, other) : alone(one, prompts)));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  rememberPlace();
}

function rememberPlace() {
  let place = "#trials";
  if (dialog.open) place = `#trial=${open.number}` + (open.beside === null ? "" : `&beside=${open.beside}`);
  try {
    history.replaceState(null, "", place);
  } catch {
    // a page in a sandbox has no address of its own
  }
}

function showHead(one) {
  const title = byId("trial-title");
  title.replaceChildren(addText(el("bdi", {}), queryOf(one.trial).id));
  const at = list.shown.indexOf(one.number);
  byId("trial-back").disabled = at <= 0;
  byId("trial-on").disabled = at < 0 || at >= list.shown.length - 1;
  const select = byId("beside");
  select.replaceChildren(el("option", { value: "" }, "no other cell"));
  DATA.trials.forEach((trial, number) => {
    if (trial[QUERY] !== one.trial[QUERY] || number === one.number) return;
    const cell = cellOf(trial);
    const repeat = hasRepeats ? `, repeat ${trial[REPEAT]}` : "";
    select.append(el("option", { value: number }, `${cell.letter}  ${cell.name}${repeat}`));
  });
  select.value = open.beside === null ? "" : String(open.beside);
  select.closest("div").hidden = select.options.length < 2;
}

// ---- parts

function part(title, ...children) {
  return el("section", { class: "part" }, el("h3", {}, title), ...children);
}

function folded(title, isOpen, ...children) {
  return el("details", { class: "more", open: isOpen }, el("summary", {}, title), ...children);
}

function cellLine(one) {
  const cell = cellOf(one.trial);
  const outcome = one.trial[OK] ? "answered" : "failed";
  return el(
    "p",
    { class: "cell-line" },
    chip(cell),
    addText(el("bdi", {}), cell.name),
    hasRepeats ? el("span", { class: "muted" }, `repeat ${one.trial[REPEAT]}`) : null,
    el("span", { class: "pill status-" + (one.trial[OK] ? "good" : "bad") }, outcome),
  );
}

function questionPart(one) {
  const expected = one.text(one.expected);
  const parts = [part("Question", textBox(one.text(one.question), "asked"))];
  if (expected !== null) parts.push(part("Expected", textBox(expected)));
  if (one.refuse) parts.push(el("p", { class: "lead" }, "The right answer is to decline."));
  return parts;
}

function answerBox(one) {
  if (one.error) return errorBox(one);
  const answer = one.text(one.answer);
  return answer === null ? el("p", { class: "lead" }, "No answer was kept.") : set(textBox(answer, "answer"));
}

/** Bold headings and bold words of an answer in Markdown; every character stays. */
function set(box) {
  for (const node of [...box.childNodes]) {
    if (node.nodeType !== Node.TEXT_NODE) continue;
    const parts = node.data.split(/(^#{1,6} .*$|\*\*[^*\n]+\*\*)/m);
    if (parts.length < 2) continue;
    node.replaceWith(...parts.filter(Boolean).map((text, at) => (/^(#{1,6} |\*\*)/.test(text) ? el("strong", {}, text) : text)));
  }
  return box;
}

function errorBox(one) {
  const box = el("div", { class: "error" });
  box.append(addText(el("p", {}), `${one.error.type}${one.error.stage ? " in " + one.error.stage : ""}`));
  box.append(textBox(one.error.message));
  const traceback = one.text(one.error.traceback);
  if (traceback) box.append(folded("Traceback", false, textBox(traceback, "code")));
  return box;
}

function scoresTable(columnsOfScores) {
  const names = [...new Set(columnsOfScores.flatMap((one) => one.scores.map((score) => score.name)))];
  if (!names.length) return el("p", { class: "lead" }, "This trial has no scores.");
  const body = el("tbody");
  for (const name of names) {
    const found = columnsOfScores.map((one) => one.scores.find((score) => score.name === name));
    const differs = found.length > 1 && found[0]?.value !== found[1]?.value;
    const row = el("tr", { class: differs ? "differs" : "" }, addText(el("th", { scope: "row" }), name));
    for (const score of found) row.append(scoreReasons(score));
    body.append(row);
  }
  return tableOf(columnsOfScores, body, "Scores", "");
}

function scoreReasons(score) {
  const cell = el("td");
  if (!score) return addText(cell, MISSING);
  cell.append(el("b", { class: "value" }, score.value ?? "no score"));
  if (score.note) cell.append(addText(el("bdi", { class: "note" }), score.note));
  if (score.why.length) {
    const why = el("dl", { class: "why" });
    for (const [key, value] of score.why) {
      why.append(el("div", {}, addText(el("dt"), key), addText(el("dd", { dir: "auto" }), value)));
    }
    cell.append(why);
  }
  return cell;
}

function figuresTable(columnsOfFigures) {
  const labels = [...new Set(columnsOfFigures.flatMap((one) => one.figures.map(([label]) => label)))];
  const body = el("tbody");
  for (const label of labels) {
    const texts = columnsOfFigures.map((one) => one.figures.find(([name]) => name === label)?.[1] ?? MISSING);
    const differs = texts.length > 1 && texts[0] !== texts[1];
    const row = el("tr", { class: differs ? "differs" : "" }, el("th", { scope: "row" }, label));
    for (const text of texts) row.append(addText(el("td", { class: "figure" }), text));
    body.append(row);
  }
  return tableOf(columnsOfFigures, body, "Figures", "figure");
}

function tableOf(trials, body, words, side) {
  const table = el("table", { class: trials.length > 1 ? "small both" : "small", "aria-label": words });
  if (trials.length > 1) {
    const heads = trials.map((one) => el("th", { scope: "col", class: side }, chip(cellOf(one.trial))));
    table.append(el("thead", {}, el("tr", {}, el("th", { scope: "col" }, el("span", { class: "sr" }, words)), ...heads)));
  }
  table.append(body);
  return table;
}

function contextParts(one) {
  if (!one.context) return [el("p", { class: "lead" }, "No context was kept.")];
  const [kpi, other] = [one.text(one.context.kpi), one.text(one.context.other)];
  const nodes = [];
  if (kpi) nodes.push(folded("KPI snapshot", true, textBox(kpi, "code")));
  if (other) nodes.push(folded("Context as given", !kpi, textBox(other, "code")));
  one.context.passages.forEach(([heading, at], number) => {
    const title = addText(el("bdi"), `${number + 1}. ${heading}`);
    nodes.push(folded(title, false, textBox(one.text(at), "passage")));
  });
  return nodes;
}

function factsList(one) {
  const facts = el("dl", { class: "facts" });
  for (const [label, text] of one.facts) {
    facts.append(el("div", {}, el("dt", {}, label), addText(el("dd", { dir: "auto" }), text)));
  }
  return facts;
}

function runLink(one) {
  if (!one.url) return null;
  return el("p", {}, el("a", { href: one.url, rel: "noopener noreferrer", target: "_blank" }, "Open its MLflow run"));
}

// ---- views

function alone(one, prompts) {
  const promptNodes = [["System prompt", one.system], ["Query template", one.template]]
    .filter(([, at]) => at !== null && at !== undefined)
    .map(([title, at]) => folded(title, false, textBox(prompts[at], "code")));
  const main = el(
    "div",
    { class: "trial-main" },
    cellLine(one),
    ...questionPart(one),
    part(one.error ? "No answer" : "Answer", answerBox(one)),
    part("Scores", scoresTable([one])),
    part("Context" + (one.context ? `, ${one.context.chars} characters` : ""), ...contextParts(one)),
    promptNodes.length ? part("Prompt", ...promptNodes) : null,
  );
  const side = el(
    "aside",
    { class: "trial-side", "aria-label": "Figures of this trial" },
    part("Figures", figuresTable([one])),
    part("Where from", runLink(one), factsList(one)),
  );
  return [el("div", { class: "trial-grid" }, main, side)];
}

function besideEachOther(one, other) {
  const both = [one, other];
  const answers = both.map((each) => each.text(each.answer));
  let boxes = both.map(answerBox);
  let sentence = "Marked passages differ.";
  if (answers[0] !== null && answers[1] !== null) {
    const [left, right, said] = comparedBoxes(...answers);
    boxes = [set(left), set(right)];
    sentence = said || sentence;
  } else {
    sentence = "One of the two has no answer.";
  }
  const columnsOfAnswers = both.map((each, at) => el("div", {}, cellLine(each), boxes[at], runLink(each)));
  return [
    ...questionPart(one),
    el("p", { class: "lead two-words" }, sentence),
    el("div", { class: "two" }, ...columnsOfAnswers),
    part("Scores", scoresTable(both)),
    part("Figures", figuresTable(both)),
    part("Context", ...contextDifference(one, other)),
  ];
}

function contextDifference(one, other) {
  const same = JSON.stringify(one.context) === JSON.stringify(other.context);
  if (same) return [el("p", { class: "lead" }, "Both were given the same context."), ...contextParts(one)];
  const titles = [one, other].map((each) => new Set((each.context?.passages || []).map(([heading]) => heading)));
  return [one, other].map((each, at) => {
    const others = titles[1 - at];
    const only = [...titles[at]].filter((heading) => !others.has(heading));
    const said = `${titles[at].size} passages, ${only.length} of them for this one alone`;
    return folded(el("span", {}, chip(cellOf(each.trial)), " " + said), false, ...contextParts(each));
  });
}

// ---- start

function startDialog() {
  byId("trial-close").addEventListener("click", () => dialog.close());
  byId("trial-back").addEventListener("click", () => step(-1));
  byId("trial-on").addEventListener("click", () => step(1));
  byId("beside").addEventListener("change", (event) => {
    const beside = event.target.value;
    openTrial(open.number, beside === "" ? null : Number(beside));
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", rememberPlace);
  dialog.addEventListener("keydown", (event) => {
    if (event.target.closest("select, input, .text")) return;
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  const asked = /^#trial=(\d+)(?:&beside=(\d+))?$/.exec(location.hash);
  if (asked && DATA.trials[Number(asked[1])]) {
    const beside = asked[2] !== undefined && DATA.trials[Number(asked[2])] ? Number(asked[2]) : null;
    openTrial(Number(asked[1]), beside);
  }
}

function step(by) {
  const at = list.shown.indexOf(open.number) + by;
  if (at >= 0 && at < list.shown.length) openTrial(list.shown[at]);
}

startTheme();
document.querySelectorAll("table.sortable").forEach(makeSortable);
startTrials();
startDialog();
