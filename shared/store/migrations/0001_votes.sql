-- Votes, one row per voter and poll: id is a hash of both. A table of the original voting app is used as it is: its rows keep
-- their votes, belong to the poll of the settings (voting_app.poll, which is set for this transaction), and get the oldest position.
CREATE TABLE IF NOT EXISTS votes (
    id   varchar(255) PRIMARY KEY,
    vote varchar(255) NOT NULL
);

-- An existing table may have columns or rows that cannot be used. Then the error names them, and nothing is changed.
DO $$
DECLARE
    wrong text;
BEGIN
    SELECT string_agg(format('%s is %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum) INTO wrong
        FROM pg_attribute
        WHERE attrelid = 'votes'::regclass AND attname IN ('id', 'vote')
            AND (atttypid NOT IN ('varchar'::regtype, 'text'::regtype) OR atttypmod BETWEEN 0 AND 35);
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the table votes has columns of another type: %; both must be text, or varchar of 32 or more', wrong
            USING ERRCODE = 'datatype_mismatch';
    END IF;
    SELECT string_agg(format('(%s, %s)', coalesce(quote_literal(id), 'NULL'), coalesce(quote_literal(vote), 'NULL')), ', ') INTO wrong
        FROM (SELECT id, vote FROM votes WHERE id IS NULL OR vote IS NULL LIMIT 5) AS examples;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the table votes has rows without an id or a vote, such as %; delete them, or fill them in', wrong
            USING ERRCODE = 'not_null_violation';
    END IF;
    SELECT string_agg(format('%s (%s rows)', quote_literal(id), times), ', ') INTO wrong
        FROM (SELECT id, count(*) AS times FROM votes GROUP BY id HAVING count(*) > 1 LIMIT 5) AS examples;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the table votes has several rows with the same id, such as %; delete all but one of each', wrong
            USING ERRCODE = 'unique_violation';
    END IF;
END
$$;

ALTER TABLE votes
    ADD COLUMN IF NOT EXISTS cast_ms  bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS cast_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS poll     varchar(32) NOT NULL DEFAULT current_setting('voting_app.poll'),
    ALTER COLUMN vote SET NOT NULL;
-- A dump of the original app can also be loaded later, so the same poll stays the default. All other votes name their poll.
DO $$
BEGIN
    EXECUTE format('ALTER TABLE votes ALTER COLUMN poll SET DEFAULT %L', current_setting('voting_app.poll'));
END
$$;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'votes'::regclass AND contype = 'p') THEN
        ALTER TABLE votes ADD PRIMARY KEY (id);
    END IF;
END
$$;
-- The original app's UNIQUE constraint would be a second index over the same column.
ALTER TABLE votes DROP CONSTRAINT IF EXISTS votes_id_key;
