"""Events: the pieces of a transcript.

An event is a fact about the wire, not an interpretation. What is only said about the wire (the
reply's meaning, the stage's outcome) is derived from events by whoever reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from ehlo.smtp.stages import Stage

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
Facts: TypeAlias = Mapping[str, JsonValue]

Who = Literal["client", "server", "net"]
Kind = Literal["dns", "connect", "tls", "line", "data", "close", "error", "note"]

NO_FACTS: Facts = MappingProxyType({})


class Event(NamedTuple):
    """One thing that happened.

    `t` is when it ended, in seconds since the session started; `first` is when it began, if that
    was earlier: when a line's first byte came, a look-up or a handshake was started.
    `data` has the exact bytes of a line, its ending included, or the content of a message (without
    dot-stuffing; None when it was left out). `facts` has the fields that belong to the kind; they are
    listed in docs/transcript.md.
    """

    t: float
    who: Who
    kind: Kind
    stage: Stage
    data: bytes | None = None
    first: float | None = None
    facts: Facts = NO_FACTS

    @property
    def began(self) -> float:
        """When it began."""
        return self.t if self.first is None else self.first

    @property
    def text(self) -> str:
        """`data` as text without its line ending; octets that are not UTF-8 become surrogates."""
        return (self.data or b"").rstrip(b"\r\n").decode("utf-8", "surrogateescape")

    def fact(self, name: str) -> str:
        """A fact as text; empty when it is not there."""
        value = self.facts.get(name)
        return "" if value is None else str(value)
