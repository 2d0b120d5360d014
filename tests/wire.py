"""Tests that read like the wire: a conversation is one text, or one expression.

    client('''
        S: 220 mail.example.com ESMTP
        C: EHLO here.org
        S: 250 mail.example.com
    ''').state is State.READY

    Client() >> "220 mail.example.com ESMTP" << "EHLO here.org" >> "250 mail.example.com"

`>>` is what comes in to the connection under test, `<<` what it lets go out; the text form is made
of these two. Text is a line without its CRLF; bytes are taken as they are.

What is played is compared: what goes out must be, octet for octet, what the connection writes; each
line that comes in must come out in exactly one event; and each reply of a server must answer one
event. A reply that ends in "…" says that the connection itself refused with this code.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Self

from ehlo.smtp.client import ClientConnection
from ehlo.smtp.command import Command, decode_base64, parse_command
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
    ReplyPart,
    ReplyReceived,
    ServerEvent,
)
from ehlo.smtp.reply import Reply, ReplyReader
from ehlo.smtp.server import DEFAULT_MAX_MESSAGE, ServerConnection
from ehlo.smtp.states import State


class Happening(Enum):
    """What is no line. In a text it stands on a line of its own."""

    TLS = "== TLS =="
    CLOSED = "== closed =="


TLS, CLOSED = Happening.TLS, Happening.CLOSED
_HAPPENINGS = {happening.value: happening for happening in Happening}


def _wire(line: str | bytes) -> bytes:
    return line if isinstance(line, bytes) else line.encode() + b"\r\n"


class Client:
    """A `ClientConnection` in a conversation: `>>` is the server's side, `<<` ours."""

    def __init__(self) -> None:
        self.conn = ClientConnection()
        self.events: list[ClientEvent] = []
        self._content: list[bytes] = []
        self._came = self._read = b""

    @property
    def state(self) -> State:
        return self.conn.state

    @property
    def replies(self) -> list[ReplyReceived]:
        return [event for event in self.events if isinstance(event, ReplyReceived)]

    @property
    def heard(self) -> list[str]:
        """Each reply with what it answered: "EHLO 250"."""
        return [f"{event.verb} {event.reply.code}" for event in self.replies]

    def incoming(self, what: str | bytes | Happening) -> Self:
        if what is TLS:
            self.conn.check_before_tls()
            self.conn.tls_started()
            return self
        if what is CLOSED:
            self.conn.receive_eof()
            self.events.append(self.conn.next_event())
            assert isinstance(self.events[-1], ConnectionLost)
            return self
        assert not isinstance(what, Happening)
        data = _wire(what)
        self._came += data
        self.conn.receive_data(data)
        while not isinstance(event := self.conn.next_event(), NeedData):
            assert isinstance(event, ReplyPart | ReplyReceived)
            self.events.append(event)
            self._read += event.line
        assert self._read == self._came[: self._came.rfind(b"\n") + 1]
        return self

    def outgoing(self, what: str | Command) -> Self:
        if isinstance(what, Command):
            self.conn.send(what)
        elif self.state is State.CONTENT:
            self._content_line(_wire(what))
        elif self.state is State.AUTH:
            response = None if what == "*" else decode_base64(what)
            assert self.conn.send_auth_response(response) == _wire(what)
        else:
            assert self.conn.send(parse_command(_wire(what))) == _wire(what)
        return self

    __rshift__, __lshift__ = incoming, outgoing

    def _content_line(self, line: bytes) -> None:
        self._content.append(line)
        if line == b".\r\n":
            # RFC 5321 §4.5.2: what goes out has one more dot at the start of a line than the message.
            content = b"".join(part.removeprefix(b".") for part in self._content[:-1])
            sent = self.conn.send_content(content) + self.conn.end_content()
            assert sent == b"".join(self._content)
            self._content.clear()

    def play(self, text: str) -> Self:
        for who, line in _script(text):
            if isinstance(line, Happening) or who == "S":
                self.incoming(line)
            else:
                assert isinstance(line, str)
                self.outgoing(line)
        return self


