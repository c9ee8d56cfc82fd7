"""What holds data is not deleted by an update."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..kubernetes import kind
from ..migration import words
from ..rule import Examples, Finding, Options, ResourceRule
from ..values import Resource

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
    r"(?<!add-)(?<!add_)\bdrop[\s_-]*(database|schema)\b|\bdropdb\b"  # SQL, mongosh, mysqladmin, sqlx
    r"|\bdrop\s+table\b[^;]{0,500}\bcascade\b"
    r"|\b(db|schema):(drop|reset|purge)\b"  # Rails, Sequelize, TypeORM
    r"|\bmigrate:(fresh|reset|refresh)\b|\bmigrate\s+reset\b|\bdowngrade\s+base\b"  # Laravel, Prisma, Alembic
    r"|\bflyway\b[^;&|]{0,500}\sclean\b",
    re.IGNORECASE,
)
_EMPTIES = re.compile(r"\btruncate\s+(table\s+|only\s+)*[\w\".$]", re.IGNORECASE)  # and not coreutils' truncate -s 0


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
    if kind(resource).removesuffix("Patch") in ("Job", "CronJob") and _DROPS.search(words(resource)):
        yield Finding("it drops a database", "Remove it; a database is dropped by hand, by somebody who has looked")
    if kind(resource).removesuffix("Patch") == "CronJob" and _EMPTIES.search(words(resource)):
        yield Finding("it empties a table, again and again", "Delete the rows that are no longer needed, by their age")


RULE = ResourceRule(
    name="databases-protected",
    description="Databases and volumes are protected, no Job drops one, and no CronJob empties a table.",
    reason="A renamed resource is deleted and made anew: for a database that is the end of its data. protect makes the update stop instead. "
    "Of a Job's commands it reads what is written in the manifest, not what a script or a SQL file in the image does.",
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
