"""The asyncio driver: thousands of sessions, clients and servers, on one loop.

A session lives in its protocol's callbacks: bytes that arrive run the flow until it waits again,
without a task switch. A coroutine is needed only for what the callbacks cannot do: look-ups and
connects. uvloop is used by whoever runs the loop, where it is installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from ehlo.net.errors import classify_os_error
from ehlo.net.intents import (
    DONE,
    FLUSH,
    PIPE,
    READ,
    Address,
    Connect,
    Done,
    FindMailHosts,
    Flush,
    Need,
    Pause,
    Read,
    Resolve,
)
from ehlo.net.names import LookupFailedError, Nameserver, find_mail_hosts, is_address, resolve
from ehlo.net.outstanding import unacknowledged
from ehlo.net.session import Session

if TYPE_CHECKING:
    from ehlo.net.pipe import Pipe

#: Octets that are read at once, at most. Larger reads do not gain.
_READ_SIZE = 65536
#: Octets that a session takes while it pauses, before it leaves them in the network.
_MAX_UNREAD = 262_144
#: So many sessions wait for each other at most before what they say is written.
_MOST_WAITING = 32


class Loop:
    """What the sessions of one event loop share.

    What they say is written together, once all that had arrived by then has been looked at. The system wakes a peer
    that sleeps when something is written to it; where many sessions are with one peer, it is so woken once for all of
    them, not for each, which costs as much as the reply.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._speaking: list[tuple[Session, asyncio.Transport]] = []

    def write_soon(self, session: Session, transport: asyncio.Transport) -> None:
        """Write what this session has to say with what others have to say now."""
        speaking = self._speaking
        if not speaking:
            self.loop.call_soon(self._write)
        speaking.append((session, transport))
        if len(speaking) == _MOST_WAITING:
            self._write()

    def _write(self) -> None:
        speaking, self._speaking = self._speaking, []
        for session, transport in speaking:
            if session.outgoing and not transport.is_closing():
                transport.write(session.take_outgoing())


async def run(session: Session, shared: Loop, nameserver: Nameserver | None = None) -> None:
    """Run a client session to its end. The outcome is in its transcript. When the task is
    cancelled the session is recorded as interrupted, and `CancelledError` is raised."""
    bridge: _Bridge | None = None
    try:
        need = session.start()
        while type(need) is not Done:
            if isinstance(need, Connect):
                bridge = _Bridge(shared, session)
                session.wake = bridge.go_on
                need = await _connect(session, bridge, need)
            elif isinstance(need, FindMailHosts | Resolve):
                need = await _look_up(session, need, shared.loop, nameserver)
            elif bridge is None:
                await asyncio.sleep(need.seconds if isinstance(need, Pause) else 0)
                need = session.resume()
            else:
                need = await bridge.drive(need)
    except asyncio.CancelledError:
        session.abandon("cancelled")
        raise
    finally:
        if bridge is not None:
            bridge.close()
            if bridge.pipe is not None:
                await shared.loop.run_in_executor(None, bridge.pipe.wait)


async def _connect(session: Session, bridge: _Bridge, need: Connect) -> Need:
    family, host, port = need.address
    local = (need.source or None, need.source_port) if need.source or need.source_port else None
    bridge.address = need.address
    try:
        if family == PIPE:
            from ehlo.net.pipe import Pipe

            bridge.pipe = Pipe(host)
            await bridge.loop.create_connection(lambda: bridge, sock=bridge.pipe.socket)
            return await bridge.stuck()
        async with asyncio.timeout(need.timeout):
            if family == getattr(socket, "AF_UNIX", None):
                await bridge.loop.create_unix_connection(lambda: bridge, host)
            else:
                await bridge.loop.create_connection(lambda: bridge, host, port, local_addr=local)  # type: ignore[arg-type]
    except (OSError, TimeoutError) as error:
        if family == PIPE:
            return session.fail("not-started", error.strerror or str(error))
        if not bridge.connected:
            return session.fail(classify_os_error(error, "connect-failed"), error.strerror or "no answer in time")
    return await bridge.stuck()


