// The source of the tally: the event stream, or the API while the stream is silent.

// The server sends an event every 3 seconds. After this time without one, the stream is broken, or something between buffers it.
const STREAM_TIMEOUT_MS = 7000;
// Interval of requests to the API while the stream is silent.
const POLL_MS = 4000;
const REQUEST_TIMEOUT_MS = 10000;
// Backoff: the delay doubles with each failure up to a maximum, with jitter, so that browsers do not reconnect at the same time.
const RETRY_MS = 1000;
const MAX_STREAM_RETRY_MS = 60000;
const MAX_POLL_RETRY_MS = 30000;
// Upper bound of the server's Retry-After.
const MAX_RETRY_AFTER_MS = 300000;
// Buffered events may arrive after a newer response of the API. An event is dropped if it is older by more than this, which allows for
// the clock differences of replicas.
const MAX_CLOCK_DIFFERENCE_MS = 5000;

class ResponseError extends Error {
  constructor(response) {
    super(`${response.status}`);
    const seconds = Number(response.headers.get("retry-after")) || 0;
    this.retryAfter = Math.min(seconds * 1000, MAX_RETRY_AFTER_MS);
  }
}

function backoff(failures, max, error) {
  const delay = Math.min(RETRY_MS * 2 ** failures, max) * (0.5 + Math.random() / 2);
  const retryAfter = error instanceof ResponseError ? error.retryAfter * (1 + Math.random() / 4) : 0;
  return Math.max(delay, retryAfter);
}

// Calls onUpdate with { state, tally, id }. The state is connecting, live, polling or offline.
class Feed {
  constructor(onUpdate) {
    this.onUpdate = onUpdate;
    this.isRunning = false;
  }

  // Starts from the last known update.
  start(update) {
    this.update = update;
    this.asOf = update.tally ? Date.parse(update.tally.as_of) : undefined;
    this.isRunning = true;
    this.streamFailures = 0;
    this.connect();
  }

  stop() {
    this.isRunning = false;
    clearTimeout(this.retryTimer);
    this.disconnect();
    this.stopPolling();
  }

  // Retries at once, because the network is available again.
  retryNow() {
    if (!this.isRunning) return;
    this.streamFailures = 0;
    if (!this.connection) {
      clearTimeout(this.retryTimer);
      this.connect();
    }
    if (this.polling) this.pollAfter(0, 0);
  }

  publish(state, changes) {
    this.update = { ...this.update, ...changes, state };
    this.onUpdate(this.update);
  }

  // ---- the event stream

  async connect() {
    const connection = new AbortController();
    this.connection = connection;
    this.resetStreamTimeout();
    let failure;
    try {
      await this.read(connection.signal);
    } catch (error) {
      failure = error;
    }
    if (this.connection !== connection) return;
    this.disconnect();
    this.retryTimer = setTimeout(() => this.connect(), backoff(this.streamFailures, MAX_STREAM_RETRY_MS, failure));
    this.streamFailures += 1;
    // A stream that worked may soon be available again on another replica, so polling starts later.
    if (!this.polling) this.pollAfter(jitter(this.update.state === "live" ? 2000 : 500), 0);
  }

  disconnect() {
    clearTimeout(this.streamTimer);
    const connection = this.connection;
    this.connection = undefined;
    if (connection) connection.abort();
  }

  resetStreamTimeout() {
    clearTimeout(this.streamTimer);
    const connection = this.connection;
    this.streamTimer = setTimeout(() => connection.abort(), STREAM_TIMEOUT_MS);
  }

  async read(signal) {
    const headers = { Accept: "text/event-stream" };
    if (this.update.id) headers["Last-Event-ID"] = this.update.id;
    const response = await fetch("events", { headers, cache: "no-store", signal });
    const type = response.headers.get("content-type") || "";
    if (!response.ok || !type.startsWith("text/event-stream")) throw new ResponseError(response);
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const events = (text + decoder.decode(value, { stream: true })).split("\n\n");
      text = events.pop();
      // The feed may be stopped while events are handled.
      for (const event of events) if (!signal.aborted) this.onEvent(event);
    }
  }

  onEvent(event) {
    const fields = {};
    for (const line of event.split("\n")) {
      const colon = line.indexOf(": ");
      if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 2);
    }
    if (!fields.data) return;
    const data = JSON.parse(fields.data);
    const asOf = Date.parse(data.as_of);
    if (asOf < this.asOf - MAX_CLOCK_DIFFERENCE_MS) return;
    if (!(asOf <= this.asOf)) this.asOf = asOf;
    this.resetStreamTimeout();
    this.streamFailures = 0;
    this.stopPolling();
    if (fields.event === "tally") this.publish("live", { tally: data, id: fields.id });
    // A null time means that the service has not read a tally yet, so there is nothing to show.
    else if (data.as_of !== null) this.publish("live");
  }

  // ---- the API

  pollAfter(delay, failures) {
    if (this.polling) this.stopPolling();
    const polling = { timer: setTimeout(() => this.poll(polling, failures), delay) };
    this.polling = polling;
  }

  stopPolling() {
    if (!this.polling) return;
    clearTimeout(this.polling.timer);
    this.polling = undefined;
  }

  async poll(polling, failures) {
    try {
      const changes = await this.fetchTally();
      if (this.polling !== polling) return;
      if (changes) this.asOf = Date.parse(changes.tally.as_of);
      this.publish("polling", changes);
      this.pollAfter(POLL_MS * (0.75 + Math.random() / 2), 0);
    } catch (error) {
      if (this.polling !== polling) return;
      this.publish("offline");
      this.pollAfter(backoff(failures + 1, MAX_POLL_RETRY_MS, error), failures + 1);
    }
  }

  // Returns undefined if the tally has not changed.
  async fetchTally() {
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), REQUEST_TIMEOUT_MS);
    try {
      const headers = this.update.id ? { "If-None-Match": `"${this.update.id}"` } : {};
      const response = await fetch("api/tally", { headers, cache: "no-store", signal: timeout.signal });
      if (response.status === 304) return undefined;
      if (!response.ok) throw new ResponseError(response);
      const tally = await response.json();
      const etag = response.headers.get("etag") || "";
      return { tally, id: etag.replace(/^W\//, "").replace(/"/g, "") };
    } finally {
      clearTimeout(timer);
    }
  }
}
