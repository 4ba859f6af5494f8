-- How far each worker is, as it last said, so that whoever shows the result knows when counting lags. A row for each, and
-- none that two of them write. oldest_waits_ms: how long the oldest ballot in the queue had waited then; 0: none waits.
-- Moments are milliseconds since the Unix epoch.
CREATE TABLE progress (
    worker          TEXT PRIMARY KEY NOT NULL,
    reported_ms     INTEGER NOT NULL,
    last_batch_ms   INTEGER,
    oldest_waits_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
