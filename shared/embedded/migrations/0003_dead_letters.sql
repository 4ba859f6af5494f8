-- Entries of the queue that can never be stored as votes, with the reason: they do not block other ballots and are not lost.
-- The id is text, because its numbers may be greater than SQLite's integers. received_at is RFC 3339 in UTC.
CREATE TABLE dead_letters (
    ballot      TEXT PRIMARY KEY NOT NULL,
    reason      TEXT NOT NULL,
    payload     TEXT NOT NULL,
    received_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT, WITHOUT ROWID;
