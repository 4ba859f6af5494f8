-- Running counts: reading the result costs the same with ten votes and with ten million.

-- Votes per poll and option, and the time of the newest ballot for it (milliseconds since the Unix epoch).
CREATE TABLE tally (
    poll         varchar(32) NOT NULL,
    option       varchar(255) NOT NULL,
    votes        bigint NOT NULL,
    last_cast_ms bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (poll, option)
);

-- Votes by the time when they were cast, in steps of ten seconds; bucket is the start of a step in milliseconds.
-- Votes of the original app have no time and are in the tally only.
CREATE TABLE timeline (
    poll   varchar(32) NOT NULL,
    bucket bigint NOT NULL,
    option varchar(255) NOT NULL,
    votes  bigint NOT NULL,
    PRIMARY KEY (poll, bucket, option)
);

INSERT INTO tally (poll, option, votes, last_cast_ms)
    SELECT poll, vote, count(*), max(cast_ms) FROM votes GROUP BY poll, vote;
INSERT INTO timeline (poll, bucket, option, votes)
    SELECT poll, cast_ms / 10000 * 10000, vote, count(*) FROM votes WHERE cast_ms > 0 GROUP BY 1, 2, 3;

-- Every function has the search path of its creation: a dump is restored with an empty search path.

-- The triggers below are the only source of the counts. Rows that are inserted directly are ignored, so a dump of votes and
-- counts can be loaded into existing tables: the triggers count its votes. A recount of all votes sets a setting of its own.
CREATE FUNCTION only_counted() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF pg_trigger_depth() > 1 OR current_setting('voting_app.recount', true) = 'on' THEN
        RETURN NEW;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER only_counted BEFORE INSERT ON tally FOR EACH ROW EXECUTE FUNCTION only_counted();
CREATE TRIGGER only_counted BEFORE INSERT ON timeline FOR EACH ROW EXECUTE FUNCTION only_counted();

-- The triggers count the changes of every statement from any client. The transition tables have the rows as they were when
-- the statement locked them, so concurrent writers cannot make a vote count twice or not at all.
--
-- The row lock serialises transactions from here to their commit. Without it two of them could lock the counts in opposite
-- orders, because one INSERT ... ON CONFLICT fires an insert and an update trigger. An advisory lock would have the same
-- effect, but every role of the database can hold one without limit; only roles that can write can lock this row.
CREATE TABLE tally_lock (id integer PRIMARY KEY);
INSERT INTO tally_lock VALUES (1);
CREATE TRIGGER only_counted BEFORE INSERT ON tally_lock FOR EACH ROW EXECUTE FUNCTION only_counted();

CREATE FUNCTION count_inserted_votes() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM new_votes) THEN RETURN NULL; END IF;
    PERFORM FROM tally_lock FOR UPDATE;
    INSERT INTO tally AS t (poll, option, votes, last_cast_ms)
        SELECT poll, vote, count(*), max(cast_ms) FROM new_votes GROUP BY poll, vote
        ON CONFLICT (poll, option) DO UPDATE
            SET votes = t.votes + excluded.votes, last_cast_ms = greatest(t.last_cast_ms, excluded.last_cast_ms);
    INSERT INTO timeline AS t (poll, bucket, option, votes)
        SELECT poll, cast_ms / 10000 * 10000, vote, count(*) FROM new_votes WHERE cast_ms > 0 GROUP BY 1, 2, 3
        ON CONFLICT (poll, bucket, option) DO UPDATE SET votes = t.votes + excluded.votes;
    NOTIFY tally_changed;
    RETURN NULL;
END
$$;

CREATE FUNCTION count_updated_votes() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM new_votes) THEN RETURN NULL; END IF;
    PERFORM FROM tally_lock FOR UPDATE;
    INSERT INTO tally AS t (poll, option, votes, last_cast_ms)
        SELECT poll, vote, sum(change), max(cast_ms)
        FROM (
            SELECT poll, vote, 1 AS change, cast_ms FROM new_votes UNION ALL SELECT poll, vote, -1, 0 FROM old_votes
        ) AS changes
        GROUP BY poll, vote
        ON CONFLICT (poll, option) DO UPDATE
            SET votes = t.votes + excluded.votes, last_cast_ms = greatest(t.last_cast_ms, excluded.last_cast_ms);
    INSERT INTO timeline AS t (poll, bucket, option, votes)
        SELECT poll, cast_ms / 10000 * 10000, vote, sum(change)
        FROM (
            SELECT poll, vote, 1 AS change, cast_ms FROM new_votes UNION ALL SELECT poll, vote, -1, cast_ms FROM old_votes
        ) AS changes
        WHERE cast_ms > 0
        GROUP BY 1, 2, 3
        HAVING sum(change) <> 0
        ON CONFLICT (poll, bucket, option) DO UPDATE SET votes = t.votes + excluded.votes;
    NOTIFY tally_changed;
    RETURN NULL;
END
$$;

CREATE FUNCTION count_deleted_votes() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM old_votes) THEN RETURN NULL; END IF;
    PERFORM FROM tally_lock FOR UPDATE;
    UPDATE tally AS t SET votes = t.votes - gone.votes
        FROM (SELECT poll, vote, count(*) AS votes FROM old_votes GROUP BY poll, vote) AS gone
        WHERE (t.poll, t.option) = (gone.poll, gone.vote);
    UPDATE timeline AS t SET votes = t.votes - gone.votes
        FROM (
            SELECT poll, cast_ms / 10000 * 10000 AS bucket, vote, count(*) AS votes
            FROM old_votes WHERE cast_ms > 0 GROUP BY 1, 2, 3
        ) AS gone
        WHERE (t.poll, t.bucket, t.option) = (gone.poll, gone.bucket, gone.vote);
    NOTIFY tally_changed;
    RETURN NULL;
END
$$;

CREATE FUNCTION count_no_votes() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM tally;
    DELETE FROM timeline;
    NOTIFY tally_changed;
    RETURN NULL;
END
$$;

CREATE TRIGGER count_inserted AFTER INSERT ON votes REFERENCING NEW TABLE AS new_votes
    FOR EACH STATEMENT EXECUTE FUNCTION count_inserted_votes();
CREATE TRIGGER count_updated AFTER UPDATE ON votes REFERENCING OLD TABLE AS old_votes NEW TABLE AS new_votes
    FOR EACH STATEMENT EXECUTE FUNCTION count_updated_votes();
CREATE TRIGGER count_deleted AFTER DELETE ON votes REFERENCING OLD TABLE AS old_votes
    FOR EACH STATEMENT EXECUTE FUNCTION count_deleted_votes();
CREATE TRIGGER count_truncated AFTER TRUNCATE ON votes
    FOR EACH STATEMENT EXECUTE FUNCTION count_no_votes();
