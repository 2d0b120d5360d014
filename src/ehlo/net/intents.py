"""What a flow can ask for. A flow is a generator that yields intents and is sent their results:

    reply = yield Receive(30.0)

`Session` performs `Send`, `Upload`, `Receive` and `StartTLS` itself, since they need no more than
bytes; what needs the world (`Resolve`, `FindMailHosts`, `Connect`, `Pause`) is left to a driver. When
an intent fails, a `SessionError` is raised at the `yield`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ehlo.smtp.stages import Stage

if TYPE_CHECKING:
    import ssl

Family = Literal["any", "ipv4", "ipv6"]

#: The family of an address that is a command: it is started, and its standard input and output are talked to.
PIPE = -1


def endpoint(host: str, port: int | str) -> str:
    """Host and port as one writes them: an address of IPv6 stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Address(NamedTuple):
    """An address to connect to. `family` is a socket family number, or `PIPE`; for a UNIX socket and a
    command, `host` has the path or the command, and there is no port."""

    family: int
    host: str
    port: int

    def __str__(self) -> str:
        return endpoint(self.host, self.port) if self.port else self.host


class FindMailHosts(NamedTuple):
    """The mail exchangers of a domain, in order of preference: gives `tuple[str, ...]`."""

    domain: str
    timeout: float


class Resolve(NamedTuple):
    """The addresses of a host, in the order to try them: gives `tuple[Address, ...]`."""

    host: str
    port: int
    family: Family
    timeout: float


class Connect(NamedTuple):
    """Connect to one address, from `source` and `source_port` where they are given: gives the local
    `Address`."""

    address: Address
    source: str
    timeout: float
    source_port: int = 0


class StartTLS(NamedTuple):
    """A TLS handshake on the connection: gives `TLSFacts`. A client names the server as it expects it, in
    `name`, and as it asks for it (SNI, RFC 6066 §3), in `sni`; `trust` verifies the certificate."""

    context: ssl.SSLContext
    stage: Stage
    timeout: float
    name: str = ""
    trust: ssl.SSLContext | None = None
    sni: str = ""


class Send(NamedTuple):
    """Send lines and record each: gives None."""

    data: bytes
    stage: Stage


class Upload(NamedTuple):
    """Send a part of a message; the flow records the message itself: gives None."""

    data: bytes
    timeout: float


class Receive(NamedTuple):
    """Wait for the connection's next event (a whole reply; a command): gives that event. A line for which `recall` has
    an answer is answered so, and the flow sleeps on."""

    timeout: float
    recall: Callable[[bytes], Send | None] | None = None


class Pause(NamedTuple):
    """Hand what is to be sent to the network, and wait: gives None. `deaf`: what the peer sends meanwhile is
    left in the network, so that in the end the peer cannot send any more."""

    seconds: float
    deaf: bool = False


class Preamble(NamedTuple):
    """Wait for octets that are not of SMTP, such as a header of the PROXY protocol: gives them. `split` takes what
    has come and gives them and the rest, or None until there are enough; where it raises a `ProxyError`, the flow
    gets a `SessionError`."""

    timeout: float
    split: Callable[[bytes], tuple[bytes, bytes] | None]


class Cut(NamedTuple):
    """End the connection without closing it in order (a TCP reset), after what is to be sent: raises a
    `SessionError`."""


class Listen(NamedTuple):
    """Wait without a time limit for whatever comes first: gives the connection's next event, or what was
    handed to `Session.instruct`."""


Intent = FindMailHosts | Resolve | Connect | StartTLS | Send | Upload | Receive | Pause | Preamble | Cut | Listen

# The type of what a `yield` gives depends on the intent, which Python's types cannot say: hence `Any`,
# and each flow annotates what it gets.
Flow = Generator[Intent, Any, None]


class Read(NamedTuple):
    """A driver shall wait for bytes, until `Session.deadline`."""


class Flush(NamedTuple):
    """A driver shall hand the outgoing bytes to the network before the session goes on, by
    `Session.deadline`."""


class Done(NamedTuple):
    """The flow has ended: a driver shall close, or with `reset` not even that."""

    reset: bool = False


READ, FLUSH, DONE = Read(), Flush(), Done()


#: What a session needs of its driver.
Need = FindMailHosts | Resolve | Connect | Pause | Read | Flush | Done
