"""Keeps what works in a scratch database from changing anything outside of it.

A copy of a database has its connections to elsewhere too: foreign servers, dblink, subscriptions. A migration that updates a foreign
table would update the real one behind it from a rehearsal already; a subscription would take from the real slot. So, in the copy:

- sessions that foreign servers open are read-only there (`default_transaction_read_only`), or, of wrappers that do not speak to
  PostgreSQL, nothing is written to foreign tables;
- the functions by which dblink connects are replaced by one that refuses;
- subscriptions are refused before they connect.

Event triggers do the same with what the migration itself makes. They take a superuser; but so do dblink, foreign data wrappers and,
up to PostgreSQL 15, subscriptions.
"""

from __future__ import annotations

import psycopg

# https://www.postgresql.org/docs/current/postgres-fdw.html: a server takes libpq's parameters, `options` among them.
_MAKE = """
CREATE SCHEMA rollout_rehearsal;
COMMENT ON SCHEMA rollout_rehearsal IS 'keeps a rehearsal from changing anything outside of its scratch database';
CREATE FUNCTION rollout_rehearsal.refuse_writing() RETURNS trigger LANGUAGE plpgsql AS $refuse$
BEGIN
    RAISE EXCEPTION 'a rehearsal does not write to foreign table %', TG_RELID::pg_catalog.regclass
        USING ERRCODE = '25006', HINT = 'What it is to write elsewhere needs rehearse: off.';
END $refuse$;
CREATE FUNCTION rollout_rehearsal.isolate() RETURNS text[] LANGUAGE plpgsql SET search_path = pg_catalog AS $isolate$
DECLARE
    read_only CONSTANT text := '-c default_transaction_read_only=on';
    libpq CONSTANT text[] := '{postgres_fdw_validator,dblink_fdw_validator,postgresql_fdw_validator}';
    each record;
    left_over text[] := '{}';
BEGIN
    FOR each IN
        SELECT s.srvname, (SELECT option_value FROM pg_options_to_table(s.srvoptions) WHERE option_name = 'options') AS now
        FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw JOIN pg_proc v ON v.oid = w.fdwvalidator
        WHERE v.proname = ANY (libpq)
    LOOP
        BEGIN
            IF each.now IS NULL THEN
                EXECUTE format('ALTER SERVER %I OPTIONS (ADD options %L)', each.srvname, read_only);
            ELSIF right(each.now, length(read_only)) <> read_only THEN
                EXECUTE format('ALTER SERVER %I OPTIONS (SET options %L)', each.srvname, each.now || ' ' || read_only);
            END IF;
        EXCEPTION WHEN insufficient_privilege THEN
            left_over := left_over || format('foreign server %s', each.srvname);
        END;
    END LOOP;
    FOR each IN
        SELECT c.oid::regclass AS name FROM pg_foreign_table t JOIN pg_class c ON c.oid = t.ftrelid
        JOIN pg_foreign_server s ON s.oid = t.ftserver JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
        LEFT JOIN pg_proc v ON v.oid = w.fdwvalidator
        WHERE (v.proname = ANY (libpq)) IS NOT TRUE
          AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = 'rollout_rehearsal')
    LOOP
        BEGIN
            -- For each row, as a statement on a parent or a partitioned table fires no other trigger of this one.
            EXECUTE format('CREATE TRIGGER rollout_rehearsal BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW '
                'EXECUTE FUNCTION rollout_rehearsal.refuse_writing()', each.name);
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER rollout_rehearsal', each.name);
        EXCEPTION WHEN insufficient_privilege THEN
            left_over := left_over || format('foreign table %s', each.name);
        END;
    END LOOP;
    FOR each IN
        SELECT p.oid, p.oid::regprocedure AS name FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'c'
        JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid AND x.extname = 'dblink'
        WHERE p.proname IN ('dblink', 'dblink_connect', 'dblink_connect_u', 'dblink_exec', 'dblink_open', 'dblink_send_query')
    LOOP
        BEGIN
            EXECUTE regexp_replace(pg_get_functiondef(each.oid), E'LANGUAGE c(.*)\\nAS .*$', E'LANGUAGE plpgsql\\\\1 AS $dblink$ BEGIN '
                'RAISE EXCEPTION ''a rehearsal does not connect to elsewhere by dblink'' USING ERRCODE = ''25006'', '
                'HINT = ''What it is to do elsewhere needs rehearse: off.''; END $dblink$');
        EXCEPTION WHEN insufficient_privilege THEN
            left_over := left_over || format('function %s', each.name);
        END;
    END LOOP;
    RETURN left_over;
END $isolate$;
"""
_WATCH = """
CREATE FUNCTION rollout_rehearsal.isolate_again() RETURNS event_trigger LANGUAGE plpgsql AS $again$
BEGIN
    PERFORM rollout_rehearsal.isolate();
END $again$;
CREATE FUNCTION rollout_rehearsal.refuse_subscription() RETURNS event_trigger LANGUAGE plpgsql AS $refuse$
BEGIN
    RAISE EXCEPTION 'a rehearsal has no subscription: % would take from the publisher what is meant for the real database', TG_TAG
        USING ERRCODE = '25006', HINT = 'Let a migration of its own do it, with rehearse: off.';
END $refuse$;
CREATE EVENT TRIGGER rollout_rehearsal_isolate ON ddl_command_end
    WHEN TAG IN ('CREATE EXTENSION', 'ALTER EXTENSION', 'CREATE SERVER', 'ALTER SERVER', 'CREATE FOREIGN TABLE', 'IMPORT FOREIGN SCHEMA')
    EXECUTE FUNCTION rollout_rehearsal.isolate_again();
CREATE EVENT TRIGGER rollout_rehearsal_subscription ON ddl_command_start
    WHEN TAG IN ('CREATE SUBSCRIPTION', 'ALTER SUBSCRIPTION', 'DROP SUBSCRIPTION')
    EXECUTE FUNCTION rollout_rehearsal.refuse_subscription();
-- Also for who has set session_replication_role.
ALTER EVENT TRIGGER rollout_rehearsal_isolate ENABLE ALWAYS;
ALTER EVENT TRIGGER rollout_rehearsal_subscription ENABLE ALWAYS;
"""
_ISOLATE = """
SELECT rollout_rehearsal.isolate(), EXISTS (SELECT FROM pg_catalog.pg_foreign_server)
    OR EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'dblink')
"""
_SUBSCRIPTIONS = """
SELECT s.subname FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
WHERE d.datname = current_database() ORDER BY 1
"""


