// Votes without a page load. The server answers as it does without a script, with a page; what is new in it is put in
// place here, so that every text has one source.
"use strict";

const TIMEOUT_MS = 10_000;
// Timers cannot wait longer.
const LONGEST_WAIT_MS = 2 ** 31 - 1;
// When the poll opens, not all browsers at once.
const SPREAD_MS = 2_000;

const element = (id) => document.getElementById(id);
const form = element("the_options");

// Other windows of this browser vote as the same voter.
const windows = new BroadcastChannel("vote");

function say(text, kind) {
  const notice = element("the_notice");
  notice.className = `notice ${kind}`;
  notice.textContent = text;
}

function mark(choice) {
  for (const button of form.elements) button.setAttribute("aria-pressed", button.value === choice);
}

async function load(options) {
  const answer = await fetch("/", { ...options, signal: AbortSignal.timeout(TIMEOUT_MS) });
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

// Buttons are changed, not replaced: the focus stays where it is.
function adopt(page) {
  const keys = (options) => Array.from(options.elements, (button) => button.value + button.textContent).join();
  const options = page.getElementById("the_options");
  if (!options) throw new Error("this is no page of ours");
  if (keys(options) !== keys(form)) return location.reload();
  for (const button of options.elements) element(button.id).disabled = button.disabled;
  mark(options.querySelector("[aria-pressed=true]")?.value);
  element("the_phase").replaceWith(page.getElementById("the_phase"));
  showDates(element("the_phase"));
  watchPhase();
}

function adoptNotice(page) {
  const fresh = page.getElementById("the_notice");
  const notice = element("the_notice");
  notice.className = fresh.className;
  notice.setAttribute("role", fresh.getAttribute("role"));
  // The buttons are right below: there is nowhere to go back to.
  fresh.querySelector(".back")?.remove();
  notice.replaceChildren(...fresh.childNodes);
}

async function vote(choice) {
  if (form.ariaBusy === "true") return;
  form.ariaBusy = "true";
  say(form.dataset.sending, "");
  try {
    const page = await load({ method: "POST", body: new URLSearchParams({ vote: choice }) });
    adopt(page);
    adoptNotice(page);
    windows.postMessage(form.querySelector("[aria-pressed=true]")?.value);
  } catch {
    element("the_notice").setAttribute("role", "alert");
    say(`${form.dataset.uncertain} ${form.dataset.noAnswer}`, "bad");
  } finally {
    form.ariaBusy = "false";
  }
}

// Opens and closes the poll on the page when its time has come.
let phaseTimer;
function watchPhase() {
  clearTimeout(phaseTimer);
  const wait = element("the_phase").dataset.nextChangeMs;
  if (wait === undefined) return;
  const look = () => load().then(adopt, () => (phaseTimer = setTimeout(look, SPREAD_MS)));
  phaseTimer = setTimeout(look, Math.min(Number(wait) + Math.random() * SPREAD_MS, LONGEST_WAIT_MS));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  vote(event.submitter.value);
});
windows.addEventListener("message", (event) => mark(event.data));
// A page that the browser kept may be long out of date.
window.addEventListener("pageshow", (event) => event.persisted && load().then(adopt, () => {}));
watchPhase();
