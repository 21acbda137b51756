/* The clock of the page: the media element, or a position of its own when nothing can be played. */

const byId = (id) => document.getElementById(id);

function formatTime(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 0.001));
  const h = Math.floor(whole / 3600), m = Math.floor(whole / 60) % 60, s = String(whole % 60).padStart(2, "0");
  return h ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
}

/* Which spans contain a time. Buckets keep the question cheap for hours of media and on every frame. */
function timeIndex(spans, duration) {
  const width = Math.max(2, duration / 2000);
  const buckets = [];
  spans.forEach(([start, end], i) => {
    for (let b = Math.floor(start / width); b <= Math.floor(end / width); b++) (buckets[b] ||= []).push(i);
  });
  return (t) => (buckets[Math.floor(t / width)] || []).filter((i) => spans[i][0] <= t && t < spans[i][1]);
}

function createPlayer(data) {
  const media = byId("media"), pick = byId("pick"), why = byId("pick-why"), input = byId("pick-file"), listeners = [];
  const play = byId("play");
  let position = 0; // where the playhead stands while there is no media to ask
  let poster = null; // the moment whose picture stands for the film until somebody plays or seeks
  let candidate = 0, chosen = null;
  let soundOnly = null; // a source of a film whose picture this browser cannot decode
  let seated = false; // whether what is loaded stands where the playhead stood: it has metadata before it tells so
  const usable = () => seated && !media.error;

  const player = {
    get time() { return poster !== null ? 0 : usable() ? media.currentTime : position; },
    get posing() { return poster !== null; },
    get playing() { return usable() && !media.paused && !media.ended; },
    onChange(listener) { listeners.push(listener); },
    seek(seconds) {
      showPoster(null);
      position = Math.min(Math.max(0, seconds), data.duration);
      if (usable()) media.currentTime = position;
      changed();
    },
    start: tryNext,
    set speed(rate) { media.playbackRate = media.defaultPlaybackRate = rate; },
    toggle() { if (usable()) (media.paused ? media.play().catch(() => {}) : media.pause()); },
  };
  /* The browser's own controls would tell the poster's time: a button of ours stands for them meanwhile. */
  function showPoster(moment) {
    poster = moment;
    if (!play) return;
    media.controls = moment === null;
    play.hidden = moment === null;
    if (moment !== null) media.currentTime = moment;
  }
  play?.addEventListener("click", () => player.toggle());

  const changed = () => listeners.forEach((listener) => listener());

  function unplayable(message) {
    if (message) why.textContent = message;
    pick.hidden = false;
    document.body.classList.add("no-media");
    changed();
  }

  function load(source) {
    position = player.time;
    seated = false;
    media.src = source;
  }

  function tryNext() {
    if (chosen) unplayable("The chosen file is in a format this browser does not play.");
    else if (candidate < data.sources.length) load(data.sources[candidate++]);
    else if (soundOnly) { load(soundOnly); soundOnly = null; } // better than nothing
    else unplayable("");
  }

  function choose(file) {
    if (!file) return;
    if (chosen) URL.revokeObjectURL(chosen);
    load(chosen = URL.createObjectURL(file));
  }

  media.addEventListener("error", tryNext);
  media.addEventListener("loadedmetadata", () => {
    if (data.kind === "video" && !media.videoWidth && !chosen && candidate < data.sources.length) {
      soundOnly = media.getAttribute("src");
      return tryNext();
    }
    document.body.classList.remove("no-media");
    pick.hidden = true;
    // A picture the browser cannot decode still plays as sound: say so, and go on.
    if (data.kind === "video" && !media.videoWidth) {
      why.textContent = "This browser plays the sound of this file but not its picture.";
      pick.hidden = false;
    } else if (media.videoWidth) {
      document.documentElement.style.setProperty("--aspect", media.videoWidth / media.videoHeight);
    }
    seated = true;
    if (position > 0) media.currentTime = position;
    else if (0 < data.poster && data.poster < media.duration && media.videoWidth && media.paused) showPoster(data.poster);
    changed();
  });
  media.addEventListener("play", () => {
    if (poster === null) return;
    showPoster(null);
    media.currentTime = 0;
    if (media.paused) media.play().catch(() => {}); // the poster was so near the end that it was over meanwhile
  });
  for (const name of ["play", "pause", "seeking", "seeked", "timeupdate", "ended"]) media.addEventListener(name, changed);

  byId("pick-button").addEventListener("click", () => input.click());
  input.addEventListener("change", () => choose(input.files[0]));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => { event.preventDefault(); choose(event.dataTransfer.files[0]); });
  return player;
}
