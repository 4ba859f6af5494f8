-- Ballots that can never be stored, with the reason, so that one of them never holds up the others and none is lost.
-- ballot is the queue's id; text, because a queue's numbers may be greater than a bigint. payload is the queue entry's
-- fields as JSON; text, because jsonb cannot hold NUL characters.
CREATE TABLE dead_letters (
    ballot      text PRIMARY KEY,
    reason      text NOT NULL,
    payload     text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);
