"""A wire to the server that can lose an answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from psycopg.conninfo import conninfo_to_dict, make_conninfo


@dataclass
class Wire:
    """Passes bytes on between clients and the server, without a look at them: they may be encrypted.

    Attributes:
        uri: for those who are to go through it.
        answer: told, instead of the client opened last, that the server has answered; then forgotten.
        opened: set when a client comes after that.
    """

    uri: str
    address: tuple[str, int] | str
    listener: socket.socket
    answer: Callable[[Wire], None] | None = None
    opened: threading.Event = field(default_factory=threading.Event)
    ends: list[socket.socket] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, target: Callable[..., None], *arguments: socket.socket) -> None:
        self.threads.append(threading.Thread(target=target, args=arguments))
        self.threads[-1].start()

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
                server.connect(self.address)
                self.ends += [client, server]
                self.opened.set()
                for pair in ((client, server), (server, client)):
                    self.start(self.carry, *pair)

    def carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if source is self.ends[-1] and self.answer:
                    told, self.answer = self.answer, None
                    self.opened.clear()
                    told(self)
                target.sendall(data)
        shut(source, target)

    def cut(self) -> None:
        """Breaks every connection."""
        shut(*self.ends)

    def remove(self) -> None:
        """Breaks every connection, and admits no other."""
        shut(self.listener)
        self.cut()


def shut(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def wire(uri: str) -> Iterator[Wire]:
    """Lays a wire to the server of a connection string."""
    to = {name: str(value) for name, value in conninfo_to_dict(uri).items()}
    port = to.get("port", "5432")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = {"host": "localhost"} if to["host"].startswith("/") else {"host": to["host"]}  # TLS looks at the name
        here |= {"hostaddr": "127.0.0.1", "port": str(listener.getsockname()[1])}
        address = f"{to['host']}/.s.PGSQL.{port}" if to["host"].startswith("/") else (to["host"], int(port))
        made = Wire(make_conninfo(uri, **here), address, listener)
        made.start(made.accept)
        try:
            yield made
        finally:
            made.remove()
            for thread in made.threads:
                thread.join()
            for end in made.ends:
                end.close()
