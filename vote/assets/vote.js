// Sends votes without a page load. The response is the same page as without a script. Its new parts replace those of this
// page, so that every text has one source.
//
// A browser without a required feature sends the plain form instead. An option's key may be the name of a property of
// forms, such as "elements", and then hides that property. So no property of the form itself is read.
"use strict";

const TIMEOUT_MS = 10000;
// Upper bound of timers in browsers.
const MAX_TIMER_MS = 2147483647;
// Maximum random delay of a refresh, so that not all browsers send one at the same time.
const MAX_JITTER_MS = 2000;
// Minimum delay of a refresh, in case the clock of a proxy is ahead of the server's.
const MIN_REFRESH_MS = 1000;

const element = (id) => document.getElementById(id);
const form = element("the_options");
const notice = element("the_notice");
const buttonsOf = (page) => Array.from(page.querySelectorAll("#the_options button"));
const hiddenFieldsOf = (page) => Array.from(page.querySelectorAll("#the_options input[type=hidden]"));
const pollOf = (page) => page.querySelector("#the_options input[name=poll]").value;
const keysOf = (page) => buttonsOf(page).map((button) => button.value).join();

const required = ["fetch", "AbortController", "URLSearchParams", "FormData", "DOMParser", "showDates"];
const isSupported = required.every((feature) => typeof window[feature] === "function") && "crypto" in window;

// Other tabs with the same poll belong to the same voter.
const otherTabs = typeof BroadcastChannel === "function" ? new BroadcastChannel(`vote ${location.pathname}`) : null;

function showNotice(text, kind, role) {
  notice.className = `notice ${kind}`;
  notice.setAttribute("role", role);
  notice.textContent = text;
}

function markChoice(choice) {
  for (const button of buttonsOf(document)) button.setAttribute("aria-pressed", String(button.value === choice));
}

function markSending(choice) {
  for (const button of buttonsOf(document)) button.classList.toggle("sending", button.value === choice);
  form.setAttribute("aria-busy", String(choice !== undefined));
}

async function fetchText(options) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), TIMEOUT_MS);
  try {
    const response = await fetch(form.getAttribute("action"), Object.assign({ signal: controller.signal }, options));
    recordServerTime(response);
    return await response.text();
  } finally {
    clearTimeout(timer);
  }
}

async function fetchPage(options) {
  const page = new DOMParser().parseFromString(await fetchText(options), "text/html");
  if (!page.getElementById("the_options")) throw new Error("the response is not the voting page");
  return page;
}

// Changes the buttons and does not replace them, so that the focus stays. The texts stay, too: the browser may have
// translated them.
function updateFrom(page) {
  if (pollOf(page) !== pollOf(document)) replacePoll(page);
  else if (keysOf(page) !== keysOf(document)) return location.reload();
  const newButtons = buttonsOf(page);
  buttonsOf(document).forEach((button, index) => {
    button.disabled = newButtons[index].disabled;
    button.setAttribute("aria-pressed", newButtons[index].getAttribute("aria-pressed"));
  });
  updateHiddenFields(page);
  const phase = page.getElementById("the_phase");
  element("the_phase").replaceWith(phase);
  showDates(phase);
  schedulePhaseRefresh();
}

// Replaces the question and the buttons by those of another poll.
function replacePoll(page) {
  document.title = page.title;
  element("the_question").textContent = page.getElementById("the_question").textContent;
  for (const button of buttonsOf(document)) button.remove();
  const firstField = form.firstChild;
  for (const button of buttonsOf(page)) form.insertBefore(document.importNode(button, true), firstField);
}

// Updates the hidden fields that a vote contains. A page for many voters does not have all of them, so other fields stay.
function updateHiddenFields(page) {
  for (const field of hiddenFieldsOf(page)) {
    hiddenFieldsOf(document).filter((old) => old.name === field.name).forEach((old) => old.remove());
    form.appendChild(document.importNode(field, true));
  }
}

