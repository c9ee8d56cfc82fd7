"""The questions a fingerprint puts to pg_catalog of PostgreSQL 15 or newer: one query a kind of object.

Each gives `kind, name, parent, attributes`, and some `facts` too. Names are qualified and quoted as SQL would have them; no
OID and no physical position is among the attributes, so that two servers of one major version answer alike for the same
schema; the facts may differ. What is null is left out.

Left out altogether are the server's own schemas, those named in `left_out`, and what belongs to an extension: that is
the extension's version's business. The database's owner is called by the name PostgreSQL itself has for it,
`pg_database_owner`, so that the same schema looks the same wherever its owner's role has another name.
"""

from __future__ import annotations

# Definitions are printed by the server in the session's settings; these make them the same in every session. An empty
# search path is what makes pg_get_viewdef and the like qualify every name.
SESSION = """
SET LOCAL search_path TO pg_catalog;
SET LOCAL quote_all_identifiers TO off;
SET LOCAL timezone TO 'UTC';
SET LOCAL datestyle TO 'ISO, YMD';
SET LOCAL intervalstyle TO 'postgres';
SET LOCAL bytea_output TO 'hex';
SET LOCAL extra_float_digits TO 1;
SET LOCAL jit TO off;
"""

_FIRST_OID_OF_USERS = 16384
_SCHEMAS = (
    "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.nspname <> ALL (current_setting"
    "('migrator.left_out')::text[])"
)
_DATABASE_OWNER = "(SELECT datdba FROM pg_database WHERE datname = current_database())"


def _own(catalogue: str, oid: str) -> str:
    """Whether an object belongs to no extension."""
    return (
        f"NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{catalogue}'::regclass AND e.objid = {oid} "
        "AND e.deptype = 'e')"
    )


def _role(oid: str) -> str:
    return f"CASE WHEN {oid} = {_DATABASE_OWNER} THEN 'pg_database_owner' ELSE pg_get_userbyid({oid})::text END"


def _grants(acl: str, kind: str, owner: str, default: str = "NULL") -> str:
    """Gives who else than its owner may do what, and what its owner may not.

    Args:
        acl: expression of type aclitem[].
        kind: letter that `acldefault` knows the kind of object by.
        owner: expression for the owner's OID.
        default: JSON for objects whose ACL was never touched.
    """
    return f"""CASE WHEN {acl} IS NULL THEN {default} ELSE (
        SELECT jsonb_agg(g ORDER BY g COLLATE "C") FROM (
            SELECT x.privilege_type || ' to ' || CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE {_role("x.grantee")} END
                || CASE WHEN x.is_grantable THEN ' with grant option' ELSE '' END
            FROM aclexplode({acl}) x WHERE x.grantee <> {owner}
            UNION
            SELECT missing || ' revoked from its owner' FROM (
                SELECT privilege_type FROM aclexplode(acldefault('{kind}', {owner})) WHERE grantee = {owner}
                EXCEPT SELECT privilege_type FROM aclexplode({acl}) WHERE grantee = {owner}) m (missing)
        ) granted (g)) END"""


def _name(*parts: str) -> str:
    return " || '.' || ".join(f"quote_ident({part})" for part in parts)


def _select(
    kind: str, name: str, parent: str, attributes: dict[str, str], rest: str, facts: dict[str, str] | str | None = None
) -> str:
    given = [_object(each) if isinstance(each, dict) else each for each in (attributes, facts) if each is not None]
    both = ", ".join(given)
    return f"SELECT {kind}, {name}, {parent}, {both} {rest}"


def _object(values: dict[str, str]) -> str:
    pairs = ", ".join(f"'{key}', {value}" for key, value in values.items())
    return f"jsonb_strip_nulls(jsonb_build_object({pairs}))::text"


_RELATION = _name("n.nspname", "c.relname")
_OF_RELATIONS = "JOIN pg_class c ON c.oid = {0} JOIN pg_namespace n ON n.oid = c.relnamespace"
# Every operand of || is a text: where somebody has added an implicit cast to text, `||` fits others in several ways (42725).
_SEQUENCE = (
    "format_type(s.seqtypid, NULL) || ' from ' || s.seqstart::text || ' by ' || s.seqincrement::text || ' between ' || "
    "s.seqmin::text || ' and ' || s.seqmax::text || CASE WHEN s.seqcycle THEN ', cycling' ELSE '' END || ', cache ' || "
    "s.seqcache::text"
)

