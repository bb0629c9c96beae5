-- A table of 10,000 rows with an index. The first boot makes it, each later one finds it: what is asked has the same
-- answers, but for the number of boots.
.bail on
.headers off
PRAGMA journal_mode = DELETE;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS boots (id INTEGER PRIMARY KEY, at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS seals (id INTEGER PRIMARY KEY, name TEXT NOT NULL, weight INTEGER NOT NULL);
BEGIN;
INSERT INTO boots (at) VALUES (unixepoch());
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000)
INSERT INTO seals (id, name, weight)
SELECT n, printf('seal-%05d', n), n * 7919 % 10007 FROM numbers WHERE (SELECT count(*) FROM boots) = 1;
CREATE INDEX IF NOT EXISTS by_weight ON seals (weight);
COMMIT;

.print this is boot
SELECT 'number ' || count(*) FROM boots;
SELECT 'rows ' || count(*) || ', weight ' || sum(weight) FROM seals;
-- By the index.
.eqp on
SELECT 'weighs 4242: ' || name FROM seals WHERE weight = 4242;
.eqp off
SELECT 'between: ' || group_concat(id, ' ') FROM (SELECT id FROM seals WHERE weight BETWEEN 100 AND 104 ORDER BY weight);
-- What is not committed is gone.
BEGIN;
DELETE FROM seals WHERE id % 2 = 0;
SELECT 'half ' || count(*) FROM seals;
ROLLBACK;
SELECT 'all ' || count(*) FROM seals;
PRAGMA integrity_check;
.print done
