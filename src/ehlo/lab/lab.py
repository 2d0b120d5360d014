"""The lab server: sessions by `serve`, certificates by `authority`, and what has been received."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import deque
from collections.abc import Callable
from functools import cached_property
from types import TracebackType
from typing import Self

from ehlo.lab.authority import Identity, make_identity, server_context
from ehlo.lab.persona import Persona, load_persona
from ehlo.lab.policy import Message, Policy
from ehlo.lab.serve import IDLE_TIMEOUT, Serve
from ehlo.net.aio import Server
from ehlo.net.session import Session
from ehlo.smtp.server import ServerConnection
from ehlo.transcript.event import Event
from ehlo.transcript.transcript import Recorder, Transcript

#: How much is kept; older ones make room.
KEPT_MESSAGES = 1000
KEPT_SESSIONS = 1000
#: Bounds memory and file descriptors: a further client is turned away by a closed connection.
MAX_SESSIONS = 5000

#: Called with the session's number and each of its events.
Watcher = Callable[[int, Event], None]


class Lab:
    """A mail server to practise and to test against. It delivers nothing and relays nothing.

    `messages` and `sessions` hold what came in, the newest last. Use it on an event loop with
    `start` and `stop`, or from ordinary code with `running()`.
    """

    def __init__(
        self,
        persona: Persona | None = None,
        policy: Policy | None = None,
        *,
        identity: Identity | None = None,
        watcher: Watcher | None = None,
        idle_timeout: float = IDLE_TIMEOUT,
        keep_messages: int = KEPT_MESSAGES,
        keep_sessions: int = KEPT_SESSIONS,
    ) -> None:
        self.persona = persona or load_persona()
        self.policy = policy or Policy()
        self.messages: deque[Message] = deque(maxlen=keep_messages)
        self.sessions: deque[Transcript] = deque(maxlen=keep_sessions)
        self._given_identity = identity
        self._watcher = watcher
        self._idle_timeout = idle_timeout
        self._server = Server(self._make_session)
        self._count = 0

    @property
    def session_count(self) -> int:
        """How many sessions there have been."""
        return self._count

    @cached_property
    def identity(self) -> Identity:
        """The server's certificate; made when it is first needed, if none was given."""
        return self._given_identity or make_identity(self.persona.host, "localhost", "127.0.0.1", "::1")

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return server_context(self.identity)

    @cached_property
    def _endpoint(self) -> bytes:
        """The channel binding tls-server-end-point of the server's certificate."""
        from ehlo.net.certificates import endpoint_hash

        return endpoint_hash(ssl.PEM_cert_to_DER_cert(self.identity.certificate.decode("ascii")))

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; gives the port. Raises `OSError` when that is not possible."""
        return await self._server.start(host, port)

    async def stop(self) -> None:
        """Stop listening and end all sessions."""
        await self._server.stop()

    def running(self, host: str = "127.0.0.1", port: int = 0) -> RunningLab:
        """The lab in a thread of its own: `with Lab().running() as lab: lab.port`."""
        return RunningLab(self, host, port)

    def _make_session(self, host: str, port: int) -> Session | None:
        if self._server.sessions >= MAX_SESSIONS:
            return None
        self._count += 1
        watcher, number = self._watcher, self._count
        listener = None if watcher is None else lambda event: watcher(number, event)
        connection = ServerConnection(max_message=self.persona.size)
        recorder = Recorder("server", f"{host}:{port}", listener=listener)
        self.sessions.append(recorder.transcript)
        serve = Serve(
            connection,
            recorder,
            self.persona,
            self.policy,
            deliver=self.messages.append,
            context=lambda: self._context,
            endpoint=lambda: self._endpoint,
            idle_timeout=self._idle_timeout,
        )
        return Session(connection, recorder, serve.flow(), "server")


class RunningLab:
    """A lab in a thread, as a context manager. `port` is where it listens."""

    def __init__(self, lab: Lab, host: str, port: int) -> None:
        self.lab = lab
        self.host = host
        self.port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="ehlo lab", daemon=True)
        self._started = threading.Event()
        self._error: OSError | None = None
        self._stop = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        try:
            self.port = await self.lab.start(self.host, self.port)
        except OSError as error:
            self._error = error
            return
        finally:
            self._started.set()
        await self._stop.wait()
        await self.lab.stop()