# Types that DISTINCT, GROUP BY and UNION find no operator for: without a default class for btree or hash, of their own or of
# a type that they are binary coercible to (GetDefaultOpClass in the server); what is made of such types too.
_WITHOUT_EQUALITY = """WITH RECURSIVE parts (whole, part) AS MATERIALIZED (
    SELECT oid, typbasetype FROM pg_type WHERE typtype = 'd'
    UNION ALL SELECT oid, typelem FROM pg_type WHERE typcategory = 'A' AND typelem <> 0
    UNION ALL SELECT k.reltype, a.atttypid FROM pg_class k JOIN pg_attribute a ON a.attrelid = k.oid
        WHERE k.relkind = 'c' AND a.attnum > 0 AND NOT a.attisdropped),
    unequal (type) AS (SELECT t.oid FROM pg_type t WHERE t.typtype = 'b' AND t.typcategory <> 'A' AND NOT EXISTS (
        SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod WHERE o.opcdefault AND m.amname IN ('btree', 'hash')
        AND (o.opcintype = t.oid OR EXISTS (SELECT FROM pg_cast k WHERE k.castsource = t.oid AND k.casttarget = o.opcintype
        AND k.castmethod = 'b' AND k.castcontext = 'i')))
    UNION SELECT p.whole FROM unequal u JOIN parts p ON p.part = u.type)
    SELECT jsonb_agg(format_type(type, NULL)) FROM unequal"""

_DATABASE = _select(
    "'database'",
    "''",
    "''",
    {
        "encoding": "pg_encoding_to_char(d.encoding)",
        "collation": "d.datcollate",
        "character type": "d.datctype",
        "connection limit": "CASE WHEN d.datconnlimit >= 0 THEN d.datconnlimit END",
        "settings": f"""(SELECT jsonb_agg(g ORDER BY g COLLATE "C") FROM (SELECT CASE WHEN setrole = 0 THEN '' ELSE
            {_role("setrole")} || ': ' END || one FROM pg_db_role_setting, unnest(setconfig) one
            WHERE setdatabase = d.oid) given (g))""",
        "grants": _grants("d.datacl", "d", "d.datdba", """'["CONNECT to PUBLIC", "TEMPORARY to PUBLIC"]'"""),
    },
    "FROM pg_database d WHERE d.datname = current_database()",
    # Where this is the same, so is the database, and OIDs tell what was renamed.
    {
        "database": "CASE WHEN has_function_privilege('pg_control_system()', 'EXECUTE') THEN "
        "(SELECT system_identifier::text || ' ' || d.oid::text FROM pg_control_system()) END",
        "types without equality": f"({_WITHOUT_EQUALITY})",
    },
)

_EXTENSIONS = _select(
    "'extension'",
    "quote_ident(x.extname)",
    "''",
    {"version": "x.extversion", "schema": "quote_ident(n.nspname)"},
    "FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace",
)

_NAMESPACES = _select(
    "'schema'",
    "quote_ident(n.nspname)",
    "''",
    {"owner": _role("n.nspowner"), "grants": _grants("n.nspacl", "n", "n.nspowner")},
    f"FROM pg_namespace n WHERE {_SCHEMAS} AND {_own('pg_namespace', 'n.oid')}",
    {"oid": "n.oid::text"},
)

