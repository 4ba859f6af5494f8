-- Running counts: reading the result costs the same with ten votes and with ten million.

-- Votes per poll and option, and the time of the newest ballot for it (milliseconds since the Unix epoch).
CREATE TABLE tally (
    poll         TEXT NOT NULL,
    option       TEXT NOT NULL,
    votes        INTEGER NOT NULL,
    last_cast_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (poll, option)
) STRICT, WITHOUT ROWID;

-- Votes by the time when they were cast, in steps of ten seconds; bucket is the start of a step in milliseconds.
CREATE TABLE timeline (
    poll   TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    option TEXT NOT NULL,
    votes  INTEGER NOT NULL,
    PRIMARY KEY (poll, bucket, option)
) STRICT, WITHOUT ROWID;

-- The triggers count every change of the votes from any client.
CREATE TRIGGER count_inserted AFTER INSERT ON votes BEGIN
    INSERT INTO tally (poll, option, votes, last_cast_ms) VALUES (new.poll, new.vote, 1, new.cast_ms)
        ON CONFLICT (poll, option) DO UPDATE SET votes = votes + 1, last_cast_ms = max(last_cast_ms, excluded.last_cast_ms);
    INSERT INTO timeline (poll, bucket, option, votes)
        SELECT new.poll, new.cast_ms / 10000 * 10000, new.vote, 1 WHERE new.cast_ms > 0
        ON CONFLICT (poll, bucket, option) DO UPDATE SET votes = votes + 1;
END;

CREATE TRIGGER count_updated AFTER UPDATE ON votes BEGIN
    UPDATE tally SET votes = votes - 1 WHERE (poll, option) = (old.poll, old.vote);
    UPDATE timeline SET votes = votes - 1
        WHERE (poll, bucket, option) = (old.poll, old.cast_ms / 10000 * 10000, old.vote) AND old.cast_ms > 0;
    INSERT INTO tally (poll, option, votes, last_cast_ms) VALUES (new.poll, new.vote, 1, new.cast_ms)
        ON CONFLICT (poll, option) DO UPDATE SET votes = votes + 1, last_cast_ms = max(last_cast_ms, excluded.last_cast_ms);
    INSERT INTO timeline (poll, bucket, option, votes)
        SELECT new.poll, new.cast_ms / 10000 * 10000, new.vote, 1 WHERE new.cast_ms > 0
        ON CONFLICT (poll, bucket, option) DO UPDATE SET votes = votes + 1;
END;

CREATE TRIGGER count_deleted AFTER DELETE ON votes BEGIN
    UPDATE tally SET votes = votes - 1 WHERE (poll, option) = (old.poll, old.vote);
    UPDATE timeline SET votes = votes - 1
        WHERE (poll, bucket, option) = (old.poll, old.cast_ms / 10000 * 10000, old.vote) AND old.cast_ms > 0;
END;
