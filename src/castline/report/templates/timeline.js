/* The lanes. Ranges are SVG paths in seconds, so zooming is one change of width and no redrawing;
   only the ticks in view exist. */

const TICK_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
const TICK_MIN_PX = 84;
const MAX_PX_PER_SECOND = 120;
const TAIL_PX = 56; // room for the label of the last tick; the style sheet has the same

function createTimeline(data, player) {
  const lanes = byId("lanes"), canvas = byId("canvas"), ruler = byId("ruler");
  const playhead = byId("playhead"), hover = byId("hover");
  const labels = [...canvas.querySelectorAll("button.label")];
  let zoom = 1, fit = 1, labelWidth = 0, tickKey = "", visibleKey = "", second = -1;

  const pixels = (t) => (t / data.duration) * fit * zoom;
  const maxZoom = () => Math.max(1, (data.duration * MAX_PX_PER_SECOND) / fit);

  function secondsAt(event) {
    const x = event.clientX - canvas.getBoundingClientRect().left - labelWidth;
    return Math.min(Math.max(0, (x / (fit * zoom)) * data.duration), data.duration);
  }

  function drawTicks() {
    const step = TICK_STEPS.find((s) => pixels(s) >= TICK_MIN_PX) || TICK_STEPS.at(-1);
    const first = Math.floor(lanes.scrollLeft / pixels(step));
    const last = Math.floor(Math.min((lanes.scrollLeft + lanes.clientWidth) / pixels(step), data.duration / step));
    const key = [step, first, last, Math.round(fit * zoom)].join();
    if (key === tickKey) return;
    tickKey = key;
    ruler.replaceChildren();
    for (let i = Math.max(0, first); i <= last; i++) {
      const tick = document.createElement("span");
      tick.className = "tick";
      tick.textContent = formatTime(i * step);
      tick.style.left = `${(100 * i * step) / data.duration}%`;
      ruler.append(tick);
    }
  }

  function layout(newZoom, keepSeconds, keepClientX) {
    labelWidth = canvas.querySelector(".label").offsetWidth;
    fit = Math.max(80, lanes.clientWidth - labelWidth - TAIL_PX);
    zoom = Math.min(Math.max(1, newZoom), maxZoom());
    canvas.style.setProperty("--w", `${fit * zoom}px`);
    if (keepSeconds !== undefined) {
      lanes.scrollLeft = pixels(keepSeconds) + labelWidth - (keepClientX - lanes.getBoundingClientRect().left);
    }
    byId("zoom-out").disabled = byId("zoom-fit").disabled = zoom <= 1;
    byId("zoom-in").disabled = zoom >= maxZoom();
    drawTicks();
    movePlayhead(player.time);
  }

  /* Zoom around the playhead when it is in view, else around the middle. */
  function zoomBy(factor) {
    const box = lanes.getBoundingClientRect();
    let x = box.left + labelWidth + pixels(player.time) - lanes.scrollLeft;
    if (x < box.left + labelWidth || x > box.right) x = (box.left + labelWidth + box.right) / 2;
    layout(zoom * factor, secondsAt({ clientX: x }), x);
  }

  function movePlayhead(t) {
    const x = pixels(Math.min(t, data.duration));
    playhead.style.transform = `translateX(${x}px)`;
    if (player.playing && zoom > 1) {
      const inView = x - lanes.scrollLeft;
      if (inView < 0 || inView > lanes.clientWidth - labelWidth) lanes.scrollLeft = x - 24;
    }
  }

  function show(t, visible) {
    movePlayhead(t);
    if (second !== Math.floor(t)) {
      ruler.setAttribute("aria-valuenow", (second = Math.floor(t)));
      ruler.setAttribute("aria-valuetext", formatTime(t));
    }
    if (visible.join() === visibleKey) return;
    visibleKey = visible.join();
    labels.forEach((label, i) => label.classList.toggle("on", visible.includes(i)));
  }

  byId("zoom-in").addEventListener("click", () => zoomBy(1.6));
  byId("zoom-out").addEventListener("click", () => zoomBy(1 / 1.6));
  byId("zoom-fit").addEventListener("click", () => layout(1));
  lanes.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    layout(zoom * Math.exp(-event.deltaY / 300), secondsAt(event), event.clientX);
  }, { passive: false });
  lanes.addEventListener("scroll", () => requestAnimationFrame(drawTicks));

  canvas.addEventListener("click", (event) => {
    const label = event.target.closest(".label");
    const ranges = data.people[label?.dataset.person]?.ranges || [];
    const next = ranges.find(([start]) => start > player.time + 0.01) || ranges[0];
    if (!label) player.seek(secondsAt(event));
    else if (next) player.seek(next[0]);
  });
  canvas.addEventListener("pointermove", (event) => {
    hover.hidden = event.pointerType === "touch" || event.target.closest(".label") !== null;
    if (hover.hidden) return;
    const t = secondsAt(event);
    hover.style.transform = `translateX(${pixels(t)}px)`;
    hover.dataset.time = formatTime(t);
    if (event.buttons === 1) player.seek(t);
  });
  canvas.addEventListener("pointerleave", () => { hover.hidden = true; });
  ruler.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
    const target = { Home: 0, End: data.duration }[event.key] ?? player.time + step;
    if (Number.isNaN(target)) return;
    event.preventDefault();
    player.seek(target);
  });
  new ResizeObserver(() => layout(zoom)).observe(lanes);

  return { show };
}
