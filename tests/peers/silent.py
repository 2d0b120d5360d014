r"""Servers that misbehave on purpose, down to the single byte, with plain sockets and threads.

A script is a list of steps that a server plays to each client. Nothing here knows SMTP: what is
wrong with a session is exactly what the script says.

    with scripted([Send(b"220 hi\r\n"), Expect(b"EHLO"), Reset()]) as server:
        ...  # talk to server.host, server.port
    assert server.received == [b"EHLO x\r\n"]
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .world import HOST

RECEIVE_SIZE = 65536
ACCEPT_BACKLOG = 128
JOIN_TIMEOUT = 5.0
END_OF_CONTENT = b"\r\n.\r\n"


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes; with a `pause`, byte by byte with that many seconds in between."""

    data: bytes
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Flood:
    """Send these bytes again and again until the client goes away."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Expect:
    """Read one line, which must begin like this (case ignored)."""

    beginning: bytes = b""


@dataclass(frozen=True, slots=True)
class ReadContent:
    """Read message content up to the line with the dot, or only so many bytes of it."""

    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for a while; bytes that come in meanwhile stay unread."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Handshake:
    """Begin TLS as the server; plain text received before but not yet read is thrown away."""

    context: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class Hang:
    """Read and say nothing, until the client closes."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close in good order. With unread input left, TCP makes a reset of it."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Close with a TCP reset."""


Step = Send | Flood | Expect | ReadContent | Pause | Handshake | Hang | Close | Reset


class _ScriptError(Exception):
    """The rest of the script cannot be played; the text says why."""


class _Play:
    """One connection on which a script is played."""

    def __init__(self, connection: socket.socket, stopped: threading.Event) -> None:
        self.connection = connection
        self.received = bytearray()
        self.problem: str | None = None
        self._unread = bytearray()
        self._stopped = stopped

    def run(self, script: Sequence[Step]) -> None:
        """Play all steps, then close."""
        try:
            for step in script:
                self._perform(step)
        except (_ScriptError, OSError) as error:
            if not self._stopped.is_set():
                self.problem = f"{type(error).__name__}: {error}"
        finally:
            self.connection.close()

    def _perform(self, step: Step) -> None:
        match step:
            case Send(data, 0.0):
                self.connection.sendall(data)
            case Send(data, pause):
                for byte in data:
                    self.connection.sendall(bytes([byte]))
                    self._wait(pause)
            case Flood(data):
                while True:
                    self.connection.sendall(data)
            case Expect(beginning):
                line = self._read_to(b"\n")
                if not line.upper().startswith(beginning.upper()):
                    raise _ScriptError(f"expected {beginning!r}, got {line!r}")
            case ReadContent(limit):
                self._read_content(limit)
            case Pause(seconds):
                self._wait(seconds)
            case Handshake(context):
                self._unread.clear()
                self.connection = context.wrap_socket(self.connection, server_side=True)
            case Hang():
                with contextlib.suppress(_ScriptError):
                    while True:
                        self._receive()
            case Close():
                self.connection.close()
            case Reset():
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()

    def _wait(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise _ScriptError("the server was stopped")

    def _read_content(self, limit: int | None) -> None:
        if limit is not None:
            while len(self._unread) < limit:
                self._receive()
            del self._unread[:limit]
        # Empty content has no line end of its own: the dot follows that of the DATA line.
        elif not self._next_is(b".\r\n"):
            self._read_to(END_OF_CONTENT)

    def _next_is(self, expected: bytes) -> bool:
        while len(self._unread) < len(expected) and expected.startswith(self._unread):
            self._receive()
        if not self._unread.startswith(expected):
            return False
        del self._unread[: len(expected)]
        return True

    def _read_to(self, mark: bytes) -> bytes:
        while (end := self._unread.find(mark)) < 0:
            self._receive()
        end += len(mark)
        taken = bytes(self._unread[:end])
        del self._unread[:end]
        return taken

    def _receive(self) -> None:
        data = self.connection.recv(RECEIVE_SIZE)
        if not data:
            raise _ScriptError("the client closed the connection")
        self.received += data
        self._unread += data


class ScriptedServer:
    """A server that plays scripts: the first to the first client, the last to all others."""

    def __init__(self, scripts: Sequence[Sequence[Step]]) -> None:
        self._scripts = scripts
        self._stopped = threading.Event()
        self._plays: list[tuple[_Play, threading.Thread]] = []
        self._listener = socket.create_server((HOST, 0), backlog=ACCEPT_BACKLOG)
        self.host = HOST
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def received(self) -> list[bytes]:
        """What each client has sent so far, after TLS was taken off; by order of connection."""
        return [bytes(play.received) for play, _ in self._plays]

    @property
    def problems(self) -> list[str]:
        """Why scripts could not be played to their end, such as a line that was not expected."""
        return [play.problem for play, _ in self._plays if play.problem is not None]

    def wait(self, sessions: int = 1, timeout: float = 10.0) -> None:
        """Wait until so many scripts have been played to their end."""
        deadline = time.monotonic() + timeout
        while sum(not thread.is_alive() for _, thread in list(self._plays)) < sessions:
            if time.monotonic() > deadline:
                raise TimeoutError(f"fewer than {sessions} sessions ended in {timeout} s")
            time.sleep(0.01)

    def stop(self) -> None:
        """Close everything, and wait for the threads."""
        self._stopped.set()
        _shut(self._listener)
        self._acceptor.join(JOIN_TIMEOUT)
        self._listener.close()
        for play, thread in self._plays:
            _shut(play.connection)
            thread.join(JOIN_TIMEOUT)

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            script = self._scripts[min(len(self._plays), len(self._scripts) - 1)]
            play = _Play(connection, self._stopped)
            thread = threading.Thread(target=play.run, args=(script,), daemon=True)
            # Started first: wait() takes a thread that is not alive for one that has ended.
            thread.start()
            self._plays.append((play, thread))


def _shut(end: socket.socket) -> None:
    """Wake whoever is blocked on the socket."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def scripted(*scripts: Sequence[Step]) -> Iterator[ScriptedServer]:
    """Run a server that plays the first script to its first client, and so on."""
    server = ScriptedServer(scripts)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def silent() -> Iterator[ScriptedServer]:
    """Run a server that accepts connections and never says a word."""
    with scripted([Hang()]) as server:
        yield server


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """Hold a port on which connections are refused, and which nobody else can take meanwhile."""
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        port: int = holder.getsockname()[1]
        yield port


@contextlib.contextmanager
def unanswered_port() -> Iterator[int]:
    """Hold a port where connecting gets no answer at all, as behind a firewall that drops."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind((HOST, 0))
        listener.listen(0)
        address = listener.getsockname()
        # Never accepted; once its queue is full, Linux drops further connection requests.
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        port: int = address[1]
        yield port
