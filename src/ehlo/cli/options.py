"""Options that several commands share, and how they become a plan."""

from __future__ import annotations

import argparse
import socket

from ehlo.cli.commands import UsageError
from ehlo.cli.extensions import add_extension_options, with_extensions
from ehlo.cli.network import add_network_options, with_network
from ehlo.cli.secret import WHERE_SECRETS_ARE
from ehlo.cli.security import add_login_options, add_tls_options, with_security
from ehlo.cli.tampering import add_tampering_options, tampering_from
from ehlo.probe.plan import Plan
from ehlo.probe.target import SecretInTargetError, Target, TargetError, parse_target
from ehlo.smtp.address import NULL_PATH, AddressError, Path, parse_domain, parse_path
from ehlo.smtp.stages import STAGES, Stage


def add_view_options(parser: argparse.ArgumentParser) -> None:
    """How the result is shown."""
    group = parser.add_argument_group("output")
    group.add_argument("-v", "--verbose", action="store_true", help="show every line both ways, explained")
    what = group.add_mutually_exclusive_group()
    what.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else")
    what.add_argument("-q", "--quiet", action="store_true", help="show nothing; the exit status tells")
    add_colour_option(group)
    group.add_argument("--show-secrets", action="store_true", help="show passwords instead of [redacted]")


def add_report_option(parser: argparse._ActionsContainer) -> None:
    """A report to pass on."""
    parser.add_argument("--html", metavar="FILE", help="write a report to an HTML file, to read and to pass on")


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
    add_target(parser)
    envelope = add_envelope_options(parser)
    envelope.add_argument(
        "--stop-after",
        metavar="STAGE",
        choices=STAGES,
        help=f"go no further than this stage (default: {last})",
    )
    add_tls_options(parser)
    add_login_options(parser)
    add_network_options(parser)
    add_extension_options(parser, pipeline="yes" if last == "message" else "no")
    add_tampering_options(parser)
    record = parser.add_argument_group("record")
    record.add_argument("--record", metavar="FILE", help="write the transcript to a file, for ehlo show")


def add_envelope_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Who writes to whom."""
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
    return envelope


def add_target(parser: argparse.ArgumentParser) -> None:
    """What to talk to."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="host, host:port, [v6]:port, smtp://…, smtps://…, lmtp://…, user@domain, mx:domain, "
        "unix:/path/of/socket, pipe:'command', @profile",
    )


def base_plan(args: argparse.Namespace) -> Plan:
    """Where to, and who writes to whom. Raises `UsageError`."""
    target = target_from(args.target)
    return Plan(
        target=target,
        helo=_helo(args.helo),
        sender=NULL_PATH if args.sender is None else path_from(args.sender, "sender"),
        recipients=recipients_from(args, target),
    )


def plan_from(args: argparse.Namespace, *, last: Stage, message: bytes = b"") -> Plan:
    """The plan that the options describe. Raises `UsageError`."""
    plan = base_plan(args)
    stop_after: Stage = args.stop_after or last
    if last == "rcpt" and STAGES.index(stop_after) > STAGES.index("data"):
        raise UsageError(f"--stop-after {stop_after}: a check delivers nothing; ehlo send goes so far.")
    if not plan.recipients and STAGES.index(stop_after) > STAGES.index("mail"):
        stop_after = "mail" if args.sender is not None else "auth"
    plan = plan._replace(message=message, stop_after=stop_after, tampering=tampering_from(args))
    plan = with_extensions(args, with_network(args, plan), pipeline=last == "message")
    return with_security(args, plan)


def target_from(text: str) -> Target:
    """A TARGET. Raises `UsageError`."""
    try:
        return parse_target(text)
    except SecretInTargetError as error:
        raise UsageError(f"{error} {WHERE_SECRETS_ARE}") from None
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


def _helo(name: str) -> str:
    if not name:
        return ""
    try:
        return parse_domain(name)
    except AddressError as error:
        raise UsageError(f"--helo {name}: {error.why}.") from None


def own_name() -> str:
    """This host's name, for addresses in generated messages."""
    return socket.gethostname()
