// Updates the page while votes arrive, and shows when it cannot.

// Time after which a hidden tab stops requesting updates.
const HIDDEN_MS = 60000;

let lastUpdate = { state: "connecting" };
let shownId;
function show(update) {
  lastUpdate = update;
  if (update.tally && (update.id !== shownId || !shownTally)) {
    shownId = update.id;
    showTally(update.tally);
  }
  showConnection(update.state);
}

function showConnection(state) {
  const connection = element("connection");
  const tally = shownTally || {};
  const behind = behindText(tally);
  const showText = (className, text) => {
    write(connection, text);
    connection.className = className;
  };
  if (state === "connecting") showText("", "");
  else if (state === "offline") showText("offline", texts.offline);
  else if (tally.stale) {
    writeTime(connection, texts.delayed, tally.as_of);
    connection.className = "delayed";
  } else if (behind) showText("delayed", behind);
  else showText(state, texts[state]);
}

const feed = new Feed((update) => {
  show(update);
  tabs.publish(update);
});
const tabs = new Tabs({
  onLead: () => feed.start(lastUpdate),
  onYield: () => feed.stop(),
  onUpdate: show,
  onLeaderLost: () => show({ ...lastUpdate, state: "connecting" }),
});

function pause() {
  tabs.leave();
  show({ ...lastUpdate, state: "connecting" });
}

let pauseTimer;
document.addEventListener("visibilitychange", () => {
  clearTimeout(pauseTimer);
  if (document.hidden) pauseTimer = setTimeout(pause, HIDDEN_MS);
  else tabs.join();
});
document.addEventListener("freeze", pause);
window.addEventListener("pagehide", pause);
window.addEventListener("pageshow", () => tabs.join());
window.addEventListener("online", () => feed.retryNow());

// Removes the request to reload the page, which is for browsers without scripts.
if (element("connection").className === "") write(element("connection"), "");
if (document.hidden) pauseTimer = setTimeout(pause, HIDDEN_MS);
prepareTimeline();
tabs.join();
