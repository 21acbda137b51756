/* The transcript: follows the time, lights up words while they are said, and can be searched. */

const FOLLOW_AGAIN_MS = 4000;

function createTranscript(data, player) {
  const list = byId("segments");
  if (!list) return { show() {} };
  const search = byId("search"), found = byId("found"), nothing = byId("nothing-found");
  const items = [...list.children];
  const texts = items.map((item) => item.querySelector(".words").textContent);
  /* Who is seen while a segment is said: a name is found, too. */
  const names = data.segments.map(({ span }) => data.people
    .filter((person) => person.ranges.some(([start, end]) => start < span[1] && end > span[0]))
    .map((person) => person.label).join("\n"));
  const find = timeIndex(data.segments.map((segment) => segment.span), data.duration);
  const previous = byId("hit-previous"), next = byId("hit-next");
  let hit = -1;
  let current = -1, currentPiece = -1, pieceNodes = [], pattern = null, scrolledByHand = -Infinity;

  /* Text nodes and <mark>s of a stretch of text; `matches` are the found places in the whole text. */
  function fill(node, text, offset, matches) {
    let at = 0;
    for (const [start, end] of matches) {
      const from = Math.max(start - offset, at), to = Math.min(end - offset, text.length);
      if (to <= from) continue;
      const mark = document.createElement("mark");
      mark.textContent = text.slice(from, to);
      node.append(text.slice(at, from), mark);
      at = to;
    }
    node.append(text.slice(at));
  }

  /* A segment as plain text; the current one, when its words have times, as one span per word. */
  function paint(i) {
    const node = items[i].querySelector(".words");
    const matches = pattern ? [...texts[i].matchAll(pattern)].map((m) => [m.index, m.index + m[0].length]) : [];
    node.replaceChildren();
    if (i !== current || !data.segments[i].timed) {
      fill(node, texts[i], 0, matches);
      return;
    }
    let offset = 0;
    pieceNodes = data.segments[i].pieces.map(([text]) => {
      const span = document.createElement("span");
      if (text.startsWith(" ")) node.append(" ");
      offset += text.startsWith(" ") ? 1 : 0;
      fill(span, text.trimStart(), offset, matches);
      offset += text.trimStart().length;
      node.append(span);
      return span;
    });
  }

  function show(t) {
    const now = find(t + 0.005).at(-1) ?? -1; // players land a hair before the time asked for
    if (now !== current) {
      const before = current;
      current = now;
      currentPiece = -1;
      pieceNodes = [];
      for (const i of [before, current]) if (i >= 0) { items[i].classList.toggle("current", i === current); paint(i); }
      if (current >= 0) scrollTo(current);
    }
    if (!pieceNodes.length) return;
    const pieces = data.segments[current].pieces;
    const piece = pieces.findLastIndex(([, start]) => start <= t + 0.005);
    if (piece === currentPiece) return;
    pieceNodes[currentPiece]?.classList.remove("saying");
    pieceNodes[piece]?.classList.add("saying");
    currentPiece = piece;
  }

  /* Scrolls the list only, never the page, and not while the reader is elsewhere in it. */
  function scrollTo(i) {
    if (performance.now() - scrolledByHand < FOLLOW_AGAIN_MS || items[i].hidden) return;
    const box = list.getBoundingClientRect(), item = items[i].getBoundingClientRect();
    if (item.top < box.top + 8 || item.bottom > box.bottom - 8) {
      list.scrollTop += item.top - box.top - (box.height - item.height) / 3;
    }
  }

  function filter() {
    const query = search.value.trim();
    pattern = query ? new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/\s+/g, "\\s+"), "giu") : null;
    let count = 0;
    items.forEach((item, i) => {
      const match = !pattern || texts[i].search(pattern) >= 0 || names[i].search(pattern) >= 0;
      if (match && (pattern || item.querySelector("mark"))) paint(i);
      item.hidden = !match;
      count += match;
    });
    found.textContent = pattern ? `${count} of ${items.length}` : "";
    nothing.hidden = count > 0;
    previous.disabled = next.disabled = !(pattern && count);
    hit = -1;
    currentPiece = -1;
    show(player.time);
    if (!pattern && current >= 0) scrollTo(current);
  }

  /* The next or previous segment that is shown, from the last one gone to, else from the playhead. */
  function go(step) {
    const hits = items.flatMap((item, i) => (item.hidden ? [] : [i]));
    if (!hits.length || !pattern) return;
    const after = hits.findIndex((i) => data.segments[i].span[0] > player.time + 0.005);
    const first = step > 0 ? (after < 0 ? 0 : after) : (after < 0 ? hits.length : after) - 1;
    hit = hit < 0 ? first : hit + step;
    hit = (hit + hits.length) % hits.length;
    found.textContent = `${hit + 1} of ${hits.length}`;
    scrolledByHand = -Infinity;
    player.seek(data.segments[hits[hit]].span[0]);
    scrollTo(hits[hit]);
  }
  previous.addEventListener("click", () => go(-1));
  next.addEventListener("click", () => go(1));
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    go(event.shiftKey ? -1 : 1);
  });
  byId("copy-text").addEventListener("click", (event) => {
    copy(texts.map((text, i) => `${formatTime(data.segments[i].span[0])}  ${text.trim()}`).join("\n"), event.currentTarget);
  });

  let timer = 0; // the browser itself empties a search field on Escape, as input
  search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(filter, 80); });
  for (const name of ["wheel", "touchmove"]) {
    list.addEventListener(name, () => { scrolledByHand = performance.now(); }, { passive: true });
  }
  list.addEventListener("click", (event) => {
    const item = event.target.closest(".segment");
    // A click that ends a selection is someone copying text.
    if (!item || (!event.target.closest("button") && !getSelection().isCollapsed)) return;
    scrolledByHand = -Infinity;
    player.seek(data.segments[items.indexOf(item)].span[0]);
  });

  return { show };
}