_RELATIONS = _select(
    "CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'table' END",
    _RELATION,
    "quote_ident(n.nspname)",
    {
        "owner": _role("c.relowner"),
        "columns": """(SELECT jsonb_agg(quote_ident(a.attname) ORDER BY a.attnum) FROM pg_attribute a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)""",
        "persistence": "CASE c.relpersistence WHEN 'u' THEN 'unlogged' END",
        "partitioned by": "pg_get_partkeydef(c.oid)",
        "partition of": f"""CASE WHEN c.relispartition THEN (SELECT {_name("pn.nspname", "p.relname")} || ' ' ||
            pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
            JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE i.inhrelid = c.oid) END""",
        "inherits": f"""CASE WHEN NOT c.relispartition THEN (SELECT jsonb_agg({_name("pn.nspname", "p.relname")}
            ORDER BY i.inhseqno) FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
            JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE i.inhrelid = c.oid) END""",
        "of type": "CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END",
        "row security": """CASE WHEN c.relforcerowsecurity AND c.relrowsecurity THEN 'forced'
            WHEN c.relrowsecurity THEN 'enabled' WHEN c.relforcerowsecurity THEN 'forced, not enabled' END""",
        "replica identity": "CASE c.relreplident WHEN 'f' THEN 'full' WHEN 'n' THEN 'nothing' WHEN 'i' THEN 'index' END",
        "options": '(SELECT jsonb_agg(o ORDER BY o COLLATE "C") FROM unnest(c.reloptions) o)',
        "toast options": """(SELECT jsonb_agg(o ORDER BY o COLLATE "C") FROM pg_class t, unnest(t.reloptions) o
            WHERE t.oid = c.reltoastrelid)""",
        "access method": "(SELECT quote_ident(amname) FROM pg_am WHERE oid = c.relam AND amname <> 'heap')",
        "tablespace": "(SELECT quote_ident(spcname) FROM pg_tablespace WHERE oid = c.reltablespace)",
        "server": "(SELECT quote_ident(srvname) FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver "
        "WHERE f.ftrelid = c.oid)",
        "foreign options": '(SELECT jsonb_agg(o ORDER BY o COLLATE "C") FROM pg_foreign_table f, unnest(f.ftoptions) o '
        "WHERE f.ftrelid = c.oid)",
        "definition": "CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END",
        "populated": "CASE WHEN c.relkind = 'm' THEN c.relispopulated END",
        "grants": _grants("c.relacl", "r", "c.relowner"),
    },
    f"FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') "
    f"AND {_SCHEMAS} AND {_own('pg_class', 'c.oid')}",
    {
        "oid": "c.oid::text",
        # A mask of 1 << command, commands as in the server's nodes.h.
        "writable": """CASE WHEN c.relkind = 'v' THEN (SELECT jsonb_agg(w.name ORDER BY w.bit) FROM (VALUES (4, 'UPDATE'),
            (8, 'INSERT'), (16, 'DELETE')) w (bit, name) WHERE pg_relation_is_updatable(c.oid, true) & w.bit <> 0) END""",
        "writable columns": """CASE WHEN c.relkind = 'v' THEN (SELECT jsonb_agg(quote_ident(a.attname)) FROM pg_attribute a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND pg_column_is_updatable(c.oid, a.attnum, true)) END""",
    },
)

_COLUMNS = _select(
    "'column'",
    f"{_RELATION} || '.' || quote_ident(a.attname)",
    _RELATION,
    {
        "type": "format_type(a.atttypid, a.atttypmod)",
        "nullable": "NOT a.attnotnull",
        "default": "CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END",
        # From PostgreSQL 18 on some are computed when they are read.
        "generated": "CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) || "
        "CASE a.attgenerated WHEN 'v' THEN ' virtual' ELSE '' END END",
        "identity": "CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END",
        "identity sequence": f"""CASE WHEN a.attidentity <> '' THEN (SELECT {_SEQUENCE} FROM pg_depend i JOIN pg_sequence s
            ON s.seqrelid = i.objid WHERE i.classid = 'pg_class'::regclass AND i.refclassid = 'pg_class'::regclass
            AND i.refobjid = c.oid AND i.refobjsubid = a.attnum AND i.deptype = 'i') END""",
        "collation": f"""CASE WHEN a.attcollation <> t.typcollation THEN (SELECT {_name("k.nspname", "l.collname")}
            FROM pg_collation l JOIN pg_namespace k ON k.oid = l.collnamespace WHERE l.oid = a.attcollation) END""",
        "storage": """CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage WHEN 'p' THEN 'plain'
            WHEN 'm' THEN 'main' WHEN 'e' THEN 'external' ELSE 'extended' END END""",
        "compression": "CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END",
        # -1 means the server's default up to PostgreSQL 16, null from 17 on.
        "statistics": "CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END",
        "options": '(SELECT jsonb_agg(o ORDER BY o COLLATE "C") FROM unnest(a.attoptions) o)',
        "foreign options": '(SELECT jsonb_agg(o ORDER BY o COLLATE "C") FROM unnest(a.attfdwoptions) o)',
        "inherited": "CASE WHEN a.attinhcount > 0 THEN CASE WHEN a.attislocal THEN 'and declared' ELSE 'only' END END",
        "grants": _grants("a.attacl", "c", "c.relowner"),
    },
    "FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
    + _OF_RELATIONS.format("a.attrelid")
    + " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE a.attnum > 0 "
    f"AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_SCHEMAS} AND {_own('pg_class', 'c.oid')}",
    # There are many columns, and JSON takes its time.
    """'{"oid": "' || c.oid::text || ' ' || a.attnum::text || '"}'""",
)

