"""TARGET: what the user points at."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Literal, NamedTuple

from ehlo.smtp.address import AddressError, parse_domain, parse_mailbox
from ehlo.transcript.event import JsonValue

Scheme = Literal["smtp", "smtps", "lmtp"]
Transport = Literal["tcp", "unix", "pipe"]

#: LMTP has no port of its own (RFC 2033 §5 only forbids 25); 24 is "any private mail system", which it is.
DEFAULT_PORTS: dict[Scheme, int] = {"smtp": 25, "smtps": 465, "lmtp": 24}

_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:/\s]+)(?::(?P<port>[^:]*))?")


class TargetError(ValueError):
    """A TARGET that cannot be understood. The message is one sentence."""


class Target(NamedTuple):
    """A server, or a domain whose mail exchangers are meant.

    `host` is a name or an address without brackets, or the domain when `mx` is set; the path of a socket
    or the command when the `transport` is not TCP, and then there is no port. `recipient` is the address when
    that was the target; `given` what the user wrote.
    """

    given: str
    host: str
    port: int
    scheme: Scheme = "smtp"
    mx: bool = False
    recipient: str = ""
    transport: Transport = "tcp"

    @property
    def tls_on_connect(self) -> bool:
        """Whether TLS comes before the greeting (RFC 8314 §3)."""
        return self.scheme == "smtps"

    @property
    def lmtp(self) -> bool:
        """Whether LMTP is spoken (RFC 2033)."""
        return self.scheme == "lmtp"

    def to_json(self) -> dict[str, JsonValue]:
        """The target as it stands in JSON documents."""
        return {
            "given": self.given,
            "host": self.host,
            "port": self.port,
            "scheme": self.scheme,
            "transport": self.transport,
            "mx": self.mx,
        }

    def __str__(self) -> str:
        if self.mx:
            return f"mail exchangers of {self.host}"
        if self.transport != "tcp":
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_target(text: str) -> Target:
    """Read a TARGET (see `ehlo check --help`). Raises `TargetError`."""
    given = text.strip()
    if not given:
        raise TargetError("The target is empty: name a host, a host:port, or an address user@domain.")
    kind, colon, rest = given.partition(":")
    if colon and kind.lower() in ("unix", "pipe"):
        return _local_target(given, kind.lower(), rest.strip())
    scheme: Scheme = "smtp"
    rest = given
    if "://" in given:
        name, _, rest = given.partition("://")
        known = next((known for known in DEFAULT_PORTS if known == name.lower()), None)
        if known is None:
            raise TargetError(f"'{given}': ehlo knows the schemes smtp://, smtps:// and lmtp://, not {name}://.")
        scheme = known
        if scheme == "lmtp" and rest.startswith("/") and rest.strip("/"):
            return Target(given, rest, 0, "lmtp", transport="unix")
        rest = rest.rstrip("/")
    if rest.lower().startswith("mx:"):
        return Target(given, _domain(given, rest[3:]), 25, mx=True)
    if "@" in rest:
        try:
            mailbox = parse_mailbox(rest)
        except AddressError as error:
            raise TargetError(str(error)) from None
        return Target(given, mailbox.domain or "", 25, mx=True, recipient=rest)
    # An IPv6 address without brackets has too many colons to have a port.
    if rest.count(":") > 1 and _is_ipv6(rest):
        return Target(given, rest, DEFAULT_PORTS[scheme], scheme)
    found = _HOST_PORT.fullmatch(rest)
    if not found:
        raise TargetError(f"'{given}' is neither a host, a host:port, a URL nor an address user@domain.")
    host = found["host"].strip("[]")
    port = _port(given, found["port"]) if found["port"] is not None else DEFAULT_PORTS[scheme]
    return Target(given, host, port, scheme)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def over_lmtp(target: Target) -> Target:
    """The same server, spoken to in LMTP. Raises `TargetError`."""
    if target.lmtp:
        return target
    if target.mx or target.tls_on_connect:
        raise TargetError("LMTP is spoken with one server, without TLS on connect.")
    # RFC 2033 §5: never on port 25; 24 is where lmtp:// would go.
    named = target.transport != "tcp" or target.given.rstrip("/").endswith(f":{target.port}")
    return target._replace(scheme="lmtp", port=target.port if named else DEFAULT_PORTS["lmtp"])


def _local_target(given: str, kind: str, rest: str) -> Target:
    if kind == "unix":
        if not rest.strip("/"):
            raise TargetError(f"'{given}': behind unix: stands the path of a socket.")
        return Target(given, rest, 0, transport="unix")
    import shlex

    try:
        words = shlex.split(rest)
    except ValueError:
        raise TargetError(f"'{given}': the quotes of the command do not match.") from None
    if not words:
        raise TargetError(f"'{given}': behind pipe: stands the command to run.")
    return Target(given, rest, 0, transport="pipe")


def _port(given: str, text: str) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535:
        return int(text)
    raise TargetError(f"'{given}': a port is a number from 1 to 65535, not '{text}'.")


def _domain(given: str, text: str) -> str:
    try:
        return parse_domain(text)
    except AddressError:
        raise TargetError(f"'{given}': '{text}' cannot be a domain.") from None
