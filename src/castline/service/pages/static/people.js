/* Photos dropped for somebody: one after the other, each with what became of it; then names are bound anew, once. */
"use strict";

for (const box of document.querySelectorAll("details.add")) {
  const photos = box.querySelector(".photos"), list = photos.querySelector(".uploads"), finish = photos.querySelector("button");
  const name = () => (box.dataset.name ?? byId("new-name").value).trim();
  const queue = [];
  let at = false, taken = 0;

  async function send() {
    if (at) return;
    at = true;
    while (queue.length) {
      const [file, said] = queue.shift();
      said.textContent = "looking …";
      const url = `${root}/people/photos/${encodeURIComponent(file.name)}?name=${encodeURIComponent(name())}`;
      let why = "", remark = "";
      try {
        const answer = await fetch(url, { method: "PUT", headers: { "X-Castline-Form": form, Accept: "application/json" }, body: file });
        const found = await answer.json().catch(() => ({}));
        if (!answer.ok) why = typeof found.detail === "string" ? found.detail : `the service said ${answer.status}`;
        remark = found.remark || "";
      } catch { why = "the service did not answer"; }
      if (!why) taken += 1;
      said.textContent = why ? `refused: ${why}` : remark ? `added, but ${remark}` : "added";
      said.className = why ? "why" : "soft";
    }
    at = false;
    finish.hidden = !taken;
    if (taken) finish.focus();
  }

  function add(files) {
    if (!name()) { byId("new-name").reportValidity(); byId("new-name").focus(); return; }
    for (const file of files) {
      const item = document.createElement("li"), what = document.createElement("span"), said = document.createElement("span");
      what.className = "name";
      what.textContent = file.name;
      said.className = "soft";
      said.textContent = "waits";
      item.append(what, said);
      list.append(item);
      queue.push([file, said]);
    }
    send();
  }

  photos.querySelector("[type=file]").addEventListener("change", (event) => { add([...event.target.files]); event.target.value = ""; });
  for (const kind of ["dragenter", "dragover"]) {
    box.addEventListener(kind, (event) => { event.preventDefault(); box.classList.add("over"); });
  }
  box.addEventListener("dragleave", () => box.classList.remove("over"));
  box.addEventListener("drop", (event) => { event.preventDefault(); box.classList.remove("over"); add([...event.dataTransfer.files]); });
}
// Beside the box a photo would be opened instead of the page.
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