# From PostgreSQL 18 on NOT NULL is a constraint too ('n'); here it stays what it is before: an attribute of the column.
_CONSTRAINTS = _select(
    "'constraint'",
    f"{_RELATION} || '.' || quote_ident(o.conname)",
    _RELATION,
    {
        "type": """CASE o.contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique' WHEN 'c' THEN 'check'
            WHEN 'f' THEN 'foreign key' WHEN 'x' THEN 'exclusion' ELSE o.contype::text END""",
        "definition": "regexp_replace(pg_get_constraintdef(o.oid), ' NOT VALID$', '')",
        "validated": "o.convalidated",
        "columns": """(SELECT jsonb_agg(quote_ident(a.attname) ORDER BY k.place) FROM unnest(o.conkey)
            WITH ORDINALITY k (number, place) JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.number)""",
        "references": f"""(SELECT {_name("rn.nspname", "r.relname")} FROM pg_class r JOIN pg_namespace rn
            ON rn.oid = r.relnamespace WHERE r.oid = o.confrelid)""",
        "on delete": "CASE WHEN o.contype = 'f' THEN CASE o.confdeltype WHEN 'a' THEN 'no action' WHEN 'r' THEN "
        "'restrict' WHEN 'c' THEN 'cascade' WHEN 'n' THEN 'set null' ELSE 'set default' END END",
        "inherited": "CASE WHEN o.coninhcount > 0 THEN true END",
        # ALTER TABLE ... DISABLE TRIGGER ALL switches foreign keys off.
        "enforced": "CASE WHEN EXISTS (SELECT FROM pg_trigger g WHERE g.tgconstraint = o.oid AND g.tgenabled <> 'O') "
        "THEN false END",
    },
    "FROM pg_constraint o "
    + _OF_RELATIONS.format("o.conrelid")
    + f" WHERE o.contype IN ('p', 'u', 'c', 'f', 'x') AND {_SCHEMAS} AND {_own('pg_class', 'c.oid')}",
)

_INDEXES = _select(
    "'index'",
    _name("n.nspname", "i.relname"),
    _RELATION,
    {
        "definition": "pg_get_indexdef(x.indexrelid)",
        "columns": """(SELECT jsonb_agg(coalesce(quote_ident(a.attname), '(expression)') ORDER BY k.place) FROM
            unnest(x.indkey::int2[]) WITH ORDINALITY k (number, place) LEFT JOIN pg_attribute a
            ON a.attrelid = x.indrelid AND a.attnum = k.number WHERE k.place <= x.indnkeyatts)""",
        "partial": "CASE WHEN x.indpred IS NOT NULL THEN true END",
        "unique": "x.indisunique",
        "valid": "x.indisvalid AND x.indisready",
        "constraint": """(SELECT quote_ident(o.conname) FROM pg_constraint o WHERE o.conindid = x.indexrelid
            AND o.contype IN ('p', 'u', 'x') AND o.conrelid = x.indrelid)""",
        "partition of": f"""(SELECT {_name("pn.nspname", "p.relname")} FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhparent
            JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE h.inhrelid = x.indexrelid)""",
        "replica identity": "CASE WHEN x.indisreplident THEN true END",
        "clustered": "CASE WHEN x.indisclustered THEN true END",
        "statistics": """(SELECT jsonb_agg(a.attnum::text || ': ' || a.attstattarget::text ORDER BY a.attnum) FROM pg_attribute a
            WHERE a.attrelid = x.indexrelid AND a.attstattarget >= 0)""",
        "tablespace": "(SELECT quote_ident(spcname) FROM pg_tablespace WHERE oid = i.reltablespace)",
    },
    "FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid "
    + _OF_RELATIONS.format("x.indrelid")
    + f" WHERE c.relkind IN ('r', 'p', 'm') AND {_SCHEMAS} AND {_own('pg_class', 'c.oid')}",
)

# Identity columns' sequences are attributes of their columns.
_SEQUENCES = _select(
    "'sequence'",
    _RELATION,
    "quote_ident(n.nspname)",
    {
        "definition": _SEQUENCE,
        "owner": _role("c.relowner"),
        "persistence": "CASE c.relpersistence WHEN 'u' THEN 'unlogged' END",
        "owned by": f"""(SELECT {_name("tn.nspname", "t.relname", "a.attname")} FROM pg_depend o JOIN pg_class t ON t.oid = o.refobjid
            JOIN pg_namespace tn ON tn.oid = t.relnamespace JOIN pg_attribute a ON a.attrelid = t.oid
            AND a.attnum = o.refobjsubid WHERE o.classid = 'pg_class'::regclass AND o.refclassid = 'pg_class'::regclass
            AND o.objid = c.oid AND o.deptype = 'a')""",
        "grants": _grants("c.relacl", "s", "c.relowner"),
    },
    "FROM pg_sequence s "
    + _OF_RELATIONS.format("s.seqrelid")
    + f" WHERE {_SCHEMAS} AND {_own('pg_class', 'c.oid')} AND NOT EXISTS (SELECT FROM pg_depend i WHERE "
    "i.classid = 'pg_class'::regclass AND i.objid = c.oid AND i.deptype = 'i')",
    {"oid": "c.oid::text"},
)

