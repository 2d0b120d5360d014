"""The client's end of a session, without any I/O.

    conn = ClientConnection()
    conn.receive_data(b"220 mail.example.com ESMTP\\r\\n")
    conn.next_event()            # ReplyReceived(verb=CONNECT, reply=Reply(220, ...))
    conn.send(ehlo("here.org"))  # b"EHLO here.org\\r\\n"

Bytes go in by `receive_data`, events come out of `next_event`, and `send` gives the bytes for the
wire. Commands may be sent ahead of their replies (RFC 2920); each reply is matched to the oldest
command that has none. Violations by this side raise `LocalProtocolError`, by the server
`RemoteProtocolError`; nothing else is raised.
"""

from __future__ import annotations

import base64
from collections import deque

from ehlo.smtp.capabilities import Capabilities, parse_capabilities
from ehlo.smtp.command import Command
from ehlo.smtp.content import DotStuffer
from ehlo.smtp.deviations import Deviation, LocalProtocolError, RemoteProtocolError
from ehlo.smtp.events import NEED_DATA, NEED_REST, ClientEvent, ConnectionLost, ReplyPart, ReplyReceived
from ehlo.smtp.lines import LineTooLongError, ReceiveBuffer
from ehlo.smtp.reply import MAX_REPLY_LINE, ReplyReader
from ehlo.smtp.stages import STAGE_OF_VERB, Stage
from ehlo.smtp.states import ALLOWED, CONNECT, CONTENT, LAST_CHUNK, State, after, why_not

#: RFC 2920 §3.1: only these may be followed by another command before their reply has come; so may the
#: final dot of a message.
_PIPELINED = frozenset({"RSET", "MAIL", "RCPT", "BDAT", LAST_CHUNK, CONTENT})
#: The reply to a message that announces one more for each recipient, and then one for them all (PRDR,
#: draft-hall-prdr §3.3).
_REPLIES_FOLLOW = 353

#: What begins the session anew; XCLIENT leaves it to the EHLO behind it to say what is offered.
_GREETS_OR_INTRODUCES = frozenset({"EHLO", "HELO", "LHLO", "XCLIENT"})
#: What sets the count of accepted recipients back.
_NEW_TRANSACTION = frozenset({"MAIL", "RSET", "EHLO", "HELO", "LHLO"})

# Half the price of calling the class, paid for every line.
_new = tuple.__new__


