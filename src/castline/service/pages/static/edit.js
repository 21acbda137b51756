/* Correcting a recording: each change is sent by itself, with the mark of what was seen; the answer is what is there now. */
"use strict";

const bench = document.querySelector(".bench"), desk = byId("desk"), media = byId("media"), told = byId("said");
const rows = () => [...desk.querySelectorAll("#lines > li")];
const field = (row) => row.querySelector("textarea");
const clean = (text) => text.replace(/\s+/g, " ").trim();
let busy = false;

function tell(text, bad = false) {
  told.textContent = text;
  told.className = bad ? "notice bad" : "soft";
  told.setAttribute("role", bad ? "alert" : "status");
}

/* --- sending --- */

async function send(body, marks) {
  if (busy) return null;
  busy = true;
  desk.setAttribute("aria-busy", "true");
  tell("saving …");
  const headers = { "Content-Type": "application/json", "X-Castline-Form": form, Accept: "text/html" };
  if (marks) headers["If-Match"] = marks.map((mark) => `"${mark}"`).join(", ");
  let answer = null, why = "";
  try {
    answer = await fetch(`${bench.dataset.place}/corrections`, { method: "POST", headers, body: JSON.stringify(body) });
    if (!answer.ok) why = (await answer.json().catch(() => ({}))).detail || `the service said ${answer.status}`;
    if (typeof why !== "string") why = why.map((each) => each.msg).join("; ");
  } catch { why = "the service did not answer; nothing was saved"; }
  busy = false;
  desk.removeAttribute("aria-busy");
  if (why) { tell(why, true); return answer && answer.status === 412 ? "conflict" : null; }
  show(await answer.text());
  tell("saved");
  return "saved";
}

/** Escaped by the server, as the page itself. What somebody is typing elsewhere stays. */
function show(html) {
  const typed = new Map(rows().filter(changed).map((row) => [row.dataset.mark, [field(row).value, spoken(row)]]));
  desk.innerHTML = html;
  for (const row of rows()) {
    const mine = typed.get(row.dataset.mark);
    if (mine) { field(row).value = mine[0]; if (row.querySelector(".speaker")) row.querySelector(".speaker").value = mine[1] || ""; }
    if (field(row)) fit(field(row));
  }
}

async function refresh() {
  const answer = await fetch(`${bench.dataset.place}/corrections`, { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer && answer.ok) show(await answer.text());
}

/* --- lines --- */

const spoken = (row) => { const input = row.querySelector(".speaker"); return input ? clean(input.value) || null : null; };

function changed(row) {
  const text = field(row), speaker = row.querySelector(".speaker");
  return Boolean(text) && (clean(text.value) !== clean(text.defaultValue) || Boolean(speaker && speaker.value !== speaker.defaultValue));
}

/** The row at a time, or nearest to it: rows are made anew with every answer. */
function rowAt(at) {
  return rows().reduce((best, row) => (!best || Math.abs(row.dataset.start - at) < Math.abs(best.dataset.start - at) ? row : best), null);
}

async function lines(from, to, said, next) {
  const marks = rows().slice(from, to + 1).map((row) => row.dataset.mark), at = Number(rows()[from].dataset.start);
  const mine = said.map((line) => line.text).join(" / ");
  const before = rows().slice(from, to + 1).map((row) => [field(row), field(row).value]);
  for (const [text] of before) text.value = text.defaultValue; // what was sent is not kept as typed
  const done = await send({ do: "lines", at, said }, marks);
  if (done === "saved") { focus(next(at)); return; }
  if (done !== "conflict") { for (const [text, value] of before) { text.value = value; fit(text); } return; }
  const why = told.textContent;
  await refresh();
  tell(why, true);
  const row = rowAt(at);
  if (!row) return;
  const box = document.createElement("p"), again = document.createElement("button"), text = document.createElement("span");
  box.className = "notice bad conflict";
  box.setAttribute("role", "alert");
  text.textContent = `${why}. Yours was “${mine}”. `;
  again.type = "button";
  again.className = "quiet";
  again.textContent = "Put mine there";
  again.addEventListener("click", () => {
    field(row).value = mine;
    fit(field(row));
    box.remove();
    focus(row);
  });
  box.append(text, again);
  row.append(box);
  again.focus();
}

function focus(row, place) {
  if (!row || !field(row)) return;
  field(row).focus();
  if (place !== undefined) field(row).setSelectionRange(place, place);
}

function save(row, step) {
  const number = rows().indexOf(row), at = number + step;
  if (!changed(row)) { focus(rows()[at]); return; }
  lines(number, number, [{ text: field(row).value, speaker: spoken(row) }], () => rows()[at] || rows()[number]);
}

const ways = {
  cut(row) {
    const text = field(row), at = text.selectionStart, number = rows().indexOf(row);
    const pieces = [text.value.slice(0, at), text.value.slice(at)];
    if (!pieces.every(clean)) { tell("put the cursor where you want to cut the line", true); text.focus(); return; }
    lines(number, number, pieces.map((piece) => ({ text: piece, speaker: spoken(row) })), () => rows()[number + 1]);
  },
  join(row) {
    const number = rows().indexOf(row), before = rows()[number - 1];
    if (!before) return;
    const text = `${field(before).value} ${field(row).value}`;
    lines(number - 1, number, [{ text, speaker: spoken(before) }], () => rows()[number - 1]);
  },
  drop(row) {
    const number = rows().indexOf(row);
    lines(number, number, [], () => rows()[number] || rows()[number - 1]);
  },
  keep(row) {
    const number = rows().indexOf(row);
    lines(number, number, [{ text: field(row).value, speaker: spoken(row) }], () => rows()[number]);
  },
};

const atStart = (text) => text.matches("textarea") && text.selectionStart === 0 && text.selectionEnd === 0;

function fit(text) {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
}

/* --- playing --- */

let until = Infinity;

function play(row) {
  if (!media.paused && media.currentTime >= row.dataset.start - 0.05 && media.currentTime < row.dataset.end) { media.pause(); return; }
  media.currentTime = Number(row.dataset.start);
  until = Number(row.dataset.end);
  media.play().catch(() => tell("this browser does not play the recording", true));
}
// What this browser does not play, or only the sound of, may have a proxy that it does.
const others = [media.dataset.proxy];
function lookAtMedia() {
  const soundOnly = media.readyState > 0 && media.matches("video") && !media.videoWidth;
  if (!others.length || !(media.error || soundOnly)) return;
  if (soundOnly) others.push(media.currentSrc); // better than nothing
  const at = media.currentTime;
  media.src = others.shift();
  media.currentTime = at;
}
media.addEventListener("error", lookAtMedia);
media.addEventListener("loadedmetadata", lookAtMedia);
media.addEventListener("timeupdate", () => {
  if (media.currentTime >= until) { media.pause(); until = Infinity; }
  for (const row of rows()) row.classList.toggle("now", media.currentTime >= row.dataset.start && media.currentTime < row.dataset.end);
});

/* --- the desk: its parts come and go, so it listens for all of them --- */

desk.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const row = button.closest("#lines > li"), of = button.closest("form");
  if (button.dataset.way) ways[button.dataset.way](row);
  else if (button.classList.contains("at")) play(row);
  else if (button.dataset.withdraw) send({ do: "withdraw", correction: button.dataset.withdraw });
  else if (button.dataset.not) faces(of, button.dataset.not, false);
  else if (button.id === "undo") send({ do: "undo" }, [byId("history").dataset.last]).then((done) => done === "conflict" && refresh());
});