_TYPE = _name("n.nspname", "t.typname")
_TYPES = _select(
    "CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'c' THEN 'composite type' WHEN 'r' THEN 'range type' "
    "ELSE 'type' END",
    _TYPE,
    "quote_ident(n.nspname)",
    {
        "owner": _role("t.typowner"),
        "labels": "(SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid)",
        "type": "CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END",
        "nullable": "CASE WHEN t.typtype = 'd' THEN NOT t.typnotnull END",
        "default": "CASE WHEN t.typtype = 'd' THEN t.typdefault END",
        "checks": """CASE WHEN t.typtype = 'd' THEN (SELECT jsonb_agg(quote_ident(o.conname) || ' ' || pg_get_constraintdef(o.oid)
            ORDER BY o.conname) FROM pg_constraint o WHERE o.contypid = t.oid AND o.contype = 'c') END""",
        "columns": """CASE WHEN t.typtype = 'c' THEN (SELECT jsonb_agg(quote_ident(a.attname) || ' ' ||
            format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = t.typrelid
            AND a.attnum > 0 AND NOT a.attisdropped) END""",
        "range of": "(SELECT format_type(g.rngsubtype, NULL) FROM pg_range g WHERE g.rngtypid = t.oid)",
        "ordered by": f"""(SELECT {_name("k.nspname", "l.opcname")} FROM pg_range g JOIN pg_opclass l ON l.oid = g.rngsubopc
            JOIN pg_namespace k ON k.oid = l.opcnamespace WHERE g.rngtypid = t.oid)""",
        "collation": f"""(SELECT {_name("k.nspname", "l.collname")} FROM pg_collation l JOIN pg_namespace k
            ON k.oid = l.collnamespace WHERE l.oid = CASE t.typtype WHEN 'r' THEN (SELECT rngcollation FROM pg_range
            WHERE rngtypid = t.oid) WHEN 'd' THEN (SELECT nullif(t.typcollation, b.typcollation) FROM pg_type b
            WHERE b.oid = t.typbasetype) END)""",
        "canonical": "(SELECT nullif(g.rngcanonical::text, '-') FROM pg_range g WHERE g.rngtypid = t.oid)",
        "subtype difference": "(SELECT nullif(g.rngsubdiff::text, '-') FROM pg_range g WHERE g.rngtypid = t.oid)",
        "multirange": "(SELECT format_type(g.rngmultitypid, NULL) FROM pg_range g WHERE g.rngtypid = t.oid)",
        "input": "CASE WHEN t.typtype = 'b' THEN t.typinput::text END",
        "grants": _grants("t.typacl", "T", "t.typowner", """'["USAGE to PUBLIC"]'"""),
    },
    "FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typisdefined AND t.typtype <> 'm' "
    "AND (t.typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')) "
    # A base type without its array is one of the server's own making, an array among them.
    "AND NOT EXISTS (SELECT FROM pg_type b WHERE b.typarray = t.oid) "
    f"AND {_SCHEMAS} AND {_own('pg_type', 't.oid')}",
    {"oid": "t.oid::text"},
)

