"""What the connections yield. Bytes go in; these come out, in the order of the bytes.

Rule: each line that came over the wire is in exactly one event, as `line`, with its exact bytes;
so whoever writes these lines down has the whole conversation.
"""

from __future__ import annotations

from typing import NamedTuple

from ehlo.smtp.command import Command
from ehlo.smtp.deviations import Deviation
from ehlo.smtp.reply import Reply
from ehlo.smtp.stages import Stage


class ReplyPart(NamedTuple):
    """A line of a reply that goes on (client side)."""

    line: bytes
    stage: Stage


class ReplyReceived(NamedTuple):
    """The last line of a reply, and with it the whole reply (client side).

    `verb` is the command it answers, `CONNECT` for the greeting, `CONTENT` for the answer to the
    final dot, and empty when nothing asked for it.
    """

    line: bytes
    stage: Stage
    verb: str
    reply: Reply


class CommandReceived(NamedTuple):
    """A command (server side)."""

    line: bytes
    stage: Stage
    command: Command


class CommandRejected(NamedTuple):
    """A line that is no command, or one that may not stand here (server side).

    `reply` is the refusal that the standard has for it; a server may word its own.
    """

    line: bytes
    stage: Stage
    verb: str
    reply: Reply
    deviation: Deviation | None = None


class AuthResponse(NamedTuple):
    """The client's answer to a SASL challenge (server side). `response` None: it gave up, with
    "*", or sent what is not base64 (RFC 4954 §4)."""

    line: bytes
    stage: Stage
    response: bytes | None


class ContentReceived(NamedTuple):
    """A message, up to its final dot (server side).

    `content` is without dot-stuffing; `size` counts it whole, also when `truncated` says that the
    message was over the bound and its rest was dropped.
    """

    content: bytes
    size: int
    stage: Stage
    truncated: bool = False


class ContentBegun(NamedTuple):
    """As much of a message as `ServerConnection.stop_after` asks for (server side). It needs no answer; what
    follows is more of the message."""

    content: bytes
    stage: Stage


class ChunkBegun(NamedTuple):
    """A BDAT command, whose octets follow (server side, RFC 3030 §2). It needs no answer.

    `first` says that it begins a message. A command without octets is a `ChunkReceived` at once.
    """

    line: bytes
    stage: Stage
    first: bool


class ChunkReceived(NamedTuple):
    """The octets of a BDAT command (server side, RFC 3030 §2).

    `content` is what was kept of them, `size` how many there were. The octets follow their command
    whatever its fate, so this comes also where BDAT may not stand: then `refusal` is the reply that the
    standard has for it. `line` has the command where there are no octets.
    """

    stage: Stage
    content: bytes
    size: int
    last: bool
    truncated: bool = False
    refusal: Reply | None = None
    line: bytes = b""


class ConnectionLost(NamedTuple):
    """The peer closed. `line` has what it sent of an unfinished line, `content` of a message."""

    line: bytes
    stage: Stage
    content: bytes = b""


class NeedData(NamedTuple):
    """Nothing more can be read from the bytes there are. `partial`: a line has begun."""

    partial: bool


NEED_DATA, NEED_REST = NeedData(partial=False), NeedData(partial=True)

ClientEvent = ReplyPart | ReplyReceived | ConnectionLost | NeedData
ServerEvent = (
    CommandReceived
    | CommandRejected
    | AuthResponse
    | ContentBegun
    | ContentReceived
    | ChunkBegun
    | ChunkReceived
    | ConnectionLost
    | NeedData
)
