-- Creates or updates the roles of the compose stack at every start.
\set ON_ERROR_STOP on
\set worker `cat /run/secrets/db/worker-password`
\set result `cat /run/secrets/db/result-password`

SELECT format('CREATE ROLE %I LOGIN', role) FROM unnest(ARRAY['worker', 'result']) AS role
WHERE role NOT IN (SELECT rolname FROM pg_roles) \gexec
-- Each replica has 4 connections. Together the roles leave some connections to others.
ALTER ROLE worker PASSWORD :'worker' CONNECTION LIMIT 40;
ALTER ROLE result PASSWORD :'result' CONNECTION LIMIT 40;

-- An administrator who is not a superuser, as on a managed server, must be a member of the worker's role to change its objects.
SELECT 'GRANT worker TO CURRENT_USER' WHERE NOT pg_has_role('worker', 'USAGE') \gexec

-- The worker creates and writes the tables. The result service reads the counts, but not individual votes: when the
-- worker creates the tables, it grants members of this role SELECT on the counts.
SELECT 'CREATE ROLE tally_reader NOLOGIN' WHERE to_regrole('tally_reader') IS NULL \gexec
GRANT USAGE, CREATE ON SCHEMA public TO worker;
GRANT USAGE ON SCHEMA public TO tally_reader;
GRANT tally_reader TO result;

-- The worker becomes the owner of a table of the original app, and migrates it.
SELECT 'ALTER TABLE public.votes OWNER TO worker' WHERE to_regclass('public.votes') IS NOT NULL \gexec

-- Tables that are older than this role.
ALTER DEFAULT PRIVILEGES FOR ROLE worker IN SCHEMA public REVOKE SELECT ON TABLES FROM result;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM result;
SELECT format('GRANT SELECT ON public.%I TO tally_reader', name)
FROM unnest(ARRAY['polls', 'tally', 'timeline', 'progress', '_sqlx_migrations']) AS name
WHERE to_regclass('public.' || quote_ident(name)) IS NOT NULL \gexec

-- If there is a password for monitoring, its role reads the server's statistics, but no votes. The services do not need it: from here
-- on, errors are printed but do not end the script.
\set ON_ERROR_STOP off
\set monitor `cat /run/secrets/db/monitor-password 2>/dev/null || true`
SELECT :'monitor' <> '' AS monitored \gset
\if :monitored
  SELECT 'CREATE ROLE monitor LOGIN' WHERE to_regrole('monitor') IS NULL \gexec
  ALTER ROLE monitor PASSWORD :'monitor' CONNECTION LIMIT 5;
  GRANT pg_monitor TO monitor;
\endif
