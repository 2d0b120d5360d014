"""`ehlo check`."""

from __future__ import annotations

import argparse

from ehlo.cli.investigation import add_experiment_options, check_wishes
from ehlo.cli.options import add_report_option, add_session_options, add_view_options, plan_from
from ehlo.cli.session import run_plan

EPILOG = """\
examples:
  ehlo check mail.example.com                          greeting, extensions, TLS
  ehlo check mail.example.com -f me@here.org -t you@example.com
  ehlo check you@example.com -f me@here.org            the mail exchangers of example.com
  ehlo check smtps://mail.example.com --user me        log in under TLS
  ehlo check mail.example.com --json | jq .verdict
  ehlo check you@example.com -f me@here.org --investigate --wait 300

Without -f the sender is the null sender <>, as in bounces. Nothing is delivered, not by --investigate either.

exit status: 0 all went well; 2 wrong usage; otherwise the stage that failed:
  dns 10, connect 11, tls 12, banner 13, ehlo 14, starttls 15, auth 16, mail 17, rcpt 18,
  data 19, message 20, quit 21
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_session_options(parser, last="rcpt")
    add_experiment_options(parser)
    add_view_options(parser)
    add_report_option(parser)


def run(args: argparse.Namespace) -> int:
    """Check a server."""
    check_wishes(args)
    return run_plan(args, plan_from(args, last="rcpt"), "check")
