// Votes without a page load. The server answers as it does without a script, with a page; what is new in it is put in
// place here, so that every text has one source.
//
// A browser that lacks anything needed here sends the plain form instead. An option's key may be any of a form's own
// names, such as "elements", and then hides what the browser has under that name: nothing is read from the form itself.
"use strict";

const TIMEOUT_MS = 10000;
// Timers cannot wait longer.
const LONGEST_WAIT_MS = 2147483647;
// When the poll opens, not all browsers at once.
const SPREAD_MS = 2000;

const element = (id) => document.getElementById(id);
const form = element("the_options");
const notice = element("the_notice");
const buttonsOf = (page) => Array.from(page.querySelectorAll("#the_options button"));
const hiddenFieldsOf = (page) => Array.from(page.querySelectorAll("#the_options input[type=hidden]"));
const keysOf = (page) => buttonsOf(page).map((button) => button.value).join();

const needed = ["fetch", "AbortController", "URLSearchParams", "FormData", "DOMParser", "showDates"];
const isSupported = needed.every((feature) => typeof window[feature] === "function") && "crypto" in window;

// Other windows with the same poll vote as the same voter.
const windows = typeof BroadcastChannel === "function" ? new BroadcastChannel(`vote ${location.pathname}`) : null;

function say(text, kind, role) {
  notice.className = `notice ${kind}`;
  notice.setAttribute("role", role);
  notice.textContent = text;
}

function mark(choice) {
  for (const button of buttonsOf(document)) button.setAttribute("aria-pressed", String(button.value === choice));
}

function markSending(choice) {
  for (const button of buttonsOf(document)) button.classList.toggle("sending", button.value === choice);
  form.setAttribute("aria-busy", String(choice !== undefined));
}

async function load(options) {
  const aborting = new AbortController();
  const timer = setTimeout(() => aborting.abort(), TIMEOUT_MS);
  try {
    const answer = await fetch(form.getAttribute("action"), Object.assign({ signal: aborting.signal }, options));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!page.getElementById("the_options")) throw new Error("this is no page of ours");
    return page;
  } finally {
    clearTimeout(timer);
  }
}

// Buttons are changed, not replaced: the focus stays where it is. Texts are left alone: the browser may have translated
// them.
function adopt(page) {
  if (keysOf(page) !== keysOf(document)) return location.reload();
  const fresh = buttonsOf(page);
  buttonsOf(document).forEach((button, place) => {
    button.disabled = fresh[place].disabled;
    button.setAttribute("aria-pressed", fresh[place].getAttribute("aria-pressed"));
  });
  adoptHiddenFields(page);
  const phase = page.getElementById("the_phase");
  element("the_phase").replaceWith(phase);
  showDates(phase);
  watchPhase();
}

// What a vote must say besides the choice. A page for many does not have all of it, so the other fields stay.
function adoptHiddenFields(page) {
  for (const field of hiddenFieldsOf(page)) {
    hiddenFieldsOf(document).filter((old) => old.name === field.name).forEach((old) => old.remove());
    form.appendChild(document.importNode(field, true));
  }
}

function adoptNotice(page) {
  const fresh = page.getElementById("the_notice");
  // The buttons are right below: there is nowhere to go back to.
  const back = fresh.querySelector(".back");
  if (back) back.remove();
  say("", "", fresh.getAttribute("role"));
  notice.className = fresh.className;
  while (fresh.firstChild) notice.appendChild(fresh.firstChild);
  showDates(notice);
}

// ---- votes, one after the other: two at once could overtake each other on their way

// Until the browser has a cookie, a vote that is sent again because no answer came is the same voter's by this.
let attempt;
const randomId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

let sending;
let next;
// How many votes were begun: a page that was asked for before the last of them is out of date.
let votes = 0;

async function voteInTurn() {
  while (next) {
    sending = next;
    next = undefined;
    let page;
    try {
      attempt = attempt || randomId();
      sending.fields.set("attempt", attempt);
      page = await load({ method: "POST", body: sending.fields });
      attempt = undefined;
    } catch (error) {
      page = undefined;
    }
    if (next) {
      // Only the answer to the last choice is shown. Who voted, it needs to say as well.
      if (page) adoptHiddenFields(page);
      refreshHiddenFields(next);
    } else if (page) {
      adopt(page);
      adoptNotice(page);
      if (windows) windows.postMessage(choiceOf(document));
    } else {
      say(`${notice.dataset.uncertain} ${notice.dataset.noAnswer}`, "bad", "alert");
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
  votes += 1;
  // The same once more changes nothing.
  next = sending && sending.choice === vote.choice ? undefined : vote;
  markSending(vote.choice);
  say(notice.dataset.sending, "", "status");
  if (!sending) voteInTurn();
});

if (windows) windows.addEventListener("message", (event) => sending || mark(event.data));

// ---- the phase of the poll

// Opens and closes the poll on the page when its time has come.
let phaseTimer;
function watchPhase() {
  clearTimeout(phaseTimer);
  const wait = element("the_phase").dataset.nextChangeMs;
  if (wait === undefined) return;
  phaseTimer = setTimeout(look, Math.min(Number(wait) + Math.random() * SPREAD_MS, LONGEST_WAIT_MS));
}

async function look() {
  const before = votes;
  try {
    const page = await load();
    if (sending || votes !== before) return;
    const hasChanged = page.getElementById("the_phase").dataset.phase !== element("the_phase").dataset.phase;
    adopt(page);
    if (hasChanged) adoptNotice(page);
  } catch (error) {
    clearTimeout(phaseTimer);
    phaseTimer = setTimeout(look, SPREAD_MS);
  }
}

if (isSupported) {
  watchPhase();
  // A page that the browser kept may be long out of date.
  window.addEventListener("pageshow", (event) => event.persisted && look());
  // Timers stand still while a laptop sleeps.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && element("the_phase").dataset.nextChangeMs !== undefined) look();
  });
}
