-- The last progress report of each worker: the result shows from it whether counting lags. Each worker writes only its own
-- row. oldest_waits_ms is the age of the oldest ballot in the queue at the time of the report; 0 if the queue was empty.
CREATE TABLE progress (
    worker          text PRIMARY KEY,
    reported_at     timestamptz NOT NULL,
    last_batch_at   timestamptz,
    oldest_waits_ms bigint NOT NULL
);

-- The result service reads the counts but not the votes. Its database user is a member of this role, if the role exists.
DO $$
BEGIN
    IF to_regrole('tally_reader') IS NOT NULL THEN
        GRANT SELECT ON tally, timeline, progress, _sqlx_migrations TO tally_reader;
    END IF;
END
$$;
