-- Entries of the queue that can never be stored as votes, with the reason: they do not block other ballots and are not lost.
-- ballot is the id in the queue: text, because its numbers may be greater than a bigint. payload is the entry's fields as
-- JSON: text, because jsonb cannot contain NUL characters.
CREATE TABLE dead_letters (
    ballot      text PRIMARY KEY,
    reason      text NOT NULL,
    payload     text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);