_ROUTINES = _select(
    "CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END",
    # Input types alone are what SQL knows a routine by; names and defaults of arguments are attributes.
    f"""{_name("n.nspname", "p.proname")} || '(' || (SELECT coalesce(string_agg(format_type(one, NULL), ', ' ORDER BY place), '')
        FROM unnest(p.proargtypes) WITH ORDINALITY u (one, place)) || ')'""",
    "quote_ident(n.nspname)",
    {
        "owner": _role("p.proowner"),
        "arguments": "pg_get_function_arguments(p.oid)",
        "required arguments": "p.pronargs - p.pronargdefaults",
        "returns": "pg_get_function_result(p.oid)",
        "language": "(SELECT lanname FROM pg_language WHERE oid = p.prolang)",
        "volatility": "CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END",
        "parallel": "CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' END",
        "strict": "CASE WHEN p.proisstrict THEN true END",
        "security definer": "CASE WHEN p.prosecdef THEN true END",
        "leakproof": "CASE WHEN p.proleakproof THEN true END",
        "window": "CASE WHEN p.prokind = 'w' THEN true END",
        "cost": "p.procost::text || CASE WHEN p.proretset THEN ', rows ' || p.prorows::text ELSE '' END",
        "support": "CASE WHEN p.prosupport::oid <> 0 THEN p.prosupport::text END",
        "settings": '(SELECT jsonb_agg(o ORDER BY o COLLATE "C") FROM unnest(p.proconfig) o)',
        # One of SQL's own form is printed by the server; the fingerprint makes its definition of it.
        "body": "pg_get_function_sqlbody(p.oid)",
        "definition": """CASE WHEN p.prosqlbody IS NULL THEN 'sha256 ' || encode(sha256(convert_to(p.prosrc ||
            coalesce(p.probin, '') || coalesce((SELECT concat_ws(' ', g.aggkind, g.aggtransfn, g.aggfinalfn, g.aggcombinefn,
            g.aggserialfn, g.aggdeserialfn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn, g.agginitval, g.aggminitval,
            format_type(g.aggtranstype, NULL)) FROM pg_aggregate g WHERE g.aggfnoid = p.oid), ''), 'UTF8')), 'hex') END""",
        "grants": _grants("p.proacl", "f", "p.proowner", """'["EXECUTE to PUBLIC"]'"""),
    },
    f"FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_SCHEMAS} AND {_own('pg_proc', 'p.oid')} "
    # A range type brings its constructors.
    "AND NOT EXISTS (SELECT FROM pg_depend r WHERE r.classid = 'pg_proc'::regclass AND r.objid = p.oid AND r.deptype = 'i')",
    {
        "oid": "p.oid::text",
        # Other routines whose names are in its body.
        "names": f"""(SELECT jsonb_agg(DISTINCT quote_ident(q.proname)) FROM regexp_matches(p.prosrc, '\\w+', 'g') w (word)
            JOIN pg_proc q ON q.proname = lower(w.word[1]) AND q.oid <> p.oid AND q.oid >= {_FIRST_OID_OF_USERS})""",
        # A relation whose rows it returns, and how it says so.
        "rows of": f"""(SELECT {_name("rn.nspname", "r.relname")} FROM pg_type y JOIN pg_class r ON r.oid = y.typrelid
            JOIN pg_namespace rn ON rn.oid = r.relnamespace WHERE y.oid = p.prorettype AND r.relkind <> 'c')""",
        "text": """(SELECT coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) FROM pg_type y JOIN pg_language l
            ON l.oid = p.prolang AND l.lanname IN ('sql', 'plpgsql') WHERE y.oid = p.prorettype AND (y.typtype = 'c'
            OR (y.oid = 'record'::regtype AND p.proallargtypes IS NOT NULL)))""",
        "row arguments": f"""(SELECT jsonb_agg(DISTINCT {_name("rn.nspname", "r.relname")}) FROM unnest(p.proargtypes) u (one)
            JOIN pg_type y ON y.oid = u.one JOIN pg_class r ON r.oid = y.typrelid AND r.relkind <> 'c'
            JOIN pg_namespace rn ON rn.oid = r.relnamespace)""",
    },
)

_ENABLED = "CASE {0} WHEN 'D' THEN 'no' WHEN 'R' THEN 'in replicas' WHEN 'A' THEN 'always' ELSE 'yes' END"
_TRIGGERS = _select(
    "'trigger'",
    f"{_RELATION} || '.' || quote_ident(g.tgname)",
    _RELATION,
    {"definition": "pg_get_triggerdef(g.oid)", "enabled": _ENABLED.format("g.tgenabled")},
    "FROM pg_trigger g "
    + _OF_RELATIONS.format("g.tgrelid")
    + f" WHERE NOT g.tgisinternal AND {_SCHEMAS} AND {_own('pg_class', 'c.oid')}",
)

_RULES = _select(
    "'rule'",
    f"{_RELATION} || '.' || quote_ident(r.rulename)",
    _RELATION,
    {"definition": "pg_get_ruledef(r.oid)", "enabled": _ENABLED.format("r.ev_enabled")},
    "FROM pg_rewrite r "
    + _OF_RELATIONS.format("r.ev_class")
    + f" WHERE r.rulename <> '_RETURN' AND {_SCHEMAS} AND {_own('pg_class', 'c.oid')}",
)

_POLICIES = _select(
    "'policy'",
    f"{_RELATION} || '.' || quote_ident(p.polname)",
    _RELATION,
    {
        "command": "CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' "
        "WHEN 'd' THEN 'DELETE' ELSE 'ALL' END",
        "permissive": "p.polpermissive",
        "roles": f"""(SELECT jsonb_agg(r ORDER BY r COLLATE "C") FROM (SELECT CASE WHEN o = 0 THEN 'PUBLIC' ELSE {_role("o")} END
            FROM unnest(p.polroles) o) named (r))""",
        "using": "pg_get_expr(p.polqual, p.polrelid)",
        "check": "pg_get_expr(p.polwithcheck, p.polrelid)",
    },
    "FROM pg_policy p " + _OF_RELATIONS.format("p.polrelid") + f" WHERE {_SCHEMAS} AND {_own('pg_class', 'c.oid')}",
)

