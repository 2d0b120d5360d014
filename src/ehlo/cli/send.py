"""`ehlo send`."""

from __future__ import annotations

import argparse

from ehlo.cli.commands import UsageError
from ehlo.cli.files import read_file
from ehlo.cli.options import add_session_options, add_view_options, own_name, plan_from
from ehlo.cli.session import run_plan
from ehlo.probe.message import DEFAULT_BODY, MessageError, generate

EPILOG = """\
examples:
  ehlo send mail.example.com -f me@here.org -t you@example.com
  ehlo send mail.example.com -f me@here.org -t you@example.com --header 'Subject: Hello' --body 'How are you?'
  ehlo send mail.example.com -f me@here.org -t you@example.com --data message.eml
  ehlo send mail.example.com:587 -f me@here.org -t you@example.com --user me --password-file secret

exit status: 0 the message was taken for all recipients; 2 wrong usage; otherwise the stage that failed:
  dns 10, connect 11, tls 12, banner 13, ehlo 14, starttls 15, auth 16, mail 17, rcpt 18,
  data 19, message 20, quit 21
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_session_options(parser, last="message")
    message = parser.add_argument_group("message")
    message.add_argument(
        "--data", metavar="FILE", help="send this file (- is standard input) as it is, as a whole message"
    )
    message.add_argument(
        "--header",
        metavar="'NAME: VALUE'",
        action="append",
        default=[],
        help="a header of the generated message",
    )
    message.add_argument("--body", metavar="TEXT", help="the text of the generated message")
    add_view_options(parser)


def run(args: argparse.Namespace) -> int:
    """Send a message."""
    if args.data is not None and (args.header or args.body is not None):
        raise UsageError("--data sends a message as it is; --header and --body are for a generated one.")
    if args.sender is None:
        raise UsageError("A sender is needed: -f ADDRESS, or -f '<>' for none.")
    plan = plan_from(args, last="message")
    if not plan.recipients:
        raise UsageError("A recipient is needed: -t ADDRESS.")
    if args.data is not None:
        message = read_file(args.data, "message")
    else:
        try:
            message = generate(
                plan.sender,
                plan.recipients,
                helo=plan.helo or own_name(),
                headers=args.header,
                body=DEFAULT_BODY if args.body is None else args.body,
            )
        except MessageError as error:
            raise UsageError(str(error)) from None
    return run_plan(args, plan._replace(message=message), "send")
