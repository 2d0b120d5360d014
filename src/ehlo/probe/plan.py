"""The plan of a client session: everything that is decided before the first byte is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from ehlo.net.intents import Family
from ehlo.probe.target import Target
from ehlo.smtp.address import NULL_PATH, Path
from ehlo.smtp.sasl import Credentials
from ehlo.smtp.stages import STAGES, Stage

StartTLSMode = Literal["auto", "require", "never"]

#: How long a client waits at each stage, in seconds (RFC 5321 §4.5.3.2). The RFC names no time for
#: `dns`, `connect`, TLS, EHLO and AUTH; they get what the command next to them has.
RFC_TIMEOUTS: Mapping[Stage, float] = {
    "dns": 300,
    "connect": 300,
    "tls": 300,
    "banner": 300,
    "ehlo": 300,
    "starttls": 300,
    "auth": 300,
    "mail": 300,
    "rcpt": 300,
    "data": 120,
    "message": 600,
    "quit": 300,
}
#: RFC 5321 §4.5.3.2.5: for each block of the message to be taken.
BLOCK_TIMEOUT = 180.0
#: Few people wait for five minutes in front of a terminal.
DEFAULT_CAP = 30.0


class Timeouts(NamedTuple):
    """Seconds to wait at each stage: the RFC's, but no more than `cap`, except for stages named in
    `exceptions`."""

    cap: float = DEFAULT_CAP
    exceptions: Mapping[Stage, float] = {}

    def at(self, stage: Stage) -> float:
        """Seconds to wait for an answer at a stage."""
        return self.exceptions.get(stage) or min(self.cap, RFC_TIMEOUTS[stage])

    @property
    def block(self) -> float:
        """Seconds for the network to take a block of the message."""
        return self.exceptions.get("message") or min(self.cap, BLOCK_TIMEOUT)


class Plan(NamedTuple):
    """What a client session shall do.

    `helo` empty: the host's name, or the connection's own address where the name has no dot.
    `message` is sent as it is, with CRLF line endings and dots stuffed on the wire.
    `stop_after` is the last stage to go to; QUIT follows in any case. `pipelining` sends commands ahead of
    their replies where the server offers it (RFC 2920): faster, but no answer has a time of its own.
    """

    target: Target
    helo: str = ""
    sender: Path = NULL_PATH
    recipients: tuple[Path, ...] = ()
    message: bytes = b""
    starttls: StartTLSMode = "auto"
    verify: bool = False
    insecure: bool = False
    ca_file: str = ""
    credentials: Credentials | None = None
    auth_in_clear: bool = False
    stop_after: Stage = "rcpt"
    pipelining: bool = False
    timeouts: Timeouts = Timeouts()
    family: Family = "any"
    source: str = ""

    def goes_to(self, stage: Stage) -> bool:
        """Whether the session goes as far as `stage`."""
        return STAGES.index(stage) <= STAGES.index(self.stop_after)