_DEFAULT_PRIVILEGES = _select(
    "'default privileges'",
    f"""{_role("a.defaclrole")} || coalesce(' in ' || quote_ident(n.nspname), '') || ' for ' || CASE a.defaclobjtype
        WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' ELSE 'schemas' END""",
    "''",
    {
        "grants": f"""(SELECT jsonb_agg(g ORDER BY g COLLATE "C") FROM (SELECT x.privilege_type || ' to ' || CASE
        WHEN x.grantee = 0 THEN 'PUBLIC' ELSE {_role("x.grantee")} END || CASE WHEN x.is_grantable THEN ' with grant option'
        ELSE '' END FROM aclexplode(a.defaclacl) x WHERE x.grantee <> a.defaclrole) granted (g))"""
    },
    f"FROM pg_default_acl a LEFT JOIN pg_namespace n ON n.oid = a.defaclnamespace WHERE n.oid IS NULL OR {_SCHEMAS}",
)

# What migrations touch once in a lifetime is told as the catalogue has it, without what refers to OIDs; where those tell
# something that the name does not, more is said of it.
_RARE: dict[str, tuple[str, dict[str, str]]] = {
    "pg_statistic_ext": (
        "extended statistics",
        {
            "table": "t.stxrelid::regclass::text",
            "columns": """(SELECT jsonb_agg(quote_ident(a.attname) ORDER BY a.attname COLLATE "C") FROM unnest(t.stxkeys::int2[]) k
                JOIN pg_attribute a ON a.attrelid = t.stxrelid AND a.attnum = k)""",
            "expressions": "to_jsonb(pg_get_statisticsobjdef_expressions(t.oid))",
        },
    ),
    "pg_collation": ("collation", {}),
    "pg_operator": (
        "operator",
        {
            "result": "format_type(t.oprresult, NULL)",
            "commutator": "CASE WHEN t.oprcom <> 0 THEN t.oprcom::regoperator::text END",
            "negator": "CASE WHEN t.oprnegate <> 0 THEN t.oprnegate::regoperator::text END",
        },
    ),
    "pg_opclass": (
        "operator class",
        {
            "family": "(pg_identify_object('pg_opfamily'::regclass, t.opcfamily, 0)).identity",
            "type": "format_type(t.opcintype, NULL)",
            "stored": "CASE WHEN t.opckeytype <> 0 THEN format_type(t.opckeytype, NULL) END",
        },
    ),
    "pg_opfamily": (
        "operator family",
        {
            # As text: the class that a member came with is not told.
            "operators": """(SELECT jsonb_agg(m ORDER BY m COLLATE "C") FROM (SELECT o.amopstrategy::text || ' ' ||
                o.amopopr::regoperator::text || CASE WHEN o.amopsortfamily <> 0 THEN ' for ordering by ' ||
                (pg_identify_object('pg_opfamily'::regclass, o.amopsortfamily, 0)).identity ELSE '' END
                FROM pg_amop o WHERE o.amopfamily = t.oid) members (m))""",
            "functions": """(SELECT jsonb_agg(m ORDER BY m COLLATE "C") FROM (SELECT o.amprocnum::text || ' (' ||
                format_type(o.amproclefttype, NULL) || ', ' || format_type(o.amprocrighttype, NULL) || ') ' ||
                o.amproc::regprocedure::text FROM pg_amproc o WHERE o.amprocfamily = t.oid) members (m))""",
        },
    ),
    "pg_cast": ("cast", {"function": "CASE WHEN t.castfunc <> 0 THEN t.castfunc::regprocedure::text END"}),
    "pg_conversion": ("conversion", {}),
    "pg_ts_config": (
        "text search configuration",
        {
            "parser": "(pg_identify_object('pg_ts_parser'::regclass, t.cfgparser, 0)).identity",
            "mappings": """(SELECT jsonb_agg(m ORDER BY m COLLATE "C") FROM (SELECT k.alias || ': ' || string_agg(
                p.mapdict::regdictionary::text, ', ' ORDER BY p.mapseqno) FROM pg_ts_config_map p
                JOIN ts_token_type(t.cfgparser) k ON k.tokid = p.maptokentype WHERE p.mapcfg = t.oid
                GROUP BY k.alias) mapped (m))""",
        },
    ),
    "pg_ts_dict": (
        "text search dictionary",
        {"template": "(pg_identify_object('pg_ts_template'::regclass, t.dicttemplate, 0)).identity"},
    ),
    "pg_ts_parser": ("text search parser", {}),
    "pg_ts_template": ("text search template", {}),
    "pg_language": (
        "language",
        {
            "handler": "CASE WHEN t.lanplcallfoid <> 0 THEN t.lanplcallfoid::regprocedure::text END",
            "inline handler": "CASE WHEN t.laninline <> 0 THEN t.laninline::regprocedure::text END",
            "validator": "CASE WHEN t.lanvalidator <> 0 THEN t.lanvalidator::regprocedure::text END",
        },
    ),
    "pg_am": ("access method", {}),
    "pg_transform": ("transform", {}),
    "pg_foreign_data_wrapper": (
        "foreign-data wrapper",
        {
            "handler": "CASE WHEN t.fdwhandler <> 0 THEN t.fdwhandler::regprocedure::text END",
            "validator": "CASE WHEN t.fdwvalidator <> 0 THEN t.fdwvalidator::regprocedure::text END",
        },
    ),
    "pg_foreign_server": (
        "foreign server",
        {"wrapper": "(pg_identify_object('pg_foreign_data_wrapper'::regclass, t.srvfdw, 0)).identity"},
    ),
    "pg_event_trigger": ("event trigger", {"function": "t.evtfoid::regprocedure::text"}),
    "pg_publication": ("publication", {}),
}


