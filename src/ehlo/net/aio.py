"""The asyncio driver: thousands of sessions, clients and servers, on one loop.

A session lives in its protocol's callbacks: bytes that arrive run the flow until it waits again,
without a task switch. A coroutine is needed only for what the callbacks cannot do: look-ups and
connects. uvloop is used by whoever runs the loop, where it is installed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ehlo.net.errors import classify_os_error
from ehlo.net.intents import Address, Connect, Done, FindMailHosts, Flush, Need, Pause, Read, Resolve
from ehlo.net.names import LookupFailedError, Nameserver, find_mail_hosts, is_address, resolve
from ehlo.net.session import Session

#: One buffer serves all sessions of a loop: each read is taken out of it at once. Larger reads
#: do not gain, and a buffer a session would cost each idle one its memory.
_READ_SIZE = 65536


class Loop:
    """What the sessions of one event loop share."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.buffer = memoryview(bytearray(_READ_SIZE))


async def run(session: Session, shared: Loop, nameserver: Nameserver | None = None) -> None:
    """Run a client session to its end. The outcome is in its transcript. When the task is
    cancelled the session is recorded as interrupted, and `CancelledError` is raised."""
    bridge: _Bridge | None = None
    try:
        need = session.start()
        while type(need) is not Done:
            if isinstance(need, Connect):
                bridge = _Bridge(session, shared)
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


async def _connect(session: Session, bridge: _Bridge, need: Connect) -> Need:
    _, host, port = need.address
    local = (need.source, 0) if need.source else None
    try:
        async with asyncio.timeout(need.timeout):
            await bridge.loop.create_connection(lambda: bridge, host, port, local_addr=local)
    except (OSError, TimeoutError) as error:
        return session.fail(classify_os_error(error, "connect-failed"), error.strerror or "no answer in time")
    return session.resume(bridge.local_address())


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


class _Bridge(asyncio.BufferedProtocol):
    """Joins a transport and a session."""

    __slots__ = ("_need", "_shared", "_timer", "_transport", "_waiter", "on_close", "session")

    def __init__(self, session: Session, shared: Loop) -> None:
        self.session = session
        self.on_close: Callable[[_Bridge], None] | None = None
        self._shared = shared
        self._transport: asyncio.Transport | None = None
        self._need: Need = Done()
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[Need] | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._shared.loop

    def local_address(self) -> Address:
        sock = self._transport.get_extra_info("socket") if self._transport else None
        host, port = sock.getsockname()[:2] if sock is not None else ("", 0)
        return Address(sock.family if sock is not None else 0, host, port)

    async def drive(self, need: Need) -> Need:
        """Let the callbacks run the session until it needs what they cannot do."""
        self._go_on(need)
        if type(self._need) is Done:
            return self._need
        self._waiter = self.loop.create_future()
        return await self._waiter

    def serve(self) -> None:
        """Run a server's session; its connection has just been made."""
        self._go_on(self.session.start())

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        transport, self._transport = self._transport, None
        if transport is not None:
            if rest := self.session.take_outgoing():
                transport.write(rest)
            transport.close()

    # The transport's callbacks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._shared.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._go_on(self.session.data_received(bytes(self._shared.buffer[:nbytes])))

    def eof_received(self) -> bool:
        self._go_on(self.session.eof_received())
        # The transport stays open until the flow has ended: it may still have something to say.
        return self._transport is not None

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is not None:
            lost = classify_os_error(error, "reset") if isinstance(error, OSError) else "closed"
            self._go_on(self.session.connection_failed(lost))
        if self.on_close is not None:
            self.on_close(self)

    def resume_writing(self) -> None:
        if type(self._need) is Flush:
            self._go_on(self.session.resume())

    def _go_on(self, need: Need) -> None:
        session, transport = self.session, self._transport
        while True:
            self._need = need
            kind = type(need)
            if transport is not None and (data := session.take_outgoing()):
                transport.write(data)
            if kind is Flush and (transport is None or not transport.get_write_buffer_size()):
                need = session.resume()
                continue
            break
        if kind is Read or kind is Flush:
            if self._timer is None:
                delay = need.deadline - session.recorder.now()  # type: ignore[union-attr]
                self._timer = self.loop.call_later(max(0.0, delay), self._on_timer)
        elif isinstance(need, Pause):
            self.loop.call_later(need.seconds, self._after_pause)
        else:
            if kind is Done:
                self.close()
            waiter, self._waiter = self._waiter, None
            if waiter is not None and not waiter.done():
                waiter.set_result(need)

    def _after_pause(self) -> None:
        if type(self._need) is Pause:
            self._go_on(self.session.resume())

    def _on_timer(self) -> None:
        # One timer a session: deadlines move on with every reply, the timer only when it rings.
        self._timer = None
        need = self._need
        if isinstance(need, Read | Flush):
            if self.session.recorder.now() >= need.deadline:
                self._go_on(self.session.timed_out())
            else:
                self._go_on(need)


class Server:
    """Accepts connections and runs a session of its own for each."""

    def __init__(self, make_session: Callable[[str, int], Session | None]) -> None:
        self._make_session = make_session
        self._server: asyncio.Server | None = None
        self._bridges: set[_Bridge] = set()
        self._shared: Loop | None = None

    @property
    def sessions(self) -> int:
        """How many sessions there are now."""
        return len(self._bridges)

    async def start(self, host: str, port: int, *, backlog: int = 1024) -> int:
        """Listen; gives the port. Raises `OSError`."""
        self._shared = Loop()
        self._server = await self._shared.loop.create_server(self._accept, host, port, backlog=backlog)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and end the sessions; each is recorded as interrupted."""
        if self._server is None:
            return
        self._server.close()
        for bridge in tuple(self._bridges):
            bridge.session.abandon("the server was stopped")
            bridge.close()
        # One turn of the loop lets the transports close.
        await asyncio.sleep(0)

    def _accept(self) -> asyncio.BaseProtocol:
        return _Acceptor(self)

    def begin(self, transport: asyncio.Transport) -> None:
        """A connection was made: give it a session, or close it."""
        peer = transport.get_extra_info("peername") or ("", 0)
        session = self._make_session(str(peer[0]), int(peer[1]))
        if session is None or self._shared is None:
            transport.close()
            return
        bridge = _Bridge(session, self._shared)
        bridge.on_close = self._bridges.discard
        self._bridges.add(bridge)
        bridge.connection_made(transport)
        transport.set_protocol(bridge)
        bridge.serve()


class _Acceptor(asyncio.Protocol):
    """Stands in until the peer's address is known, which a session is made with."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._server.begin(transport)  # type: ignore[arg-type]
