// Draws the tally.
"use strict";

// A screen reader hears the result no more often than this.
const ANNOUNCE_MS = 30000;
// A page that differs from the tally is loaded again once; for the same difference not before so long. Without a tally
// there is nothing to show, and so it is tried again sooner.
const RELOAD_AGAIN_MS = 600000;
const RELOAD_EMPTY_AGAIN_MS = 10000;

const element = (id) => document.getElementById(id);
const spread = (wait) => wait * (0.5 + Math.random());
const texts = document.querySelector("main").dataset;

function votesText(votes) {
  if (votes === 0) return texts.noVotes;
  return votes === 1 ? texts.oneVote : texts.manyVotes.replace("{n}", votes);
}

function percentText(percent) {
  if (percent === null) return "–";
  return texts.percent.replace("{n}", percent.toFixed(1).replace(".", texts.decimal));
}

// "" while counting keeps up with voting.
function behindText(tally) {
  const seconds = tally.counting ? tally.counting.behind_seconds : 0;
  if (seconds === 0) return "";
  if (seconds < 120) return texts.countingSeconds.replace("{n}", seconds);
  return texts.countingMinutes.replace("{n}", Math.floor(seconds / 60));
}

// Who won; "" before that is known.
function outcomeText(tally) {
  if (tally.phase !== "closed" || !tally.visible || behindText(tally)) return "";
  const most = Math.max(...tally.options.map((option) => option.votes));
  if (most === 0) return texts.noVotesCast;
  const first = tally.options.filter((option) => option.votes === most);
  if (first.length > 1) return texts.tie.replace("{options}", () => first.map((option) => option.label).join(", "));
  const percent = percentText(first[0].percent);
  return texts.winner.replace("{percent}", percent).replace("{option}", () => first[0].label);
}

// What changes is written, and nothing else: a screen reader may be reading there. Returns whether it changed.
function write(target, text) {
  if (target.textContent === text) return false;
  target.textContent = text;
  return true;
}

// A text with a moment in the place of {time}.
function writeMoment(target, text, moment) {
  const shown = target.querySelector("time");
  if (shown && shown.dateTime === moment) return;
  const [before, after] = text.split("{time}");
  const time = document.createElement("time");
  time.dateTime = moment;
  target.replaceChildren(before, time, after);
  showDates(target);
}

let shownTally;
function showTally(tally) {
  if (reloadWhereItDiffers(tally) || !element("total")) return;
  let changed = false;
  for (const option of tally.options) {
    const row = element(`option-${option.key}`);
    if (!row) continue;
    changed = write(row.querySelector(".votes"), `${option.votes === null ? "" : option.votes}`) || changed;
    changed = write(row.querySelector(".percent"), percentText(option.percent)) || changed;
    row.querySelector("rect").setAttribute("width", `${option.percent || 0}%`);
  }
  changed = write(element("total"), votesText(tally.total)) || changed;
  if (tally.last_vote_at) writeMoment(element("last-vote"), texts.lastVote, tally.last_vote_at);
  else write(element("last-vote"), "");
  write(element("outcome"), outcomeText(tally));
  shownTally = tally;
  // Whatever changes a number: a changed vote leaves the total as it was.
  if (changed) {
    announceSoon();
    drawSoon();
  }
}

let announcing;
function announceSoon() {
  if (announcing !== undefined) return;
  announcing = setTimeout(() => {
    announcing = undefined;
    const options = shownTally.options.filter((option) => option.votes !== null);
    const parts = options.map((option) => `${option.label}: ${votesText(option.votes)}, ${percentText(option.percent)}`);
    write(element("announcement"), [votesText(shownTally.total), ...parts].join(". "));
  }, ANNOUNCE_MS);
}

// ---- a page that was made before there was anything to show, or before the poll has opened, closed or changed

let reloading = false;
function reloadWhereItDiffers(tally) {
  if (reloading) return true;
  const phase = element("phase");
  const rows = Array.from(document.querySelectorAll("#options > li"), (row) => row.id.replace("option-", ""));
  const page = phase ? `${phase.dataset.phase} ${element("hidden") === null} ${rows}` : "nothing";
  const keys = tally.options.map((option) => option.key);
  const wanted = `${tally.phase} ${tally.visible} ${keys}`;
  if (page === wanted) return false;
  // Replicas with other settings answer in turns while they are replaced: both ways are one difference.
  const difference = [page, wanted].sort().join(" / ");
  reloading = mayReload(difference, phase ? RELOAD_AGAIN_MS : RELOAD_EMPTY_AGAIN_MS);
  if (reloading) setTimeout(() => location.reload(), spread(500));
  return reloading;
}

// The history remembers for this tab or frame alone; storage is shared by all frames of a tab. What cannot be remembered
// is not done.
function mayReload(difference, pause) {
  try {
    const state = history.state || {};
    const reloads = state.reloads || {};
    const now = Date.now();
    if (now - reloads[difference] < pause) return false;
    history.replaceState({ ...state, reloads: { ...reloads, [difference]: now } }, "");
    return true;
  } catch {
    return false;
  }
}