async def _look_up(
    session: Session,
    need: FindMailHosts | Resolve,
    loop: asyncio.AbstractEventLoop,
    nameserver: Nameserver | None,
) -> Need:
    try:
        if isinstance(need, FindMailHosts):
            domain, timeout = need
            hosts = await loop.run_in_executor(None, find_mail_hosts, domain, timeout, nameserver)
            return session.resume(hosts)
        if is_address(need.host):
            return session.resume(resolve(need.host, need.port, need.family))
        async with asyncio.timeout(need.timeout):
            addresses = await loop.run_in_executor(None, resolve, need.host, need.port, need.family)
        return session.resume(addresses)
    except LookupFailedError as failure:
        return session.fail(failure.error, failure.message)
    except TimeoutError:
        return session.fail("timed-out", f"the look-up took longer than {need.timeout:g} s")


class _Bridge(asyncio.Protocol):
    """Joins a transport and a session. A server's session is made when the connection is there, by
    `on_open`; a client's exists before."""

    __slots__ = (
        "_connected",
        "_gone",
        "_need",
        "_on_close",
        "_on_crash",
        "_on_open",
        "_paused",
        "_pausing",
        "_rings",
        "_session",
        "_shared",
        "_timer",
        "_transport",
        "_unread",
        "_waiter",
        "address",
        "pipe",
    )

    def __init__(
        self,
        shared: Loop,
        session: Session | None = None,
        *,
        on_open: Callable[[_Bridge, asyncio.Transport], Session | None] | None = None,
        on_close: Callable[[_Bridge], None] | None = None,
        on_crash: Callable[[Session, Exception], Need] | None = None,
    ) -> None:
        self._session = session
        self._on_open = on_open
        self._on_close = on_close
        self._on_crash = on_crash
        self._shared = shared
        self._transport: asyncio.Transport | None = None
        self._connected = False
        self._gone = False
        self._paused = False
        self._pausing: asyncio.TimerHandle | None = None
        self._unread = 0
        self._need: Need = DONE
        self._timer: asyncio.TimerHandle | None = None
        self._rings = inf
        self._waiter: asyncio.Future[Need] | None = None
        self.address: Address | None = None
        self.pipe: Pipe | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._shared.loop

    @property
    def session(self) -> Session | None:
        return self._session

    @property
    def connected(self) -> bool:
        """Whether there has been a connection."""
        return self._connected

    def _local_address(self) -> Address:
        if self.address is not None and not self.address.port:
            return self.address
        name = self._transport.get_extra_info("sockname") if self._transport else None
        host, port = (name or ("", 0))[:2]
        return Address(socket.AF_INET6 if ":" in host else socket.AF_INET, host, port)

    async def drive(self, need: Need) -> Need:
        """Let the callbacks run the session until it needs what they cannot do."""
        self.go_on(need)
        return await self.stuck()

    async def stuck(self) -> Need:
        """What the session needs next that the callbacks cannot do."""
        if not isinstance(self._need, Read | Flush | Pause):
            return self._need
        self._waiter = self.loop.create_future()
        return await self._waiter

    def abandon(self, note: str, farewell: bytes = b"") -> None:
        """End the session at once."""
        if self._session is not None:
            self._session.abandon(note, farewell)
        self.close()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pausing is not None:
            self._pausing.cancel()
            self._pausing = None
        transport, self._transport = self._transport, None
        if transport is not None:
            self._say_the_rest(transport)
            transport.close()

    def _say_the_rest(self, transport: asyncio.Transport) -> None:
        if self._session is not None and (rest := self._session.take_outgoing()):
            transport.write(rest)

    # The transport's callbacks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        if hasattr(transport, "max_size"):
            # asyncio's own transports take so much memory for each read, and give nearly all of it back.
            transport.max_size = _READ_SIZE
        self._connected = True
        if self._on_open is None:
            # At once: what the server says, or that it hangs up, may come before any task runs again.
            if self._session is not None:
                self._take(self._session.resume, self._local_address())
        else:
            self._session = self._on_open(self, transport)  # type: ignore[arg-type]
            if self._session is None:
                self.close()
            else:
                self._take(self._session.start)

    def data_received(self, data: bytes) -> None:
        session = self._session
        if session is not None:
            # As `_take` does, without its price, which would be paid for every read of every session.
            try:
                need = session.data_received(data)
            except Exception as error:
                need = self._crashed(session, error)
            if need is not READ or self._need is not READ or session.deadline < self._rings:
                self.go_on(need)
                if type(need) is Pause:
                    self._bound_unread(len(data))
            elif session.outgoing and self._transport is not None:
                # Nearly every time: it goes on waiting, and has something to say.
                self._shared.write_soon(session, self._transport)

    def _bound_unread(self, nbytes: int) -> None:
        """A client that goes on sending while the session pauses must not fill the memory."""
        self._unread += nbytes
        if self._unread > _MAX_UNREAD and self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        if self.pipe is not None:
            self._ask_how_it_ended(self.pipe)
        elif self._session is not None:
            self._take(self._session.eof_received)
        # The transport stays open until the flow has ended: it may still have something to say.
        return self._transport is not None

    def connection_lost(self, error: Exception | None) -> None:
        self._gone = True
        if error is not None and not isinstance(error, OSError) and self._waiter is not None:
            # A mistake in the flow, which the loop has caught: whoever runs the session shall hear of it.
            if not self._waiter.done():
                self._waiter.set_exception(error)
            self._waiter = None
        if self._transport is not None and self.pipe is not None:
            self._ask_how_it_ended(self.pipe)
        elif self._transport is not None and self._session is not None:
            lost = classify_os_error(error, "reset") if isinstance(error, OSError) else "closed"
            self._take(self._session.connection_failed, lost)
        self._tell_if_over()

    def _tell_if_over(self) -> None:
        """Once the connection is gone and the flow, which may pause, has ended, the session is over."""
        if self._gone and self._on_close is not None and (self._session is None or type(self._session.need) is Done):
            on_close, self._on_close = self._on_close, None
            on_close(self)

    def _ask_how_it_ended(self, pipe: Pipe) -> None:
        """The connection to a command is gone: how the command ended says more, and may take it a moment."""

        def ended(words: asyncio.Future[str]) -> None:
            if self._session is not None and self._transport is not None and not words.cancelled():
                self.go_on(self._session.connection_failed("command-ended", words.result()))

        self.loop.run_in_executor(None, pipe.last_words).add_done_callback(ended)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._on_flushed()

    def _take(self, step: Callable[..., Need], *what: object) -> None:
        """Tell the session what has happened, and do what it needs then."""
        try:
            need = step(*what)
        except Exception as error:
            need = self._crashed(self._session, error)
        self.go_on(need)

    def _crashed(self, session: Session | None, error: Exception) -> Need:
        """A mistake in the flow of a server ends its own session alone."""
        if self._on_crash is None or session is None:
            raise error
        return self._on_crash(session, error)

    def go_on(self, need: Need) -> None:
        """Do what the session needs, as far as callbacks can."""
        session = self._session
        if session is None:
            return
        self._need = need
        if session.outgoing and self._transport is not None:
            self._shared.write_soon(session, self._transport)
        if need is READ:
            if session.deadline < self._rings:
                self._set_timer(session)
        elif need is FLUSH:
            if session.deadline < self._rings:
                self._set_timer(session)
            if not self._paused:
                # Not at once: what the server says meanwhile must be read, and other sessions have their turn.
                self.loop.call_soon(self._on_flushed)
        elif isinstance(need, Pause):
            if need.deaf and self._transport is not None:
                self._transport.pause_reading()
            self._pausing = self.loop.call_later(need.seconds, self._after_pause)
        else:
            if isinstance(need, Done):
                self._end(need)
            waiter, self._waiter = self._waiter, None
            if waiter is not None and not waiter.done():
                waiter.set_result(need)

    def _on_flushed(self) -> None:
        # `resume_writing` comes only after `pause_writing`: a buffer that is merely not empty is no reason to wait.
        # A transport that is closing takes everything and sends nothing; that the connection is lost comes soon.
        transport, session = self._transport, self._session
        if type(self._need) is not Flush or self._paused or transport is None or session is None:
            return
        if not transport.is_closing():
            self._take(session.resume)

    def _end(self, need: Done) -> None:
        if need.reset and self._transport is not None:
            self._say_the_rest(self._transport)
            # Without lingering, closing is a reset; `abort` alone would send an orderly end.
            connection = self._transport.get_extra_info("socket")
            with contextlib.suppress(OSError, AttributeError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        self.close()
        self._tell_if_over()

    def _after_pause(self) -> None:
        need, transport, session = self._need, self._transport, self._session
        if isinstance(need, Pause) and session is not None:
            self._unread = 0
            if transport is not None and not transport.is_closing() and not transport.is_reading():
                transport.resume_reading()
            self._take(session.resume)

    def _set_timer(self, session: Session) -> None:
        # One timer a session: deadlines move on with every reply, the timer only when it rings, or when
        # the stage that begins has less time than what is left of the last one.
        if self._timer is not None:
            self._timer.cancel()
        self._rings = session.deadline
        delay = session.deadline - session.recorder.now()
        self._timer = self.loop.call_later(max(0.0, delay), self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._rings = None, inf
        session = self._session
        if session is not None and isinstance(self._need, Read | Flush):
            if session.recorder.now() >= session.deadline:
                self._take(session.timed_out, self._unacknowledged())
            else:
                self.go_on(self._need)

    def _unacknowledged(self) -> int:
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        return unacknowledged(sock.fileno(), sock.family) if sock is not None else 0


class Server:
    """Accepts connections and runs a session of its own for each. `on_end` is called with each one that is over,
    `on_crash` with one whose flow has raised what no flow may raise; it ends the session by `Session.crashed`."""

    def __init__(
        self,
        make_session: Callable[[str, int], Session | None],
        on_end: Callable[[Session], None] | None = None,
        on_crash: Callable[[Session, Exception], Need] | None = None,
    ) -> None:
        self._make_session = make_session
        self._on_end = on_end
        self._on_crash = on_crash
        self._server: asyncio.Server | None = None
        self._bridges: set[_Bridge] = set()

    @property
    def sessions(self) -> int:
        """How many sessions there are now."""
        return len(self._bridges)

    async def start(self, host: str, port: int, *, backlog: int = 1024) -> int:
        """Listen; gives the port. Raises `OSError`."""
        shared = self._shared = Loop()
        self._server = await shared.loop.create_server(self._accept, host, port, backlog=backlog)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self, farewell: bytes = b"") -> None:
        """Stop listening and end the sessions, those that wait for a command with a last line; each is recorded
        as interrupted."""
        if self._server is None:
            return
        self._server.close()
        for bridge in tuple(self._bridges):
            bridge.abandon("the server was stopped", farewell)
        # One turn of the loop lets the transports close.
        await asyncio.sleep(0)

    def _accept(self) -> asyncio.BaseProtocol:
        return _Bridge(self._shared, on_open=self._begin, on_close=self._closed, on_crash=self._on_crash)

    def _closed(self, bridge: _Bridge) -> None:
        self._bridges.discard(bridge)
        if self._on_end is not None and bridge.session is not None:
            self._on_end(bridge.session)

    def _begin(self, bridge: _Bridge, transport: asyncio.Transport) -> Session | None:
        """A connection was made: the session for it, or None to turn it away."""
        peer = transport.get_extra_info("peername") or ("", 0)
        session = self._make_session(str(peer[0]), int(peer[1]))
        if session is not None:
            self._bridges.add(bridge)
        return session
