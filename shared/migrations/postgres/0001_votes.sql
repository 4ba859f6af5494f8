-- The votes, one row per voter. The original voting app's table is taken over as it stands: its rows keep their vote
-- and get the oldest place in the order, so that any new ballot by the same voter replaces them.
CREATE TABLE IF NOT EXISTS votes (
    id   varchar(255) PRIMARY KEY,
    vote varchar(255) NOT NULL
);
ALTER TABLE votes
    ADD COLUMN IF NOT EXISTS cast_ms  bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS cast_seq bigint NOT NULL DEFAULT 0;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'votes'::regclass AND contype = 'p') THEN
        ALTER TABLE votes ADD PRIMARY KEY (id);
    END IF;
END
$$;
-- The original's UNIQUE constraint would be a second index over the same column.
ALTER TABLE votes DROP CONSTRAINT IF EXISTS votes_id_key;
