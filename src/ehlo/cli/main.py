"""The command `ehlo`: finds the subcommand, runs it, turns what goes wrong into a sentence and a status."""

from __future__ import annotations

import argparse
import gc
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from ehlo import __version__
from ehlo.cli.commands import COMMANDS, Command, UsageError
from ehlo.cli.configuration import run_configured
from ehlo.report.style import style_of, terminal_columns
from ehlo.report.text import safe

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

_EXIT_USAGE = 2
_EXIT_BUG = 70
_EXIT_INTERRUPTED = 130
#: What a shell says of a program that SIGPIPE ended.
_EXIT_BROKEN_PIPE = 141

#: What a signal does.
_Handler = Callable[[int, FrameType | None], object] | int

_DESCRIPTION = "The SMTP debugger: see every step of a mail session, what each reply means, where it failed."
_EPILOG = """\
examples:
  ehlo demo
  ehlo check mail.example.com -f me@here.org -t you@example.com
  ehlo check you@example.com
  ehlo send mail.example.com:587 -f me@here.org -t you@example.com --user me
  ehlo lab --port 2525

Each command has its own help: ehlo check --help
"""


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are. (It is told the width, which it else asks of `shutil`, at 3 ms.)"""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(terminal_columns(sys.stdout), 100) - 2)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence."""

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Write a help text, with the characters that standard output has."""
        style = style_of(sys.stdout)
        super()._print_message(style.plain(message) if file is sys.stdout else message, file)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is, and exit with status 2."""
        self.exit(_EXIT_USAGE, f"{self.prog}: {safe(_without_values(message))}\nSee {self.prog} --help.\n")


def _without_values(message: str) -> str:
    """A complaint of argparse about options that are not known, without their values: one may be a password."""
    if message.startswith("ambiguous option: "):
        return re.sub(r"=.*(?= could match )", "", message, flags=re.DOTALL)
    what, colon, words = message.partition("unrecognized arguments: ")
    if not colon:
        return message
    shown: list[str] = []
    for word in words.split(" "):
        if word.startswith("--"):
            shown.append(word.partition("=")[0])
        elif word.startswith("-"):
            # The value of an option of one letter may stand behind it.
            shown.append(word[:2])
        elif not any(option.startswith("-") for option in shown):
            shown.append(word)
    return f"{what}{colon}{' '.join(shown)}"


def full_parser() -> argparse.ArgumentParser:
    """The parser with all commands; for help, completion and the manual page."""
    parser = _top_parser()
    subparsers = parser.add_subparsers(metavar="COMMAND", dest="command", title="commands")
    for command in COMMANDS:
        configure(command, subparsers.add_parser(command.name, help=command.summary))
    return parser


def _top_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="ehlo",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=Formatter,
    )
    parser.add_argument("--version", action="version", version=f"ehlo {__version__}")
    return parser


def configure(command: Command, parser: argparse.ArgumentParser) -> None:
    """Give a parser what belongs to a command: its description, its options, its examples."""
    module = command.load()
    parser.description = command.summary[0].upper() + command.summary[1:] + "."
    parser.formatter_class = Formatter
    parser.epilog = module.EPILOG
    module.configure(parser)
    # Since there are -4 and -6, argparse takes -1 for an option as well; it is a value, and mostly a wrong one.
    parser._has_negative_number_optionals.clear()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; gives the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # One session makes no garbage worth looking for; the lab switches the collector on again.
    gc.disable()
    if sys.stdout is None or sys.stderr is None:
        # Closed by the shell (>&-): without the one there is no output, without the other no word of it.
        if sys.stderr is not None:
            sys.stderr.write("ehlo: standard output is closed, so there is nowhere to write to.\n")
        return _EXIT_USAGE
    before = _take_sigterm_for_ctrl_c()
    try:
        return _reported(words)
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _take_sigterm_for_ctrl_c() -> _Handler | None:
    """Whoever ends ehlo by SIGTERM gets what is known so far as well; gives what SIGTERM did before."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt("ended by SIGTERM")

    if threading.current_thread() is not threading.main_thread():
        # Signals are the main thread's.
        return None
    return signal.signal(signal.SIGTERM, stop)


def _reported(words: list[str]) -> int:
    """Run a command line, and say in a sentence what is wrong with it or happens to it."""
    try:
        try:
            status = _run(words)
        finally:
            # Also behind --help, which leaves by SystemExit.
            sys.stdout.flush()
    except UsageError as error:
        sys.stderr.write(f"ehlo {words[0]}: {safe(str(error))}\n")
        return _EXIT_USAGE
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever reads has seen enough. A program that knows of no such error is ended by SIGPIPE here.
        _drop_stdout()
        return _EXIT_BROKEN_PIPE
    except OSError as error:
        if error.filename is not None:
            raise
        _drop_stdout()
        sys.stderr.write(f"ehlo: the output cannot be written: {error.strerror}.\n")
        return _EXIT_USAGE
    except Exception as error:
        return _bug(error)
    return status


def _run(words: list[str]) -> int:
    command = next((command for command in COMMANDS if words and command.name == words[0]), None)
    if command is None:
        # Nothing is run, so it may cost what it costs: this is help, or a mistake.
        full_parser().parse_args(words or ["--help"])
        return _EXIT_USAGE
    # The other commands are not even imported: start-up time is part of the product.
    parser = Parser(prog=f"ehlo {command.name}")
    configure(command, parser)
    if "--password-file" in parser._option_string_actions or command.name == "config":
        from ehlo.cli.secret import refuse_secrets

        refuse_secrets(words[1:])
    return run_configured(command, parser, words[1:])


def _drop_stdout() -> None:
    """Nobody reads any more: keep the interpreter from complaining about it at its end."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())


def _bug(error: Exception) -> int:
    if os.environ.get("EHLO_TRACEBACK"):
        raise error
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where is not None else "?"
    sys.stderr.write(
        f"ehlo: this is a bug in ehlo: {type(error).__name__}: {error} (at {place}).\n"
        "Please report it; with EHLO_TRACEBACK=1 in the environment the whole traceback is shown.\n"
    )
    return _EXIT_BUG
