-- How far each worker is, as it last said, so that whoever shows the result knows when counting lags. A row for each, and
-- none that two of them write. oldest_waits_ms: how long the oldest ballot in the queue had waited then; 0: none waits.
CREATE TABLE progress (
    worker          text PRIMARY KEY,
    reported_at     timestamptz NOT NULL,
    last_batch_at   timestamptz,
    oldest_waits_ms bigint NOT NULL
);

-- Whoever shows the result reads the counts, and not who voted for what: members of this role, where there is one.
DO $$
BEGIN
    IF to_regrole('tally_reader') IS NOT NULL THEN
        GRANT SELECT ON tally, timeline, progress, _sqlx_migrations TO tally_reader;
    END IF;
END
$$;
