-- Voters change their minds. A new version of a row that finds room on the page of the old one touches no index, and the
-- next one uses the room of the old: so the tables stay as large as what is in them. Only pages that are filled from now
-- on keep room; an older page gets some as its rows move away and autovacuum clears what they left. The tally needs
-- nothing: all its rows fit on a part of one page.
--
-- This blocks nobody and takes the same at ten votes and at ten million.

-- Ten of a page's hundred votes: a batch seldom changes more of one page, even in a small table. Autovacuum comes when one
-- vote in twenty has moved; by default it would be one in five, and that is two million of ten million.
ALTER TABLE votes SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- Votes that are changed leave the steps in which they had been cast, so old rows change as much as new ones.
ALTER TABLE timeline SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
