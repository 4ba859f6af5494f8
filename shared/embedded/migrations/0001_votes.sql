-- Votes, one row per voter and poll: id is a hash of both. The same columns and limits as in Postgres.
CREATE TABLE votes (
    id       TEXT PRIMARY KEY NOT NULL CHECK (length(id) <= 255),
    vote     TEXT NOT NULL CHECK (length(vote) <= 255),
    cast_ms  INTEGER NOT NULL DEFAULT 0,
    cast_seq INTEGER NOT NULL DEFAULT 0,
    poll     TEXT NOT NULL CHECK (length(poll) <= 32)
) STRICT, WITHOUT ROWID;
