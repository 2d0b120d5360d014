"""A session as somebody pasted it from a program's output: telnet, openssl, swaks, curl -v, a library's debugging.

    text ──> who said each line (`said`) ──> a session is put together from it ──> transcript

Where the program marks nothing, the grammar decides: what begins with a reply code is the server's, a command the
client's, and between 354 and the dot everything is.
"""

from __future__ import annotations

import re
from collections import deque
from typing import NamedTuple

from ehlo.explain.exceptions import read_exception
from ehlo.explain.failures import Failure, failure_in
from ehlo.explain.foreign import FOREIGN
from ehlo.explain.said import VERBS, Said, who_said
from ehlo.smtp.command import decode_base64
from ehlo.smtp.reply import Reply
from ehlo.smtp.stages import STAGE_OF_VERB, Stage
from ehlo.transcript.event import NO_FACTS, Event, Facts, JsonValue, Kind, Who
from ehlo.transcript.redaction import stray_response
from ehlo.transcript.transcript import Header, Transcript

#: So many lines behind a session may have a stack trace.
_TAIL = 200
#: More than any session that a person copies.
_MAX_EVENTS = 4000


class Paste(NamedTuple):
    """A pasted session, and the id of the program that wrote it ("" where nothing tells)."""

    transcript: Transcript
    software: str


def read_paste(text: str) -> Paste | None:
    """The session in a text; None if it is none. Secrets are still in it: redact it before it is shown."""
    software, lines = who_said(text)
    session = _Session(software, lines)
    for line in lines:
        session.add(line)
    session.end()
    if not session.is_one:
        return None
    if session.open:
        for case in read_exception(session.tail)[:1]:
            session.ended_by(case.code, case.text, Failure(case.error, case.certificate, case.stage))
    target = session.host + (f":{session.port}" if session.host and session.port not in (0, 25) else "")
    return Paste(Transcript(Header("client", 0.0, target), session.events), software)


