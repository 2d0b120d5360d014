"""Options for the network: how to get to the server, and as whom."""

from __future__ import annotations

import argparse

from ehlo.cli.commands import UsageError
from ehlo.net.intents import Family
from ehlo.net.names import Nameserver, is_address, parse_endpoint, parse_nameserver
from ehlo.probe.plan import DEFAULT_CAP, Plan, Timeouts
from ehlo.probe.target import TargetError, over_lmtp
from ehlo.smtp.stages import STAGES, Stage
from ehlo.smtp.xclient import ATTRIBUTES, xclient_attribute


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """How the session gets to the server."""
    group = parser.add_argument_group("network")
    family = group.add_mutually_exclusive_group()
    family.add_argument("-4", dest="family", action="store_const", const="ipv4", default="any", help="IPv4 alone")
    family.add_argument("-6", dest="family", action="store_const", const="ipv6", help="IPv6 alone")
    group.add_argument(
        "--source", metavar="ADDRESS[:PORT]", default="", help="this machine's address to connect from, or :PORT"
    )
    group.add_argument("--dns-server", metavar="ADDRESS", help="ask this DNS server for mail exchangers")
    group.add_argument("--lmtp", action="store_true", help="speak LMTP, also with a socket unix:… or a command pipe:…")
    group.add_argument(
        "--timeout",
        metavar="SECONDS",
        action="append",
        default=[],
        help=f"longest wait at each stage (default {DEFAULT_CAP:g}); STAGE=SECONDS for one stage; may be repeated",
    )
    group.add_argument(
        "--proxy",
        metavar="'VERSION SOURCE [DESTINATION]'",
        help="begin with a PROXY header, e.g. 'v2 192.0.2.1:4711 198.51.100.5:25', 'v1 unknown', 'v2 local'",
    )
    group.add_argument(
        "--xclient",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help=f"hand over an attribute by XCLIENT: {' '.join(ATTRIBUTES)}; may be repeated",
    )
    group.add_argument("--xclient-optional", action="store_true", help="go on where XCLIENT is not offered")
    group.add_argument("--xclient-before-tls", action="store_true", help="do that before STARTTLS, not after it")


def with_network(args: argparse.Namespace, plan: Plan) -> Plan:
    """The plan with what these options say. Raises `UsageError`."""
    _check_family(plan.target.host, args.family)
    source, port = _source(args.source, args.family)
    if args.lmtp:
        try:
            plan = plan._replace(target=over_lmtp(plan.target))
        except TargetError as error:
            raise UsageError(f"--lmtp: {error}") from None
    return plan._replace(
        timeouts=timeouts_from(args.timeout),
        family=args.family,
        source=source,
        source_port=port,
        proxy=_proxy(args.proxy),
        xclient=tuple(map(_attribute, args.xclient)),
        xclient_before_tls=args.xclient_before_tls,
        xclient_optional=args.xclient_optional,
    )


def timeouts_from(words: list[str]) -> Timeouts:
    """--timeout, in both of its forms. Raises `UsageError`."""
    cap = DEFAULT_CAP
    exceptions: dict[Stage, float] = {}
    for word in words:
        stage, equals, number = word.rpartition("=")
        try:
            seconds = float(number)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds <= 86400:
            raise UsageError(f"--timeout {word}: a time is a number of seconds above 0, at most 86400.")
        if not equals:
            cap = seconds
            continue
        known = next((known for known in STAGES if known == stage), None)
        if known is None:
            raise UsageError(f"--timeout {word}: '{stage}' is not a stage; there are {' '.join(STAGES)}.")
        exceptions[known] = seconds
    return Timeouts(cap, exceptions)


def nameserver_from(text: str | None) -> Nameserver | None:
    """--dns-server, an address with or without a port. Raises `UsageError`."""
    if text is None:
        return None
    try:
        return parse_nameserver(text)
    except ValueError as error:
        raise UsageError(f"--dns-server {text}: {error}.") from None


def _check_family(host: str, family: Family) -> None:
    if family != "any" and is_address(host) and (":" in host) != (family == "ipv6"):
        own, wanted = ("IPv6", "IPv4") if ":" in host else ("IPv4", "IPv6")
        raise UsageError(f"{host} is an {own} address, and -{family[-1]} asks for {wanted} alone.")


def _source(text: str, family: Family) -> tuple[str, int]:
    if not text:
        return "", 0
    try:
        address, port = parse_endpoint(text)
    except ValueError as error:
        raise UsageError(f"--source {text}: {error}.") from None
    if address and (":" in address) != (family == "ipv6") and family != "any":
        raise UsageError(f"--source {text} and -{family[-1]} contradict each other.")
    return address, port


def _proxy(words: str | None) -> bytes:
    if words is None:
        return b""
    from ehlo.net.proxy import ProxyError, proxy_header

    try:
        return proxy_header(words)
    except ProxyError as error:
        raise UsageError(f"--proxy '{words}': {error}.") from None


def _attribute(word: str) -> str:
    name, equals, value = word.partition("=")
    if not equals or name.upper() not in ATTRIBUTES:
        raise UsageError(f"--xclient {word}: the form is NAME=VALUE; names are {' '.join(ATTRIBUTES)}.")
    try:
        return xclient_attribute(name, value)
    except ValueError as error:
        raise UsageError(f"--xclient {name}: {error}.") from None
