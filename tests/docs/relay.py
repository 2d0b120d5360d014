"""Other ways to a port of this machine: a UNIX socket, and a command that speaks at its standard input and output."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path


def join(one: socket.socket, other: socket.socket) -> None:
    """Carry what each of two sockets gets to the other, until both have ended."""
    thread = threading.Thread(target=_carry, args=(one, other), daemon=True)
    thread.start()
    _carry(other, one)
    thread.join()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def unix_socket(path: Path, port: int) -> Iterator[None]:
    """A UNIX socket that leads to a port."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=_serve, args=(listener, port), daemon=True)
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(listener: socket.socket, port: int) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            join(client, server)


def make_command(path: Path, port: int, options: str) -> None:
    """Write a command that leads to a port, and does so with these options alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    program = f'[ "$*" = "{options}" ] || exit 64\nexec "{sys.executable}" "{__file__}" {port}\n'
    path.write_text(f"#!/bin/sh\n{program}")
    path.chmod(0o755)


if __name__ == "__main__":
    with socket.socket(fileno=0) as ours, socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as theirs:
        join(ours, theirs)
