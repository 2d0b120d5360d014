"""TARGET: what the user points at."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from ehlo.net.intents import endpoint
from ehlo.net.names import is_address
from ehlo.smtp.address import AddressError, parse_domain, parse_mailbox
from ehlo.transcript.event import JsonValue

Scheme = Literal["smtp", "smtps", "lmtp"]
Transport = Literal["tcp", "unix", "pipe"]

#: LMTP has no port of its own (RFC 2033 §5 only forbids 25); 24 is "any private mail system", which it is.
DEFAULT_PORTS: dict[Scheme, int] = {"smtp": 25, "smtps": 465, "lmtp": 24}

#: Four numbers, which are an address or a mistake (RFC 1123 §2.1).
_LIKE_IPV4 = re.compile(r"\d+(?:\.\d+){3}")
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:/\s\x00-\x1f\x7f]+)(?::(?P<port>[^:]*))?")


class TargetError(ValueError):
    """A TARGET that cannot be understood. The message is one sentence."""


class SecretInTargetError(TargetError):
    """A TARGET that has a password in it, which the message does not repeat."""


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
        return endpoint(self.host, self.port)


def parse_target(text: str) -> Target:
    """Read a TARGET (see `ehlo check --help`). Raises `TargetError`."""
    given = text.strip()
    if not given:
        raise TargetError("The target is empty: name a host, a host:port, or an address user@domain.")
    kind, colon, rest = given.partition(":")
    if colon and kind.lower() in ("unix", "pipe"):
        return _local_target(given, kind.lower(), rest.strip())
    if _has_password(given):
        raise SecretInTargetError("The target has a password in it, and neither a user nor a password belongs there.")
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
        return _domain_target(given, _domain(given, rest[3:]))
    if "@" in rest:
        try:
            mailbox = parse_mailbox(rest)
        except AddressError as error:
            raise TargetError(str(error)) from None
        return _domain_target(given, mailbox.domain or "", rest)
    # An IPv6 address without brackets has too many colons to have a port.
    if rest.count(":") > 1 and not rest.startswith("["):
        if not is_address(rest):
            raise TargetError(f"'{given}' has too many colons for a host:port, and is no IPv6 address.")
        return Target(given, rest, DEFAULT_PORTS[scheme], scheme)
    found = _HOST_PORT.fullmatch(rest)
    if not found:
        raise TargetError(f"'{given}' is neither a host, a host:port, a URL nor an address user@domain.")
    host = found["host"].strip("[]")
    if _LIKE_IPV4.fullmatch(host) and not is_address(host):
        raise TargetError(f"'{given}': {host} is no IPv4 address, and no host has a name of numbers alone.")
    port = _port(given, found["port"]) if found["port"] is not None else DEFAULT_PORTS[scheme]
    return Target(given, host, port, scheme)


def over_lmtp(target: Target) -> Target:
    """The same server, spoken to in LMTP. Raises `TargetError`."""
    if target.lmtp:
        return target
    if target.mx or target.tls_on_connect:
        raise TargetError("LMTP is spoken with one server, without TLS on connect.")
    # RFC 2033 §5: never on port 25; 24 is where lmtp:// would go.
    named = target.transport != "tcp" or target.given.rstrip("/").endswith(f":{target.port}")
    return target._replace(scheme="lmtp", port=target.port if named else DEFAULT_PORTS["lmtp"])


def _has_password(given: str) -> bool:
    """Whether there is a user:password@ in front of the host, as URLs of other programs have it."""
    before, at, _ = re.sub(r"^(?:[\w.+-]+://)?(?:mx:)?", "", given, flags=re.IGNORECASE).rpartition("@")
    # RFC 5321 §4.1.2: a colon may stand in a local part, but within quotes alone.
    return bool(at) and ":" in before and not before.startswith('"')


def _domain_target(given: str, domain: str, recipient: str = "") -> Target:
    """Where the mail of a domain goes. An address literal says it itself (RFC 5321 §4.1.3)."""
    if domain.startswith("["):
        host = domain[1:-1]
        host = host[5:] if host[:5].upper() == "IPV6:" else host
        if not is_address(host):
            raise TargetError(f"'{given}': {domain} is no address of IPv4 or IPv6, so nobody knows where that is.")
        return Target(given, host, 25, recipient=recipient)
    return Target(given, domain, 25, mx=True, recipient=recipient)


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
