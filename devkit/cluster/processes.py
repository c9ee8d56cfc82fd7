"""Starting, recognising and ending the cluster's processes.

A pid alone is no identity: the kernel gives it to somebody else once the process is gone. A pid file here also holds
the process's start time and the machine's boot, and only a process that matches all three is ever signalled. What a
crash left behind without a pid file is recognised by a marker in its environment that children inherit.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from devkit import paths
from devkit.cluster import files
from devkit.cluster.errors import ComponentError

#: In the environment of everything started here, with the state directory as value.
MARKER = "ROLLOUT_CLUSTER_STATE"


@dataclass(frozen=True)
class Process:
    """One process, for good: after its end no other process equals it.

    Attributes:
        pid: process id.
        started: the kernel's start time, in clock ticks since boot (proc(5), field 22 of ``stat``).
        boot: the kernel's random id of this boot.
        fingerprint: what the process was started with; see :meth:`Component.fingerprint`.
    """

    pid: int
    started: int
    boot: str
    fingerprint: str = ""

    def alive(self) -> bool:
        """Whether this very process exists and is no zombie."""
        return self.boot == boot_id() and start_time(self.pid) == self.started

    def signal(self, number: signal.Signals) -> None:
        """Signal the process if it is still this one. The descriptor closes the gap between check and signal."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive():
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(descriptor)

    def seconds(self) -> float:
        """Age in seconds."""
        uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
        return uptime - self.started / os.sysconf("SC_CLK_TCK")


def boot_id() -> str:
    """The kernel's random id of the current boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_time(pid: int) -> int | None:
    """A process's start time in clock ticks since boot; None when there is no such process or it is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the command in parentheses and may contain anything, also spaces and parentheses.
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


def identify(pid: int) -> Process | None:
    """The process that has this pid now, or None."""
    started = start_time(pid)
    return None if started is None else Process(pid, started, boot_id())


@dataclass(frozen=True)
class Component:
    """One long-running program of the cluster.

    Attributes:
        name: also of its log and pid file.
        argv: command line; the first element is an absolute path.
        healthy: raises an :class:`OSError` or returns False while the component does not serve.
        configs: files it reads at its start: when one changed since, ``up`` restarts it.
        environment: added to the inherited environment.
        user: operating system user to run as; None for the current one.
        stop: the signal that asks it to end.
        cwd: working directory; by default the state directory.
        patience: seconds it may take to become healthy.
    """

    name: str
    argv: Sequence[str]
    healthy: Callable[[], bool]
    configs: Sequence[Path] = ()
    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    stop: signal.Signals = signal.SIGTERM
    cwd: Path | None = None
    patience: float = 60.0

    def log(self) -> Path:
        """The file that takes its standard output and error."""
        return log_file(self.name)

    def fingerprint(self) -> str:
        """A digest of all that the process is started with."""
        digest = hashlib.sha256("\0".join(self.argv).encode())
        for path in self.configs:
            digest.update(path.read_bytes())
        return digest.hexdigest()[:16]

    def process(self) -> Process | None:
        """The running process, or None."""
        return recorded(self.name)

    def current(self) -> bool:
        """Whether it runs, and with today's command line and files."""
        process = self.process()
        return process is not None and process.fingerprint == self.fingerprint()

    def is_healthy(self) -> bool:
        """Whether it serves, as far as its own health check can tell."""
        try:
            return self.healthy()
        except OSError:
            return False

    def start(self) -> None:
        """Start it in a session of its own and note its pid. It outlives the caller."""
        log = self.log()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(self.argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.cwd or paths.state_dir(),
                env={**os.environ, **self.environment, MARKER: str(paths.state_dir())},
                user=self.user,
                group=self.user,
                extra_groups=[] if self.user else None,
                start_new_session=True,
            )
        identity = identify(process.pid)
        if identity is None:
            raise ComponentError(self.name, f"ended at once with code {process.wait()}", files.tail(log))
        record = {**vars(identity), "fingerprint": self.fingerprint()}
        files.write_json(pid_file(self.name), record)
        # Python would warn that the process still runs when this object goes: that is the purpose.
        process.returncode = 0

    def wait(self, deadline: float | None = None) -> None:
        """Wait until it is healthy.

        Raises:
            ComponentError: it ended, or is not healthy in time; with the last lines of its log.
        """
        deadline = deadline or time.monotonic() + self.patience
        while not self.is_healthy():
            if self.process() is None:
                raise ComponentError(self.name, "ended instead of becoming healthy", files.tail(self.log()))
            if time.monotonic() > deadline:
                raise ComponentError(self.name, f"not healthy after {self.patience:.0f} s", files.tail(self.log()))
            time.sleep(0.05)

    def end(self, patience: float = 10.0) -> None:
        """End it: first by its own signal, after ``patience`` seconds by SIGKILL; forget its pid file."""
        process = self.process()
        if process is not None:
            end([process], self.stop, patience)
        pid_file(self.name).unlink(missing_ok=True)


def pid_directory() -> Path:
    """Where the pid files are."""
    return paths.state_dir() / "pids"


def pid_file(name: str) -> Path:
    """A component's pid file."""
    return pid_directory() / f"{name}.json"


def log_file(name: str) -> Path:
    """A component's log."""
    return paths.state_dir() / "logs" / f"{name}.log"


def recorded(name: str) -> Process | None:
    """The process that a pid file names, if it is alive. An unreadable pid file names nobody."""
    try:
        process = Process(**json.loads(pid_file(name).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return process if process.alive() else None


def end(processes: Iterable[Process], how: signal.Signals = signal.SIGKILL, patience: float = 10.0) -> None:
    """Signal processes, wait for their end, and kill those that are still there after ``patience`` seconds.

    Raises:
        ComponentError: one survives SIGKILL for ten seconds: it hangs in the kernel.
    """
    waiting = list(processes)
    for number, seconds in ((how, patience), (signal.SIGKILL, 10.0)):
        for process in waiting:
            process.signal(number)
        deadline = time.monotonic() + seconds
        while waiting and time.monotonic() < deadline:
            waiting = [process for process in waiting if process.alive()]
            if waiting:
                time.sleep(0.02)
        if not waiting:
            return
    pids = ", ".join(str(process.pid) for process in waiting)
    raise ComponentError("kernel", f"processes {pids} do not end on SIGKILL: they hang in the kernel; reboot")


def matching(wanted: Callable[[int], bool]) -> list[Process]:
    """All processes whose pid satisfies ``wanted``, but this one. Those that vanish meanwhile are left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            process = identify(int(entry.name)) if wanted(int(entry.name)) else None
        except OSError:
            continue
        if process is not None:
            found.append(process)
    return found


def marked(state: Path) -> list[Process]:
    """All processes that descend from those started here with this state directory (shims too, containers not)."""
    needle = f"{MARKER}={state}".encode()
    return matching(lambda pid: needle in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))


def strays(executable: str) -> list[Process]:
    """All marked processes of this executable, with or without pid file: an earlier `up`'s whose pid file was lost."""
    pids = {process.pid for process in marked(paths.state_dir())}
    wanted = executable.encode()
    return matching(lambda pid: pid in pids and Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] == wanted)


def working_in(directory: Path) -> list[Process]:
    """All processes whose working directory this is: PostgreSQL's overwrite their environment with their title."""
    return matching(lambda pid: Path(f"/proc/{pid}/cwd").readlink() == directory)