def _rare(catalogue: str, kind: str, more: dict[str, str]) -> str:
    pairs = ", ".join(f"'{key}', {value}" for key, value in more.items())
    # collversion is that of the C library or ICU on the server's machine.
    return f"""SELECT '{kind}', i.identity, '', (to_jsonb(t) - 'collversion' - ARRAY(SELECT a.attname::text FROM pg_attribute a
        WHERE a.attrelid = '{catalogue}'::regclass AND (a.attnum < 0 OR a.atttypid IN ('oid'::regtype, 'oid[]'::regtype,
        'oidvector'::regtype, 'int2vector'::regtype, 'pg_node_tree'::regtype)))
        || jsonb_strip_nulls(jsonb_build_object({pairs})))::text
        FROM {catalogue} t, pg_identify_object('{catalogue}'::regclass, t.oid, 0) i WHERE t.oid >= {_FIRST_OID_OF_USERS}
        AND {_own(catalogue, "t.oid")} AND (i.schema IS NULL OR i.schema <> ALL (current_setting('migrator.left_out')::text[]))"""


# Without the options' values: a password is among them, and a fingerprint is stored and shown. The server tells options to
# those only who may use the mapping; pg_dump, too, leaves them out for others.
_USER_MAPPINGS = _select(
    "'user mapping'",
    f"""CASE WHEN m.umuser = 0 THEN 'PUBLIC' ELSE {_role("m.umuser")} END || ' on ' || quote_ident(m.srvname)""",
    "quote_ident(m.srvname)",
    {"options": """(SELECT jsonb_agg(split_part(o, '=', 1) ORDER BY o COLLATE "C") FROM unnest(m.umoptions) o)"""},
    f"FROM pg_user_mappings m WHERE m.srvid >= {_FIRST_OID_OF_USERS}",
)

_PUBLISHED = f"""SELECT 'published table', quote_ident(p.pubname) || ' ' || {_RELATION}, '', jsonb_strip_nulls(jsonb_build_object(
    'rows', pg_get_expr(r.prqual, r.prrelid), 'columns', (SELECT jsonb_agg(quote_ident(a.attname) ORDER BY k.place)
    FROM unnest(r.prattrs) WITH ORDINALITY k (number, place) JOIN pg_attribute a ON a.attrelid = c.oid
    AND a.attnum = k.number)))::text FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
    {_OF_RELATIONS.format("r.prrelid")} WHERE {_SCHEMAS}"""

_PUBLISHED_SCHEMAS = f"""SELECT 'published schema', quote_ident(p.pubname) || ' ' || quote_ident(n.nspname), '', '{{}}'
    FROM pg_publication_namespace r JOIN pg_publication p ON p.oid = r.pnpubid JOIN pg_namespace n ON n.oid = r.pnnspid
    WHERE {_SCHEMAS}"""

QUERIES = (
    _DATABASE,
    _EXTENSIONS,
    _NAMESPACES,
    _RELATIONS,
    _COLUMNS,
    _CONSTRAINTS,
    _INDEXES,
    _SEQUENCES,
    _TYPES,
    _ROUTINES,
    _TRIGGERS,
    _RULES,
    _POLICIES,
    _DEFAULT_PRIVILEGES,
    " UNION ALL ".join(_rare(catalogue, kind, more) for catalogue, (kind, more) in _RARE.items()),
    _USER_MAPPINGS,
    _PUBLISHED,
    _PUBLISHED_SCHEMAS,
)
