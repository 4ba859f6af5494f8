// Keeps the page right while votes come in, and says so when it cannot.

// A tab that nobody has seen for so long asks for nothing.
const HIDDEN_MS = 60000;

let heard = { state: "connecting" };
let shownId;
function show(word) {
  heard = word;
  if (word.tally && (word.id !== shownId || !shownTally)) {
    shownId = word.id;
    showTally(word.tally);
  }
  mark(word.state);
}

function mark(state) {
  const connection = element("connection");
  const tally = shownTally || {};
  const behind = behindText(tally);
  const says = (className, text) => {
    write(connection, text);
    connection.className = className;
  };
  if (state === "connecting") says("", "");
  else if (state === "offline") says("offline", texts.offline);
  else if (tally.stale) {
    writeMoment(connection, texts.delayed, tally.as_of);
    connection.className = "delayed";
  } else if (behind) says("delayed", behind);
  else says(state, texts[state]);
}

const feed = new Feed((word) => {
  show(word);
  tabs.tell(word);
});
const tabs = new Tabs({
  lead: () => feed.start(heard),
  rest: () => feed.stop(),
  hear: show,
  miss: () => show({ ...heard, state: "connecting" }),
});

function pause() {
  tabs.leave();
  show({ ...heard, state: "connecting" });
}

let hiding;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(pause, HIDDEN_MS);
  else tabs.join();
});
document.addEventListener("freeze", pause);
window.addEventListener("pagehide", pause);
window.addEventListener("pageshow", () => tabs.join());
window.addEventListener("online", () => feed.hurry());

// With a script nobody needs to reload the page.
if (element("connection").className === "") write(element("connection"), "");
if (document.hidden) hiding = setTimeout(pause, HIDDEN_MS);
prepareTimeline();
tabs.join();
