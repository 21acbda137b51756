/* Uploads by dropping files, what is under way, and asking before what cannot be taken back. */
"use strict";

const root = document.body.dataset.root, form = document.body.dataset.form;
const byId = (id) => document.getElementById(id);

/* --- uploads: one file after the other, as the body of a PUT --- */

const waiting = [];
let sending = false;

function add(files) {
  for (const file of files) {
    const item = document.createElement("li"), name = document.createElement("span");
    const said = document.createElement("span"), bar = document.createElement("progress");
    name.className = "name";
    name.textContent = file.name;
    said.className = "soft";
    said.textContent = "waits";
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", file.name);
    item.append(name, said, bar);
    byId("uploads").append(item);
    waiting.push({ file, said, bar });
  }
  next();
}

function next() {
  const each = sending ? undefined : waiting.shift();
  if (!each) return;
  sending = true;
  const request = new XMLHttpRequest();
  request.open("PUT", `${root}/uploads/${encodeURIComponent(each.file.name)}`);
  request.setRequestHeader("X-Castline-Form", form);
  request.upload.addEventListener("progress", (event) => {
    each.bar.value = event.loaded / (event.total || 1);
    each.said.textContent = `${Math.round(100 * each.bar.value)} %`;
  });
  request.addEventListener("loadend", () => {
    const done = request.status === 201;
    let why = "the connection broke";
    try { why = JSON.parse(request.responseText).detail || why; } catch { /* no answer of ours */ }
    each.said.textContent = done ? "uploaded" : why;
    each.said.className = done ? "soft" : "why";
    if (done) each.bar.value = 1; else each.bar.remove();
    sending = false;
    next();
  });
  request.send(each.file);
}

const drop = byId("drop");
if (drop) {
  byId("files").addEventListener("change", (event) => { add(event.target.files); event.target.value = ""; });
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    add(event.dataTransfer.files);
  });
}

/* --- what is under way: asked for while the page is looked at; a new result shows itself --- */

const running = byId("running");
let leaving = false;
addEventListener("beforeunload", () => { leaving = true; });
addEventListener("pageshow", () => { leaving = false; });

/** Whether somebody is in the middle of something: a page that is made anew loses it, and a form that is being sent. */
function atWork() {
  const fields = [...document.querySelectorAll("main input[type=text], input[type=search], main input:not([type])")];
  return leaving || sending || waiting.length > 0 || fields.some((field) => field.value !== field.defaultValue);
}

async function look() {
  if (!document.hidden) {
    const answer = await fetch(`${root}/running`).catch(() => null);
    if (answer && answer.ok) {
      running.innerHTML = await answer.text(); // escaped by the server, as the page itself
      const more = answer.headers.get("X-Castline-Recordings") !== running.dataset.recordings;
      if (more && !location.search && !atWork()) { location.reload(); return; }
    }
  }
  setTimeout(look, 2000);
}
if (running) setTimeout(look, 2000);

/* --- forms --- */

document.addEventListener("submit", (event) => {
  const ask = event.target.dataset.ask;
  if (ask && !confirm(ask)) { event.preventDefault(); return; }
  if (event.target.method !== "post") return;
  for (const button of event.target.querySelectorAll("button")) button.disabled = true;
});
for (const select of document.querySelectorAll(".tools select")) {
  select.addEventListener("change", () => select.form.submit());
}
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea") || !byId("q")) return;
  event.preventDefault();
  byId("q").focus();
  byId("q").select();
});
document.documentElement.classList.add("scripted");
document.documentElement.dataset.ready = "true";
