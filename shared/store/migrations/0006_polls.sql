-- The polls whose ballots can be counted. options has the form of the setting POLL_OPTIONS: a=Cats,b=Dogs, in the order on the pages.
-- Voting is open from opens_at_ms to closes_at_ms, in milliseconds since the Unix epoch; without limits where they are null. results has
-- the form of the setting POLL_RESULTS.
CREATE TABLE polls (
    id           varchar(32) PRIMARY KEY,
    question     text NOT NULL,
    options      text NOT NULL,
    opens_at_ms  bigint,
    closes_at_ms bigint,
    results      text NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT now()
);

DO $$
BEGIN
    IF to_regrole('tally_reader') IS NOT NULL THEN
        GRANT SELECT ON polls TO tally_reader;
    END IF;
END
$$;
