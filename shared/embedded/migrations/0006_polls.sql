-- The polls whose ballots can be counted. options has the form of the setting POLL_OPTIONS: a=Cats,b=Dogs, in the order on the pages.
-- Voting is open from opens_at_ms to closes_at_ms, in milliseconds since the Unix epoch; without limits where they are null. results has
-- the form of the setting POLL_RESULTS.
CREATE TABLE polls (
    id           TEXT PRIMARY KEY NOT NULL,
    question     TEXT NOT NULL,
    options      TEXT NOT NULL,
    opens_at_ms  INTEGER,
    closes_at_ms INTEGER,
    results      TEXT NOT NULL,
    recorded_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT, WITHOUT ROWID;