#: A stack trace begins: com.sun.mail.smtp.SMTPSendFailedException: 530 ...
_EXCEPTION = re.compile(r"\s*(?:[\w$\\]{1,60}[.:\\]{1,2}){1,12}\w{0,60}(?:Exception|Error)\b|Traceback |\s+at \w")
_REPLY = re.compile(r"([2-5]\d\d)([ -]|$)")
_COMMAND = re.compile(VERBS, re.IGNORECASE)
#: What a program says of its own never goes on with what a server said.
_OF_PROGRAM = re.compile(r"\s*(?:DEBUG|INFO|WARN|ERROR|TRACE)\b")
#: An address, with which a name is looked up no more.
_IP = re.compile(r"[\d.]+|[\da-fA-F.]*:[\da-fA-F:.]*")
_NEXT = re.compile(r"\s*(?:Trying|Connected to) ")
_HOST = r"(?P<host>\[?[\w.:-]{1,255}?\]?)"
_PORT = r"(?P<port>\d{1,5})"
#: How programs say where they connect to.
_TRYING = tuple(
    re.compile(pattern)
    for pattern in (
        # Behind a prompt, which may end with any of these.
        rf"(?:.{{0,80}}[>$#%] ?|\W{{0,5}})(?:telnet|nc|ncat|netcat)(?: -\w+)* {_HOST} {_PORT}\s*$",
        rf".{{0,40}}openssl s_client .{{0,300}}-connect {_HOST}:{_PORT}\b",
        rf"\W{{0,5}}Host {_HOST}:{_PORT} was resolved\.",
        # Without brackets an address of IPv6 has no port behind it.
        rf"\W{{0,5}}Trying (?P<host>\[[\da-fA-F:.]{{2,45}}\]|[\w.-]{{1,255}}):{_PORT}\.\.\.",
        rf"\s*✗ connect +{_HOST}:{_PORT}(?P<failed>\b)",
        # Windows says all in one line, in its own language.
        rf"(?:Connecting To|Verbindungsaufbau zu|Connexion à) ?{_HOST}\.\.\.(?P<failed>.{{0,120}}?)"
        rf"(?:[Pp]orta?|el puerto) {_PORT}\b",
        rf"\W{{0,5}}Trying {_HOST}\.\.\.",
        rf"connect: to \('{_HOST}', {_PORT}\)",
        rf".{{0,60}}trying to connect to host \"{_HOST}\", port {_PORT}",
        rf".{{0,40}}Connection: opening to (?:ssl://|tls://|tcp://)?{_HOST}:{_PORT}\b",
        rf"(?:host = {_HOST}|port = {_PORT})\s*$",
        rf".{{0,40}}Starting connection.{{0,40}}\"?(?:ssl://|tls://|tcp://)?{_HOST}:{_PORT}\b",
    )
)
#: How they say that they are connected.
_CONNECTED = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\W{{0,5}}Connected to {_HOST}(?: \((?P<address>[\da-fA-F.:]{{3,45}})\) port {_PORT}.{{0,20}}|\.)\s*$",
        rf".{{0,40}}Connection established to {_HOST}:{_PORT}\b",
        rf"Connected to smtps?://{_HOST}:{_PORT}\b",
        r"CONNECTED\([\da-fA-F]+\)",
        rf"Connection to {_HOST} {_PORT} port .{{0,60}}succeeded",
        rf"Ncat: Connected to {_HOST}:{_PORT}\.",
        r".{0,40}Connection: opened\b",
        rf"\s*✓ connect +{_HOST}:{_PORT}\b",
    )
)
#: ... and what was agreed on.
_TLS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\W{0,5}TLS started with cipher (?:(?P<version>TLSv[\d.]+|SSLv\d):)?(?P<cipher>[\w-]{3,60})",
        r"\W{0,5}SSL connection using (?P<version>TLSv[\d.]+|SSLv\d) / (?P<cipher>[\w-]{3,60})",
        r"New, (?P<version>TLSv[\d.]+|SSLv\d)[^,]{0,20}, Cipher is (?P<cipher>(?!\(NONE)[\w-]{3,60})",
        r"\s*\((?P<version>TLS[\d.]+)\)-(?P<cipher>\([\w()-]{3,120}\))",
        r"(?:.{0,40}Connection upgraded with STARTTLS|TLS session parameters:"
        r"|.{0,40}TLS negotiation succeeded)(?P<version>)",
        r"[✓!] (?:starttls|tls) +(?P<version>TLS [\d.]+)",
    )
)
_AUTH_HIDDEN = re.compile(r"\s*DEBUG SMTP: AUTH ([\w-]{1,20}) command trace suppressed")
_AUTH_DONE = re.compile(r"\s*DEBUG SMTP: AUTH [\w-]{1,20} succeeded")
_OPENS = re.compile(
    r"\s*(?:\* {1,3}|=== |== Info: )?(?:Trying [\w.:\[\]-]+|Connected to |CONNECTED\(|Escape character|telnet: "
    r"|Connecting To |Verbindungsaufbau zu |Connexion à "
    r"|Ncat: |nc: "
    r"|Connection: opening to|connect: to \()|DEBUG SMTP: trying to connect"
)
#: Lines in which words of failure mean nothing, or a reply comes again.
_IGNORED = re.compile(
    r"\s*(?:\W{0,3}TLSv?[\d.]+ \((?:IN|OUT)|File \"|raise |at [\w$.<(]|#\d"
    r"|DEBUG SMTP: (?:exception|useEhlo|Attempt)|Early data|Secure Renegotiation|tls_|issuer=|subject="
    r"|-----|Verify return code: 0|Verification: OK|\d\d[0-9A-Fa-f]{2}: )|.{0,300}(?<![\w.])[45]\d\d[ -]"
    r"|.{0,80}failed: [45]\d\d\b",
)
_FAILS = re.compile(
    r"fail|error|problem|unable|issuer|refus|tim(?:ed|e)[- ]?out|unreach|no route|not known|resol|close|reset|lost"
    r"|unexpected|EOF|wrong|expired|verif"
    r"|self[- ]signed|mismatch|not match|no such host|denied|not (?:yet )?valid|not supported|trusted|\bbad\b"
    r"|broken|drop|can't|RENEGOTIATING|KEYUPDATE|could not|Didn't find"
    r"|keine Verbindung|Impossible d|No se puede",
    re.IGNORECASE,
)
_OWN = re.compile(r"\s*[✓✗!-] (?P<stage>dns|connect|tls|starttls) ")
_CONNECT_ERRORS = frozenset({"refused", "unreachable", "local-address", "connect-failed", "not-permitted"})
_DNS_ERRORS = frozenset({"no-such-host", "no-address", "dns-failed"})
_TLS_ERRORS = frozenset({"tls-failed", "tls-cut", "tls-timed-out", "no-handshake"})
#: Programs that cannot encrypt; others do not show the handshake, or not in every case.
_WITHOUT_TLS = frozenset({"telnet", "netcat"})
#: What else may be wrong with a certificate whose chain is wrong.
_OF_THEIR_OWN = frozenset({"expired", "not-yet-valid", "wrong-name"})
_LOST = frozenset({"closed", "reset", "timed-out"})