function faces(of, name, holds) {
  const boxes = [...of.querySelectorAll("[name=appearance]")], ticked = boxes.filter((box) => box.checked);
  if (boxes.length && !ticked.length) { tell("tick the appearances to change", true); return; }
  const body = { do: "faces", person: of.dataset.person, name, holds };
  if (ticked.length < boxes.length) body.appearances = ticked.map((box) => box.value);
  send(body, [of.dataset.mark]).then((done) => done === "conflict" && refresh());
}

desk.addEventListener("submit", (event) => {
  event.preventDefault();
  event.stopPropagation();
  const of = event.target, name = of.elements.namedItem("name").value;
  if (!clean(name)) { tell("enter a name", true); return; }
  if (of.dataset.do === "voice") send({ do: "voice", voice: of.dataset.voice, name });
  else faces(of, name, true);
});

desk.addEventListener("keydown", (event) => {
  const row = event.target.closest("#lines > li");
  if (!row || !field(row) || event.isComposing) return;
  const number = rows().indexOf(row);
  const key = `${event.ctrlKey || event.metaKey ? "ctrl " : ""}${event.altKey ? "alt " : ""}${event.key}`;
  const does = {
    "ctrl Enter": () => ways.cut(row),
    Backspace: atStart(event.target) && number > 0 ? () => ways.join(row) : null, // as in any text
    "ctrl  ": () => play(row),
    "alt ArrowUp": () => focus(rows()[number - 1]),
    "alt ArrowDown": () => focus(rows()[number + 1]),
    Escape: () => { field(row).value = field(row).defaultValue; fit(field(row)); },
    Enter: () => save(row, 1),
  }[key];
  if (!does || event.target.closest("button")) return;
  event.preventDefault();
  does();
});
desk.addEventListener("input", (event) => { if (event.target.matches("textarea")) fit(event.target); });
// Leaving a line saves it; a button of the line itself does what it says.
desk.addEventListener("focusout", (event) => {
  const row = event.target.closest("#lines > li");
  if (row && !busy && !row.contains(event.relatedTarget) && row.isConnected && changed(row)) {
    const goingTo = event.relatedTarget && event.relatedTarget.closest("#lines > li");
    const at = goingTo ? Number(goingTo.dataset.start) : NaN, number = rows().indexOf(row);
    lines(number, number, [{ text: field(row).value, speaker: spoken(row) }], () => (goingTo ? rowAt(at) : null));
  }
});
addEventListener("beforeunload", (event) => { if (rows().some(changed)) event.preventDefault(); });

for (const row of rows()) if (field(row)) fit(field(row));
const wanted = Number((location.hash.match(/^#t=([\d.]+)$/) || [])[1]);
if (wanted >= 0) {
  const row = rows().find((each) => wanted < each.dataset.end) || rows()[0];
  if (row) { row.scrollIntoView({ block: "center" }); focus(row); }
  media.currentTime = wanted;
}
lookAtMedia(); // it may have failed before this script came
