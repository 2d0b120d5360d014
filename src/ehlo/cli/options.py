"""Options that several commands share, and how they become a plan."""

from __future__ import annotations

import argparse
import os
import socket
import sys

from ehlo.cli.commands import UsageError
from ehlo.net.intents import Family
from ehlo.net.names import Nameserver, is_address
from ehlo.probe.plan import DEFAULT_CAP, Plan, Timeouts
from ehlo.probe.target import Target, TargetError, parse_target
from ehlo.smtp.address import NULL_PATH, AddressError, Path, parse_domain, parse_path
from ehlo.smtp.sasl import Credentials
from ehlo.smtp.stages import STAGES, Stage

#: Environment variable with the password for --user.
PASSWORD_VARIABLE = "EHLO_PASSWORD"  # noqa: S105 - the variable's name


def add_view_options(parser: argparse.ArgumentParser) -> None:
    """How the result is shown."""
    group = parser.add_argument_group("output")
    group.add_argument("-v", "--verbose", action="store_true", help="show every line both ways, explained")
    group.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else")
    group.add_argument("-q", "--quiet", action="store_true", help="show nothing; the exit status tells")
    add_colour_option(group)
    group.add_argument("--show-secrets", action="store_true", help="show passwords instead of [redacted]")


def add_colour_option(parser: argparse._ActionsContainer) -> None:
    """Whether colours are used."""
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colours; auto: on a terminal alone",
    )


