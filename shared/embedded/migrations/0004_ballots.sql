-- The queue. consumer and delivered_ms say who was handed the ballot last and when (milliseconds since the Unix
-- epoch); NULL: nobody yet. An acknowledged ballot is deleted.
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

-- The greatest id ever given, so that ids never go back, not even when the queue is empty or the clock is set back.
CREATE TABLE last_ballot (
    ms  INTEGER NOT NULL,
    seq INTEGER NOT NULL
) STRICT;
INSERT INTO last_ballot VALUES (0, 0);