#: Codes that answer one command alone (RFC 4954 §4 and §6, RFC 5321 §4.2.3).
_STAGE_OF_CODE: dict[int, Stage] = {
    **dict.fromkeys((235, 334, 432, 530, 534, 535, 538), "auth"),
    221: "quit",
    250: "ehlo",
    354: "data",
}


def _stage_at_first(found: re.Match[str]) -> Stage:
    """The stage of a reply that nothing stands before: the greeting, unless its code or its words belong elsewhere."""
    code = int(found[1])
    if code in _STAGE_OF_CODE:
        return _STAGE_OF_CODE[code]
    if code == 220:
        return "banner"
    from ehlo.knowledge.rules import load_rules

    return load_rules().stage_of(Reply(code, (found.string[found.end() :].strip(),)), "banner")


class _Session:
    """Puts the events of a session together from lines."""

    def __init__(self, software: str, lines: list[Said]) -> None:
        self.events: list[Event] = []
        self.host, self.port = "", 0
        self._address = ""
        self._software = software
        self._lines = lines
        self._number = self._spoken = -1
        self._t = 0.0
        self._stage: Stage = "banner"
        self._pending: deque[tuple[str, Stage]] = deque()
        self._greeted = False
        self._connected = False
        self._opened = False
        self._commands = 0
        self._replies = 0
        self._reply = 0
        self._unfinished = False
        self._in_auth = self._auth_refused = False
        self._content: list[str] | None = None
        self._tls: int | None = None
        self._tls_due = False
        self._problems: dict[str, str] = {}
        self._failed = False
        self._over = False
        self._mute = False
        self._in_certificate = False
        dots = [number for number, line in enumerate(lines) if line.text == "."]
        self._last_dot = dots[-1] if dots else -1
        first = next((line.text for line in lines if _is_reply(line)), "")
        #: openssl says nothing of the greeting, EHLO and STARTTLS that went before its handshake.
        self._starttls_hidden = software == "openssl" and (
            first[:3] not in ("", "220") or any("-starttls" in line.text for line in lines[:50])
        )

    @property
    def is_one(self) -> bool:
        """Whether it was a session at all."""
        both = self._commands and self._replies
        return bool(both or (self._opened and (self._replies or self._failed or self._problems)))

    @property
    def open(self) -> bool:
        """Whether nothing is known yet of how it ended."""
        return not self._failed and not self._over and (bool(self._pending) or self._reply < 400) and self._reply != 221

    @property
    def tail(self) -> str:
        """What stands behind the last line that was said."""
        return "\n".join(line.text for line in self._lines[self._spoken + 1 :][-_TAIL:])

    def add(self, line: Said) -> None:
        """Take the next line."""
        self._number += 1
        if len(self.events) >= _MAX_EVENTS:
            return
        self._t = line.t
        if _OPENS.match(line.text):
            self._opened = True
        if line.who == "client":
            self._client(line.text)
        elif line.who == "server":
            self._server(line.text)
        elif line.who == "about":
            self._about(line.text)
        else:
            self._unmarked(line.text)

    def end(self) -> None:
        """No line comes any more."""
        if self._content is not None:
            self._end_content(partial=True)
        if self._tls_due and self._problems:
            self._handshake({})
        if self._problems and self._tls is None:
            self._handshake({}, "starttls" if self._starttls_hidden else "tls")
        if self._problems and not self._went_on() and self._software != "openssl":
            self._error(
                "certificate-not-verified", next(iter(self._problems.values())), self.events[self._tls or 0].stage
            )

    def ended_by(self, code: int, text: str, failure: Failure) -> None:
        """How a program said at last that it ended."""
        if code and self._pending:
            lines = text.split("\n") or [""]
            for number, line in enumerate(lines):
                self._server(f"{code}{' ' if number == len(lines) - 1 else '-'}{line}")
        elif failure.error or failure.certificate:
            self._failure(failure, text)
            self.end()

    # Lines.

    def _unmarked(self, text: str) -> None:
        if not self._replies and self._content is None and FOREIGN.match(text):
            self._foreign(text)
            return
        # Without a dot further on, a reply ends the content, or else the paste does.
        if self._content is not None and not (self._number > self._last_dot and _REPLY.match(text)):
            self._client(text)
            return
        if self._in_certificate or text.startswith("-----BEGIN"):
            self._in_certificate = not text.startswith("-----END")
            return
        if self._unfinished and self._wraps(text):
            return
        if _REPLY.match(text):
            self._server(text)
        elif _COMMAND.match(text) or self._is_response(text):
            self._client(text)
        elif not self._continues(text):
            self._about(text)

    def _is_response(self, text: str) -> bool:
        """Whether a line belongs to a login, also where it went astray: to one that was refused, or to one that was
        misspelt. The redactor has to see it, for what the server repeats of it is a secret, too."""
        word = text.strip()
        if not word or " " in word:
            return stray_response(text) is not None and decode_base64(word.rsplit(None, 1)[-1]) is not None
        return self._in_auth or (self._auth_refused and decode_base64(word) is not None)

    def _wraps(self, text: str) -> bool:
        """Whether a terminal or a mail program broke a reply that goes on."""
        return bool(text) and not _REPLY.match(text) and not _COMMAND.match(text) and self._continues(text)

    def _continues(self, text: str) -> bool:
        last = self.events[-1] if self.events else None
        if last is None or last.who != "server" or last.kind != "line" or not text.strip() or self._tells(text):
            return False
        if _EXCEPTION.match(text) or _OF_PROGRAM.match(text):
            return False
        before = self._lines[self._number - 1].text
        if len(before) < 60 or last.data is None or len(last.data) > 2000:
            return False
        self.events[-1] = last._replace(
            data=last.data.rstrip(b"\r\n") + f" {text.strip()}\r\n".encode("utf-8", "replace")
        )
        return True

    def _tells(self, text: str) -> bool:
        return any(pattern.match(text) for pattern in (*_TRYING, *_CONNECTED, *_TLS)) or (
            bool(_FAILS.search(text)) and failure_in(text) is not None
        )

    def _server(self, text: str) -> None:
        found = _REPLY.match(text)
        if found is not None and not self._connected and self._stage == "banner":
            # Nothing shows the connection being made: what was pasted may begin in the middle of a session.
            self._stage = _stage_at_first(found)
        self._connected = True
        if found is None:
            # Not a reply at all, but somebody said it: the rules for foreign servers want to see it.
            if self._replies and not self._unfinished:
                return
            if FOREIGN.match(text):
                self._foreign(text)
                return
            self._line("server", self._pending[0][1] if self._pending else self._stage, text)
            return
        code = int(found[1])
        self._mute = False
        if self._content is not None:
            self._end_content()
        hidden = self._starttls_hidden and not self._greeted
        stage: Stage = self._pending[0][1] if self._pending else "ehlo" if hidden else self._stage
        self._line("server", stage, text)
        self._unfinished = found[2] == "-"
        if self._unfinished:
            return
        self._replies += 1
        self._greeted = True
        self._reply = code
        verb, _ = self._pending.popleft() if self._pending else ("", stage)
        self._in_auth = verb == "AUTH" and code == 334
        if verb == "AUTH":
            self._auth_refused = code >= 400
        if verb == "DATA" and code // 100 == 3:
            self._content = []
        elif verb == "STARTTLS" and code // 100 == 2:
            self._tls_due = True

    def _client(self, text: str) -> None:
        if self._content is not None:
            if text == ".":
                self._end_content()
            else:
                self._content.append(text[1:] if text.startswith("..") else text)
            return
        if not text.strip() or self._mute:
            return
        if self._tls_due and self._software in _WITHOUT_TLS:
            self._failure(Failure("no-handshake"), "the session went on in clear behind STARTTLS")
            return
        if self._tls_due:
            self._handshake({})
        self._commands += 1
        self._greeted = self._greeted or bool(self._pending)
        words = text.upper().split(None, 2)
        verb = "AUTH" if self._in_auth else words[0]
        if verb not in ("AUTH", "BDAT") or not self._in_auth:
            self._stage = STAGE_OF_VERB.get(verb, self._stage)
        self._in_auth = False
        stage: Stage = "ehlo" if self._stage == "banner" else self._stage
        self._line("client", stage, text)
        self._pending.append((verb, stage))

    def _foreign(self, text: str) -> None:
        """A server that speaks no SMTP: what else it says is of no interest."""
        if self._over:
            return
        stage = self._pending[0][1] if self._pending else "banner"
        self._connected = self._mute = self._over = True
        self._line("server", stage, text)
        self._error("no-reply-code", text, stage)

    def _line(self, who: Who, stage: Stage, text: str) -> None:
        self._spoken = self._number
        self._event(who, "line", stage, text.encode("utf-8", "replace") + b"\r\n")

    def _end_content(self, *, partial: bool = False) -> None:
        lines = self._content or []
        self._content = None
        data = "".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace")
        if partial and not lines:
            return
        self._event("client", "data", "message", data, {"partial": True} if partial else NO_FACTS)
        self._stage = "message"
        if not partial:
            self._pending.append(("", "message"))

    def _event(self, who: Who, kind: Kind, stage: Stage, data: bytes | None = None, facts: Facts = NO_FACTS) -> None:
        self.events.append(Event(self._t, who, kind, stage, data, None, facts))

    # What the program says of its own.

    def _about(self, text: str) -> None:
        if not text.strip():
            return
        for pattern in _TRYING:
            if found := pattern.match(text):
                self._try(found.groupdict())
                if "failed" in found.groupdict():
                    break
                if _NEXT.match(text, found.end()):
                    # Line ends get lost when somebody copies.
                    self._about(text[found.end() :])
                return
        for pattern in _CONNECTED:
            if found := pattern.match(text):
                self._connect(found.groupdict())
                return
        for pattern in _TLS:
            if found := pattern.match(text):
                self._handshake({"version": found["version"], "cipher": found.groupdict().get("cipher")})
                break
        if found := _AUTH_HIDDEN.match(text):
            self._client(f"AUTH {found[1]}")
        elif _AUTH_DONE.match(text) and self._pending:
            self._server("235 (accepted; the program does not show the reply)")
        elif _FAILS.search(text) and not _IGNORED.match(text) and (self._software != "ehlo" or _OWN.match(text)):
            failure = failure_in(text)
            if failure is not None:
                self._failure(failure, text.strip(" *=\t"))

    def _try(self, groups: dict[str, str | None]) -> None:
        self._place(groups)
        self._go_on()

    def _go_on(self) -> None:
        """Another address is tried, or has answered: what comes now belongs to it."""
        if self.events and self.events[-1].kind == "connect":
            self._failed = self._over = False

    def _place(self, groups: dict[str, str | None]) -> None:
        host = (groups.get("host") or "").strip("[]")
        if _IP.fullmatch(host):
            # An address is one of the host that was named, if there was one.
            self._address = host
        self.host = host if host and not (_IP.fullmatch(host) and self.host) else self.host
        self.port = min(int(groups.get("port") or self.port), 65535)

    def _connect(self, groups: dict[str, str | None]) -> None:
        self._place(groups)
        address = groups.get("address") or self._address
        if self._connected and not self._replies:
            return
        self._connected = True
        self._go_on()
        # A new connection: what was open is lost.
        self._pending.clear()
        self._greeted, self._stage, self._tls_due, self._in_auth = False, "banner", False, False
        self._mute = False
        if self.host:
            facts: Facts = {"address": address or self.host, "port": self.port or 25, "local": ""}
            self._event("net", "connect", "connect", facts=facts)

    def _handshake(self, known: dict[str, str | None], stage: Stage | None = None) -> None:
        stage = stage or ("starttls" if self._tls_due or self._starttls_hidden or self._greeted else "tls")
        # What a program does not say is empty.
        facts: Facts = {"version": known.get("version") or "TLS", "cipher": known.get("cipher") or "", "bits": 0}
        self._tls_due = False
        if self._tls is not None and not self._went_on():
            self.events[self._tls] = self.events[self._tls]._replace(facts={**self.events[self._tls].facts, **facts})
            return
        self._tls = len(self.events)
        self._event("net", "tls", stage, facts=facts)
        self._add_problem()

    def _went_on(self) -> bool:
        """Whether anything was said after the handshake."""
        return self._tls is not None and any(event.kind == "line" for event in self.events[self._tls + 1 :])

    def _add_problem(self) -> None:
        if self._problems and self._tls is not None:
            event = self.events[self._tls]
            problem, detail = next(iter(self._problems.items()))
            problems: dict[str, JsonValue] = {**self._problems}
            facts = {**event.facts, "problem": problem, "detail": detail, "problems": problems}
            self.events[self._tls] = event._replace(facts=facts)

    def _failure(self, failure: Failure, text: str) -> None:
        if failure.certificate:
            self._problems.pop("not-verified", "")
            # Of a chain, programs say the same in several words; its dates and its name are other things.
            if not self._problems or failure.certificate in _OF_THEIR_OWN:
                self._problems.setdefault(failure.certificate, text[:500])
                self._explain_handshake()
                self._add_problem()
            return
        error = failure.error
        last = self.events[-1] if self.events else None
        if self._failed and last is not None and last.fact("error") == "connect-failed" and error in _CONNECT_ERRORS:
            # The line behind says why.
            self.events[-1] = last._replace(facts={**last.facts, "error": error, "message": text[:500]})
            return
        if self._failed or self._refused(error):
            self._over = True
            return
        if error in _DNS_ERRORS:
            facts: Facts = {"name": self.host, "error": error, "message": text[:500]}
            self._event("net", "dns", "dns", facts=facts)
        elif error in _TLS_ERRORS:
            stage: Stage = "starttls" if self._tls_due or self._starttls_hidden else "tls"
            self._tls_due = False
            self._event("net", "tls", stage, facts={"error": error, "message": text[:500]})
            # What the program would have said now has no connection to go over.
            self._mute = True
        elif error in _LOST and failure.stage == "banner":
            self._error(error, text, "banner")
        elif not self._connected and (error in _CONNECT_ERRORS or error in _LOST):
            address = self._address or self.host
            where: Facts = {"address": address, "port": self.port, "error": error, "message": text[:500]}
            self._event("net", "connect", "connect", facts=where)
        elif error in _CONNECT_ERRORS:
            return
        elif error in _LOST:
            self._error(error, text, self._pending[0][1] if self._pending else self._stage)
        else:
            self._error(error, text, failure.stage or self._stage)
        self._failed = self._over = True

    def _explain_handshake(self) -> None:
        """If the handshake has just failed: it did so over the certificate, as it turns out."""
        last = self.events[-1] if self.events else None
        if last is None or last.kind != "tls" or "error" not in last.facts:
            return
        self._tls = len(self.events) - 1
        self.events[self._tls] = last._replace(facts={"version": "TLS", "cipher": "", "bits": 0})
        self._failed = False

    def _refused(self, error: str) -> bool:
        """Whether all is said already: a goodbye, or a refusal after which nothing was open."""
        return error in _LOST and not self._pending and self._greeted and (self._reply >= 400 or self._reply == 221)

    def _error(self, error: str, text: str, stage: Stage) -> None:
        self._failed = True
        self._event("net", "error", stage, facts={"error": error, "message": text[:500]})


def _is_reply(line: Said) -> bool:
    return line.who in ("server", "unmarked") and bool(_REPLY.match(line.text))