class Server:
    """A `ServerConnection` in a conversation: `>>` is the client's side, `<<` ours."""

    def __init__(self, *, max_message: int = DEFAULT_MAX_MESSAGE) -> None:
        self.conn = ServerConnection(max_message=max_message)
        self.events: list[ServerEvent] = []
        self._greeted = False
        self._reply: list[str] = []

    @property
    def state(self) -> State:
        return self.conn.state

    @property
    def commands(self) -> list[Command]:
        return [event.command for event in self.events if isinstance(event, CommandReceived)]

    @property
    def contents(self) -> list[ContentReceived]:
        return [event for event in self.events if isinstance(event, ContentReceived)]

    @property
    def chunks(self) -> list[ChunkReceived]:
        return [event for event in self.events if isinstance(event, ChunkReceived)]

    @property
    def responses(self) -> list[AuthResponse]:
        return [event for event in self.events if isinstance(event, AuthResponse)]

    @property
    def refused(self) -> list[CommandRejected]:
        return [event for event in self.events if isinstance(event, CommandRejected)]

    def incoming(self, what: str | bytes | Happening) -> Self:
        if what is TLS:
            self.conn.discard_before_tls()
            self.conn.tls_started()
        elif what is CLOSED:
            self.conn.receive_eof()
            assert isinstance(self._event_to_answer(), ConnectionLost)
        else:
            assert not isinstance(what, Happening)
            self.conn.receive_data(_wire(what))
        return self

    def outgoing(self, what: str) -> Self:
        self._reply.append(what)
        if what[3:4] == "-":
            return self
        lines, self._reply = self._reply, []
        event = self._next_event()
        if isinstance(event, CommandRejected):
            assert lines == [f"{event.reply.code} …"]
            assert self.conn.send(event.reply) == event.reply.encode()
        else:
            assert not what.endswith("…")
            wire = b"".join(map(_wire, lines))
            assert self.conn.send(reply_of(wire)) == wire
        return self

    __rshift__, __lshift__ = incoming, outgoing

    def _next_event(self) -> ServerEvent | None:
        """What our reply answers: nothing for the greeting."""
        if not self._greeted:
            self._greeted = True
            return None
        event = self._event_to_answer()
        assert not isinstance(event, NeedData | ConnectionLost)
        return event

    def _event_to_answer(self) -> ServerEvent:
        while True:
            self.events.append(self.conn.next_event())
            if not isinstance(self.events[-1], ChunkBegun):
                return self.events[-1]

    def play(self, text: str) -> Self:
        for who, line in _script(text):
            if isinstance(line, Happening) or who == "C":
                self.incoming(line)
            else:
                assert isinstance(line, str)
                self.outgoing(line)
        return self


def client(text: str) -> Client:
    """Play a whole conversation with a client under test."""
    return Client().play(text)


def server(text: str, *, max_message: int = DEFAULT_MAX_MESSAGE) -> Server:
    """Play a whole conversation with a server under test; in the end all that came in is answered."""
    played = Server(max_message=max_message).play(text)
    if played.state is not State.CLOSED:
        assert isinstance(played.conn.next_event(), NeedData)
    return played


def reply_of(wire: bytes) -> Reply:
    """The reply in these bytes, which hold one and nothing else."""
    reader = ReplyReader()
    *parts, last = [reader.feed(line) for line in re.findall(rb"[^\n]*\n", wire)]
    assert parts == [None] * len(parts)
    assert last is not None
    return last


def _script(text: str) -> list[tuple[str, str | Happening]]:
    lines: list[tuple[str, str | Happening]] = []
    for line in filter(None, map(str.lstrip, text.splitlines())):
        if line.strip() in _HAPPENINGS:
            lines.append(("", _HAPPENINGS[line.strip()]))
        else:
            assert line[:2] in ("S:", "C:"), f"neither S: nor C: {line!r}"
            lines.append((line[0], line[3:]))
    return lines
