"""The language host: runs programs and policy packs in Python, behind the engine's interface (``offline.engine.language``)."""

from __future__ import annotations

from offline.engine.events import Events
from offline.engine.language import Ended, PackHost, Program
from offline.engine.model import PolicyPackRef, UpdateRequest


class Python:
    """See :class:`offline.engine.language.Language`."""

    def program(self, request: UpdateRequest, events: Events, ended: Ended) -> Program:
        from .program import InlineProgram, LocalProgram

        return InlineProgram(request, ended) if request.options.client else LocalProgram(request, events, ended)

    def pack(self, ref: PolicyPackRef, request: UpdateRequest, engine: str) -> PackHost:
        from .pack import Pack

        return Pack(ref, request, engine)
