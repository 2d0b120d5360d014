"""Takes secrets out of a transcript before it is written or shown.

What stays: the mechanism, the user name, and the server's side. What goes: passwords, tokens and
whatever answers a challenge, also where a server repeats them in a reply. Where in a response the user
name is, its mechanism knows (`Mechanism.read`). Responses also go astray: they are sent on when AUTH was
refused, or stand behind a word that was meant to be AUTH.
The redactor sees the events one by one, in order, so that it works on a session still running. In
doubt it takes out too much: a line that may be a secret goes.
"""

from __future__ import annotations

import base64
import re
from collections import deque
from functools import cache

from ehlo.smtp.command import decode_base64
from ehlo.smtp.states import VERBS
from ehlo.transcript.event import NO_FACTS, Event, Facts, JsonValue
from ehlo.transcript.transcript import Transcript

REDACTED = "[redacted]"

#: Shorter secrets are not searched for in replies: they would be found everywhere.
_MIN_ECHO = 4
#: Bounds memory and time when a client tries passwords without end: so many are searched for.
_MAX_SECRETS = 96
#: RFC 4422 §3.1. What is no name may be a response that stands in the wrong place.
_MECHANISM_NAME = re.compile(r"[A-Za-z0-9_-]{1,20}")


class Redactor:
    """Redacts the events of one session.

    `_open`: the client's next line belongs to an AUTH exchange. `_unsettled`: an AUTH was given and
    no 235 came since; a client that does not wait for replies may go on with its responses.
    """

    def __init__(self) -> None:
        self._mechanism = ""
        self._open = False
        self._unsettled = False
        self._responses = 0
        self._recent: deque[bytes] = deque(maxlen=_MAX_SECRETS)
        self._secrets: list[bytes] = []

    def redact(self, event: Event) -> Event:
        """The event as it may be written; the same object when nothing had to go."""
        if event.kind != "line" or event.data is None:
            return event
        if event.who == "server":
            return self._server_line(event, event.data)
        if self._open:
            return event if event.text == "*" else self._response(event, "", event.text)
        return self._command(event)

    def _command(self, event: Event) -> Event:
        verb, *rest = event.text.split(None, 2) or [""]
        if verb.upper() == "AUTH" and rest:
            return self._auth(event, verb, rest)
        if verb.upper() in VERBS:
            self._unsettled = False
            return event
        if rest and rest[0].upper() in _mechanism_names():
            # Meant to be AUTH: whoever does not see the refusal goes on with the responses.
            self._unsettled = True
        if (stray := self.stray(event.text)) is None:
            return event
        before, response = stray
        # No server decodes what it does not take for a response, so it can only repeat it as it came. And decoded it
        # may be a user name, which is no secret in what follows.
        self._remember(response.encode("utf-8", "surrogateescape"))
        return self._replaced(event, (before + REDACTED).encode("utf-8", "surrogateescape") + b"\r\n")

    def stray(self, text: str) -> tuple[str, str] | None:
        """A response that went astray in the client's next line, behind what stands before it; None if there is none.

        When AUTH was refused, nobody knows which of its responses a word is, so it may be the password.
        """
        words = text.split(None, 1)
        if self._unsettled and len(words) == 1 and words[0].upper() not in VERBS:
            return "", words[0]
        return stray_response(text)

    def clean(self, data: bytes) -> bytes:
        """What a server said, without the secrets of the client."""
        for secret in self._secrets:
            data = data.replace(secret, REDACTED.encode())
        return data

    def _auth(self, event: Event, verb: str, words: list[str]) -> Event:
        self._open = self._unsettled = True
        self._responses = 0
        if not _MECHANISM_NAME.fullmatch(words[0]):
            self._mechanism = ""
            return self._response(event, f"{verb} ", " ".join(words))
        self._mechanism = words[0].upper()
        if len(words) == 1:
            return event
        if words[1] == "=":
            # RFC 4954 §4: an initial response, which is empty.
            self._responses = 1
            return event
        return self._response(event, f"{verb} {words[0]} ", words[1])

    def _server_line(self, event: Event, data: bytes) -> Event:
        self._open = data.startswith(b"334")
        if data.startswith(b"235"):
            self._unsettled = False
        data = self.clean(data)
        return event if data == event.data else self._replaced(event, data)

    def _response(self, event: Event, before: str, encoded: str) -> Event:
        # Sessions without a login must not pay for importing it.
        from ehlo.smtp.sasl import all_secret, read_response

        self._responses += 1
        response = decode_base64(encoded)
        if response is None:
            # Nobody knows what this is, or whose.
            contents = all_secret(self._responses, b"")
        else:
            contents = read_response(self._mechanism, self._responses, response)
        facts: dict[str, JsonValue] = {"user": contents.user} if contents.user else {}
        if contents.public:
            return event._replace(facts={**event.facts, **facts}) if facts else event
        for secret in (*contents.secrets, encoded.encode("utf-8", "surrogateescape")):
            self._remember(secret)
        return self._replaced(event, (before + REDACTED).encode("utf-8", "surrogateescape") + b"\r\n", facts)

    def _remember(self, secret: bytes) -> None:
        encoded = base64.b64encode(secret)
        # Some servers repeat base64 without its padding.
        for form in (secret, secret.rstrip(b"="), encoded, encoded.rstrip(b"=")):
            if len(form) >= _MIN_ECHO and form not in self._recent:
                self._recent.append(form)
        # A secret may be part of a longer one, which then has to go first.
        self._secrets = sorted(self._recent, key=len, reverse=True)

    @staticmethod
    def _replaced(event: Event, data: bytes, facts: Facts = NO_FACTS) -> Event:
        return event._replace(data=data, facts={**event.facts, "redacted": True, **facts})


def stray_response(text: str) -> tuple[str, str] | None:
    """The response in a line that was meant to be AUTH and is no command, behind what stands before it; None if it is
    no such line."""
    verb, *rest = text.split(None, 2) or [""]
    if not rest or verb.upper() in VERBS:
        return None
    if len(rest) == 2 and rest[0].upper() in _mechanism_names():
        return f"{verb} {rest[0]} ", rest[1].strip()
    # PASS is how a password is told to a server of POP3 (RFC 1939 §7), and typed to one of SMTP by mistake.
    is_secret = verb.upper() == "PASS" or verb.upper().endswith(_mechanism_names())
    return (f"{verb} ", " ".join(rest).strip()) if is_secret else None


@cache
def _mechanism_names() -> tuple[str, ...]:
    # Sessions without such a line must not pay for importing it.
    from ehlo.smtp.sasl import MECHANISMS

    return tuple({mechanism.keyword for mechanism in MECHANISMS.values()})


def redact(transcript: Transcript) -> Transcript:
    """The whole transcript without its secrets."""
    if transcript.header.redacted:
        return transcript
    redactor = Redactor()
    events = [redactor.redact(event) for event in transcript.events]
    return transcript._replace(header=transcript.header._replace(redacted=True), events=events)
