"""Keeps what works in a scratch database from changing anything outside of it.

A copy of a database has its connections to elsewhere too: foreign servers, dblink, subscriptions. A migration that updates a foreign
table would update the real one behind it from a rehearsal already; a subscription would take from the real slot. So, in the copy:

- sessions that foreign servers open are read-only there (`default_transaction_read_only`), or, of wrappers that do not speak to
  PostgreSQL, nothing is written to foreign tables;
- the functions by which dblink connects are replaced by one that refuses, and so are the server's own that act on what all databases
  have in common, such as replication slots;
- subscriptions are refused before they connect, and a DROP OWNED that takes privileges on another database before it is committed.

This is done while the copy is still empty, as filling it runs code already: materialized views, event triggers. Event triggers do the
same with what is poured into it and with what the migration itself makes. They take a superuser; but so do dblink, foreign data
wrappers and, up to PostgreSQL 15, subscriptions.
"""

from __future__ import annotations

import contextlib

import psycopg

from migrator.errors import DatabaseCommandFailed
from migrator.sessions import Log, connect, unhindered
from migrator.settings import Settings

# https://www.postgresql.org/docs/current/postgres-fdw.html: a server takes libpq's parameters, `options` among them.
_MAKE = r"""
CREATE SCHEMA rollout_rehearsal;
COMMENT ON SCHEMA rollout_rehearsal IS 'keeps a rehearsal from changing anything outside of its scratch database';
CREATE FUNCTION rollout_rehearsal.refuse_writing() RETURNS trigger LANGUAGE plpgsql AS $refuse$
BEGIN
    RAISE EXCEPTION 'a rehearsal does not write to foreign table %', TG_RELID::pg_catalog.regclass
        USING ERRCODE = '25006', HINT = 'What it is to write elsewhere needs rehearse: off.';
END $refuse$;
-- By its code and not by its name or extension: CREATE FUNCTION ... LANGUAGE c makes another of the same. Without a search path of its own,
-- which whoever calls it has, the server puts it into their queries.
CREATE FUNCTION rollout_rehearsal.connects(function pg_catalog.pg_proc) RETURNS boolean LANGUAGE sql AS $connects$
    SELECT (function).probin OPERATOR(pg_catalog.~) '(^|/)dblink(\.\w+)?$' AND (function).prosrc OPERATOR(pg_catalog.=) ANY
        ('{dblink_connect,dblink_exec,dblink_open,dblink_record,dblink_send_query}'::pg_catalog.text[])
$connects$;
CREATE FUNCTION rollout_rehearsal.isolate() RETURNS text[] LANGUAGE plpgsql SET search_path = pg_catalog AS $isolate$
DECLARE
    read_only CONSTANT text := '-c default_transaction_read_only=on';
    libpq CONSTANT text[] := '{postgres_fdw_validator,dblink_fdw_validator,postgresql_fdw_validator}';
    has_truncate CONSTANT boolean := current_setting('server_version_num')::int >= 160000;
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
        WHERE (v.proname = ANY (libpq)) IS NOT TRUE AND (SELECT count(*) FROM pg_trigger g WHERE g.tgrelid = c.oid
            AND g.tgname IN ('rollout_rehearsal', 'rollout_rehearsal_truncate') AND g.tgenabled = 'A') < 2
    LOOP
        BEGIN
            -- For each row, as a statement on a parent or a partitioned table fires no other trigger of this one.
            EXECUTE format('CREATE OR REPLACE TRIGGER rollout_rehearsal BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW '
                'EXECUTE FUNCTION rollout_rehearsal.refuse_writing()', each.name);
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER rollout_rehearsal', each.name);
            BEGIN
                EXECUTE format('CREATE OR REPLACE TRIGGER rollout_rehearsal_truncate BEFORE %s ON %s EXECUTE FUNCTION '
                    'rollout_rehearsal.refuse_writing()', CASE WHEN has_truncate THEN 'TRUNCATE' ELSE 'INSERT' END, each.name);
                IF NOT has_truncate THEN  -- no command makes such a trigger, but one that is there fires; 2 is BEFORE, 32 TRUNCATE
                    UPDATE pg_trigger SET tgtype = 2 | 32 WHERE tgrelid = each.name AND tgname = 'rollout_rehearsal_truncate';
                END IF;
                EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER rollout_rehearsal_truncate', each.name);
            EXCEPTION WHEN insufficient_privilege THEN
                left_over := left_over || format('TRUNCATE of foreign table %s', each.name);
            END;
        EXCEPTION WHEN insufficient_privilege THEN
            left_over := left_over || format('foreign table %s', each.name);
        END;
    END LOOP;
    FOR each IN
        SELECT p.oid, p.oid::regprocedure AS name FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'c'
        WHERE rollout_rehearsal.connects(p)
    LOOP
        BEGIN
            EXECUTE regexp_replace(pg_get_functiondef(each.oid), 'LANGUAGE c(.*)\nAS .*$', 'LANGUAGE plpgsql\1 AS $dblink$ BEGIN '
                'RAISE EXCEPTION ''a rehearsal does not connect to elsewhere by dblink'' USING ERRCODE = ''25006'', '
                'HINT = ''What it is to do elsewhere needs rehearse: off.''; END $dblink$');
        EXCEPTION WHEN insufficient_privilege THEN
            left_over := left_over || format('function %s', each.name);
        END;
    END LOOP;
    RETURN left_over;
END $isolate$;
"""
_WATCH = r"""
CREATE FUNCTION rollout_rehearsal.isolate_again() RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $again$
BEGIN
    -- What isolate() itself does; the others come by the thousand, and seldom lead anywhere.
    IF current_setting('rollout_rehearsal.isolates', true) = 'yes'
        OR TG_TAG = 'ALTER TABLE' AND NOT EXISTS (
            SELECT FROM pg_event_trigger_ddl_commands() c JOIN pg_class r ON c.classid = 'pg_class'::regclass AND r.oid = c.objid
            WHERE r.relkind = 'f' OR r.relhassubclass AND EXISTS (SELECT FROM pg_foreign_table))
        OR TG_TAG LIKE '% FUNCTION' AND NOT EXISTS (
            SELECT FROM pg_event_trigger_ddl_commands() c JOIN pg_proc p ON c.classid = 'pg_proc'::regclass AND p.oid = c.objid
            WHERE rollout_rehearsal.connects(p))
    THEN
        RETURN;
    END IF;
    PERFORM set_config('rollout_rehearsal.isolates', 'yes', true), rollout_rehearsal.isolate();
    PERFORM set_config('rollout_rehearsal.isolates', '', true);
END $again$;
CREATE FUNCTION rollout_rehearsal.refuse_subscription() RETURNS event_trigger LANGUAGE plpgsql AS $refuse$
BEGIN
    RAISE EXCEPTION 'a rehearsal has no subscription: % would take from the publisher what is meant for the real database', TG_TAG
        USING ERRCODE = '25006', HINT = 'Let a migration of its own do it, with rehearse: off.';
END $refuse$;
CREATE FUNCTION rollout_rehearsal.refuse_elsewhere() RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $refuse$
DECLARE
    others text;
BEGIN
    -- What this transaction, or a savepoint of it, has written.
    SELECT string_agg(o.name, ', ') INTO others FROM (
        SELECT 'database ' || datname, xmin FROM pg_database WHERE datname <> current_database()
        UNION ALL SELECT 'tablespace ' || spcname, xmin FROM pg_tablespace) o (name, xmin)
    WHERE o.xmin IN (SELECT transactionid FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'transactionid' AND granted);
    IF others IS NOT NULL THEN
        RAISE EXCEPTION 'a rehearsal takes no privilege on %, as this % would', others, TG_TAG
            USING ERRCODE = '25006', HINT = 'Let a migration of its own do it, with rehearse: off.';
    END IF;
END $refuse$;
CREATE EVENT TRIGGER rollout_rehearsal_isolate ON ddl_command_end
    WHEN TAG IN ('CREATE EXTENSION', 'ALTER EXTENSION', 'CREATE SERVER', 'ALTER SERVER', 'CREATE FOREIGN DATA WRAPPER',
        'ALTER FOREIGN DATA WRAPPER', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'ALTER TABLE', 'IMPORT FOREIGN SCHEMA',
        'CREATE FUNCTION', 'ALTER FUNCTION', 'DROP TRIGGER', 'ALTER TRIGGER')
    EXECUTE FUNCTION rollout_rehearsal.isolate_again();
CREATE EVENT TRIGGER rollout_rehearsal_subscription ON ddl_command_start
    WHEN TAG IN ('CREATE SUBSCRIPTION', 'ALTER SUBSCRIPTION', 'DROP SUBSCRIPTION')
    EXECUTE FUNCTION rollout_rehearsal.refuse_subscription();
CREATE EVENT TRIGGER rollout_rehearsal_elsewhere ON ddl_command_end WHEN TAG IN ('DROP OWNED')
    EXECUTE FUNCTION rollout_rehearsal.refuse_elsewhere();
-- Also for who has set session_replication_role.
ALTER EVENT TRIGGER rollout_rehearsal_isolate ENABLE ALWAYS;
ALTER EVENT TRIGGER rollout_rehearsal_subscription ENABLE ALWAYS;
ALTER EVENT TRIGGER rollout_rehearsal_elsewhere ENABLE ALWAYS;
-- The server finds its own functions by their OID, so one of another body would go on doing what it did; but others call them by name.
DO $replace$
DECLARE
    each record;
BEGIN
    SET LOCAL search_path = pg_catalog;
    FOR each IN
        SELECT oid::regprocedure AS name, 'rollout_' || proname AS aside,
            replace(pg_get_functiondef(oid), 'OUT slot_name', 'OUT slot') AS definition, CASE  -- PL/pgSQL wants names of their own
            WHEN proname IN ('pg_cancel_backend', 'pg_terminate_backend') THEN format('IF NOT EXISTS (SELECT FROM pg_stat_activity a '
                'WHERE a.pid = $1 AND a.datname IS DISTINCT FROM current_database()) THEN RETURN pg_catalog.%I(%s); END IF; ',
                'rollout_' || proname, CASE pronargs WHEN 1 THEN '$1' ELSE '$1, $2' END) ELSE '' END AS unless
        FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname IN (
            'pg_cancel_backend', 'pg_copy_physical_replication_slot', 'pg_create_physical_replication_slot',
            'pg_drop_replication_slot', 'pg_replication_origin_advance', 'pg_replication_origin_create',
            'pg_replication_origin_drop', 'pg_replication_slot_advance', 'pg_terminate_backend')
    LOOP
        EXECUTE format('ALTER FUNCTION %s RENAME TO %I', each.name, each.aside);
        EXECUTE regexp_replace(each.definition, 'LANGUAGE internal(.*)\nAS .*$', format('LANGUAGE plpgsql\1 AS $refuse$ BEGIN %s'
            'RAISE EXCEPTION ''a rehearsal does nothing to other databases and to replication, as %s would'' USING ERRCODE = ''25006'', '
            'HINT = ''What is to be done there needs rehearse: off.''; END $refuse$', each.unless, each.name));
    END LOOP;
END $replace$;
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


def isolate_empty(conninfo: str, settings: Settings, log: Log) -> None:
    """Isolates a copy that nothing has been poured into yet, see `isolate`.

    Args:
        conninfo: connection string.
        settings: budgets.
        log: where lines for people go.
    """
    with contextlib.closing(unhindered(connect(conninfo, settings, log, name="rehearsal"))) as connection:
        isolate(connection)


def isolate(connection: psycopg.Connection) -> list[str]:
    """Isolates a copy; where nothing leads out of it and the role can make nothing that does, it is left as it is.

    Args:
        connection: to it, in autocommit mode.

    Returns:
        What the role is not allowed to hold back.

    Raises:
        DatabaseCommandFailed: the server refused, or an event trigger of the copy.
    """
    try:
        return _isolate(connection)
    except psycopg.Error as error:
        raise DatabaseCommandFailed(
            f"the scratch database cannot be isolated: {error.diag.message_primary or ' '.join(str(error).split())}",
            hint="Without that a rehearsal might change something elsewhere. An event trigger of the database may be in the way.",
            sqlstate=error.sqlstate or "",
        ) from None


def _isolate(connection: psycopg.Connection) -> list[str]:
    left: list[str] = []
    with connection.transaction() as made:
        is_made = connection.execute("SELECT to_regnamespace('rollout_rehearsal') IS NOT NULL").fetchone()
        # Whatever is made after the copy was filled, the copy's own event triggers hear of.
        if is_made != (True,):
            connection.execute(_MAKE)
        row = connection.execute(_ISOLATE).fetchone()
        assert row is not None
        left, leads_out = list(row[0]), bool(row[1])
        if is_made == (True,):
            return left
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
