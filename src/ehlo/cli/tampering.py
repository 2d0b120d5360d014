"""Options for testers: what no mail program would do."""

from __future__ import annotations

import argparse

from ehlo.cli.commands import UsageError
from ehlo.probe.escapes import EscapeError, unescape
from ehlo.probe.plan import Tampering
from ehlo.smtp.stages import STAGES, Stage

#: What no network reaches; above it, numbers are infinite or were mistyped.
_MOST_OCTETS = 1e12
#: The stages that begin with something this side sends.
_SAID: tuple[Stage, ...] = ("ehlo", "starttls", "auth", "mail", "rcpt", "data", "message", "quit")
_ANSWERED: tuple[Stage, ...] = ("banner", *_SAID)


def add_tampering_options(parser: argparse.ArgumentParser) -> None:
    """What is done otherwise than a mail program would."""
    group = parser.add_argument_group("tampering", "For testers of servers: what no mail program should do.")
    group.add_argument(
        "--instead",
        metavar="STAGE=OCTETS",
        action="append",
        default=[],
        help=r"send these octets (\r \n \0 \xHH) in place of the command of a stage; may be repeated",
    )
    group.add_argument(
        "--drop-at", metavar="STAGE", choices=_SAID, help="cut the connection before the command; message: within it"
    )
    group.add_argument(
        "--drop-sent", metavar="STAGE", choices=_SAID, help="cut the connection before the answer to the command"
    )
    group.add_argument("--drop-after", metavar="STAGE", choices=_ANSWERED, help="cut the connection after the answer")
    group.add_argument(
        "--pause",
        metavar="[STAGE=]SECONDS",
        action="append",
        default=[],
        help="wait before each command, or before that of a stage; message: in the middle of it",
    )
    group.add_argument("--rate", metavar="OCTETS", type=float, help="send so many octets a second")
    group.add_argument("--write-size", metavar="OCTETS", type=int, help="give the network so many octets at a time")
    group.add_argument(
        "--keep-line-endings", action="store_true", help="send bare LF and CR of the message as they are"
    )
    group.add_argument("--no-dot-stuffing", action="store_true", help="do not double dots that begin a line")


def tampering_from(args: argparse.Namespace) -> Tampering:
    """What these options say. Raises `UsageError`."""
    for option, octets in (("--rate", args.rate), ("--write-size", args.write_size)):
        if octets is not None and not 0 < octets <= _MOST_OCTETS:
            raise UsageError(f"{option} {octets:g}: this is a number of octets above 0.")
    pause, pauses = _pauses(args.pause)
    return Tampering(
        instead=dict(map(_instead, args.instead)),
        drop_at=args.drop_at,
        drop_sent=args.drop_sent,
        drop_after=args.drop_after,
        pauses=pauses,
        pause=pause,
        rate=args.rate or 0.0,
        write_size=args.write_size or 0,
        keep_line_endings=args.keep_line_endings,
        dot_stuffing=not args.no_dot_stuffing,
    )


def _instead(word: str) -> tuple[Stage, bytes]:
    stage, equals, text = word.partition("=")
    if not equals or stage not in _SAID:
        raise UsageError(f"--instead {word}: the form is STAGE=OCTETS; stages are {' '.join(_SAID)}.")
    try:
        return stage, unescape(text)
    except EscapeError as error:
        raise UsageError(f"--instead {stage}: {error}") from None


def _pauses(words: list[str]) -> tuple[float, dict[Stage, float]]:
    everywhere, pauses = 0.0, dict[Stage, float]()
    for word in words:
        stage, equals, number = word.rpartition("=")
        try:
            seconds = float(number)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= 86400:
            raise UsageError(f"--pause {word}: a time is a number of seconds, at most 86400.")
        if not equals:
            everywhere = seconds
        elif stage in STAGES and stage in _SAID:
            pauses[stage] = seconds
        else:
            raise UsageError(f"--pause {word}: '{stage}' is not one of {' '.join(_SAID)}.")
    return everywhere, pauses