def add_session_options(parser: argparse.ArgumentParser, *, last: Stage) -> None:
    """What the session does. `last` is the stage to which the command goes by itself."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="host, host:port, [v6]:port, smtp://…, smtps://…, user@domain, or mx:domain",
    )
    envelope = parser.add_argument_group("envelope")
    envelope.add_argument("-f", "--from", dest="sender", metavar="ADDRESS", help="the sender; '<>' for none")
    envelope.add_argument(
        "-t",
        "--to",
        dest="recipients",
        metavar="ADDRESS",
        action="append",
        default=[],
        help="a recipient; may be repeated",
    )
    envelope.add_argument("--helo", metavar="NAME", default="", help="the name to greet with (default: this host's)")
    envelope.add_argument(
        "--stop-after",
        metavar="STAGE",
        choices=STAGES,
        help=f"go no further than this stage (default: {last})",
    )
    security = parser.add_argument_group("TLS and login")
    security.add_argument(
        "--starttls",
        choices=("auto", "require", "never"),
        default="auto",
        help="auto: when it is offered (default)",
    )
    security.add_argument("--verify", action="store_true", help="stop if the server's certificate does not verify")
    security.add_argument("--insecure", action="store_true", help="log in even if the certificate does not verify")
    security.add_argument("--ca-file", metavar="FILE", default="", help="trust the authorities in this PEM file alone")
    security.add_argument("--user", metavar="NAME", help="log in as this user")
    security.add_argument(
        "--password-file",
        metavar="FILE",
        help=f"file with the password in its first line (else: ${PASSWORD_VARIABLE}, else a prompt)",
    )
    security.add_argument("--auth-in-clear", action="store_true", help="log in even without encryption")
    network = parser.add_argument_group("network")
    network.add_argument("-4", dest="family", action="store_const", const="ipv4", default="any", help="IPv4 alone")
    network.add_argument("-6", dest="family", action="store_const", const="ipv6", help="IPv6 alone")
    network.add_argument("--source", metavar="ADDRESS", default="", help="this machine's address to connect from")
    network.add_argument("--dns-server", metavar="ADDRESS", help="ask this DNS server for mail exchangers")
    network.add_argument(
        "--timeout",
        metavar="SECONDS",
        action="append",
        default=[],
        help=f"longest wait at each stage (default {DEFAULT_CAP:g}); STAGE=SECONDS for one stage; may be repeated",
    )
    record = parser.add_argument_group("record")
    record.add_argument("--record", metavar="FILE", help="write the transcript to a file, for ehlo show")


def plan_from(args: argparse.Namespace, *, last: Stage, message: bytes = b"") -> Plan:
    """The plan that the options describe. Raises `UsageError`."""
    target = target_from(args.target)
    recipients = recipients_from(args, target)
    stop_after: Stage = args.stop_after or last
    if not recipients and STAGES.index(stop_after) > STAGES.index("mail"):
        stop_after = "mail" if args.sender is not None else "auth"
    if args.ca_file:
        _check_ca_file(args.ca_file)
    return Plan(
        target=target,
        helo=_helo(args.helo),
        sender=NULL_PATH if args.sender is None else path_from(args.sender, "sender"),
        recipients=recipients,
        message=message,
        starttls=args.starttls,
        verify=args.verify,
        insecure=args.insecure,
        ca_file=args.ca_file,
        credentials=_credentials(args),
        auth_in_clear=args.auth_in_clear,
        stop_after=stop_after,
        timeouts=timeouts_from(args.timeout),
        family=args.family,
        source=_source(args.source, args.family),
    )


def target_from(text: str) -> Target:
    """A TARGET. Raises `UsageError`."""
    try:
        return parse_target(text)
    except TargetError as error:
        raise UsageError(str(error)) from None


def recipients_from(args: argparse.Namespace, target: Target) -> tuple[Path, ...]:
    """The recipients; the target itself when it is an address and no other was named."""
    named = args.recipients or ([target.recipient] if target.recipient else [])
    return tuple(path_from(address, "recipient") for address in named)


def path_from(text: str, what: str) -> Path:
    """An address from the command line, with or without angle brackets. Raises `UsageError`."""
    try:
        path = parse_path(text.strip(), brackets=False)
    except AddressError as error:
        raise UsageError(f"The {what} {error}") from None
    if path.mailbox is None and (what != "sender" or not text.strip()):
        raise UsageError(f"The {what} is empty." + (" For the null sender write '<>'." if what == "sender" else ""))
    return path


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
    host, colon, port = (text, "", "") if is_address(text) else text.rpartition(":")
    host = host.strip("[]")
    if not is_address(host) or (colon and not (port.isdecimal() and 1 <= int(port) <= 65535)):
        raise UsageError(f"--dns-server {text}: this is not an IP address, with or without a port.")
    return Nameserver(host, int(port) if colon else 53)


def read_file(name: str, what: str) -> bytes:
    """A file named on the command line; - is standard input. Raises `UsageError`."""
    try:
        if name == "-":
            return sys.stdin.buffer.read()
        with open(name, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise UsageError(f"The {what} '{name}' cannot be read: {error.strerror}.") from None


def _helo(name: str) -> str:
    if not name:
        return ""
    try:
        return parse_domain(name)
    except AddressError as error:
        raise UsageError(f"--helo {name}: {error.why}.") from None


def _source(address: str, family: Family) -> str:
    if not address:
        return ""
    if not is_address(address):
        raise UsageError(f"--source {address}: this is not an IP address.")
    if (":" in address) != (family == "ipv6") and family != "any":
        raise UsageError(f"--source {address} and -{family[-1]} contradict each other.")
    return address


def _check_ca_file(name: str) -> None:
    import ssl

    from ehlo.net.certificates import trust_context

    try:
        trust_context(name)
    except ssl.SSLError:
        raise UsageError(f"--ca-file {name}: the file holds no certificate in PEM form.") from None
    except OSError as error:
        raise UsageError(f"--ca-file {name}: the file cannot be read: {error.strerror}.") from None


def _credentials(args: argparse.Namespace) -> Credentials | None:
    if args.user is None:
        if args.password_file:
            raise UsageError("--password-file needs --user.")
        return None
    return Credentials(args.user, _password(args))


def _password(args: argparse.Namespace) -> str:
    if args.password_file:
        lines = read_file(args.password_file, "password file").splitlines()
        try:
            password = lines[0].decode() if lines else ""
        except UnicodeDecodeError:
            raise UsageError(f"The password file '{args.password_file}' is not UTF-8.") from None
    elif PASSWORD_VARIABLE in os.environ:
        password = os.environ[PASSWORD_VARIABLE]
    elif sys.stdin.isatty():
        import getpass

        password = getpass.getpass(f"Password of {args.user}: ")
    else:
        raise UsageError(f"--user needs a password: --password-file, ${PASSWORD_VARIABLE}, or a terminal to ask at.")
    if not password or "\0" in password:
        raise UsageError("The password is empty or contains a NUL character.")
    return password


def own_name() -> str:
    """This host's name, for addresses in generated messages."""
    return socket.gethostname()
