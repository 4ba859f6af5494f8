// One of all tabs and frames of this browser asks the server, and tells the others: over HTTP/1.1 a browser opens six
// connections to a host, and a stream of events keeps one of them.
//
// The tabs elect the one that leads over a BroadcastChannel alone. Web Locks are there in secure contexts only, and plain
// HTTP in a local network, where the six connections matter, is none.

// Part of the channel's name: pages that do not understand each other do not share.
const TABS_VERSION = 1;
const LEADER_BEAT_MS = 1000;
// Timers of hidden tabs run once a second, so a leader may be late by that.
const LEADER_GONE_MS = 3500;
// How long a tab that wants to lead waits for another one to object.
const CLAIM_MS = 250;

class Tabs {
  // lead(): this tab asks the server from now on. rest(): it does so no more. hear(word): what the leading tab says.
  // miss(): the leading tab has fallen silent.
  constructor(handlers) {
    this.handlers = handlers;
    this.id = Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(16).padStart(8, "0")).join("");
    this.role = "out";
  }

  join() {
    if (this.role !== "out") return;
    try {
      this.channel = new BroadcastChannel(`result ${TABS_VERSION} ${new URL("events", document.baseURI).pathname}`);
    } catch {
      this.channel = undefined;
      this.role = "leading";
      this.handlers.lead();
      return;
    }
    this.channel.onmessage = ({ data }) => this.received(data);
    this.claim();
  }

  // Another tab takes over at once.
  leave() {
    if (this.role === "out") return;
    clearTimeout(this.timer);
    if (this.role === "leading") {
      this.handlers.rest();
      this.post("bye");
    }
    this.role = "out";
    if (this.channel) this.channel.close();
  }

  // What the leading tab knows, for all others: now, and to whoever asks later.
  tell(word) {
    this.word = word;
    if (this.role === "leading") this.post("leading");
  }

  post(kind) {
    if (this.channel) this.channel.postMessage({ kind, from: this.id, word: this.word });
  }

  claim() {
    this.role = "claiming";
    this.post("claim");
    this.wait(CLAIM_MS, () => {
      this.role = "leading";
      this.word = undefined;
      this.handlers.lead();
      this.beat();
    });
  }

  beat() {
    this.post("leading");
    this.wait(LEADER_BEAT_MS, () => this.beat());
  }

  follow() {
    this.role = "following";
    this.wait(LEADER_GONE_MS, () => {
      this.handlers.miss();
      this.claim();
    });
  }

  wait(time, then) {
    clearTimeout(this.timer);
    this.timer = setTimeout(then, time);
  }

  // Where two want the same, the smaller id wins; the other one may not have been there yet when it was said, so it is
  // said again.
  received({ kind, from, word }) {
    const yields = from < this.id;
    if (kind === "leading") {
      if (this.role === "leading" && !yields) return this.post("leading");
      if (this.role === "leading") this.handlers.rest();
      this.follow();
      if (word) this.handlers.hear(word);
    } else if (kind === "claim") {
      if (this.role === "leading") this.post("leading");
      else if (this.role === "claiming" && yields) this.follow();
      else if (this.role === "claiming") this.post("claim");
    } else if (kind === "bye" && this.role === "following") {
      this.wait(Math.random() * CLAIM_MS, () => this.claim());
    }
  }
}
