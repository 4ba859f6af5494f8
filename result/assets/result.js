// Keeps the page right while votes come in, and says so when it cannot.
"use strict";

// The server sends a heartbeat every 10 seconds; three missing ones mean that the connection is dead.
const SILENCE_MS = 35_000;
const RETRY_MS = 2_000;
// A screen reader hears the result no more often than this.
const ANNOUNCE_MS = 30_000;
// The votes over time are read again no more often than this, and not by all browsers at once.
const TIMELINE_MS = 10_000;

const element = (id) => document.getElementById(id);
const spread = (wait) => wait * (0.5 + Math.random());
const texts = document.querySelector("main").dataset;

// ---- the tally

function votesText(votes) {
  if (votes === 0) return texts.noVotes;
  return votes === 1 ? texts.oneVote : texts.manyVotes.replace("{n}", votes);
}

function percentText(percent) {
  if (percent === null) return "–";
  return texts.percent.replace("{n}", percent.toFixed(1).replace(".", texts.decimal));
}

// What changes is written, and nothing else: a screen reader may be reading there.
function write(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

// A text with a moment in the place of {time}.
function writeMoment(target, text, moment) {
  if (target.querySelector("time")?.dateTime === moment) return;
  const [before, after] = text.split("{time}");
  const time = document.createElement("time");
  time.dateTime = moment;
  target.replaceChildren(before, time, after);
  showDates(target);
}

let shown;
function show(tally) {
  // The page was made before there was anything to show, or the poll has opened, closed or changed since.
  const here = Array.from(document.querySelectorAll("#options > li"), (row) => row.id.replace("option-", ""));
  const changed =
    element("phase")?.dataset.phase !== tally.phase ||
    (element("hidden") === null) !== tally.visible ||
    here.join() !== tally.options.map((option) => option.key).join();
  if (changed) return setTimeout(() => location.reload(), spread(500));

  for (const option of tally.options) {
    const row = element(`option-${option.key}`);
    write(row.querySelector(".votes"), `${option.votes ?? ""}`);
    write(row.querySelector(".percent"), percentText(option.percent));
    row.querySelector("rect").setAttribute("width", `${option.percent ?? 0}%`);
  }
  write(element("total"), votesText(tally.total));
  if (tally.last_vote_at) writeMoment(element("last-vote"), texts.lastVote, tally.last_vote_at);
  else write(element("last-vote"), "");
  if (shown && shown.total !== tally.total) {
    announceSoon();
    drawSoon();
  }
  shown = tally;
}

let announcing;
function announceSoon() {
  announcing ??= setTimeout(() => {
    announcing = undefined;
    const options = shown.options.filter((option) => option.votes !== null);
    const parts = options.map((option) => `${option.label}: ${votesText(option.votes)}, ${percentText(option.percent)}`);
    write(element("announcement"), [votesText(shown.total), ...parts].join(". "));
  }, ANNOUNCE_MS);
}

// ---- the connection

let source;
let watchdog;

function mark(state) {
  const connection = element("connection");
  if (state === "delayed") writeMoment(connection, texts.delayed, shown.as_of);
  else write(connection, texts[state]);
  connection.className = state;
}

function heard() {
  mark(shown?.stale ? "delayed" : "live");
  clearTimeout(watchdog);
  watchdog = setTimeout(lost, SILENCE_MS);
}

function lost() {
  mark("offline");
  clearTimeout(watchdog);
  source.close();
  // Not all browsers at once, when a server comes back.
  setTimeout(connect, spread(RETRY_MS));
}

function connect() {
  source = new EventSource("/events");
  source.addEventListener("tally", (event) => {
    show(JSON.parse(event.data));
    heard();
  });
  source.addEventListener("heartbeat", heard);
  source.addEventListener("open", heard);
  source.addEventListener("error", lost);
}

// ---- the votes over time

let drawing;
function drawSoon() {
  if (!element("timeline")) return;
  drawing ??= setTimeout(draw, spread(TIMELINE_MS));
}

async function draw() {
  drawing = undefined;
  const answer = await fetch("/timeline").catch(() => undefined);
  // An outage shows in the mark; the next change draws again.
  if (!answer?.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("timeline");
  const old = element("timeline");
  const wasOpen = old.querySelector("details")?.open;
  const hadFocus = document.activeElement?.id;
  const wasPointed = pointed;
  showDates(fresh);
  old.replaceWith(fresh);
  if (wasOpen) fresh.querySelector("details").open = true;
  prepareTimeline();
  if (wasPointed !== undefined) point(wasPointed);
  if (hadFocus === "moment") element("moment").focus();
}

// The lines are drawn in units of their own.
function drawingArea() {
  return document.querySelector("#timeline svg").viewBox.baseVal;
}

// The numbers come from the table, which is there for those who do not see the lines.
let pointed;
function point(index) {
  const rows = document.querySelectorAll("#timeline tbody tr");
  const row = rows[index];
  if (!row) return;
  pointed = index;
  const heads = document.querySelectorAll("#timeline thead th");
  const cells = Array.from(row.cells, (cell) => cell.textContent);
  const numbers = cells.slice(1).map((votes, option) => `${heads[option + 1].textContent} ${votes}`);
  const text = `${cells[0]}: ${numbers.join(", ")}`;
  write(element("readout"), text);
  const slider = element("moment");
  slider.value = index;
  slider.setAttribute("aria-valuetext", text);
  const { height } = drawingArea();
  document.querySelector("#timeline .cursor").setAttribute("d", `M${row.dataset.x} 0V${height}`);
}

function prepareTimeline() {
  pointed = undefined;
  const slider = element("moment");
  if (!slider) return;
  slider.hidden = false;
  for (const event of ["input", "focus"]) slider.addEventListener(event, () => point(Number(slider.value)));
  write(element("readout"), element("readout").dataset.hint);
  const picture = document.querySelector("#timeline svg");
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * drawingArea().width;
    const rows = Array.from(document.querySelectorAll("#timeline tbody tr"));
    const index = rows.findIndex((row) => x <= Number(row.dataset.x));
    point(index < 0 ? rows.length - 1 : index);
  });
}

// With a script nobody needs to reload the page.
if (element("connection").className === "") write(element("connection"), "");
prepareTimeline();
connect();
