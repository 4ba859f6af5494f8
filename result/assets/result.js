// Keeps the page right while votes come in, and says so when it cannot.
"use strict";

// The server sends a heartbeat every 10 seconds; three missing ones mean that the connection is dead.
const SILENCE_MS = 35_000;
const RETRY_MS = 2_000;

const element = (id) => document.getElementById(id);

let source;
let watchdog;

function totalText(total) {
  if (total === 0) return "No votes yet";
  return total === 1 ? "1 vote" : `${total} votes`;
}

function show(tally) {
  if (!element("options")) {
    // The page was loaded before there was anything to show.
    location.reload();
    return;
  }
  for (const option of tally.options) {
    const row = element(`option-${option.key}`);
    if (!row) continue;
    row.querySelector(".votes").textContent = option.votes ?? "";
    row.querySelector(".percent").textContent = option.percent === null ? "–" : `${option.percent.toFixed(1)}%`;
    row.querySelector("rect").setAttribute("width", `${option.percent ?? 0}%`);
  }
  element("total").textContent = totalText(tally.total);
  element("hidden").hidden = tally.visible;
  element("stale").hidden = !tally.stale;
  element("as-of").dateTime = tally.as_of;
  element("as-of").textContent = new Date(tally.as_of).toLocaleTimeString();
}

function connection(text, lost) {
  const status = element("connection");
  // A screen reader speaks what changes, so only changes are written.
  if (status.textContent !== text) status.textContent = text;
  status.classList.toggle("lost", lost);
}

function heard() {
  connection("Live", false);
  clearTimeout(watchdog);
  watchdog = setTimeout(lost, SILENCE_MS);
}

function lost() {
  connection("The connection is lost; trying again…", true);
  clearTimeout(watchdog);
  source.close();
  // Not all browsers at once, when a server comes back.
  setTimeout(connect, RETRY_MS * (0.5 + Math.random()));
}

function connect() {
  source = new EventSource("/events");
  source.addEventListener("tally", (event) => {
    heard();
    show(JSON.parse(event.data));
  });
  source.addEventListener("heartbeat", heard);
  source.addEventListener("open", heard);
  source.addEventListener("error", lost);
}

connect();
