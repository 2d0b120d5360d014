"""From a name to addresses: A and AAAA by the system's resolver, MX by dnspython."""

from __future__ import annotations

import socket
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, NamedTuple

from ehlo.net.errors import classify_lookup_error
from ehlo.net.intents import Address, Family

if TYPE_CHECKING:
    import dns.resolver

_FAMILIES = {"any": socket.AF_UNSPEC, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
_NAMES = {int(socket.AF_INET): "IPv4", int(socket.AF_INET6): "IPv6"}


class LookupFailedError(Exception):
    """A look-up without a usable answer. `error` is an id of `NETWORK_ERRORS`."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error
        self.message = message


def resolve(host: str, port: int, family: Family) -> tuple[Address, ...]:
    """The addresses of a host in the order to try them. Raises `LookupFailedError`. Blocks."""
    if literal := parse_literal(host, port):
        if _FAMILIES[family] not in (socket.AF_UNSPEC, literal.family):
            raise LookupFailedError("no-address", f"{host} is an {_NAMES[literal.family]} address")
        return (literal,)
    try:
        found = socket.getaddrinfo(host, port, _FAMILIES[family], socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise LookupFailedError(classify_lookup_error(error), f"{host}: {error.strerror or error}") from None
    except (UnicodeError, ValueError):
        raise LookupFailedError("no-such-host", f"'{host}' cannot be a host name") from None
    addresses = dict.fromkeys(Address(info[0], str(info[4][0]), port) for info in found)
    if not addresses:
        raise LookupFailedError("no-address", f"{host} has no address")
    return in_trial_order(tuple(addresses))


def in_trial_order(addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    """Alternate between the families, beginning with that of the first address (RFC 8305 §4).

    The system's resolver has sorted them by RFC 6724 already; alternating saves the user of a
    host with ten dead IPv6 addresses the wait for all of them.
    """
    first = tuple(address for address in addresses if address.family == addresses[0].family)
    others = tuple(address for address in addresses if address.family != addresses[0].family)
    pairs = chain.from_iterable(zip_longest(first, others))
    return tuple(address for address in pairs if address is not None)


def parse_literal(host: str, port: int) -> Address | None:
    """The address that `host` is already, so that no look-up is needed; None if it is a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        # A zone ("fe80::1%eth0") needs the system's help.
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return Address(family, host, port)
    return None


def is_address(host: str) -> bool:
    """Whether `host` is an IP address, with a zone or without."""
    return parse_literal(host.partition("%")[0], 0) is not None


def parse_endpoint(text: str) -> tuple[str, int]:
    """An IP address, a port behind a colon, or both; what is not there is empty, or 0.

    Raises `ValueError`, whose message is half a sentence.
    """
    host, colon, port = (text, "", "") if is_address(text) else text.rpartition(":")
    address = host.removeprefix("[").removesuffix("]")
    if (address and not is_address(address)) or not (address or colon):
        raise ValueError("this is not an IP address, with or without a port")
    if colon and not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
        raise ValueError("a port is a number from 1 to 65535")
    return address, int(port) if colon else 0


class Nameserver(NamedTuple):
    """A DNS server to ask instead of the system's."""

    host: str
    port: int = 53


def parse_nameserver(text: str) -> Nameserver:
    """An address with or without a port. Raises `ValueError`, whose message is half a sentence."""
    address, port = parse_endpoint(text)
    if not address:
        raise ValueError("this is not an IP address, with or without a port")
    return Nameserver(address, port or 53)


def find_mail_hosts(domain: str, timeout: float, nameserver: Nameserver | None = None) -> tuple[str, ...]:
    """The mail exchangers of a domain, best first (RFC 5321 §5.1). Raises `LookupFailedError`. Blocks.

    Without an MX record the domain itself is its mail exchanger; a null MX (RFC 7505) is the
    failure `no-mail`.
    """
    import dns.exception
    import dns.resolver

    try:
        answer = _resolver(nameserver).resolve(domain, "MX", lifetime=timeout)
    except dns.resolver.NXDOMAIN:
        raise LookupFailedError("no-such-host", f"the domain {domain} does not exist") from None
    except dns.resolver.NoAnswer:
        return (domain,)
    except dns.exception.Timeout:
        raise LookupFailedError("timed-out", f"no name server answered for {domain}") from None
    except dns.exception.DNSException as error:
        raise LookupFailedError("dns-failed", f"MX of {domain}: {error}") from None
    records = sorted((record.preference, str(record.exchange).rstrip(".")) for record in answer)
    if records == [(0, "")]:
        raise LookupFailedError("no-mail", f"{domain} says with a null MX that it takes no mail")
    return tuple(host for _, host in records if host)


def look_up(name: str, kind: str, timeout: float, nameserver: Nameserver | None = None) -> tuple[str, ...]:
    """The records of a kind that a name has, as text, names without their last dot. Raises `LookupFailedError`, with
    `no-such-host` or `no-address` where it is certain that there are none. Blocks."""
    import dns.exception
    import dns.resolver

    try:
        answer = _resolver(nameserver).resolve(name, kind, lifetime=timeout)
    except dns.resolver.NXDOMAIN:
        raise LookupFailedError("no-such-host", f"{name} does not exist") from None
    except dns.resolver.NoAnswer:
        raise LookupFailedError("no-address", f"{name} has no {kind} record") from None
    except dns.exception.Timeout:
        raise LookupFailedError("timed-out", f"no name server answered for {name}") from None
    except dns.exception.DNSException as error:
        raise LookupFailedError("dns-failed", f"{kind} of {name}: {error}") from None
    return tuple(str(record).rstrip(".") for record in answer)


def _resolver(nameserver: Nameserver | None) -> dns.resolver.Resolver:
    import dns.resolver

    resolver = dns.resolver.Resolver(configure=nameserver is None)
    if nameserver is not None:
        resolver.nameservers, resolver.port = [nameserver.host], nameserver.port
    return resolver