function updateNotice(page) {
  const newNotice = page.getElementById("the_notice");
  // This page has the buttons, so the link to it is not needed.
  const back = newNotice.querySelector(".back");
  if (back) back.remove();
  showNotice("", "", newNotice.getAttribute("role"));
  notice.className = newNotice.className;
  while (newNotice.firstChild) notice.appendChild(newNotice.firstChild);
  showDates(notice);
}

// ---- votes, sent one after the other: two concurrent requests could arrive in the wrong order

// Random text for one vote and its retries. Before the browser has a cookie, it identifies the voter of a retry.
let attempt;
const randomId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

let sending;
let next;
// Number of votes so far. A page that was requested before the last of them is outdated.
let voteCount = 0;

async function sendVotes() {
  while (next) {
    sending = next;
    next = undefined;
    let page;
    try {
      attempt = attempt || randomId();
      sending.fields.set("attempt", attempt);
      page = await fetchPage({ method: "POST", body: sending.fields });
      attempt = undefined;
    } catch (error) {
      page = undefined;
    }
    if (next) {
      // Only the response to the last choice is shown. The next request needs the new hidden fields.
      if (page) updateHiddenFields(page);
      refreshHiddenFields(next);
    } else if (page) {
      updateFrom(page);
      updateNotice(page);
      if (otherTabs) otherTabs.postMessage(choiceOf(document));
    } else {
      showNotice(`${notice.dataset.uncertain} ${notice.dataset.noAnswer}`, "bad", "alert");
    }
  }
  sending = undefined;
  markSending(undefined);
}

function choiceOf(page) {
  const pressed = page.querySelector("#the_options [aria-pressed=true]");
  return pressed ? pressed.value : undefined;
}

function refreshHiddenFields(vote) {
  for (const field of hiddenFieldsOf(document)) vote.fields.set(field.name, field.value);
}

function voteFor(button) {
  const fields = new URLSearchParams(new FormData(form));
  fields.set(button.name, button.value);
  return { choice: button.value, fields };
}

form.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!isSupported || !button || button.name !== "vote") return;
  const vote = voteFor(button);
  event.preventDefault();
  voteCount += 1;
  // A repeated click on the same option changes nothing.
  next = sending && sending.choice === vote.choice ? undefined : vote;
  markSending(vote.choice);
  showNotice(notice.dataset.sending, "", "status");
  if (!sending) sendVotes();
});

if (otherTabs) otherTabs.addEventListener("message", (event) => sending || markChoice(event.data));

// ---- the phase of the poll

// The server's time minus the browser's, whose clock may be wrong.
let clockDifference = 0;
function recordServerTime(response) {
  const serverTime = Date.parse(response.headers.get("date"));
  if (serverTime) clockDifference = serverTime - Date.now();
}

// Returns the time at which the poll opens or closes; NaN if it does neither.
function nextChange() {
  return Date.parse(element("the_phase").dataset.nextChange);
}

// Timer of the refresh at which the poll opens or closes on the page.
let phaseTimer;
function schedulePhaseRefresh() {
  clearTimeout(phaseTimer);
  if (!nextChange()) return;
  const wait = nextChange() - clockDifference - Date.now();
  const delay = Math.max(wait, MIN_REFRESH_MS) + Math.random() * MAX_JITTER_MS;
  phaseTimer = setTimeout(refresh, Math.min(delay, MAX_TIMER_MS));
}

async function refresh() {
  const countBefore = voteCount;
  try {
    const page = await fetchPage();
    if (sending || voteCount !== countBefore) return;
    const hasChanged = page.getElementById("the_phase").dataset.phase !== element("the_phase").dataset.phase;
    updateFrom(page);
    if (hasChanged) updateNotice(page);
  } catch (error) {
    clearTimeout(phaseTimer);
    phaseTimer = setTimeout(refresh, MAX_JITTER_MS);
  }
}

if (isSupported) {
  schedulePhaseRefresh();
  // Scripts cannot read the headers of the page itself, so the server's time comes with another response.
  if (nextChange()) fetchText({ method: "HEAD" }).then(schedulePhaseRefresh, () => {});
  // A page from the back-forward cache may be outdated.
  window.addEventListener("pageshow", (event) => event.persisted && refresh());
  // Timers do not run while a laptop sleeps.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && nextChange()) refresh();
  });
}
