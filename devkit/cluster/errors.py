"""What can go wrong with the devkit's cluster.

::

    ClusterError
    ├── BuildError            a tool did not build from its Go module
    ├── PackagesError         a Debian package is missing and could not be installed
    ├── ComponentError        a component did not start, died, or never became healthy (with its last log lines)
    ├── ContextError          the cluster named by KUBE_CONTEXT cannot be used
    └── BusyError             another `up` or `down` is at work
"""

from __future__ import annotations


class ClusterError(Exception):
    """Base of all: the message says what happened and what to do next."""


class BuildError(ClusterError):
    """A tool did not build from its Go module."""


class PackagesError(ClusterError):
    """A Debian package is missing and could not be installed."""


class ComponentError(ClusterError):
    """A component did not start, died, or never became healthy.

    Args:
        component: its name, as in ``python -m devkit.cluster logs <component>``.
        what: what was observed.
        log: the last lines of its log; may be empty.
    """

    def __init__(self, component: str, what: str, log: str = "") -> None:
        self.component = component
        self.what = what
        self.log = log
        tail = f"\n--- last lines of its log\n{log}" if log else ""
        super().__init__(f"{component}: {what}{tail}")


class ContextError(ClusterError):
    """The cluster named by ``KUBE_CONTEXT`` cannot be used."""


class BusyError(ClusterError):
    """Another ``up`` or ``down`` is at work on this machine."""
