-- The roles of the compose stack, made or brought up to date at every start.
\set ON_ERROR_STOP on
\set worker `cat /run/secrets/db/worker-password`
\set result `cat /run/secrets/db/result-password`

SELECT format('CREATE ROLE %I LOGIN', role) FROM unnest(ARRAY['worker', 'result']) AS role
WHERE role NOT IN (SELECT rolname FROM pg_roles) \gexec
-- Each has 4 connections for each of its replicas, and together they leave some to others.
ALTER ROLE worker PASSWORD :'worker' CONNECTION LIMIT 40;
ALTER ROLE result PASSWORD :'result' CONNECTION LIMIT 40;

-- An administrator who is no superuser, as on a managed server, must belong to the worker's role to speak for it.
SELECT 'GRANT worker TO CURRENT_USER' WHERE NOT pg_has_role('worker', 'USAGE') \gexec

-- The worker makes the tables and writes them. The result service reads the counts, and not who voted for what: when the
-- worker makes the tables, it lets members of this role read those.
SELECT 'CREATE ROLE tally_reader NOLOGIN' WHERE to_regrole('tally_reader') IS NULL \gexec
GRANT USAGE, CREATE ON SCHEMA public TO worker;
GRANT USAGE ON SCHEMA public TO tally_reader;
GRANT tally_reader TO result;

-- A table that the original app left becomes the worker's, who brings it up to date.
SELECT 'ALTER TABLE public.votes OWNER TO worker' WHERE to_regclass('public.votes') IS NOT NULL \gexec

-- Tables that were there before this role was.
ALTER DEFAULT PRIVILEGES FOR ROLE worker IN SCHEMA public REVOKE SELECT ON TABLES FROM result;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM result;
SELECT format('GRANT SELECT ON public.%I TO tally_reader', name)
FROM unnest(ARRAY['tally', 'timeline', 'progress', '_sqlx_migrations']) AS name
WHERE to_regclass('public.' || quote_ident(name)) IS NOT NULL \gexec

-- Monitoring, where there is a password for it, sees the server's own figures and no votes. The services do without it: from here on
-- what fails is said, and ends nothing.
\set ON_ERROR_STOP off
\set monitor `cat /run/secrets/db/monitor-password 2>/dev/null || true`
SELECT :'monitor' <> '' AS monitored \gset
\if :monitored
  SELECT 'CREATE ROLE monitor LOGIN' WHERE to_regrole('monitor') IS NULL \gexec
  ALTER ROLE monitor PASSWORD :'monitor' CONNECTION LIMIT 5;
  GRANT pg_monitor TO monitor;
\endif
