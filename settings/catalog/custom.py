"""Any service with a ``migrate`` command and an HTTP health check, described by its settings alone."""

from __future__ import annotations

from collections.abc import Iterator

from ..environment import Variable
from ..module import ModuleSettings
from .kind import Context, Kind
from .variables import identity, pool, postgres


class Custom(Kind[ModuleSettings]):
    def variables(self, c: Context[ModuleSettings]) -> Iterator[Variable]:
        if c.module.database:
            yield from postgres(c)
            yield from pool(c)
        yield from identity(c)
        yield Variable("BIND", c.setting("port"), f":{c.module.port}")


KIND = Custom()
