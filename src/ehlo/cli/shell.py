"""`ehlo shell`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable

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


class _Outlet:
    """What a session writes to while it runs in callbacks, where an error would be taken for one of the network.

    So the first error is kept in `failure`, nothing more is written, and `stop` is called.
    """

    def __init__(self) -> None:
        self.failure: OSError | None = None
        self.stop: Callable[[], object] = _nothing

    def attempt(self, write: Callable[[], object]) -> None:
        """Write, if that is still possible."""
        if self.failure is not None:
            return
        try:
            write()
        except OSError as error:
            self.failure = error
            self.stop()


def run(args: argparse.Namespace) -> int:
    """Open a shell. Raises `OSError` when nobody takes what it writes any more."""
    import asyncio

    from ehlo.cli.commands import UsageError
    from ehlo.cli.recording import RecordWriter
    from ehlo.report.style import style_of, terminal_columns
    from ehlo.shell.script import NoQuestions, run_script
    from ehlo.shell.shell import Questions, Shell
    from ehlo.shell.view import View

    if sys.stdin is None:
        raise UsageError("standard input is closed, so there is nothing to read commands from.")
    plan = with_security(args, with_network(args, base_plan(args)))
    screen, stdout = _Outlet(), sys.stdout
    terminal = sys.stdin.isatty() and stdout.isatty()

    def put(line: str) -> None:
        screen.attempt(lambda: print(line, flush=True))

    write: Callable[[str], None] = put
    questions: Questions = NoQuestions()
    if terminal:
        from ehlo.shell.terminal import Screen, TerminalQuestions, run_terminal

        write, questions = Screen(put).write, TerminalQuestions()
    columns = (lambda: terminal_columns(stdout)) if stdout.isatty() else None
    view = View(write, style_of(stdout, args.color), columns=columns, show_secrets=args.show_secrets)
    nameserver = nameserver_from(args.dns_server)
    shell = Shell(plan, view, questions, nameserver=nameserver, wait=plan.timeouts.cap)

    if args.record:
        record = RecordWriter(args.record, show_secrets=args.show_secrets, warn=view.problem)
        shell.on_open = record.begin
        shell.on_event = record.catch_up
    else:
        record = None

    why = "nothing can be written any more"

    async def main() -> int:
        talking = asyncio.ensure_future(run_terminal(shell) if terminal else run_script(shell, sys.stdin, sys.stderr))
        screen.stop = talking.cancel

        def told(words: str) -> None:
            nonlocal why
            why = words
            talking.cancel()

        # From within the loop: a handler of Python's own acts between any two steps of it, even while it wakes the
        # very task that is to be cancelled.
        for number, words in ((signal.SIGINT, "interrupted from the keyboard"), (signal.SIGTERM, "ended by SIGTERM")):
            if signal.getsignal(number) is not signal.SIG_IGN:
                asyncio.get_running_loop().add_signal_handler(number, told, words)
        try:
            return await talking
        finally:
            await shell.abandon(why)
            if record is not None:
                record.close()

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        if screen.failure is None:
            raise KeyboardInterrupt(why) from None
        raise screen.failure from None


def _nothing() -> None:
    pass
