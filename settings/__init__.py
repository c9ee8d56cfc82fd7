"""The configuration of a stack as typed values. Pure: no Pulumi, no I/O but reading files.

load        configuration texts -> StackSettings, or one error that names everything wrong
model       the settings, their limits and their defaults
versions    versions and the names made of them
gateway     what a gateway has beyond other modules
postgres    a database server from its URI
"""

from .errors import InvalidSettings, InvalidVersion, MissingVersion, SettingsError, UnknownModule
from .gateway import GatewaySettings, Route
from .load import NAMESPACE, load, set_versions
from .model import ModuleSettings, StackSettings
from .postgres import PostgresServer
from .versions import Version

__all__ = [
    "NAMESPACE",
    "GatewaySettings",
    "InvalidSettings",
    "InvalidVersion",
    "MissingVersion",
    "ModuleSettings",
    "PostgresServer",
    "Route",
    "SettingsError",
    "StackSettings",
    "UnknownModule",
    "Version",
    "load",
    "set_versions",
]
