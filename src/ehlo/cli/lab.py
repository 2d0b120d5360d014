"""`ehlo lab`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from ehlo.cli.commands import UsageError
from ehlo.cli.files import read_file
from ehlo.cli.options import add_colour_option, path_from
from ehlo.lab.authority import Identity
from ehlo.lab.lab import Lab, Watcher
from ehlo.lab.policy import Policy
from ehlo.report.style import Style, style_of
from ehlo.report.text import safe
from ehlo.transcript.event import Event
from ehlo.transcript.redaction import Redactor

EPILOG = """\
examples:
  ehlo lab                                             port 2525, mailbox recipient@example.com
  ehlo lab --port 2500 --mailbox alice@example.com --mailbox bob@example.org
  ehlo lab --any-recipient --quiet
  ehlo lab --user alice:wonderland --ca-out lab-ca.pem

The server plays Postfix on mail.example.com. It listens on this machine alone, keeps what it is sent in
memory, and delivers and relays nothing. Ctrl-C ends it.
"""

DEFAULT_PORT = 2525
#: A server that keeps thousands of transcripts must not walk through all of them again and again.
_GC_THRESHOLD = 50_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"0: any that is free (default {DEFAULT_PORT})")
    parser.add_argument("--mailbox", metavar="ADDRESS", action="append", default=[], help="a mailbox; may be repeated")
    parser.add_argument("--any-recipient", action="store_true", help="accept every recipient")
    parser.add_argument(
        "--refuse-sender", metavar="ADDRESS", action="append", default=[], help="refuse this sender; may be repeated"
    )
    parser.add_argument(
        "--user", metavar="NAME:PASSWORD", action="append", default=[], help="offer AUTH under TLS to this user"
    )
    parser.add_argument("--cert", metavar="FILE", help="certificate chain in PEM form (default: one made on the spot)")
    parser.add_argument("--key", metavar="FILE", help="its private key in PEM form")
    parser.add_argument("--ca-out", metavar="FILE", help="write the certificate of the lab's authority to this file")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not show the sessions")
    add_colour_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run the lab until it is stopped."""
    style = style_of(sys.stdout, args.color)
    lab = Lab(policy=_policy(args), identity=_identity(args), watchers=[] if args.quiet else [SessionLog(style)])
    if args.ca_out:
        try:
            Path(args.ca_out).write_bytes(lab.identity.authority)
        except OSError as error:
            raise UsageError(f"--ca-out {args.ca_out}: the file cannot be written: {error.strerror}.") from None
    if not 0 <= args.port <= 65535:
        raise UsageError(f"--port {args.port}: a port is a number from 0 to 65535.")
    gc.enable()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 100)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(lab, args.port, style))
    return 0


async def _serve(lab: Lab, port: int, style: Style) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        port = await lab.start("127.0.0.1", port)
    except OSError as error:
        raise UsageError(f"--port {port}: the lab cannot listen there: {error.strerror or error}.") from None
    mailboxes = "every address" if lab.policy.any_recipient else ", ".join(sorted(lab.policy.mailboxes))
    print(f"{lab.persona.host} ({lab.persona.name}) listens on {style.bold(f'127.0.0.1:{port}')}")
    print(style.dim(f"mailboxes: {mailboxes}"))
    print(style.dim(f"try:  ehlo check 127.0.0.1:{port} -f sender@yourdomain.com -t recipient@example.com"))
    sys.stdout.flush()
    await stop.wait()
    await lab.stop()
    print(f"\n{len(lab.messages)} messages, {lab.session_count} sessions.")


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed: it serves one and a half times as many sessions."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


class SessionLog(Watcher):
    """Shows the conversations of a lab, line by line, each with its session's number."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._redactors: dict[int, Redactor] = {}

    def happened(self, number: int, event: Event) -> None:
        """Show an event."""
        event = self._redactors.setdefault(number, Redactor()).redact(event)
        text = self._text(event)
        if event.kind == "close":
            del self._redactors[number]
        if text:
            print(f"{self._style.dim(f'#{number:<4}')} {text}")
            sys.stdout.flush()

    def _text(self, event: Event) -> str:
        style = self._style
        if event.kind == "line":
            arrow = "C:" if event.who == "client" else "S:"
            text = style.plain(safe(event.text))
            return f"{arrow} {style.paint(text, '36') if event.who == 'client' else text}"
        if event.kind == "data":
            octets = len(event.data or b"")
            return "C: " + style.dim(f"({octets} octets of message)")
        if event.kind == "tls":
            what = event.fact("message") or f"{event.fact('version')} {event.fact('cipher')}"
            return style.dim(f"-- TLS: {safe(what)}")
        if event.kind in ("error", "note"):
            return style.warn(f"-- {safe(event.fact('message'))}")
        return style.dim("-- closed") if event.kind == "close" else ""


def _policy(args: argparse.Namespace) -> Policy:
    users = {}
    for pair in args.user:
        name, colon, password = pair.partition(":")
        if not (name and colon and password):
            raise UsageError(f"--user {pair.partition(':')[0]}: the form is NAME:PASSWORD.")
        users[name] = password
    policy = Policy(
        any_recipient=args.any_recipient,
        refused_senders=frozenset(path_from(sender, "sender").address.lower() for sender in args.refuse_sender),
        users=users,
    )
    if not args.mailbox:
        return policy
    mailboxes = frozenset(path_from(mailbox, "recipient").address.lower() for mailbox in args.mailbox)
    return policy._replace(mailboxes=mailboxes, domains=frozenset(mailbox.rpartition("@")[2] for mailbox in mailboxes))


def _identity(args: argparse.Namespace) -> Identity | None:
    if not args.cert and not args.key:
        return None
    if not (args.cert and args.key):
        raise UsageError("--cert and --key belong together.")
    if args.ca_out:
        raise UsageError("--ca-out is for the lab's own authority; with --cert there is none.")
    return Identity(read_file(args.cert, "certificate"), read_file(args.key, "key"), b"")
