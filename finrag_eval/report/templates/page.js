// Shared by the page's parts: making nodes, showing foreign text, theme, sorting, unpacking.

const byId = (id) => document.getElementById(id);
const MISSING = "–";

/** A new element. Children are nodes or text; text is never read as markup. */
function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined) continue;
    node.append(child);
  }
  return node;
}

const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0]|\u{e0000}|[\u{e0001}-\u{e007f}]/gu;

/** What stands for a character that shows nothing itself: a picture, or its code point. */
function symbolOf(character) {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return "U+" + code.toString(16).toUpperCase().padStart(4, "0");
}

/** Adds foreign text to a node; control and invisible characters become marks that can be seen. */
function addText(node, text) {
  let at = 0;
  for (const hit of text.matchAll(HIDDEN)) {
    if (hit[0] === "\r" && text[hit.index + 1] === "\n") {
      node.append(text.slice(at, hit.index));
    } else {
      node.append(text.slice(at, hit.index), el("span", { class: "unseen" }, symbolOf(hit[0])));
    }
    at = hit.index + hit[0].length;
  }
  node.append(text.slice(at));
  return node;
}

const LONG = 8000;

/** Foreign text in a box of its own direction; a long one is folded and scrolls by itself. */
function textBox(text, className) {
  return addText(emptyBox(className, text.length), text);
}

/** A box for so many characters; one that scrolls has a name and is reached by the keyboard. */
function emptyBox(className, length) {
  const box = el("div", { class: "text " + (className || ""), dir: "auto" });
  if (length > LONG) {
    box.classList.add("long");
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", `long text, ${length.toLocaleString("en")} characters`);
  }
  return box;
}

function chip(cell) {
  return el(
    "span",
    { class: "chip model-" + cell.colour, role: "img", "aria-label": "cell " + cell.letter },
    cell.letter,
  );
}

// ---- theme

function startTheme() {
  const words = ["auto", "light", "dark"];
  let now = "auto";
  try {
    now = localStorage.getItem("finrag-eval-theme") || "auto";
  } catch {
    // a page in a sandbox has no storage
  }
  const show = () => {
    document.documentElement.dataset.theme = now;
    byId("theme-word").textContent = now;
  };
  byId("theme").hidden = false;
  byId("theme").addEventListener("click", () => {
    now = words[(words.indexOf(now) + 1) % words.length];
    show();
    try {
      localStorage.setItem("finrag-eval-theme", now);
    } catch {
      // as above
    }
  });
  show();
}

// ---- tables that stand in the page

/** Makes every column title of the table a button that sorts its rows. */
function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = el("button", { type: "button", class: "sort" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const isDown = head.getAttribute("aria-sort") === "descending";
      const up = column === 0 ? head.getAttribute("aria-sort") !== "ascending" : isDown;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((one, other) => (up ? 1 : -1) * compareCells(one.cells[column], other.cells[column]));
      table.tBodies[0].append(...rows);
    });
  });
}

function compareCells(one, other) {
  const [a, b] = [one.dataset.sort, other.dataset.sort];
  if (a !== undefined && b !== undefined) return Number(a) - Number(b);
  if (a !== undefined || b !== undefined) return a === undefined ? -1 : 1;
  return one.textContent.localeCompare(other.textContent, "en", { numeric: true });
}

// ---- sealed texts

const opened = new Map();

/** What lies sealed in the element with that id: base64 of zlib of JSON. */
function unseal(id) {
  if (!opened.has(id)) opened.set(id, unpack(byId(id).textContent.trim()));
  return opened.get(id);
}

async function unpack(sealed) {
  const bytes = Uint8Array.from(atob(sealed), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}
