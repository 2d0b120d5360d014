"""`ehlo send`."""

from __future__ import annotations

import argparse

from ehlo.cli.commands import UsageError
from ehlo.cli.investigation import add_experiment_options, check_wishes
from ehlo.cli.message import add_message_options, with_messages
from ehlo.cli.options import add_session_options, add_view_options, own_name, plan_from
from ehlo.cli.session import run_plan

EPILOG = """\
examples:
  ehlo send mail.example.com -f me@here.org -t you@example.com
  ehlo send mail.example.com -f me@here.org -t you@example.com --header 'Subject: Hello' --body 'How are you?'
  ehlo send mail.example.com -f me@here.org -t you@example.com --html @letter.html --attach report.pdf
  ehlo send mail.example.com -f me@here.org -t you@example.com --data message.eml --repair
  ehlo send mail.example.com:587 -f me@here.org -t you@example.com --user me --password-file secret
  ehlo send mail.example.com -f me@here.org -t you@example.com --attach big.pdf --investigate

The message is sent once; the sessions of --investigate deliver nothing.

exit status: 0 the message was taken for all recipients; 2 wrong usage; otherwise the stage that failed:
  dns 10, connect 11, tls 12, banner 13, ehlo 14, starttls 15, auth 16, mail 17, rcpt 18,
  data 19, message 20, quit 21
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_session_options(parser, last="message")
    add_message_options(parser)
    add_experiment_options(parser)
    add_view_options(parser)


def run(args: argparse.Namespace) -> int:
    """Send a message."""
    if args.sender is None:
        raise UsageError("A sender is needed: -f ADDRESS, or -f '<>' for none.")
    check_wishes(args)
    plan = plan_from(args, last="message")
    if not plan.recipients:
        raise UsageError("A recipient is needed: -t ADDRESS.")
    return run_plan(args, with_messages(args, plan, plan.helo or own_name()), "send")
