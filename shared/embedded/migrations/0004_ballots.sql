-- The queue. consumer and delivered_ms are the consumer and the time of the last delivery (milliseconds since the Unix
-- epoch), NULL before the first one. Acknowledged ballots are deleted.
CREATE TABLE ballots (
    ms           INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    fields       TEXT NOT NULL,
    consumer     TEXT,
    delivered_ms INTEGER,
    PRIMARY KEY (ms, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX ballots_undelivered ON ballots (ms, seq) WHERE consumer IS NULL;
CREATE INDEX ballots_pending ON ballots (delivered_ms) WHERE consumer IS NOT NULL;

-- The last generated id: ids increase even if the queue is empty or the clock is set back.
CREATE TABLE last_ballot (
    ms  INTEGER NOT NULL,
    seq INTEGER NOT NULL
) STRICT;
INSERT INTO last_ballot VALUES (0, 0);
