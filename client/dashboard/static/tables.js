// What tables, ids and logs can do beyond being read: rows sorted by a heading and searched, numbers under each other, cards on a
// phone, ids to be copied, lines of a log searched. A part that is drawn anew keeps what was chosen. Every page works without it.
"use strict";
(() => {
  const SEARCHED = 5; // rows from which on a table is searched
  const UNITS = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40, ms: 1e-3, s: 1, min: 60, h: 3600, d: 86400 };
  const chosen = new Map(); // by the label of what is searched or sorted

  const put = (tag, more) => Object.assign(document.createElement(tag), more);
  const label = (table) => table.closest(".scroll").getAttribute("aria-label");
  const of = (name) => chosen.get(name) || chosen.set(name, { words: "", column: -1, up: true }).get(name);

  // What a cell is sorted by: a time, a number with its unit, or its text; nothing comes last.
  function worth(cell) {
    const time = cell.querySelector("time"), text = cell.textContent.trim();
    if (time) return time.dateTime;
    if (text === "–" || !text) return null;
    const found = /^([+-]?\d+(?:\.\d+)?)\s*([A-Za-z]*)/.exec(text);
    return found && (!found[2] || found[2] in UNITS || cell.classList.contains("num")) ? Number(found[1]) * (UNITS[found[2]] || 1) : text.toLowerCase();
  }
  const before = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);

  function arrange(table, how) {
    const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, at) => (at === how.column ? head.setAttribute("aria-sort", how.up ? "ascending" : "descending") : head.removeAttribute("aria-sort")));
    if (how.column >= 0 && how.column < heads.length) {
      const known = rows.map((row) => [worth(row.cells[how.column]), row]);
      known.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : before(a, b) * (how.up ? 1 : -1)));
      body.append(...known.map(([, row]) => row));
    }
    const words = how.words.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row) => { const text = row.textContent.toLowerCase(); row.hidden = !words.every((word) => text.includes(word)); });
  }

  function searching(name, where, apply) {
    const box = put("input", { type: "search", placeholder: "Search", className: "find", value: of(name).words });
    box.setAttribute("aria-label", `Search: ${name}`);
    box.addEventListener("input", () => { of(name).words = box.value; apply(); });
    where.before(box);
  }

  // Numbers of a column stand under each other: what shorter ones lack behind the point takes its place unseen.
  function align(rows, at) {
    const digits = (cell) => /^[+-]?\d+(?:\.(\d+))?$/.exec(cell.textContent.trim());
    const most = Math.max(0, ...rows.map((row) => digits(row.cells[at])?.[1]?.length || 0));
    for (const row of rows) {
      const found = digits(row.cells[at]), lack = most - (found?.[1]?.length || 0);
      if (found && lack) row.cells[at].dataset.pad = (found[1] ? "" : ".") + "0".repeat(lack);
    }
  }

  function table(one) {
    const rows = [...(one.tBodies[0]?.rows || [])], heads = [...(one.tHead?.rows[0]?.cells || [])];
    if (!rows.length || !heads.length || rows.some((row) => row.cells.length !== heads.length)) return;
    const how = of(label(one)), names = heads.map((head) => head.textContent.trim());
    one.classList.add("cards");
    // A card is no table to a browser any more: its parts say what they are.
    [[one, "table"], [one.tHead, "rowgroup"], [one.tBodies[0], "rowgroup"]].forEach(([part, role]) => part.setAttribute("role", role));
    for (const row of rows) {
      row.setAttribute("role", "row");
      [...row.cells].forEach((cell, at) => { cell.dataset.label = names[at]; cell.setAttribute("role", cell.tagName === "TH" ? "rowheader" : "cell"); });
    }
    one.tHead.rows[0].setAttribute("role", "row");
    heads.forEach((head, at) => {
      head.setAttribute("role", "columnheader");
      if (head.classList.contains("num")) align(rows, at);
      if (rows.length < 2 || !names[at]) return;
      const button = put("button", { type: "button", className: "sort", textContent: names[at] });
      button.setAttribute("aria-label", `Sort by ${names[at]}`);
      button.addEventListener("click", () => { how.up = how.column === at ? !how.up : true; how.column = at; arrange(one, how); });
      head.replaceChildren(button);
    });
    if (rows.length >= SEARCHED) searching(label(one), one.closest(".scroll"), () => arrange(one, how));
    if (how.column >= 0 || how.words) arrange(one, how);
  }

  function log(one) {
    const name = "log", whole = one.textContent, lines = whole.split("\n");
    const apply = () => {
      const word = of(name).words.toLowerCase();
      one.textContent = word ? lines.filter((line) => line.toLowerCase().includes(word)).join("\n") || "No line has it." : whole;
    };
    searching(name, one, apply);
    if (of(name).words) apply();
  }

  function copied(one) {
    const text = one.title || one.textContent, button = put("button", { type: "button", className: "copy", textContent: "copy" });
    button.setAttribute("aria-label", `Copy ${text.slice(0, 12)}`);
    button.addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(text); button.textContent = "copied"; } catch { button.textContent = "not copied"; }
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
    one.after(button);
  }

  function enhance(root) {
    root.querySelectorAll(".scroll > table:not(.cards)").forEach(table);
    root.querySelectorAll("pre.log").forEach(log);
    if (navigator.clipboard) root.querySelectorAll("code.whole, dd code.id").forEach(copied);
  }
  document.addEventListener("DOMContentLoaded", () => enhance(document));
  document.addEventListener("htmx:oobAfterSwap", (event) => { const part = document.getElementById(event.detail.target.id); if (part) enhance(part); });
})();
