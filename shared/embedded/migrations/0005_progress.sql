-- The last progress report of each worker: the result shows from it whether counting lags. Each worker writes only its own
-- row. oldest_waits_ms is the age of the oldest ballot in the queue at the time of the report; 0 if the queue was empty.
-- Times are milliseconds since the Unix epoch.
CREATE TABLE progress (
    worker          TEXT PRIMARY KEY NOT NULL,
    reported_ms     INTEGER NOT NULL,
    last_batch_ms   INTEGER,
    oldest_waits_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
