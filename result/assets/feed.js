// Where the tally comes from: the stream of events, and the API while that is mute.

// The server says something every 3 seconds. A stream that is mute for longer is dead, or something on the way holds back
// what it says.
const MUTE_MS = 7000;
// How often the API is asked meanwhile.
const POLL_MS = 4000;
const ANSWER_MS = 10000;
// After a failure the wait is doubled, up to these; and not all browsers come back at once.
const RETRY_MS = 1000;
const STREAM_RETRY_MOST_MS = 60000;
const POLL_RETRY_MOST_MS = 30000;
// A server that asks for a longer wait than this is not believed.
const RETRY_AFTER_MOST_MS = 300000;
// What was held back on the way comes later than what the API said meanwhile. Clocks of replicas may differ by less.
const LATE_MS = 5000;

class Refused extends Error {
  constructor(answer) {
    super(`${answer.status}`);
    const seconds = Number(answer.headers.get("retry-after")) || 0;
    this.retryAfter = Math.min(seconds * 1000, RETRY_AFTER_MOST_MS);
  }
}

function backoff(failures, most, error) {
  const wait = Math.min(RETRY_MS * 2 ** failures, most) * (0.5 + Math.random() / 2);
  const asked = error instanceof Refused ? error.retryAfter * (1 + Math.random() / 4) : 0;
  return Math.max(wait, asked);
}

// Says words { state, tally, id }: the state is connecting, live, polling or offline.
class Feed {
  constructor(say) {
    this.say = say;
    this.isRunning = false;
  }

  // Goes on from what is known.
  start(word) {
    this.word = word;
    this.asOf = word.tally ? Date.parse(word.tally.as_of) : undefined;
    this.isRunning = true;
    this.streamFailures = 0;
    this.connect();
  }

  stop() {
    this.isRunning = false;
    clearTimeout(this.retry);
    this.disconnect();
    this.stopPolling();
  }

  // There is a network again: no reason to wait.
  hurry() {
    if (!this.isRunning) return;
    this.streamFailures = 0;
    if (!this.connection) {
      clearTimeout(this.retry);
      this.connect();
    }
    if (this.polling) this.pollAfter(0, 0);
  }

  tell(state, news) {
    this.word = { ...this.word, ...news, state };
    this.say(this.word);
  }

  // ---- the stream

  async connect() {
    const connection = new AbortController();
    this.connection = connection;
    this.watch();
    let failure;
    try {
      await this.read(connection.signal);
    } catch (error) {
      failure = error;
    }
    if (this.connection !== connection) return;
    this.disconnect();
    this.retry = setTimeout(() => this.connect(), backoff(this.streamFailures, STREAM_RETRY_MOST_MS, failure));
    this.streamFailures += 1;
    // A stream that worked may be there again soon, on another replica.
    if (!this.polling) this.pollAfter(spread(this.word.state === "live" ? 2000 : 500), 0);
  }

  disconnect() {
    clearTimeout(this.watchdog);
    const connection = this.connection;
    this.connection = undefined;
    if (connection) connection.abort();
  }

  watch() {
    clearTimeout(this.watchdog);
    const connection = this.connection;
    this.watchdog = setTimeout(() => connection.abort(), MUTE_MS);
  }

  async read(signal) {
    const headers = { Accept: "text/event-stream" };
    if (this.word.id) headers["Last-Event-ID"] = this.word.id;
    const answer = await fetch("events", { headers, cache: "no-store", signal });
    const type = answer.headers.get("content-type") || "";
    if (!answer.ok || !type.startsWith("text/event-stream")) throw new Refused(answer);
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const events = (text + decoder.decode(value, { stream: true })).split("\n\n");
      text = events.pop();
      // Whoever stopped meanwhile wants to hear no more.
      for (const event of events) if (!signal.aborted) this.received(event);
    }
  }

  received(event) {
    const fields = {};
    for (const line of event.split("\n")) {
      const colon = line.indexOf(": ");
      if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 2);
    }
    if (!fields.data) return;
    const data = JSON.parse(fields.data);
    const asOf = Date.parse(data.as_of);
    if (asOf < this.asOf - LATE_MS) return;
    if (!(asOf <= this.asOf)) this.asOf = asOf;
    this.watch();
    this.streamFailures = 0;
    this.stopPolling();
    if (fields.event === "tally") this.tell("live", { tally: data, id: fields.id });
    // A service that has never read a tally has nothing to show.
    else if (data.as_of !== null) this.tell("live");
  }

  // ---- the API

  pollAfter(wait, failures) {
    if (this.polling) this.stopPolling();
    const polling = { timer: setTimeout(() => this.poll(polling, failures), wait) };
    this.polling = polling;
  }

  stopPolling() {
    if (!this.polling) return;
    clearTimeout(this.polling.timer);
    this.polling = undefined;
  }

  async poll(polling, failures) {
    try {
      const news = await this.ask();
      if (this.polling !== polling) return;
      if (news) this.asOf = Date.parse(news.tally.as_of);
      this.tell("polling", news);
      this.pollAfter(POLL_MS * (0.75 + Math.random() / 2), 0);
    } catch (error) {
      if (this.polling !== polling) return;
      this.tell("offline");
      this.pollAfter(backoff(failures + 1, POLL_RETRY_MOST_MS, error), failures + 1);
    }
  }

  // Undefined where there is nothing new.
  async ask() {
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), ANSWER_MS);
    try {
      const headers = this.word.id ? { "If-None-Match": `"${this.word.id}"` } : {};
      const answer = await fetch("api/tally", { headers, cache: "no-store", signal: deadline.signal });
      if (answer.status === 304) return undefined;
      if (!answer.ok) throw new Refused(answer);
      const tally = await answer.json();
      const tag = answer.headers.get("etag") || "";
      return { tally, id: tag.replace(/^W\//, "").replace(/"/g, "") };
    } finally {
      clearTimeout(timer);
    }
  }
}
