"""The server's end of a session, without any I/O.

    conn = ServerConnection()
    conn.send(Reply(220, ("mail.example.com ESMTP",)))
    conn.receive_data(b"EHLO here.org\\r\\n")
    conn.next_event()                       # CommandReceived(command=Command("EHLO", ...))
    conn.send(Reply(250, ("mail.example.com", "PIPELINING")))

Each event is answered by one `send` before the next is asked for: what the following bytes mean
depends on that answer. A client that pipelines is served all the same; its bytes wait.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from ehlo.smtp.command import (
    AUTH_LINE_LIMIT,
    CommandError,
    decode_base64,
    line_limit,
    parse_command,
)
from ehlo.smtp.content import ContentReader
from ehlo.smtp.deviations import Deviation, LocalProtocolError
from ehlo.smtp.events import (
    NEED_DATA,
    NEED_REST,
    AuthResponse,
    ChunkBegun,
    ChunkReceived,
    CommandReceived,
    CommandRejected,
    ConnectionLost,
    ContentBegun,
    ContentReceived,
    NeedData,
    ServerEvent,
)
from ehlo.smtp.lines import LineTooLongError, ReceiveBuffer
from ehlo.smtp.reply import Reply
from ehlo.smtp.stages import STAGE_OF_VERB, Stage
from ehlo.smtp.states import ALLOWED, CONNECT, CONTENT, LAST_CHUNK, VERBS, State, after, why_not

#: The largest message kept when the caller names no other bound, in octets.
DEFAULT_MAX_MESSAGE = 10_240_000

_new = tuple.__new__

# An attribute of an enumeration costs as much as ten comparisons, and these are asked for at every command.
_AUTH, _CONTENT = State.AUTH, State.CONTENT
#: What stands for the command in a line that is rejected: the reply to it changes no state.
_REJECTED = "(rejected)"

_NOT_IN_LMTP, _NOT_IN_SMTP = frozenset({"EHLO", "HELO"}), frozenset({"LHLO"})
#: How much of a reason a refusal repeats: with the code it stays under RFC 5321 §4.5.3.1.5's 512 octets.
_MAX_WHY = 400
#: RFC 3030 §2: "BDAT" SP chunk-size [ SP "LAST" ].
_BDAT = re.compile(r"([0-9]{1,18})( +LAST)?", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


class ServerConnection:
    """A session as the server sees it.

    `state` and `stage` say where it stands. `max_message` bounds what is kept of a message; the
    rest of a larger one is read and dropped, so that the refusal comes after its dot. `incoming` is what arrived and
    has not been looked at, `chunk` the BDAT command whose octets are due (RFC 3030 §2). With `lmtp` the session
    begins with LHLO and knows neither EHLO nor HELO (RFC 2033 §4.1). `stop_after` is after how many octets
    of the next message a `ContentBegun` shall come; with `lenient` a bare LF ends a line of a message as CRLF
    does, which is what makes SMTP smuggling possible.
    """

    #: Takes bytes from the client, in pieces of any size.
    receive_data: Callable[[bytes], None]

    __slots__ = (
        "_chunk_left",
        "_closed",
        "_content",
        "_content_size",
        "_handed_over",
        "_reader",
        "_verb",
        "chunk",
        "incoming",
        "lenient",
        "lmtp",
        "max_message",
        "receive_data",
        "stage",
        "state",
        "stop_after",
    )

    def __init__(self, *, max_message: int = DEFAULT_MAX_MESSAGE, lmtp: bool = False, lenient: bool = False) -> None:
        self.state = State.CONNECTED
        self.stage: Stage = "banner"
        self.max_message = max_message
        self.lmtp = lmtp
        self.lenient = lenient
        self.stop_after: int | None = None
        self.incoming = ReceiveBuffer()
        self.receive_data = self.incoming.feed
        self._closed = False
        self._verb: str | None = CONNECT
        self._reader: ContentReader | None = None
        self._content = bytearray()
        self._content_size = 0
        self.chunk: ChunkReceived | None = None
        self._chunk_left = 0
        self._handed_over = 0

    @property
    def held(self) -> int:
        """Octets of a message that is not whole yet, earlier chunks among them."""
        return self._handed_over + len(self._content)

    def send(self, reply: Reply) -> bytes:
        """The bytes of the reply to the last event, or of the greeting, or of a 421 at any time.

        Raises `LocalProtocolError` for a reply that nothing asked for, or that is malformed.
        """
        if self._verb is None:
            if reply.code != 421:
                raise LocalProtocolError("No command waits for a reply.")
            self.state = State.CLOSED
            return reply.encode()
        data = reply.encode()
        self.answered(self.stage, after(self.state, self._verb, reply.code))
        self._verb = None
        return data

    def answered(self, stage: Stage, state: State) -> None:
        """What came, of this stage, was answered, and has led to this state; for a command that was read elsewhere."""
        self.stage, self.state = stage, state
        if self._handed_over and state is not State.CHUNKING:
            self._handed_over, self.stop_after = 0, None
        if state is _CONTENT:
            self._reader = ContentReader(lenient=self.lenient)
            self.stage = "message"

    def tls_started(self) -> None:
        """The handshake after STARTTLS is done: the session begins anew, at EHLO (RFC 3207 §4.2)."""
        if self.state is not State.TLS:
            raise LocalProtocolError(why_not(self.state, "A TLS handshake"))
        self.state = State.GREETED

    def discard_before_tls(self) -> bytes:
        """What came in clear behind STARTTLS; it must be thrown away (RFC 3207 §4.2)."""
        return self.incoming.take_all()

    def receive_eof(self) -> None:
        """The client closed the connection."""
        self._closed = True

    def next_event(self) -> ServerEvent:
        """The next event in the bytes received; `NEED_DATA` when there is none yet."""
        if self._verb is not None:
            raise LocalProtocolError("The last event has not been answered.")
        if self.incoming.empty and not self._closed:
            return NEED_DATA
        if self._reader is not None:
            return self._next_content(self._reader)
        if self.chunk is not None:
            return self._next_chunk(self.chunk)
        # The bound on a line depends on what it is, which is known only once it is there.
        try:
            line = self.incoming.take_line(AUTH_LINE_LIMIT)
        except LineTooLongError as error:
            return self._rejected(error.start, "", 500, "Line too long.", Deviation.LINE_TOO_LONG)
        if line is None:
            return self._lost() if self._closed else NEED_REST
        if self.state is _AUTH:
            return self._auth_response(line)
        return self._command(line)

    def _command(self, line: bytes) -> ServerEvent:
        # What follows AUTH, the one verb with an A, may be a password, which stays in memory no longer than it must.
        read = _read_command if line[0] in b"Aa" else _read_repeated
        event = read(line, self.state, self.stage, self.lmtp)
        self.stage = event.stage
        if type(event) is CommandReceived:
            verb = event.command.verb
            if verb == "BDAT":
                return self._bdat(line, event.command.argument)
            self._verb = verb
        else:
            self._verb = _REJECTED
        return event

    def _rejected(
        self, line: bytes, verb: str, code: int, why: str, deviation: Deviation | None = None
    ) -> CommandRejected:
        self._verb = _REJECTED
        event = _reject(line, self.stage, verb, code, why, deviation)
        self.stage = event.stage
        return event

    def _bdat(self, line: bytes, argument: str) -> ServerEvent:
        found = _BDAT.fullmatch(argument)
        if found is None:
            return self._rejected(line, "BDAT", 501, "BDAT is followed by a number of octets, and LAST at the end.")
        refusal = None
        if "BDAT" not in ALLOWED[self.state]:
            refusal = Reply(503, (f"5.5.1 {why_not(self.state, 'BDAT')}",))
        size = int(found[1])
        self._chunk_left = size
        self.chunk = ChunkReceived("message", b"", size, found[2] is not None, refusal=refusal)
        if not size:
            return self._next_chunk(self.chunk._replace(line=line))
        return ChunkBegun(line, "message", first=refusal is None and self.state is not State.CHUNKING)

    def _next_chunk(self, chunk: ChunkReceived) -> ServerEvent:
        data, due = self.incoming.take_all(), self._chunk_left
        stops = due > 0 and self.stop_after is not None and (chunk.last or self.stop_after < self.held + due)
        if stops:
            # At the end of the last chunk at the latest, before it is whole.
            due = min(max(0, (self.stop_after or 0) - self.held), due - 1)
        piece, rest = data[:due], data[due:]
        self._chunk_left -= len(piece)
        self._content += piece[: max(0, self.max_message - self.held)]
        self.incoming.feed(rest)
        if stops and len(piece) == due:
            self.stop_after = None
            return ContentBegun(bytes(self._content), "message")
        if self._chunk_left:
            return self._lost() if self._closed else NEED_REST
        self.chunk = None
        self._verb = _REJECTED if chunk.refusal else LAST_CHUNK if chunk.last else "BDAT"
        kept = bytes(self._content)
        self._content.clear()
        self._handed_over += len(kept)
        return chunk._replace(content=kept, truncated=chunk.size > len(kept))

    def _auth_response(self, line: bytes) -> AuthResponse:
        self._verb = "AUTH"
        text = line.strip(b"\r\n").decode("ascii", "replace")
        return AuthResponse(line, "auth", None if text == "*" else decode_base64(text))

    def _next_content(self, reader: ContentReader) -> ContentBegun | ContentReceived | ConnectionLost | NeedData:
        content, rest = reader.feed(self.incoming.take_all())
        if rest is not None and not self._content_size and len(content) <= self.max_message and self.stop_after is None:
            # The whole message came at once.
            return self._content_received(content, len(content), rest)
        self._content += content[: max(0, self.max_message - self._content_size)]
        self._content_size += len(content)
        if self.stop_after is not None and (rest is not None or self._content_size >= self.stop_after):
            begun, self.stop_after = bytes(self._content[: self.stop_after]), None
            if rest is not None:
                # The end is there already: it waits until what comes of this event is done.
                self._reader = ContentReader(lenient=self.lenient)
                self.incoming.feed(b".\r\n" + rest)
            return ContentBegun(begun, "message")
        if rest is None:
            return self._lost() if self._closed else NEED_REST
        size, self._content_size = self._content_size, 0
        kept = bytes(self._content)
        self._content.clear()
        return self._content_received(kept, size, rest)

    def _content_received(self, kept: bytes, size: int, rest: bytes) -> ContentReceived:
        if rest:
            self.incoming.feed(rest)
        self._reader = None
        self._verb = CONTENT
        return _new(ContentReceived, (kept, size, "message", size > len(kept)))

    def _lost(self) -> ConnectionLost:
        self.state = State.CLOSED
        return ConnectionLost(self.incoming.take_all(), self.stage, bytes(self._content))


def _read_command(line: bytes, state: State, stage: Stage, lmtp: bool) -> CommandReceived | CommandRejected:
    """What a line means in this state: a command that may be given, or the refusal it earns.

    Whether BDAT may be given is not looked at: its octets follow in any case.
    """
    try:
        command = parse_command(line)
    except CommandError as error:
        return _reject(line, stage, error.verb, error.code, str(error))
    verb, foreign = command.verb, _NOT_IN_LMTP if lmtp else _NOT_IN_SMTP
    stage = STAGE_OF_VERB.get(verb, stage)
    if len(line) > line_limit(verb):
        return _reject(line, stage, verb, 500, "Line too long.", Deviation.LINE_OVER_LIMIT)
    if verb not in VERBS or verb in foreign:
        return _reject(line, stage, verb, 500, "Command not recognized.")
    if verb not in ALLOWED[state] and verb != "BDAT":
        return _reject(line, stage, verb, 503, why_not(state, verb))
    return CommandReceived(line, stage, command)


#: Clients repeat themselves, so what the last lines meant is remembered; an event never changes.
_read_repeated = lru_cache(maxsize=1024)(_read_command)


def _reject(
    line: bytes, stage: Stage, verb: str, code: int, why: str, deviation: Deviation | None = None
) -> CommandRejected:
    """The refusal of a line that begins with `verb`, at this stage or at the verb's own."""
    enhanced = "5.5.1" if code == 503 else "5.5.2" if code == 500 else "5.5.4"
    # The reason may repeat what the client sent, which need not be fit for a reply.
    why = _UNPRINTABLE.sub("?", why[:_MAX_WHY])
    return CommandRejected(line, STAGE_OF_VERB.get(verb, stage), verb, Reply(code, (f"{enhanced} {why}",)), deviation)
