"""`ehlo check`."""

from __future__ import annotations

import argparse

from ehlo.cli.commands import UsageError
from ehlo.cli.options import add_report_option, add_session_options, add_view_options, plan_from
from ehlo.cli.session import run_plan
from ehlo.probe.target import TargetError, parse_target

EPILOG = """\
examples:
  ehlo check mail.example.com                          greeting, extensions, TLS
  ehlo check mail.example.com -f me@here.org -t you@example.com
  ehlo check you@example.com -f me@here.org            the mail exchangers of example.com
  ehlo check smtps://mail.example.com --user me        log in under TLS
  ehlo check mail.example.com --json | jq .verdict
  ehlo check you@example.com -f me@here.org --investigate --wait 300

Without -f the sender is the null sender <>, as in bounces. Nothing is delivered.

exit status: 0 all went well; 2 wrong usage; otherwise the stage that failed:
  dns 10, connect 11, tls 12, banner 13, ehlo 14, starttls 15, auth 16, mail 17, rcpt 18,
  data 19, message 20, quit 21
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_session_options(parser, last="rcpt")
    group = parser.add_argument_group("experiments")
    group.add_argument("--investigate", action="store_true", help="find out more, in sessions changed in one point")
    group.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="with --investigate: wait out a greylist so long"
    )
    group.add_argument(
        "--control", default="", metavar="TARGET", help="with --investigate: another server, to tell them from us"
    )
    group.add_argument("--lists", action="store_true", help="with --investigate: ask block lists for this address")
    add_view_options(parser)
    add_report_option(parser)


def run(args: argparse.Namespace) -> int:
    """Check a server."""
    if args.control:
        try:
            parse_target(args.control)
        except TargetError as error:
            raise UsageError(f"--control: {error}") from None
    return run_plan(args, plan_from(args, last="rcpt"), "check")
