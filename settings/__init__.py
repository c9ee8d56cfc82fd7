"""The configuration of a stack as typed values. Pure: no Pulumi, no I/O but reading files.

load            configuration texts -> StackSettings, or one error that names everything wrong
model           the stack's settings, and what its modules are to each other
module          the settings that every module has
infrastructure  those of databases, broker, Temporal, telemetry, registries
catalog         the kinds of module: what each makes of its settings
environment     variables that know where they come from
credentials     credentials as settings
gateway         what a gateway has beyond other modules
versions        versions and the names made of them
postgres        a database server from its URI
databases       names of databases
reference       the documentation page and the JSON Schema
"""

from .catalog import File, Plan, Port, Role
from .databases import scratch_name
from .environment import MadeSecret, Variable
from .errors import InvalidSettings, InvalidVersion, MissingVersion, SettingsError, UnknownModule
from .gateway import GatewaySettings, Route
from .load import NAMESPACE, load, set_versions
from .model import StackSettings
from .module import CompatibilitySettings, JobSettings, ModuleSettings, S3Settings
from .postgres import PostgresServer
from .versions import Version

__all__ = [
    "NAMESPACE",
    "CompatibilitySettings",
    "File",
    "GatewaySettings",
    "InvalidSettings",
    "InvalidVersion",
    "JobSettings",
    "MadeSecret",
    "MissingVersion",
    "ModuleSettings",
    "Plan",
    "Port",
    "PostgresServer",
    "Role",
    "Route",
    "S3Settings",
    "SettingsError",
    "StackSettings",
    "UnknownModule",
    "Variable",
    "Version",
    "load",
    "scratch_name",
    "set_versions",
]
