-- Ballots that can never be stored, with the reason, so that one of them never holds up the others and none is lost.
-- The id is text because a queue's numbers may be greater than SQLite's; received_at is RFC 3339 in UTC.
CREATE TABLE dead_letters (
    ballot      TEXT PRIMARY KEY NOT NULL,
    reason      TEXT NOT NULL,
    payload     TEXT NOT NULL,
    received_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT, WITHOUT ROWID;
