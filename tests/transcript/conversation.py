"""Hand-made events: a conversation as text, a millisecond a line."""

from __future__ import annotations

from ehlo.smtp.stages import Stage
from ehlo.transcript.event import Event, Facts, Kind, Who

_WHO: dict[str, Who] = {"S:": "server", "C:": "client"}


def said(text: str, stage: Stage = "auth", *, since: int = 0) -> list[Event]:
    """The lines of a conversation as events; the first happened `since` milliseconds after the start."""
    lines = [line.lstrip() for line in text.splitlines() if line.strip()]
    return [
        Event((since + number) / 1000, _WHO[line[:2]], "line", stage, line[3:].encode() + b"\r\n")
        for number, line in enumerate(lines)
    ]


def net(kind: Kind, stage: Stage, at: int, *, since: int | None = None, facts: Facts) -> Event:
    """A step of the network, in milliseconds."""
    return Event(at / 1000, "net", kind, stage, None, None if since is None else since / 1000, facts)


def error(name: str, stage: Stage, at: int) -> Event:
    """What ended a session."""
    return net("error", stage, at, facts={"error": name, "message": "it went wrong"})
