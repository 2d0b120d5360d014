"""Partners for bytes of any kind: each plays its end as far as it may, so that all states are met."""

from __future__ import annotations

from collections import deque
from itertools import cycle

from ehlo.smtp.address import parse_path
from ehlo.smtp.client import ClientConnection
from ehlo.smtp.command import Command, auth, ehlo, mail, rcpt
from ehlo.smtp.deviations import RemoteProtocolError
from ehlo.smtp.events import (
    AuthResponse,
    ChunkBegun,
    ChunkReceived,
    ClientEvent,
    CommandReceived,
    CommandRejected,
    ConnectionLost,
    ContentReceived,
    NeedData,
    ServerEvent,
)
from ehlo.smtp.reply import Reply
from ehlo.smtp.server import ServerConnection
from ehlo.smtp.states import State

PATH = parse_path("<sender@yourdomain.com>")
_YES = {"AUTH": 334, "DATA": 354, "STARTTLS": 220, "QUIT": 221}


class ClientPartner:
    """Says what a client may say, whatever it hears. `error` is what ended the session."""

    def __init__(self) -> None:
        self.conn = ClientConnection()
        self.events: list[ClientEvent] = []
        self.error: tuple[str, bytes] | None = None
        self.met: set[State] = set()
        self._ready = cycle([auth("LOGIN"), Command("STARTTLS"), mail(PATH), Command("QUIT")])

    def feed(self, data: bytes) -> None:
        self.conn.receive_data(data)
        self._read()

    def end(self) -> None:
        self.conn.receive_eof()
        self._read()

    def _read(self) -> None:
        while self.error is None:
            try:
                event = self.conn.next_event()
            except RemoteProtocolError as error:
                self.error = (error.deviation, error.line)
                break
            if isinstance(event, NeedData):
                break
            self.events.append(event)
            if isinstance(event, ConnectionLost):
                break
            self.met.add(self.conn.state)
            if not self.conn.awaiting:
                self._go_on()

    def _go_on(self) -> None:
        conn = self.conn
        match conn.state:
            case State.GREETED:
                conn.send(ehlo("here.org"))
            case State.READY:
                conn.send(next(self._ready))
            case State.MAIL:
                conn.send(rcpt(PATH))
                conn.send(rcpt(PATH))
            case State.RCPT:
                conn.send(Command("DATA"))
            case State.CONTENT:
                conn.send_content(b"hi")
                conn.end_content()
            case State.AUTH:
                conn.send_auth_response(b"alice")
            case State.TLS:
                conn.tls_started()
                conn.send(ehlo("here.org"))
            case State.TURNED_AWAY:
                conn.send(Command("QUIT"))


class ServerPartner:
    """Answers whatever it hears; `codes` has the code for each event that lets it choose: 200 yes."""

    def __init__(self, codes: list[int] | None = None, *, greeting: int = 220, max_message: int = 1000) -> None:
        self.conn = ServerConnection(max_message=max_message)
        self.events: list[ServerEvent] = []
        self.met: set[State] = set()
        self._codes = cycle(codes or [200])
        self.conn.send(Reply(greeting))

    def feed(self, data: bytes) -> None:
        self.conn.receive_data(data)
        self._read()

    def end(self) -> None:
        self.conn.receive_eof()
        self._read()

    def _read(self) -> None:
        while self.conn.state is not State.CLOSED:
            self.met.add(self.conn.state)
            event = self.conn.next_event()
            if isinstance(event, NeedData):
                break
            self.events.append(event)
            if isinstance(event, ConnectionLost):
                break
            if isinstance(event, ChunkBegun):
                continue
            self.conn.send(self._answer(event))
            self.met.add(self.conn.state)
            if self.conn.state is State.TLS:
                self.conn.tls_started()

    def _answer(self, event: ServerEvent) -> Reply:
        if isinstance(event, CommandRejected):
            return event.reply
        code = next(self._codes)
        if code != 200:
            return Reply(code)
        if isinstance(event, CommandReceived):
            return Reply(_YES.get(event.command.verb, 250))
        if isinstance(event, AuthResponse):
            return Reply(501 if event.response is None else 334 if event.response == b"alice" else 235)
        assert isinstance(event, ContentReceived | ChunkReceived)
        return event.refusal or Reply(250) if isinstance(event, ChunkReceived) else Reply(250)


def held(thing: object) -> int:
    """How many octets a connection keeps, wherever it keeps them."""
    if isinstance(thing, bytes | bytearray | str):
        return len(thing)
    if isinstance(thing, dict):
        return held(list(thing.items()))
    if isinstance(thing, tuple | list | deque):
        return sum(map(held, thing))
    return sum(held(getattr(thing, name)) for name in getattr(type(thing), "__slots__", ()))
