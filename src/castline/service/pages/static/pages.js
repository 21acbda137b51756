/* Uploads by dropping files, progress, and asking before what cannot be undone. */
"use strict";

const root = document.body.dataset.root, form = document.body.dataset.form;
const byId = (id) => document.getElementById(id);

/* --- uploads: one file after the other, in parts straight into the bucket; what is there is not sent again --- */

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

async function next() {
  const each = sending ? undefined : waiting.shift();
  if (!each) return;
  sending = true;
  let why = "";
  try {
    if (!("direct" in byId("drop").dataset) || await inParts(each) === "no way") await whole(each);
  } catch (error) { why = error.message; }
  each.said.textContent = why || "uploaded";
  each.said.className = why ? "why" : "soft";
  if (why) each.bar.remove(); else each.bar.value = 1;
  sending = false;
  next();
}

function show(each, loaded) {
  each.bar.value = loaded / (each.file.size || 1);
  each.said.textContent = `${Math.floor(100 * each.bar.value)} %`;
}

/* Everything in one request through the service, where the browser has no way to the bucket. */
async function whole(each) {
  const answer = await put(`${root}/uploads/${encodeURIComponent(each.file.name)}`, each.file,
    (loaded) => show(each, loaded), { "X-Castline-Form": form });
  if (answer.status !== 201) throw new Error(reason(answer.responseText));
}

async function inParts(each) {
  const { file } = each, key = file.name;
  const note = `castline upload ${key} ${file.size} ${file.lastModified}`;
  let known = remembered(note), there = {};
  if (known) {
    there = (await ask(each, "there", { key, upload: known.upload }, [404])).parts;
    const first = there?.[1] && await digest(file.slice(0, known.part_size));
    if (!there || (first && known.first && first !== known.first)) known = undefined; // gone, or of another file
  }
  if (!known) {
    there = {};
    known = await ask(each, "begin", { key, size: file.size });
    known.first = await digest(file.slice(0, known.part_size));
    remember(note, known);
  }
  const { upload, part_size: step } = known;
  for (let at = 0, part = 1; at < file.size; at += step, part += 1) {
    const piece = file.slice(at, at + step);
    if (there[part] !== piece.size && !await sendPart(each, { key, upload, part }, piece, at)) {
      remember(note, null);
      await ask(each, "abort", { key, upload }, [404]);
      return "no way";
    }
    show(each, at + piece.size);
  }
  await ask(each, "complete", { key, upload, size: file.size });
  remember(note, null);
  return "";
}

/* Again and again until it is there: a connection that is lost comes back. False where no byte ever gets through, as
   the bucket lets nothing in from this page. */
async function sendPart(each, asked, piece, at) {
  for (let pause = 1; ; pause = Math.min(2 * pause, 30)) {
    const { url } = await ask(each, "sign", asked);
    const answer = await put(url, piece, (loaded) => { each.moved ||= loaded > 0; show(each, at + loaded); });
    if (answer.status === 200) return true;
    if (!each.moved && pause > 2) return false;
    if (answer.status === 404) throw new Error("this upload is gone; drop the file again");
    each.said.textContent = "the connection broke; the upload resumes by itself";
    await rest(pause);
  }
}

async function ask(each, what, asked, fine = []) {
  for (let pause = 1; ; pause = Math.min(2 * pause, 30)) {
    const answer = await fetch(`${root}/uploads/${what}`, {
      method: "POST", body: JSON.stringify(asked),
      headers: { "Content-Type": "application/json", "X-Castline-Form": form },
    }).catch(() => null);
    if (answer?.ok || fine.includes(answer?.status)) return answer.json();
    if (answer && answer.status < 500) throw new Error(reason(await answer.text()));
    each.said.textContent = "the connection broke; the upload resumes by itself";
    await rest(pause);
  }
}

function put(url, body, progress, headers = {}) {
  return new Promise((done) => {
    const request = new XMLHttpRequest();
    request.open("PUT", url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => progress(event.loaded));
    request.addEventListener("loadend", () => done(request));
    request.send(body);
  });
}

function rest(seconds) {
  return new Promise((done) => { setTimeout(done, 1000 * seconds); addEventListener("online", done, { once: true }); });
}

function reason(text) {
  try { return JSON.parse(text).detail || "the connection broke"; } catch { return "the connection broke"; }
}

/* What tells an upload of before from another file's; not where the page has no HTTPS. */
async function digest(piece) {
  if (!crypto.subtle) return "";
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", await piece.arrayBuffer()));
  return Array.from(bytes, (each) => each.toString(16).padStart(2, "0")).join("");
}

function remembered(note) {
  try { return JSON.parse(localStorage.getItem(note)) || undefined; } catch { return undefined; }
}

function remember(note, value) {
  try {
    if (value) localStorage.setItem(note, JSON.stringify(value)); else localStorage.removeItem(note);
  } catch { /* a browser that keeps nothing begins anew */ }
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

/** Only the list is made anew, not the page: what somebody types, drops or reads there stays. */
async function renew(count) {
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok || leaving) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html"); // escaped by the server, too
  for (const id of ["recordings", "whole"]) {
    if (page.getElementById(id)) byId(id).replaceWith(page.getElementById(id));
  }
  running.dataset.recordings = count;
}

async function look() {
  if (!document.hidden) {
    const answer = await fetch(`${root}/running`).catch(() => null);
    if (answer && answer.ok) {
      running.innerHTML = await answer.text(); // escaped by the server, as the page itself
      const count = answer.headers.get("X-Castline-Recordings");
      if (count !== running.dataset.recordings && !location.search) await renew(count);
    }
  }
  setTimeout(look, 2000);
}
if (running) setTimeout(look, 2000);

/* --- on the way to a page: the moment in its address, which no server sees, comes along --- */

const ahead = byId("onward");
if (ahead) location.replace(ahead.hash ? ahead.href : ahead.href + location.hash);
for (const link of document.querySelectorAll("a[data-onward]")) link.href += encodeURIComponent(location.hash);
for (const field of document.querySelectorAll(".login [name=next]")) field.value += location.hash;

/* --- forms --- */

document.addEventListener("submit", (event) => {
  const ask = event.target.dataset.ask;
  if (ask && !confirm(ask)) { event.preventDefault(); return; }
  if (event.target.method !== "post") return;
  for (const button of event.target.querySelectorAll("button")) button.disabled = true;
});
document.addEventListener("change", (event) => {
  if (event.target.matches(".tools select")) event.target.form.submit();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea") || !byId("q")) return;
  event.preventDefault();
  byId("q").focus();
  byId("q").select();
});
document.documentElement.classList.add("scripted");
document.documentElement.dataset.ready = "true";
