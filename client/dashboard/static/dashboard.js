// What the pages do beyond links and forms: charts, pausing the updates, asking before what cannot be undone, one stream only
// while the page is seen. Every page works without it.
"use strict";
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const STROKES = ["--link", "--warn", "--bad", "--live", "--good", "--soft"];
  const two = (n) => String(n).padStart(2, "0");
  const clock = (at) => { const d = new Date(at * 1000); return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`; };
  const iso = (at) => { const d = new Date(at * 1000); return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(at)}`; };
  // Times along the axis: the day where it begins, seconds where they tell ticks apart.
  const days = (u, ticks, at, space, step) => ticks.map((tick, n) => (n === 0 && step > 3600 ? iso(tick).slice(0, 16) : step >= 86400 ? iso(tick).slice(5, 10) : step >= 60 ? clock(tick).slice(0, 5) : clock(tick)));
  const resized = new WeakMap();
  function draw(box) {
    let points;
    try { points = JSON.parse(box.dataset.points || "[]"); } catch { return; }
    if (!window.uPlot || points.length < 2 || points[0].length < 2) return;
    const labels = JSON.parse(box.dataset.labels || "null") || [box.dataset.y], across = box.dataset.target === undefined ? null : Number(box.dataset.target);
    if (across !== null) { points.push(points[0].map(() => across)); labels.push("target"); }
    const plain = (u, values) => values.map((value) => (value === null ? "" : String(Number(value.toPrecision(5)))));
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    const said = (u, value) => (value === null || value === undefined ? "–" : String(Number(value.toPrecision(9))));
    const line = (label, at) => ({ label, value: said, spanGaps: true, stroke: colour(STROKES[at % STROKES.length]), width: 2, ...(box.dataset.steps && { paths: uPlot.paths.stepped({ align: 1 }) }), points: { show: points[0].length < 60 } });
    const series = [{ label: box.dataset.x, value: box.dataset.x === "time" ? (u, at) => (at ? iso(at) : "–") : said }, ...labels.map(line)];
    if (across !== null) Object.assign(series[series.length - 1], { stroke: colour("--good"), dash: [6, 5], width: 1.5, points: { show: false }, paths: undefined });
    const counted = box.dataset.x === "time" ? {} : { incrs: [1, 2, 5].flatMap((n) => [0, 1, 2, 3, 4, 5, 6].map((zeros) => n * 10 ** zeros)).sort((a, b) => a - b) };
    const width = box.clientWidth || 320;
    box.replaceChildren();
    const plot = new uPlot({ width, height: 220, series, axes: [{ ...axis, ...counted, ...(box.dataset.x === "time" && { values: days, space: 80 }) }, { ...axis, size: 80, values: plain }], scales: { x: { time: box.dataset.x === "time" } }, legend: { live: true } }, points, box);
    resized.get(box)?.disconnect();
    const observer = new ResizeObserver(() => { if (box.clientWidth) plot.setSize({ width: box.clientWidth, height: 220 }); });
    resized.set(box, observer);
    observer.observe(box);
  }
  const drawAll = (root) => root.querySelectorAll(".chart:not(:has(.uplot))").forEach(draw);
  // A curve is drawn in the colours of its hour; a system that turns dark in the evening has it drawn anew.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.querySelectorAll(".chart").forEach(draw));

  // A part that is drawn anew keeps what the keyboard was on, and where it was scrolled to.
  let held = null;
  const path = (e) => (e.id ? "#" + CSS.escape(e.id) : e.getAttribute("href") ? `a[href="${CSS.escape(e.getAttribute("href"))}"]` : e.getAttribute("aria-label") ? `[aria-label="${CSS.escape(e.getAttribute("aria-label"))}"]` : null);
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const part = event.detail.target, focus = document.activeElement;
    const scrolled = [...part.querySelectorAll(".scroll, .log")].map((e) => [e.scrollLeft, e.scrollTop]);
    const open = [...part.querySelectorAll("details")].map((e) => e.open);
    const typed = [...part.querySelectorAll("input[id]:not([type=hidden]), textarea[id]")].filter((e) => e.value !== e.defaultValue).map((e) => [e.id, e.value]);
    held = { id: part.id, focus: part.contains(focus) ? path(focus) : null, scrolled, open, typed };
  });
  document.addEventListener("htmx:oobAfterSwap", () => {
    const part = held && document.getElementById(held.id);
    if (!part) return;
    part.querySelectorAll("details").forEach((e, at) => { e.open = held.open[at] || false; });
    part.querySelectorAll(".scroll, .log").forEach((e, at) => { if (held.scrolled[at]) [e.scrollLeft, e.scrollTop] = held.scrolled[at]; });
    for (const [id, value] of held.typed) { const e = document.getElementById(id); if (e && part.contains(e)) e.value = value; }
    if (held.focus) part.querySelector(held.focus)?.focus({ preventScroll: true });
    drawAll(part);
  });

  // Updates wait while they are paused, while the page is hidden, and while somebody has marked text.
  let paused = false;
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.id === "live" && (paused || document.hidden || String(getSelection()))) event.preventDefault();
  });
  // The session has ended: the page says so by loading anew.
  document.addEventListener("htmx:responseError", (event) => { if (event.detail.xhr.status === 401) location.reload(); });

  // A browser has six connections to a host: a page that nobody sees gives its own back, and comes back with the height it knows.
  const sources = new Set();
  class Source extends EventTarget {
    constructor(url) { super(); this.url = url; this.ended = false; sources.add(this); this.wake(); }
    wake() {
      if (this.ended || document.hidden) return;
      const inner = new EventSource(this.url);
      this.inner = inner;
      inner.onopen = (event) => this.onopen && this.onopen(event);
      inner.onerror = (event) => this.onerror && this.onerror(event);
      for (const kind of ["block", "run"]) inner.addEventListener(kind, (event) => this.dispatchEvent(new MessageEvent(kind, { data: event.data })));
    }
    rest() { if (this.inner) this.inner.close(); }
    close() { this.ended = true; sources.delete(this); this.rest(); }
    get readyState() { return this.inner ? this.inner.readyState : 0; }
  }
  addEventListener("DOMContentLoaded", () => { if (window.htmx) htmx.createEventSource = (url) => new Source(url); }, { capture: true, once: true });
  document.addEventListener("visibilitychange", () => sources.forEach((source) => (document.hidden ? source.rest() : source.wake())));

  // A file is sent by itself, with its progress, and fills in the form that it is for: what was typed there stays.
  function send(form) {
    const bar = form.querySelector("progress"), said = form.querySelector("output"), button = form.querySelector("button"), asked = new XMLHttpRequest();
    const end = (text, bad = true) => { bar.hidden = true; button.disabled = false; said.textContent = text; said.className = bad ? "note bad" : "hint"; };
    asked.upload.addEventListener("progress", (event) => { if (event.lengthComputable) { bar.value = event.loaded / event.total; said.textContent = `${Math.floor(100 * bar.value)} %`; } });
    asked.upload.addEventListener("load", () => { said.textContent = "The node looks at it"; });
    asked.addEventListener("error", () => end("The upload broke off. Is the node running, and the file not too large? Send it again."));
    asked.addEventListener("load", () => {
      let answer;
      try { answer = JSON.parse(asked.responseText); } catch { answer = { error: "The node gave no answer that can be read. Load the page again." }; }
      const into = document.getElementById(form.dataset.into).elements;
      if (asked.status === 200) for (const [name, value] of Object.entries(answer.fields)) if (into[name]) into[name].value = value;
      end(answer.error || answer.note, !answer.note);
    });
    asked.open("POST", form.action);
    asked.setRequestHeader("Accept", "application/json");
    bar.hidden = false;
    button.disabled = true;
    said.className = "hint";
    asked.send(new FormData(form));
  }

  document.addEventListener("submit", (event) => {
    if (event.target.classList.contains("upload")) { event.preventDefault(); send(event.target); return; }
    const asked = event.submitter && event.submitter.dataset.confirm;
    if (asked && !confirm(asked)) { event.preventDefault(); return; }
    if (event.target.method === "post") setTimeout(() => event.target.querySelectorAll("button").forEach((b) => { b.disabled = true; }));
  });
  addEventListener("pageshow", () => document.querySelectorAll("form button:disabled").forEach((b) => { b.disabled = false; }));

  addEventListener("DOMContentLoaded", () => {
    drawAll(document);
    document.getElementById("login")?.requestSubmit();
    const button = document.getElementById("pause");
    if (!button) return;
    button.hidden = false;
    button.addEventListener("click", () => {
      paused = !paused;
      button.setAttribute("aria-pressed", String(paused));
      button.textContent = paused ? "Go on with updates" : "Pause updates";
      if (!paused) htmx.trigger("#live", "sse:block");
    });
  });
})();
