-- Free space for updates, since voters change their votes. If the new version of a row fits on the page of the old one, the
-- update is heap-only: it changes no index, and later versions reuse the space. So the tables do not bloat. The settings apply
-- to pages that are filled from now on; an older page gets free space when its rows move to other pages and autovacuum removes
-- the old versions. The tally needs no setting: all its rows fit on a part of one page.
--
-- This blocks no other transaction and takes the same time with ten votes and with ten million.

-- Space for ten votes on a page of a hundred: a batch seldom changes more on one page, even in a small table. Autovacuum runs
-- after one vote in twenty has changed; the default is one in five, which is two million of ten million.
ALTER TABLE votes SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- A changed vote moves to another step of the timeline, so old rows change as often as new ones.
ALTER TABLE timeline SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
