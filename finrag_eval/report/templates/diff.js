// Differences between two texts, word by word.

const MOST_STEPS = 6_000_000;

/** Words and signs of a text, each with the blanks after it; numbers stay whole. */
function wordsOf(text) {
  return text.match(/(?:[\p{L}\p{M}]+|\d+(?:[.,]\d+)*|\S)\s*|\s+/gu) || [];
}

/** Marks what stands alone, one or two words long, between marked words: it reads as one change. */
function joined(isMarked) {
  for (let at = 1; at < isMarked.length; at++) {
    if (isMarked[at] || !isMarked[at - 1]) continue;
    let end = at;
    while (end < isMarked.length && !isMarked[end]) end++;
    if (end - at <= 2 && end < isMarked.length) isMarked.fill(true, at, end);
    at = end;
  }
  return isMarked;
}

/**
 * Which words of each text the other lacks, as two arrays of booleans; null where the texts are
 * too long to compare. Longest common subsequence between what they do not share at both ends.
 */
function differences(one, other) {
  let start = 0;
  while (start < one.length && start < other.length && one[start] === other[start]) start++;
  let end = 0;
  while (
    end < one.length - start &&
    end < other.length - start &&
    one[one.length - 1 - end] === other[other.length - 1 - end]
  ) end++;
  const rows = one.length - start - end;
  const columns = other.length - start - end;
  if (rows * columns > MOST_STEPS) return null;
  const width = columns + 1;
  const lengths = new Uint16Array((rows + 1) * width);
  for (let row = rows - 1; row >= 0; row--) {
    for (let column = columns - 1; column >= 0; column--) {
      const at = row * width + column;
      lengths[at] = one[start + row] === other[start + column]
        ? lengths[at + width + 1] + 1
        : Math.max(lengths[at + width], lengths[at + 1]);
    }
  }
  const lacking = [new Array(one.length).fill(false), new Array(other.length).fill(false)];
  let [row, column] = [0, 0];
  while (row < rows || column < columns) {
    const at = row * width + column;
    if (row < rows && column < columns && one[start + row] === other[start + column]) {
      row++;
      column++;
    } else if (column >= columns || (row < rows && lengths[at + width] >= lengths[at + 1])) {
      lacking[0][start + row++] = true;
    } else {
      lacking[1][start + column++] = true;
    }
  }
  return lacking;
}

/** A text box in which runs of marked words are <mark>ed. */
function markedBox(words, isMarked) {
  const box = emptyBox("answer", words.join("").length);
  let at = 0;
  while (at < words.length) {
    let end = at;
    while (end < words.length && isMarked[end] === isMarked[at]) end++;
    const run = words.slice(at, end).join("");
    addText(isMarked[at] && run.trim() ? box.appendChild(el("mark")) : box, run);
    at = end;
  }
  return box;
}

/** Two texts as two boxes with their differences marked, and a sentence where they are not. */
function comparedBoxes(one, other) {
  if (one === other) return [textBox(one, "answer"), textBox(other, "answer"), "The answers are equal."];
  const words = [wordsOf(one), wordsOf(other)];
  const marks = differences(...words.map((each) => each.map((word) => word.trimEnd())));
  if (!marks) {
    const sentence = "The answers are too long to mark their differences.";
    return [textBox(one, "answer"), textBox(other, "answer"), sentence];
  }
  return [markedBox(words[0], joined(marks[0])), markedBox(words[1], joined(marks[1])), ""];
}
