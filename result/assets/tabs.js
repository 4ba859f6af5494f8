// Leader election among all tabs and frames of this browser. Only the leader requests updates from the server and shares them with the
// others: over HTTP/1.1 a browser opens six connections to a host, and an event stream occupies one of them.
//
// The election uses only a BroadcastChannel. Web Locks are limited to secure contexts, which plain HTTP in a local network, where the
// limit of six connections matters, is not.

// Part of the channel's name, so that pages with different message formats do not share a channel.
const TABS_VERSION = 2;
const LEADER_HEARTBEAT_MS = 1000;
// Time without a heartbeat after which a new leader is elected. Timers of hidden tabs run once a second, so heartbeats may be a
// second late.
const LEADER_TIMEOUT_MS = 3500;
// Time in which another tab may object to a claim.
const CLAIM_MS = 250;

class Tabs {
  // onLead(): this tab becomes the leader. onYield(): this tab is no longer the leader. onUpdate(update): an update from the leader.
  // onLeaderLost(): the leader's heartbeats are missing.
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
      this.handlers.onLead();
      return;
    }
    this.channel.onmessage = ({ data }) => this.onMessage(data);
    this.claim();
  }

  // Leaves the group. If this tab is the leader, another tab takes over at once.
  leave() {
    if (this.role === "out") return;
    clearTimeout(this.timer);
    if (this.role === "leading") {
      this.handlers.onYield();
      this.post("bye");
    }
    this.role = "out";
    if (this.channel) this.channel.close();
  }

  // Shares the leader's update with all other tabs. Later heartbeats repeat it for tabs that join later.
  publish(update) {
    this.update = update;
    if (this.role === "leading") this.post("leading");
  }

  post(kind) {
    if (this.channel) this.channel.postMessage({ kind, from: this.id, update: this.update });
  }

  claim() {
    this.role = "claiming";
    this.post("claim");
    this.setTimer(CLAIM_MS, () => {
      this.role = "leading";
      this.update = undefined;
      this.handlers.onLead();
      this.sendHeartbeat();
    });
  }

  sendHeartbeat() {
    this.post("leading");
    this.setTimer(LEADER_HEARTBEAT_MS, () => this.sendHeartbeat());
  }

  follow() {
    this.role = "following";
    this.setTimer(LEADER_TIMEOUT_MS, () => {
      this.handlers.onLeaderLost();
      this.claim();
    });
  }

  setTimer(delay, callback) {
    clearTimeout(this.timer);
    this.timer = setTimeout(callback, delay);
  }

  // Between two leaders or two claims, the smaller id wins. The winner repeats its message, because the other tab may have joined after
  // the first one.
  onMessage({ kind, from, update }) {
    const yields = from < this.id;
    if (kind === "leading") {
      if (this.role === "leading" && !yields) return this.post("leading");
      if (this.role === "leading") this.handlers.onYield();
      this.follow();
      if (update) this.handlers.onUpdate(update);
    } else if (kind === "claim") {
      if (this.role === "leading") this.post("leading");
      else if (this.role === "claiming" && yields) this.follow();
      else if (this.role === "claiming") this.post("claim");
    } else if (kind === "bye" && this.role === "following") {
      this.setTimer(Math.random() * CLAIM_MS, () => this.claim());
    }
  }
}
