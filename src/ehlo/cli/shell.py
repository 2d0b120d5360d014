"""`ehlo shell`."""

from __future__ import annotations

import argparse
import sys

from ehlo.cli.network import add_network_options, nameserver_from, with_network
from ehlo.cli.options import add_colour_option, add_envelope_options, add_target, base_plan
from ehlo.cli.security import add_login_options, add_tls_options, with_security

EPILOG = """\
examples:
  ehlo shell mail.example.com                type commands; Tab completes, :help lists what else there is
  ehlo shell smtps://mail.example.com --user me
  ehlo shell mail.example.com < session.txt  plain lines; "< 250" is what the last reply must be

Everything without a colon goes to the server as it is typed.

exit status: 0 all went well, or all expectations were met; 2 wrong usage; otherwise the stage that failed:
  dns 10, connect 11, tls 12, banner 13, ehlo 14, starttls 15, auth 16, mail 17, rcpt 18,
  data 19, message 20, quit 21
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_target(parser)
    add_envelope_options(parser)
    add_tls_options(parser, trials=False)
    add_login_options(parser)
    add_network_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--record", metavar="FILE", help="write the transcript to a file when the session is over")
    add_colour_option(output)
    output.add_argument("--show-secrets", action="store_true", help="show passwords instead of [redacted]")


def run(args: argparse.Namespace) -> int:
    """Open a shell."""
    import asyncio

    from ehlo.cli.commands import UsageError
    from ehlo.cli.recording import RecordWriter, open_record
    from ehlo.report.style import style_of
    from ehlo.shell.script import NoQuestions, run_script
    from ehlo.shell.shell import Shell
    from ehlo.shell.view import View
    from ehlo.transcript.transcript import Transcript

    plan = with_security(args, with_network(args, base_plan(args)))
    record = open_record(args.record) if args.record else None
    terminal = sys.stdin.isatty() and sys.stdout.isatty()

    def write(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    view = View(write, style_of(sys.stdout, args.color), show_secrets=args.show_secrets)
    wait = plan.timeouts.cap

    async def main() -> int:
        if terminal:
            from ehlo.shell.terminal import TerminalQuestions, run_terminal

            shell = Shell(plan, view, TerminalQuestions(), nameserver=nameserver_from(args.dns_server), wait=wait)
            status = run_terminal(shell)
        else:
            shell = Shell(plan, view, NoQuestions(), nameserver=nameserver_from(args.dns_server), wait=wait)
            status = run_script(shell, sys.stdin, sys.stderr)

        def begin(transcript: Transcript) -> None:
            if record is not None:
                # A session that is done again takes the place of the one before.
                record.seek(0)
                record.truncate()
                shell.on_event = RecordWriter(record, transcript, show_secrets=args.show_secrets).catch_up

        shell.on_open = begin
        try:
            return await status
        finally:
            await shell.abandon("interrupted from the keyboard")
            if record is not None:
                record.close()

    if sys.stdin is None:
        raise UsageError("standard input is closed, so there is nothing to read commands from.")
    return asyncio.run(main())
