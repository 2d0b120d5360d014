"""Takes secrets out of a transcript before it is written or shown.

What stays: the mechanism, the user name, and the server's side. What goes: passwords, tokens and
whatever answers a challenge, also where a server repeats them in a reply.
The redactor sees the events one by one, in order, so that it works on a session still running.
"""

from __future__ import annotations

import base64

from ehlo.smtp.command import decode_base64
from ehlo.transcript.event import Event
from ehlo.transcript.transcript import Transcript

REDACTED = "[redacted]"

#: Shorter secrets are not searched for in replies: they would be found everywhere.
_MIN_ECHO = 4


class Redactor:
    """Redacts the events of one session."""

    def __init__(self) -> None:
        self._mechanism: str | None = None
        self._responses = 0
        self._secrets: list[bytes] = []

    def redact(self, event: Event) -> Event:
        """The event as it may be written; the same object when nothing had to go."""
        if event.kind != "line" or event.data is None:
            return event
        if event.who == "server":
            return self._server_line(event, event.data)
        words = event.text.split(None, 2)
        if words and words[0].upper() == "AUTH" and self._mechanism is None:
            if len(words) < 2:
                return event
            self._mechanism, self._responses = words[1].upper(), 0
            if len(words) == 2 or words[2] == "=":
                return event
            return self._response(event, f"{words[0]} {words[1]} ", words[2])
        if self._mechanism is not None and event.text != "*":
            return self._response(event, "", event.text)
        return event

    def _server_line(self, event: Event, data: bytes) -> Event:
        if self._mechanism is not None and not data.startswith(b"334"):
            self._mechanism = None
        for secret in self._secrets:
            data = data.replace(secret, REDACTED.encode())
        return event if data == event.data else self._replaced(event, data)

    def _response(self, event: Event, before: str, encoded: str) -> Event:
        self._responses += 1
        response = decode_base64(encoded) or b""
        user: str | None = None
        if self._mechanism == "LOGIN" and self._responses == 1:
            return event
        if self._mechanism == "PLAIN" and response.count(b"\0") == 2:
            _, name, password = response.split(b"\0")
            user = name.decode("utf-8", "replace")
            self._remember(password)
        elif self._mechanism in ("XOAUTH2", "OAUTHBEARER"):
            fields = dict(part.partition(b"=")[::2] for part in response.split(b"\x01"))
            if b"user" in fields:
                user = fields[b"user"].decode("utf-8", "replace")
            self._remember(fields.get(b"auth", b"").removeprefix(b"Bearer "))
        else:
            self._remember(response)
        self._remember(encoded.encode("utf-8", "surrogateescape"))
        return self._replaced(event, (before + REDACTED).encode() + b"\r\n", user)

    def _remember(self, secret: bytes) -> None:
        if len(secret) >= _MIN_ECHO:
            self._secrets += [secret, base64.b64encode(secret)]

    @staticmethod
    def _replaced(event: Event, data: bytes, user: str | None = None) -> Event:
        facts = {**event.facts, "redacted": True}
        if user is not None:
            facts["user"] = user
        return event._replace(data=data, facts=facts)


def redact(transcript: Transcript) -> Transcript:
    """The whole transcript without its secrets."""
    if transcript.header.redacted:
        return transcript
    redactor = Redactor()
    events = [redactor.redact(event) for event in transcript.events]
    return transcript._replace(header=transcript.header._replace(redacted=True), events=events)
