"""Options for what servers offer beyond the basics: DSN, CHUNKING, priorities and the like."""

from __future__ import annotations

import argparse
import re
from typing import cast

from ehlo.cli.commands import UsageError
from ehlo.probe.plan import Body, Plan
from ehlo.smtp.parameters import PARAMETERS, ParameterError, Parameters, check_parameter, encode_xtext, parse_parameters

#: What fits most servers' buffers; BDAT has no bound of its own.
_DEFAULT_CHUNK = 1_048_576


def add_extension_options(parser: argparse.ArgumentParser, *, pipeline: str) -> None:
    """Which extensions the session uses. `pipeline` is what "auto" means for this command."""
    group = parser.add_argument_group("extensions", "An option that the server does not offer ends the session.")
    group.add_argument(
        "--pipeline",
        choices=("auto", "yes", "no"),
        default="auto",
        help=f"send the envelope in one go where PIPELINING is offered (default here: {pipeline})",
    )
    group.add_argument(
        "--chunking",
        metavar="OCTETS",
        nargs="?",
        const=str(_DEFAULT_CHUNK),
        help="send the message by BDAT, in chunks of so many octets (CHUNKING)",
    )
    group.add_argument(
        "--body-type",
        choices=("7bit", "8bitmime", "binarymime"),
        help="what BODY= says of the message; binarymime implies --chunking",
    )
    group.add_argument("--smtputf8", action="store_true", help="ask for SMTPUTF8 even where no address needs it")
    group.add_argument("--ret", choices=("full", "hdrs"), help="how much of the message a bounce repeats (DSN)")
    group.add_argument("--envid", metavar="TEXT", help="an identifier that a bounce repeats (DSN)")
    group.add_argument("--notify", metavar="WHEN", help="never, or some of success,failure,delay (DSN)")
    group.add_argument("--orcpt", metavar="ADDRESS", help="the original recipient (DSN)")
    group.add_argument("--deliver-by", metavar="SECONDS;MODE", help="e.g. 3600;R: bounce what takes longer (DELIVERBY)")
    group.add_argument("--require-tls", action="store_true", help="pass it on under TLS or not at all (REQUIRETLS)")
    group.add_argument("--priority", metavar="-9..9", help="how urgent it is, e.g. --priority=-3 (MT-PRIORITY)")
    group.add_argument("--hold-for", metavar="SECONDS", help="deliver it so much later (FUTURERELEASE)")
    group.add_argument("--hold-until", metavar="DATE-TIME", help="deliver it then, e.g. 2030-01-01T08:00:00Z")
    group.add_argument("--prdr", action="store_true", help="ask for a reply for each recipient after the message")
    group.add_argument(
        "--mail-param",
        metavar="KEY[=VALUE]",
        action="append",
        default=[],
        help="any parameter for MAIL, sent whatever the server offers; may be repeated",
    )
    group.add_argument("--rcpt-param", metavar="KEY[=VALUE]", action="append", default=[], help="the same for RCPT")
    group.add_argument(
        "--ask",
        metavar="COMMAND",
        action="append",
        default=[],
        help="give this command before MAIL, e.g. 'VRFY postmaster', 'EXPN staff', HELP; may be repeated",
    )


def with_extensions(args: argparse.Namespace, plan: Plan, *, pipeline: bool) -> Plan:
    """The plan with what these options say. Raises `UsageError`."""
    body = cast(Body, (args.body_type or "").upper())
    chunking = args.chunking or (str(_DEFAULT_CHUNK) if body == "BINARYMIME" else "0")
    if not re.fullmatch(r"[0-9]{1,10}", chunking) or (args.chunking and not int(chunking)):
        raise UsageError(f"--chunking {chunking}: the size of a chunk is a number of octets above 0.")
    for line in args.ask:
        if not line.strip() or re.search(r"[\r\n\0]", line):
            raise UsageError("--ask: a command is one line, and not empty.")
    return plan._replace(
        body=body,
        chunk_size=int(chunking),
        smtputf8=args.smtputf8,
        ask=tuple(args.ask),
        pipelining=pipeline if args.pipeline == "auto" else args.pipeline == "yes",
        mail_parameters=_checked(args, "MAIL", _mail_parameters(args)),
        rcpt_parameters=_checked(args, "RCPT", _rcpt_parameters(args)),
        literal_mail=_literal("--mail-param", args.mail_param),
        literal_rcpt=_literal("--rcpt-param", args.rcpt_param),
    )


#: What the user typed -> the parameter it became, for messages.
_OPTIONS = {
    "ENVID": "--envid",
    "NOTIFY": "--notify",
    "ORCPT": "--orcpt",
    "BY": "--deliver-by",
    "MT-PRIORITY": "--priority",
    "HOLDFOR": "--hold-for",
    "HOLDUNTIL": "--hold-until",
}


def _mail_parameters(args: argparse.Namespace) -> Parameters:
    parameters: Parameters = {}
    if args.ret is not None:
        parameters["RET"] = args.ret.upper()
    if args.envid is not None:
        parameters["ENVID"] = encode_xtext(args.envid)
    if args.deliver_by is not None:
        parameters["BY"] = args.deliver_by.upper()
    if args.require_tls:
        parameters["REQUIRETLS"] = None
    if args.priority is not None:
        parameters["MT-PRIORITY"] = args.priority
    if args.hold_for is not None:
        parameters["HOLDFOR"] = args.hold_for
    if args.hold_until is not None:
        parameters["HOLDUNTIL"] = args.hold_until.upper()
    if args.prdr:
        parameters["PRDR"] = None
    return parameters


def _rcpt_parameters(args: argparse.Namespace) -> Parameters:
    parameters: Parameters = {}
    if args.notify is not None:
        parameters["NOTIFY"] = args.notify.upper().replace(" ", "")
    if args.orcpt is not None:
        # RFC 6533 §3: an address with other characters than ASCII is of the type utf-8.
        ascii_form = f"rfc822;{encode_xtext(args.orcpt)}"
        parameters["ORCPT"] = ascii_form if args.orcpt.isascii() else f"utf-8;{args.orcpt}"
    return parameters


def _checked(args: argparse.Namespace, verb: str, parameters: Parameters) -> Parameters:
    for keyword, value in parameters.items():
        if check_parameter(verb, keyword, value) is not None and keyword in _OPTIONS:
            option, known = _OPTIONS[keyword], PARAMETERS[keyword]
            typed = getattr(args, option.removeprefix("--").replace("-", "_"))
            raise UsageError(f"{option} {typed}: the value is {known.form} ({known.source}).")
    return parameters


def _literal(option: str, words: list[str]) -> Parameters:
    try:
        return parse_parameters(" ".join(words))
    except ParameterError as error:
        raise UsageError(f"{option}: {error}") from None
