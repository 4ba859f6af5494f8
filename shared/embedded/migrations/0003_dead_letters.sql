-- Entries of the queue that cannot be stored as votes, with the reason: they do not block other ballots and are not lost.
-- The id is text, because its numbers may be greater than SQLite's integers. received_at is RFC 3339 in UTC. poll is the id of the
-- entry's poll, if it has one. An entry of an unknown poll waits: it is counted when the poll has become known.
CREATE TABLE dead_letters (
    ballot         TEXT PRIMARY KEY NOT NULL,
    poll           TEXT,
    reason         TEXT NOT NULL,
    waits_for_poll INTEGER NOT NULL DEFAULT 0,
    payload        TEXT NOT NULL,
    received_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT, WITHOUT ROWID;