# What would keep a scratch database from being freed of a subscription that it has all the same.
UNWATCHED = (
    "DROP EVENT TRIGGER IF EXISTS rollout_rehearsal_isolate",
    "DROP EVENT TRIGGER IF EXISTS rollout_rehearsal_subscription",
)


def isolate(connection: psycopg.Connection) -> list[str]:
    """Isolates a copy; where nothing leads out of it and the role can make nothing that does, it is left as it is.

    Args:
        connection: to it, in autocommit mode.

    Returns:
        What the role is not allowed to hold back.

    Raises:
        psycopg.Error: the server refused.
    """
    left: list[str] = []
    with connection.transaction() as made:
        connection.execute(_MAKE)
        row = connection.execute(_ISOLATE).fetchone()
        assert row is not None
        left, leads_out = list(row[0]), bool(row[1])
        watches = True
        try:
            with connection.transaction():
                connection.execute(_WATCH)
        except psycopg.errors.InsufficientPrivilege:
            watches = False  # no superuser; the subscriptions are looked for afterwards
        if not leads_out and not watches:
            raise psycopg.Rollback(made)
    return left


def subscriptions(connection: psycopg.Connection) -> list[str]:
    """The subscriptions of a database: what has made one in a copy was allowed to, and could not be held back."""
    return [str(name) for (name,) in connection.execute(_SUBSCRIPTIONS).fetchall()]
