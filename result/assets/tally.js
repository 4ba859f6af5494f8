// Shows the tally.
"use strict";

// Minimum interval of announcements to screen readers.
const ANNOUNCE_MS = 30000;
// A page that does not match the tally is reloaded once. Minimum interval before it is reloaded again for the same difference; shorter
// for a page without a tally, which shows nothing.
const RELOAD_INTERVAL_MS = 600000;
const RELOAD_EMPTY_INTERVAL_MS = 10000;

const element = (id) => document.getElementById(id);
const jitter = (delay) => delay * (0.5 + Math.random());
const texts = document.querySelector("main").dataset;

function votesText(votes) {
  if (votes === 0) return texts.noVotes;
  return votes === 1 ? texts.oneVote : texts.manyVotes.replace("{n}", votes);
}

function percentText(percent) {
  if (percent === null) return "–";
  return texts.percent.replace("{n}", percent.toFixed(1).replace(".", texts.decimal));
}

// Returns "" while counting is up to date.
function behindText(tally) {
  const seconds = tally.counting ? tally.counting.behind_seconds : 0;
  if (seconds === 0) return "";
  if (seconds < 120) return texts.countingSeconds.replace("{n}", seconds);
  return texts.countingMinutes.replace("{n}", Math.floor(seconds / 60));
}

// Returns the winner, or "" until it is known.
function outcomeText(tally) {
  if (tally.phase !== "closed" || !tally.visible || behindText(tally)) return "";
  const most = Math.max(...tally.options.map((option) => option.votes));
  if (most === 0) return texts.noVotesCast;
  const first = tally.options.filter((option) => option.votes === most);
  if (first.length > 1) return texts.tie.replace("{options}", () => first.map((option) => option.label).join(", "));
  const percent = percentText(first[0].percent);
  return texts.winner.replace("{percent}", percent).replace("{option}", () => first[0].label);
}

// Writes the text only if it has changed, so that screen readers are not interrupted. Returns true if it has.
function write(target, text) {
  if (target.textContent === text) return false;
  target.textContent = text;
  return true;
}

// Writes a text with a time in place of {time}.
function writeTime(target, text, timestamp) {
  const shown = target.querySelector("time");
  if (shown && shown.dateTime === timestamp) return;
  const [before, after] = text.split("{time}");
  const time = document.createElement("time");
  time.dateTime = timestamp;
  target.replaceChildren(before, time, after);
  showDates(target);
}

let shownTally;
function showTally(tally) {
  if (reloadIfOutdated(tally) || !element("total")) return;
  let changed = false;
  for (const option of tally.options) {
    const row = element(`option-${option.key}`);
    if (!row) continue;
    changed = write(row.querySelector(".votes"), `${option.votes === null ? "" : option.votes}`) || changed;
    changed = write(row.querySelector(".percent"), percentText(option.percent)) || changed;
    row.querySelector("rect").setAttribute("width", `${option.percent || 0}%`);
  }
  changed = write(element("total"), votesText(tally.total)) || changed;
  if (tally.last_vote_at) writeTime(element("last-vote"), texts.lastVote, tally.last_vote_at);
  else write(element("last-vote"), "");
  write(element("outcome"), outcomeText(tally));
  shownTally = tally;
  // All numbers are compared, because a changed vote does not change the total.
  if (changed) {
    announceSoon();
    drawSoon();
  }
}

let announcementTimer;
function announceSoon() {
  if (announcementTimer !== undefined) return;
  announcementTimer = setTimeout(() => {
    announcementTimer = undefined;
    const options = shownTally.options.filter((option) => option.votes !== null);
    const parts = options.map((option) => `${option.label}: ${votesText(option.votes)}, ${percentText(option.percent)}`);
    write(element("announcement"), [votesText(shownTally.total), ...parts].join(". "));
  }, ANNOUNCE_MS);
}

// ---- reloading a page that was rendered without a tally, or before the poll opened, closed or changed

let reloading = false;
function reloadIfOutdated(tally) {
  if (reloading) return true;
  const phase = element("phase");
  const rows = Array.from(document.querySelectorAll("#options > li"), (row) => row.id.replace("option-", ""));
  const page = phase ? `${phase.dataset.poll} ${phase.dataset.phase} ${element("hidden") === null} ${rows}` : "nothing";
  const keys = tally.options.map((option) => option.key);
  const wanted = `${tally.poll} ${tally.phase} ${tally.visible} ${keys}`;
  if (page === wanted) return false;
  // During a rolling update, replicas with old and new settings respond in turn. Both directions count as one difference.
  const difference = [page, wanted].sort().join(" / ");
  reloading = mayReload(difference, phase ? RELOAD_INTERVAL_MS : RELOAD_EMPTY_INTERVAL_MS);
  if (reloading) setTimeout(() => location.reload(), jitter(500));
  // The numbers of another poll are never shown below this question.
  return reloading || (phase !== null && phase.dataset.poll !== tally.poll);
}

// Records the reload in the history state, which belongs to this tab or frame only; storage is shared by all frames of a tab.
// Returns false if the reload cannot be recorded.
function mayReload(difference, interval) {
  try {
    const state = history.state || {};
    const reloads = state.reloads || {};
    const now = Date.now();
    if (now - reloads[difference] < interval) return false;
    history.replaceState({ ...state, reloads: { ...reloads, [difference]: now } }, "");
    return true;
  } catch {
    return false;
  }
}
