"""A session overheard: the octets of both directions, as they passed, become the events of a transcript.

    octets, who sent them, when ──> lines, with the stage of the command they belong to ──> events

It looks only, and it never raises. What a client sends on after DATA, AUTH and STARTTLS means one thing if the
server agrees and another if it does not, so it is kept until the reply is there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ehlo.smtp.content import ContentReader
from ehlo.smtp.lines import LineTooLongError, ReceiveBuffer
from ehlo.smtp.reply import MAX_REPLY_LINE, ReplyLine, parse_reply_line
from ehlo.smtp.stages import STAGE_OF_VERB, Stage
from ehlo.transcript.event import NO_FACTS, Event, Facts, Kind, Who

#: Room for any line of a client (RFC 5321 §4.5.3.1.4, RFC 4954 §4: 12,288 octets for AUTH).
MAX_COMMAND_LINE = 16_384
#: So much of a message is kept.
MAX_CONTENT = 1 << 20
#: So many events a session has at most.
MAX_EVENTS = 100_000
#: The verbs whose reply decides what the client's next octets are.
_DECIDE = frozenset({"DATA", "AUTH", "STARTTLS"})


class Overheard:
    """Turns what two others say into events, each handed to `put` as soon as it is complete."""

    def __init__(self, put: Callable[[Event], None]) -> None:
        self._put = put
        self._events = 0
        self._from = {"client": _Direction(), "server": _Direction()}
        self._pending: deque[tuple[str, Stage]] = deque()
        self._stage: Stage = "banner"
        self._deciding = ""
        self._content: ContentReader | None = None
        self._message = _Message()
        self._chunk: int | None = None
        self._first_line: ReplyLine | None = None
        #: Whether STARTTLS was agreed on: what comes now is TLS, and `heard` gives it back.
        self.encrypted = False
        self.greeted = False

    @property
    def stage(self) -> Stage:
        """Where the session stands: the stage of the command that waits for its reply, else of the last one."""
        return self._pending[0][1] if self._pending else self._stage

    @property
    def waiting(self) -> bool:
        """Whether the server owes the client a reply."""
        return bool(self._pending) or not self.greeted

    def heard(self, t: float, who: Who, data: bytes) -> bytes:
        """Take what passed at `t`, in seconds since the session began. Gives back what is TLS, not SMTP."""
        if self.encrypted:
            return data
        direction = self._from[who]
        if direction.lines.empty:
            direction.began = t
        direction.lines.feed(data)
        if who == "server":
            self._server(t)
            # The reply may have decided what the client has already sent.
            self._client(t)
        else:
            self._client(t)
        return self._tls()

    def _tls(self) -> bytes:
        return self._from["client"].lines.take_all() if self.encrypted else b""

    def end(self, t: float) -> None:
        """Nothing comes any more: what is unfinished is told as far as it came."""
        if self._content is not None:
            self._end_content(t, partial=True)

    def _server(self, t: float) -> None:
        direction = self._from["server"]
        while not self.encrypted:
            try:
                line = direction.lines.take_line(MAX_REPLY_LINE)
            except LineTooLongError as error:
                self._event(t, "net", "error", self.stage, facts={"error": "line-too-long", "message": str(error)})
                continue
            if line is None:
                return
            self._reply_line(t, direction.take(t), line)

    def _reply_line(self, t: float, first: float, line: bytes) -> None:
        stage = self.stage
        self._event(t, "server", "line", stage, line, first)
        part = parse_reply_line(line)
        if part.code is None and self._first_line is None:
            message = "what came is no reply of SMTP"
            self._event(t, "net", "error", stage, facts={"error": "no-reply-code", "message": message})
            return
        self._first_line = part if part.more or part.code is None else None
        if self._first_line is not None:
            return
        code = part.code or 0
        if not self.greeted and not self._pending:
            self.greeted = True
            return
        verb = self._pending.popleft()[0] if self._pending else ""
        if verb == self._deciding:
            self._decided(verb, code)

    def _decided(self, verb: str, code: int) -> None:
        self._deciding = ""
        if verb == "DATA" and code // 100 == 3:
            self._content, self._message = ContentReader(), _Message()
        elif verb == "AUTH" and code // 100 == 3:
            self._deciding = "response"
        elif verb == "STARTTLS" and code // 100 == 2:
            self.encrypted = True

    def _client(self, t: float) -> None:
        direction = self._from["client"]
        while not direction.lines.empty and not self.encrypted:
            if self._content is not None:
                self._read_content(t, direction, self._content)
            elif self._chunk is not None:
                self._read_chunk(t, direction, self._chunk)
            elif self._deciding and self._deciding != "response":
                return
            else:
                try:
                    line = direction.lines.take_line(MAX_COMMAND_LINE)
                except LineTooLongError as error:
                    line = error.start
                if line is None:
                    return
                self._command(t, direction.take(t), line)

    def _command(self, t: float, first: float, line: bytes) -> None:
        words = line.decode("ascii", "replace").upper().split()
        verb = "AUTH" if self._deciding == "response" else words[0] if words else ""
        self._deciding = verb if verb in _DECIDE else ""
        self._stage = STAGE_OF_VERB.get(verb, "ehlo" if self._stage == "banner" else self._stage)
        self._event(t, "client", "line", self._stage, line, first)
        self._pending.append((verb, self._stage))
        if verb == "BDAT" and len(words) > 1 and words[1].isdecimal() and len(words[1]) < 20:
            self._chunk = int(words[1])
            self._message = _Message()
            if not self._chunk:
                self._end_chunk(t)

    def _read_content(self, t: float, direction: _Direction, reader: ContentReader) -> None:
        content, rest = reader.feed(direction.lines.take_all())
        self._message.add(content, t)
        if rest is not None:
            self._end_content(t)
            direction.lines.feed(rest)
            direction.began = t

    def _end_content(self, t: float, *, partial: bool = False) -> None:
        self._content = None
        self._stage = "message"
        facts = {**self._message.facts, **({"partial": True} if partial else {})}
        self._event(t, "client", "data", "message", self._message.octets, self._message.began, facts)
        if not partial:
            self._pending.append(("", "message"))

    def _read_chunk(self, t: float, direction: _Direction, missing: int) -> None:
        data = direction.lines.take_all()
        self._message.add(data[:missing], t)
        direction.lines.feed(data[missing:])
        direction.began = t
        self._chunk = missing - min(len(data), missing)
        if not self._chunk:
            self._end_chunk(t)

    def _end_chunk(self, t: float) -> None:
        self._chunk = None
        facts = {**self._message.facts, "chunk": True}
        self._event(t, "client", "data", "message", self._message.octets, self._message.began, facts)

    def _event(
        self,
        t: float,
        who: Who,
        kind: Kind,
        stage: Stage,
        data: bytes | None = None,
        first: float | None = None,
        facts: Facts = NO_FACTS,
    ) -> None:
        self._events += 1
        if self._events <= MAX_EVENTS:
            self._put(Event(t, who, kind, stage, data, None if first == t else first, facts))


class _Direction:
    """What one side has sent and is not understood yet, and when the first octet of it came."""

    __slots__ = ("began", "lines")

    def __init__(self) -> None:
        self.lines = ReceiveBuffer()
        self.began = 0.0

    def take(self, t: float) -> float:
        """When the line that has just been taken began; the next one began now."""
        began, self.began = self.began, t
        return began


class _Message:
    """The content of a message as far as it is kept."""

    __slots__ = ("_kept", "began", "received")

    def __init__(self) -> None:
        self._kept = bytearray()
        self.received = 0
        self.began: float | None = None

    @property
    def octets(self) -> bytes:
        return bytes(self._kept)

    @property
    def facts(self) -> dict[str, bool | int]:
        dropped = self.received > len(self._kept)
        return {"truncated": True, "received": self.received} if dropped else {}

    def add(self, octets: bytes, t: float) -> None:
        self.began = t if self.began is None else self.began
        self.received += len(octets)
        self._kept += octets[: MAX_CONTENT - len(self._kept)]
