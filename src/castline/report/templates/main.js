/* Ties the parts together, and draws the boxes over the picture. */

/* Index of the last sighting at or before a time. */
function lastBefore(sightings, t) {
  let low = 0, high = sightings.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (sightings[middle][0] <= t) low = middle;
    else high = middle - 1;
  }
  return low;
}

function createFaces(data) {
  const layer = byId("faces"), toggle = byId("faces-toggle"), boxes = new Map();
  if (!layer || !toggle) return { show() {} };
  const tracks = data.people.flatMap((person) => person.tracks
    .filter((track) => track.sightings.length).map((track) => ({ person, ...track })));
  const find = timeIndex(tracks.map((track) => track.span), data.duration);

  function makeBox(person) {
    const box = document.createElement("div"), name = document.createElement("span");
    box.className = `face ${person.look}`;
    name.textContent = person.label;
    box.append(name);
    layer.append(box);
    return box;
  }

  toggle.addEventListener("click", () => {
    layer.hidden = !layer.hidden;
    toggle.setAttribute("aria-pressed", String(!layer.hidden));
  });

  function show(t) {
    const active = new Set(find(t));
    for (const [i, box] of boxes) if (!active.has(i)) { box.remove(); boxes.delete(i); }
    for (const i of active) {
      const { person, sightings } = tracks[i];
      if (!boxes.has(i)) boxes.set(i, makeBox(person));
      const at = lastBefore(sightings, t), a = sightings[at], b = sightings[at + 1] || a;
      const part = b[0] > a[0] ? Math.min(Math.max((t - a[0]) / (b[0] - a[0]), 0), 1) : 0;
      const [x0, y0, x1, y1] = [1, 2, 3, 4].map((k) => 100 * (a[k] + (b[k] - a[k]) * part));
      Object.assign(boxes.get(i).style, { left: `${x0}%`, top: `${y0}%`, width: `${x1 - x0}%`, height: `${y1 - y0}%` });
    }
  }
  return { show };
}

/* Puts a text on the clipboard; pages from a disk or without TLS have only the old way. */
async function copy(text, button) {
  const label = button.dataset.label ||= button.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = label; }, 1500);
}

function main() {
  const data = JSON.parse(byId("data").textContent);
  if (data.kind === "none") return;
  const player = createPlayer(data), timeline = createTimeline(data, player);
  const transcript = createTranscript(data, player), faces = createFaces(data);
  const nowTime = byId("now-time"), nowWho = byId("now-who");
  const ranges = data.people.flatMap((person, i) => person.ranges.map((range) => ({ range, i })));
  const findPeople = timeIndex(ranges.map((entry) => entry.range), data.duration);
  let looping = false;

  function show() {
    const t = player.time;
    const visible = [...new Set(findPeople(t).map((k) => ranges[k].i))].sort((a, b) => a - b);
    timeline.show(t, visible);
    transcript.show(t);
    faces.show(t);
    if (nowTime.textContent !== formatTime(t)) nowTime.textContent = formatTime(t);
    // Of the poster nothing is said: its picture is of another moment than the one that will be played.
    const names = visible.map((i) => data.people[i].label).join(", ") || "nobody on screen";
    const who = player.posing ? "" : names;
    if (nowWho && nowWho.textContent !== who) nowWho.textContent = nowWho.title = who;
  }

  function loop() {
    show();
    looping = player.playing;
    if (looping) requestAnimationFrame(loop);
  }

  player.onChange(() => { if (!looping) loop(); });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, video, audio, [role=slider]")) return;
    const step = { ArrowLeft: -5, ArrowRight: 5 }[event.key];
    if (step) { event.preventDefault(); player.seek(player.time + step); }
    if (event.target.closest("button, a, summary")) return;
    if (event.key === "/" && byId("search")) { event.preventDefault(); byId("search").focus(); }
    if (event.key === " ") { event.preventDefault(); player.toggle(); }
  });
  if (data.aspect) document.documentElement.style.setProperty("--aspect", data.aspect);
  byId("speed").addEventListener("change", (event) => { player.speed = Number(event.target.value); });
  byId("copy-link").addEventListener("click", (event) => {
    copy(`${location.href.split("#")[0]}#t=${Math.round(player.time * 10) / 10}`, event.currentTarget);
  });
  const correct = byId("correct"); // castline serve has a page for it beside the report; a file or a bucket has not
  if (correct && /\/recordings\/[^/]+\/report\.html$/.test(location.pathname)) {
    correct.hidden = false;
    correct.addEventListener("click", () => { correct.href = `edit#t=${Math.round(player.time * 10) / 10}`; });
  }
  // "report.html#t=83.5" opens the report at a moment.
  const asked = () => /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash)?.[1];
  addEventListener("hashchange", () => { if (asked()) player.seek(Number(asked())); });
  player.start();
  if (asked()) player.seek(Number(asked()));
  show();
}

main();
document.documentElement.dataset.ready = "true";
