"""The plan of a client session: everything that is decided before the first byte is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from ehlo.net.intents import Family
from ehlo.net.settings import DEFAULT_TLS, TLSSettings, Verify
from ehlo.probe.target import Target
from ehlo.smtp.address import NULL_PATH, Path
from ehlo.smtp.parameters import Parameters
from ehlo.smtp.sasl import Credentials
from ehlo.smtp.stages import STAGES, Stage

StartTLSMode = Literal["auto", "require", "never"]
#: What BODY= says of the message (RFC 6152, RFC 3030); empty: what the message and the server call for.
Body = Literal["", "7BIT", "8BITMIME", "BINARYMIME"]

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


class Tampering(NamedTuple):
    """What a tester does otherwise than a mail program would.

    `instead` has the octets to send in place of a stage's command, or of the message and its dot. The
    connection is dropped before the command of `drop_at` (for `message`: in the middle of it), once that of
    `drop_sent` has been sent, or after the answer of `drop_after`. `pauses` are seconds before a stage's
    command (for `message`: in the middle of it), `pause` before every command. `rate` is in octets a second,
    `write_size` the octets given to the network at a time; 0 leaves both alone. With `keep_line_endings` a
    bare LF or CR of the message goes out as it is, without `dot_stuffing` a line that begins with a dot, too.
    """

    instead: Mapping[Stage, bytes] = {}
    drop_at: Stage | None = None
    drop_sent: Stage | None = None
    drop_after: Stage | None = None
    pauses: Mapping[Stage, float] = {}
    pause: float = 0.0
    rate: float = 0.0
    write_size: int = 0
    keep_line_endings: bool = False
    dot_stuffing: bool = True

    def touches(self, *stages: Stage) -> bool:
        """Whether anything is done otherwise at one of these stages."""
        touched = {self.drop_at, self.drop_sent, self.drop_after, *self.instead, *self.pauses}
        return self.pause > 0 or not touched.isdisjoint(stages)


NO_TAMPERING = Tampering()


class Plan(NamedTuple):
    """What a client session shall do.

    `helo` empty: the host's name, or the connection's own address where the name has no dot.
    `message` is sent as it is, with CRLF line endings and dots stuffed on the wire, `times` times in one
    session; `compose` makes the n-th message where they differ. `stop_after` is the last stage to go to;
    QUIT follows in any case.

    `proxy` is the header of the PROXY protocol to begin with; `xclient` the attributes to hand over.
    `verify` says what of the certificate must be good, `tls_name` whose it must be, `sni` which name is
    asked for (None: that one, empty: none). `mechanisms` are the only ones to log in with. What is
    `optional` is left out where it cannot be done.

    `mail_parameters` and `rcpt_parameters` are for servers that offer their extension; those in
    `literal_mail` and `literal_rcpt` are sent whatever the server offers. `ask` are commands to give before
    the transaction. `chunk_size` above 0 sends the message by BDAT, in chunks of so many octets.
    `pipelining` sends commands ahead of their replies where the server offers it (RFC 2920): faster, but
    no answer has a time of its own.
    """

    target: Target
    helo: str = ""
    sender: Path = NULL_PATH
    recipients: tuple[Path, ...] = ()
    message: bytes = b""
    times: int = 1
    compose: Callable[[int], bytes] | None = None
    proxy: bytes = b""
    xclient: tuple[str, ...] = ()
    xclient_before_tls: bool = False
    xclient_optional: bool = False
    starttls: StartTLSMode = "auto"
    tls: TLSSettings = DEFAULT_TLS
    verify: Verify = ""
    insecure: bool = False
    ca_file: str = ""
    ca_path: str = ""
    tls_name: str = ""
    sni: str | None = None
    credentials: Credentials | None = None
    mechanisms: tuple[str, ...] = ()
    auth_in_clear: bool = False
    auth_optional: bool = False
    ask: tuple[str, ...] = ()
    body: Body = ""
    smtputf8: bool = False
    mail_parameters: Parameters = {}  # noqa: RUF012 - never changed
    rcpt_parameters: Parameters = {}  # noqa: RUF012 - never changed
    literal_mail: Parameters = {}  # noqa: RUF012 - never changed
    literal_rcpt: Parameters = {}  # noqa: RUF012 - never changed
    chunk_size: int = 0
    stop_after: Stage = "rcpt"
    pipelining: bool = False
    timeouts: Timeouts = Timeouts()
    family: Family = "any"
    source: str = ""
    source_port: int = 0
    tampering: Tampering = NO_TAMPERING

    def goes_to(self, stage: Stage) -> bool:
        """Whether the session goes as far as `stage`."""
        return STAGES.index(stage) <= STAGES.index(self.stop_after)

    def message_at(self, number: int) -> bytes:
        """The message with a number, from 1 on."""
        return self.message if self.compose is None or number == 1 else self.compose(number)