class ClientConnection:
    """A session as the client sees it.

    `state` is what the replies so far confirm, `stage` where the session is now, `capabilities`
    what the last EHLO or HELO brought (None before it, after a TLS handshake and after XCLIENT).
    `recipients` counts those accepted in this transaction. With `lmtp` the server answers a message once
    for each of them (RFC 2033 §4.2). Without `dot_stuffing` the message goes out unsafe, for testers.
    """

    __slots__ = (
        "_ahead",
        "_closed",
        "_pending",
        "_replies",
        "_stuffer",
        "_typed",
        "capabilities",
        "dot_stuffing",
        "incoming",
        "lmtp",
        "recipients",
        "stage",
        "state",
    )

    def __init__(self, *, lmtp: bool = False, dot_stuffing: bool = True) -> None:
        self.state = State.CONNECTED
        self.stage: Stage = "banner"
        self.capabilities: Capabilities | None = None
        self.lmtp = lmtp
        self.dot_stuffing = dot_stuffing
        self.recipients = 0
        self._ahead = State.CONNECTED
        self.incoming = ReceiveBuffer()
        self._replies = ReplyReader()
        self._pending: deque[tuple[str, Stage]] = deque(((CONNECT, "banner"),))
        self._stuffer: DotStuffer | None = None
        self._typed = b""
        self._closed = False

    @property
    def awaiting(self) -> bool:
        """Whether a reply is still to come."""
        return bool(self._pending)

    # Sending.

    def send(self, command: Command) -> bytes:
        """The bytes of a command that may be given now; else raises `LocalProtocolError`."""
        verb = command.verb
        if verb not in ALLOWED[self._ahead]:
            raise LocalProtocolError(why_not(self._ahead, verb))
        if self._pending and self._pending[-1][0] not in _PIPELINED:
            raise LocalProtocolError(f"{verb} must wait for the reply to {self._pending[-1][0]} (RFC 2920 §3.1).")
        data = command.encode()
        self._expect(verb)
        self._ahead = after(self._ahead, verb, 354 if verb == "DATA" else 250)
        return data

    def send_literal(self, line: bytes, stage: Stage | None = None) -> bytes:
        """Any line at all, for a debugger that wants to do wrong; a reply to it is expected.

        It belongs to `stage`; without one, to the stage of its verb.
        """
        words = line.upper().split()
        verb = words[0][:10].decode("ascii", "replace") if words else ""
        if self.state is State.AUTH:
            verb = "AUTH"
        self._expect(LAST_CHUNK if verb == "BDAT" and words[-1] == b"LAST" else verb, stage)
        return line

    def send_octets(self, octets: bytes) -> bytes:
        """A line or a part of one, as somebody types it who wants to do wrong; a reply is expected to each line
        that is complete, or in a message to its final dot."""
        line = self._typed + octets
        self._typed = b"" if line.endswith(b"\n") else line
        if self._typed:
            return octets
        if self.state is not State.CONTENT or self._pending:
            self.send_literal(line)
            return octets
        self.stage = "message"
        if line == b".\r\n":
            self._expect_verdicts(CONTENT)
        return octets

    def send_auth_response(self, response: bytes | None) -> bytes:
        """The answer to a SASL challenge, None to give up the exchange (RFC 4954 §4)."""
        if self.state is not State.AUTH:
            raise LocalProtocolError(why_not(self.state, "A SASL response"))
        if self._pending:
            raise LocalProtocolError("A SASL response must wait for the server's challenge (RFC 4954 §4).")
        self._expect("AUTH")
        return b"*\r\n" if response is None else base64.b64encode(response) + b"\r\n"

    def send_content(self, chunk: bytes) -> bytes:
        """The wire form of a piece of the message. The server must have said 354."""
        if self.state is not State.CONTENT:
            raise LocalProtocolError(why_not(self.state, "The message"))
        if self._stuffer is None:
            if self._pending:
                raise LocalProtocolError("The message has ended; the reply to it is due (RFC 5321 §4.1.1.4).")
            self._stuffer = DotStuffer(stuffing=self.dot_stuffing)
            self.stage = "message"
        return self._stuffer.feed(chunk)

    def end_content(self) -> bytes:
        """The end of the message; a reply to it is expected."""
        self.send_content(b"")
        stuffer, self._stuffer = self._stuffer, None
        self._expect_verdicts(CONTENT)
        return stuffer.finish() if stuffer else b""

    def send_chunk(self, chunk: bytes, *, last: bool, anyway: bool = False) -> bytes:
        """A piece of the message as it is, with its BDAT command (RFC 3030 §2); a reply to it is expected.

        The recipients must have been answered: in LMTP their number is that of the replies to come. With
        `anyway` it is for a debugger that wants to do wrong.
        """
        command = b"BDAT %d%b\r\n" % (len(chunk), b" LAST" if last else b"")
        wrong = ""
        if "BDAT" not in ALLOWED[self._ahead]:
            wrong = why_not(self._ahead, "BDAT")
        elif self._pending and not self._pending[-1][0].startswith("BDAT"):
            wrong = f"BDAT must wait for the reply to {self._pending[-1][0]}."
        if wrong and anyway:
            return self.send_literal(command) + chunk
        if wrong:
            raise LocalProtocolError(wrong)
        self.stage = "message"
        if last:
            self._expect_verdicts(LAST_CHUNK)
        else:
            self._pending.append(("BDAT", "message"))
            self._ahead = after(self._ahead, "BDAT", 250)
        return command + chunk

    def send_literal_content(self, data: bytes) -> bytes:
        """Any octets at all in place of the message and its dot, or of its chunks; the replies to a message are
        expected."""
        if self.state is not State.CONTENT and "BDAT" not in ALLOWED[self.state]:
            raise LocalProtocolError(why_not(self.state, "The message"))
        self.stage = "message"
        self._expect_verdicts(CONTENT if self.state is State.CONTENT else LAST_CHUNK)
        return data

    def _expect_verdicts(self, verb: str) -> None:
        """The message has ended: one reply is due, or in LMTP one for each recipient."""
        for _ in range(max(1, self.recipients) if self.lmtp else 1):
            self._pending.append((verb, "message"))
        self._ahead = after(self._ahead, verb, 250)

    def _expect(self, verb: str, stage: Stage | None = None) -> None:
        self.stage = stage or STAGE_OF_VERB.get(verb, self.stage)
        self._pending.append((verb, self.stage))

    # Receiving.

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the server, in pieces of any size."""
        self.incoming.feed(data)

    def receive_eof(self) -> None:
        """The server closed the connection."""
        self._closed = True

    def next_event(self) -> ClientEvent:
        """The next event in the bytes received; `NEED_DATA` when there is none yet.

        Raises `RemoteProtocolError` when what came cannot be a reply or passes a bound. The
        session cannot go on after that.
        """
        if self.incoming.empty and not self._closed:
            return NEED_DATA
        try:
            line = self.incoming.take_line(MAX_REPLY_LINE)
        except LineTooLongError as error:
            self.state = State.CLOSED
            raise RemoteProtocolError(Deviation.LINE_TOO_LONG, error.start) from None
        if line is None:
            if not self._closed:
                return NEED_REST
            self.state = State.CLOSED
            return ConnectionLost(self.incoming.take_all(), self.stage)
        try:
            reply = self._replies.feed(line)
        except RemoteProtocolError:
            self.state = State.CLOSED
            raise
        pending = self._pending
        if reply is None:
            return _new(ReplyPart, (line, pending[0][1] if pending else self.stage))
        if not pending:
            # RFC 5321 §3.8 and §4.2.1: a server that shuts down says 421 unasked.
            if reply.code == 421:
                self.state = self._ahead = State.CLOSED
            unasked = reply._replace(deviations=(*reply.deviations, Deviation.UNASKED))
            return ReplyReceived(line, self.stage, "", unasked)
        verb, stage = pending.popleft()
        self.state = after(self.state, verb, reply.code)
        if verb == "RCPT":
            self.recipients += reply.code // 100 == 2
        elif verb in _NEW_TRANSACTION:
            self.recipients = 0
        elif reply.code == _REPLIES_FOLLOW and verb in (CONTENT, LAST_CHUNK):
            pending.extendleft([(verb, stage)] * (self.recipients + 1))
        if not pending or self.state is State.CLOSED:
            self._ahead = self.state
        if reply.code // 100 == 2 and verb in _GREETS_OR_INTRODUCES:
            self.capabilities = None if verb == "XCLIENT" else parse_capabilities(reply)
        return _new(ReplyReceived, (line, stage, verb, reply))

    def tls_started(self) -> None:
        """The handshake after STARTTLS is done: the session begins anew, at EHLO (RFC 3207 §4.2)."""
        if self.state is not State.TLS:
            raise LocalProtocolError(why_not(self.state, "A TLS handshake"))
        self.state = self._ahead = State.GREETED
        self.capabilities = None
        self.recipients = 0

    def check_before_tls(self) -> None:
        """Raises `RemoteProtocolError` when bytes came after the reply to STARTTLS in clear.

        Whoever sits on the path could have put them there; taking them for part of the protected
        session is the flaw of CVE-2011-0411 (RFC 3207 §6).
        """
        if self.incoming:
            raise RemoteProtocolError(Deviation.BYTES_BEFORE_TLS, self.incoming.take_all()[:MAX_REPLY_LINE])
