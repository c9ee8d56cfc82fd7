"""What holds data is not deleted by an update."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..commands import argv
from ..kubernetes import HOOKS, containers, is_workload, kind
from ..rule import Examples, Finding, Options, ResourceRule
from ..values import UNKNOWN, NotKnown, Resource, get

PASSES = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: ledger-data}
pulumi: {protect: true}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
FAILS = PASSES.replace("protect: true", "protect: false")
# What holds data, and not what only serves it, such as an Aurora cluster's instances; azure-native has its versions in its types.
_AZURE = r"azure-native(_\w+)?:"
_TYPES = (
    r"kubernetes:core/v1:PersistentVolume(Claim)?",
    r"kubernetes:postgresql\.cnpg\.io/.*:(Cluster|Database)",
    r"kubernetes:acid\.zalan\.do/.*:postgresql",
    r"kubernetes:postgres-operator\.crunchydata\.com/.*:PostgresCluster",
    r"kubernetes:[\w.-]*percona\.com/.*:Percona\w*(Cluster|MySQL|MongoDB)",
    r"kubernetes:mongodbcommunity\.mongodb\.com/.*:MongoDBCommunity",
    r"kubernetes:k8s\.mariadb\.com/.*:(MariaDB|Database)",
    r"postgresql:.*:(Database|Schema)",
    r"mysql:.*:Database",
    r"mongodbatlas:.*:(Advanced)?Cluster",
    r"aws:(rds|docdb|neptune)/(instance|cluster|globalCluster):.*",
    r"aws:(dynamodb/(table|globalTable)|keyspaces/table|redshift/cluster|memorydb/cluster|efs/fileSystem|ebs/volume):.*",
    r"aws:fsx/\w+FileSystem:.*",
    r"aws-native:(rds|docdb|neptune):(DBInstance|DBCluster|GlobalCluster)",
    r"aws-native:(dynamodb:(Global)?Table|efs:FileSystem|ec2:Volume|redshift:Cluster)",
    r"gcp:(sql/database(Instance)?|alloydb/(cluster|instance)|spanner/(instance|database)|bigtable/(instance|table)):.*",
    r"gcp:(firestore/database|filestore/instance|compute/(regionDisk|disk)):.*",
    r"google-native:sqladmin/.*:(Instance|Database)",
    _AZURE
    + r"dbfor(postgresql|mysql|mariadb)(/\w+)?:(dbfor\w+:)?(Server|SingleServer|FlexibleServer|ServerGroup|Cluster|Database)",
    _AZURE + r"sql(/\w+)?:(sql:)?(Server|Database|ManagedInstance|ManagedDatabase)",
    _AZURE + r"(documentdb(/\w+)?:(documentdb:)?(DatabaseAccount|MongoCluster)|compute(/\w+)?:(compute:)?Disk)",
    r"azure:(postgresql|mysql|mariadb|mssql|sql)/(server|database|flexibleServer|flexible(Server)?Database|managed(Instance|Database)):.*",
    r"azure:(cosmosdb/(account|\w+Database)|compute/managedDisk):.*",
    r"digitalocean:.*:(DatabaseCluster|DatabaseDb|Volume)",
    r"scaleway:.*:(RdbInstance|RdbDatabase)|scaleway:databases/.*:(Instance|Database)",
)
# What commands do to data that is there, with the tools that have them; --add-drop-database writes a dump and drops nothing.
_DROPS = re.compile(
    r"(?=[adefglmprs-])(?:(?<!add-)(?<!add_)\bdrop[\s_-]{0,9}(database|schema)\b|\bdropdb\b"  # SQL, mongosh, mysqladmin, sqlx
    r"|\bdrop\s{1,9}table\b[^;]{0,200}\bcascade\b"
    r"|\b(db|schema|database):(drop|reset|purge|wipe)\b|\bdb:(schema|structure):load\b|\becto\.(drop|reset)\b"  # Rails, Laravel, Sequelize, TypeORM, Ecto
    r"|\bmigrate:(fresh|reset|refresh)\b|\bmigrate\s{1,9}(?:--?[\w=/.-]{1,80}\s{1,9}){0,4}(reset|fresh|drop)\b|\bdowngrade\s{1,9}base\b"
    r"|\b(manage\.py|django-admin)\s[^;&|\n]{0,100}\b(flush|reset_db|sqlflush)\b|--(force-reset|accept-data-loss)\b"  # Django, Prisma
    r"|\b(flyway|mongorestore|pg_restore|goose|dbmate|liquibase|sqlx|diesel|supabase|atlas|migrate)\b)",
)
# Of a tool that is used for good too: what behind its name, in the same command, destroys.
_OF_TOOLS = {
    "flyway": re.compile(r"\sclean\b"),
    "mongorestore": re.compile(r"\s--drop\b"),
    "pg_restore": re.compile(r"\s(--clean\b|-[a-bd-zA-Z]{0,9}c\b)"),
    "goose": re.compile(r"\s(reset|down-to\s0)\b"),
    "dbmate": re.compile(r"\sdrop\b"),
    "liquibase": re.compile(r"\sdrop-?[aA]ll\b"),
    "sqlx": re.compile(r"\sdatabase\s(drop|reset)\b"),
    "diesel": re.compile(r"\sdatabase\sreset\b"),
    "supabase": re.compile(r"\sdb\sreset\b"),
    "atlas": re.compile(r"\sschema\sclean\b"),
    "migrate": re.compile(r"\s(drop|down\s-all)\b"),
}
_COMMAND = re.compile(r"[;&|\n]")
_REACH = 300  # characters behind a tool's name
_EMPTIES = re.compile(r"\btruncate\s+(table\s+|only\s+)*[\w\".$]", re.IGNORECASE)  # and not coreutils' truncate -s 0


def destroys(text: str) -> bool:
    """Whether a command deletes data that is there."""
    for found in _DROPS.finditer(text.lower()):
        tool = _OF_TOOLS.get(found[0])
        if tool is None or tool.search(_COMMAND.split(text[found.end() : found.end() + _REACH], maxsplit=1)[0]):
            return True
    return False


def _protected(resource: Resource, options: Options) -> Iterator[Finding]:
    if re.fullmatch(options["types"], resource.type) and not resource.protect:
        yield Finding(
            "it holds data and is not protected: an update that drops or replaces it deletes the data",
            "Set protect=True in its ResourceOptions",
        )
    if kind(resource).removesuffix("Patch") == "StatefulSet":
        for when in ("whenDeleted", "whenScaled"):
            if resource.get("spec", "persistentVolumeClaimRetentionPolicy", when) == "Delete":
                yield Finding(
                    f"its volumes are deleted with it ({when}: Delete)",
                    f"Set persistentVolumeClaimRetentionPolicy.{when}: Retain",
                )


def _not_dropped(resource: Resource, options: Options) -> Iterator[Finding]:
    if not is_workload(resource):
        return
    said = [words(c) for c in containers(resource)]
    if any(map(destroys, said)):
        yield Finding(
            "it drops a database, or deletes what is in it",
            "Remove it; a database is dropped by hand, by somebody who has looked",
        )
    if kind(resource).removesuffix("Patch") == "CronJob" and any(map(_EMPTIES.search, said)):
        yield Finding("it empties a table, again and again", "Delete the rows that are no longer needed, by their age")
    if any(UNKNOWN in argv(c) for c in containers(resource)):
        raise NotKnown("its command")


def words(container: Mapping[str, Any]) -> str:
    """What a container runs, also when it starts and ends, as far as it is known."""
    found = argv(container)
    for hook in HOOKS:
        try:
            found += get(container, *hook, "exec", "command") or ()
        except NotKnown:
            found.append(UNKNOWN)
    return " ".join(str(word) for word in found if word is not UNKNOWN)


RULE = ResourceRule(
    name="databases-protected",
    description="Databases and volumes are protected, no container drops one or what is in it, and no CronJob empties a table.",
    reason="A renamed resource is deleted and made anew: for a database that is the end of its data. protect makes the update stop instead. "
    "Of commands it reads what is written in the manifest, in every container and hook, with the words of the tools that it knows; not what a script or a "
    "SQL file in the image does, nor statements like DELETE without WHERE.",
    unseen="statements such as DELETE without WHERE, what a script or a SQL file in the image does, tools that it does not "
    "know, and data in objects of types that are not in `types`",
    severity="critical",
    options={
        "types": {
            "type": "string",
            "default": "|".join(_TYPES),
            "description": "regular expression of the resource types that hold data; those of other providers are added here",
        }
    },
    examples=Examples(PASSES, FAILS),
    checks=(_protected, _not_dropped),
)
