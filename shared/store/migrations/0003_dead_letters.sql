-- Entries of the queue that cannot be stored as votes, with the reason: they do not block other ballots and are not lost.
-- ballot is the id in the queue: text, because its numbers may be greater than a bigint. payload is the entry's fields as
-- JSON: text, because jsonb cannot contain NUL characters. poll is the id of the entry's poll, if it has one. An entry of an
-- unknown poll waits: it is counted when the poll has become known.
CREATE TABLE dead_letters (
    ballot         text PRIMARY KEY,
    poll           varchar(32),
    reason         text NOT NULL,
    waits_for_poll boolean NOT NULL DEFAULT false,
    payload        text NOT NULL,
    received_at    timestamptz NOT NULL DEFAULT now()
);
