"""The blocking driver: one session, one socket, no event loop to import."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING, TypeVar

from ehlo.net.errors import classify_os_error
from ehlo.net.intents import PIPE, Address, Connect, Done, FindMailHosts, Flush, Need, Pause, Read, Resolve
from ehlo.net.names import LookupFailedError, Nameserver, find_mail_hosts, is_address, resolve
from ehlo.net.outstanding import unacknowledged
from ehlo.net.session import Session

if TYPE_CHECKING:
    from ehlo.net.pipe import Pipe

_READ_SIZE = 65536
#: A connection that is being closed gets this long to take what is left.
_FAREWELL = 2.0
#: Before a pause, what is to be sent gets this long.
_PATIENCE = 300.0

T = TypeVar("T")


def run(session: Session, nameserver: Nameserver | None = None) -> None:
    """Run a session to its end. The outcome is in its transcript; nothing is raised for a session
    that fails. `KeyboardInterrupt` is recorded as an interruption, then raised again."""
    driver = Driver(session, nameserver)
    try:
        driver.go_on(session.start())
    finally:
        driver.close()


class Driver:
    """Drives a session that is told what to do from outside: `go_on` until its flow listens, then
    `session.instruct`, then on."""

    def __init__(self, session: Session, nameserver: Nameserver | None = None) -> None:
        self._session = session
        self._nameserver = nameserver
        self._socket: socket.socket | None = None
        self._pipe: Pipe | None = None

    def go_on(self, need: Need) -> None:
        """Run the session from what it needs now until it listens for instructions, or to its end."""
        session = self._session
        try:
            while type(need) is not Done and not session.listening:
                need = self._meet(need)
        except KeyboardInterrupt as interrupt:
            session.abandon(str(interrupt) or "interrupted from the keyboard")
            raise

    def _meet(self, need: Need) -> Need:
        session = self._session
        if isinstance(need, Read):
            if failed := self._send(session.deadline):
                return failed
            return self._receive(session.deadline)
        if isinstance(need, Flush):
            return self._send(session.deadline) or session.resume()
        if isinstance(need, Connect):
            return self._connect(need)
        if isinstance(need, Pause):
            if failed := self._send(session.recorder.now() + _PATIENCE):
                return failed
            time.sleep(need.seconds)
            return session.resume()
        if isinstance(need, FindMailHosts | Resolve):
            return self._look_up(need)
        return need

    def _send(self, deadline: float) -> Need | None:
        """Send what waits; what the session needs next if that failed."""
        data = memoryview(self._session.take_outgoing())
        while data and self._socket is not None:
            try:
                self._socket.settimeout(self._left(deadline))
                data = data[self._socket.send(data) :]
            except TimeoutError:
                return self._timed_out()
            except OSError as error:
                # What the server said before it hung up is often the reason, and still readable.
                self._receive_rest()
                return self._lost(classify_os_error(error, "reset"))
        return None

    def _receive(self, deadline: float) -> Need:
        if self._socket is None:
            return self._lost("closed")
        try:
            self._socket.settimeout(self._left(deadline))
            data = self._socket.recv(_READ_SIZE)
        except TimeoutError:
            return self._timed_out()
        except OSError as error:
            return self._lost(classify_os_error(error, "reset"))
        return self._session.data_received(data) if data else self._lost("closed")

    def _lost(self, error: str) -> Need:
        """The connection is gone. Where it was to a command, how that ended says more."""
        if self._pipe is None:
            return self._session.connection_failed(error)
        return self._session.connection_failed("command-ended", self._pipe.last_words())

    def _timed_out(self) -> Need:
        sock = self._socket
        return self._session.timed_out(unacknowledged(sock.fileno(), sock.family) if sock is not None else 0)

    def _receive_rest(self) -> None:
        try:
            while self._socket is not None and (data := self._socket.recv(_READ_SIZE)):
                self._session.data_received(data)
        except OSError:
            pass  # There is nothing more.

    def _left(self, deadline: float) -> float | None:
        if not isfinite(deadline):
            return None
        # Zero would make the socket non-blocking; a deadline that has passed ends as a time-out.
        return max(0.001, deadline - self._session.recorder.now())

    def _connect(self, need: Connect) -> Need:
        self.close()
        family, host, port = need.address
        if family == PIPE:
            return self._start(host)
        sock = None
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.settimeout(need.timeout)
            if family == getattr(socket, "AF_UNIX", None):
                sock.connect(host)
                self._socket = sock
                return self._session.resume(Address(family, host, 0))
            if need.source or need.source_port:
                sock.bind((need.source, need.source_port))
            sock.connect((host, port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            local = sock.getsockname()
        except OSError as error:
            if sock is not None:
                sock.close()
            return self._session.fail(classify_os_error(error, "connect-failed"), error.strerror or str(error))
        self._socket = sock
        return self._session.resume(Address(family, local[0], local[1]))

    def _start(self, command: str) -> Need:
        from ehlo.net.pipe import Pipe

        try:
            self._pipe = Pipe(command)
        except OSError as error:
            return self._session.fail("not-started", error.strerror or str(error))
        self._socket = self._pipe.socket
        return self._session.resume(Address(PIPE, command, 0))

    def _look_up(self, need: FindMailHosts | Resolve) -> Need:
        try:
            if isinstance(need, FindMailHosts):
                domain, timeout = need
                return self._session.resume(find_mail_hosts(domain, timeout, self._nameserver))
            host, port, family = need.host, need.port, need.family
            if is_address(host):
                return self._session.resume(resolve(host, port, family))
            return self._session.resume(_within(need.timeout, lambda: resolve(host, port, family)))
        except LookupFailedError as failure:
            return self._session.fail(failure.error, failure.message)

    def close(self) -> None:
        """Send what is left, as far as that goes, and close the connection."""
        if self._socket is None:
            return
        self._send(self._session.recorder.now() + _FAREWELL)
        self._socket.close()
        self._socket = None
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.wait()


def _within(timeout: float, function: Callable[[], T]) -> T:
    """Call a function that cannot be given a time limit. Raises `LookupFailedError` when it is passed."""
    outcome: list[T | LookupFailedError] = []

    def call() -> None:
        try:
            outcome.append(function())
        except LookupFailedError as failure:
            outcome.append(failure)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(timeout)
    if not outcome:
        raise LookupFailedError("timed-out", f"the look-up took longer than {timeout:g} s")
    if isinstance(outcome[0], LookupFailedError):
        raise outcome[0]
    return outcome[0]
