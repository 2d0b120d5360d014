"""`ehlo demo`: the session of the telnet tutorial, explained, then one that fails."""

from __future__ import annotations

import argparse
import sys
import textwrap

from ehlo.cli.options import add_colour_option
from ehlo.diagnosis.judge import judge
from ehlo.knowledge.data import read_data
from ehlo.knowledge.language import meaning_of_keyword
from ehlo.lab import Lab, RunningLab
from ehlo.net.blocking import run as run_session
from ehlo.probe.plan import Plan
from ehlo.probe.target import parse_target
from ehlo.probe.walk import client_session
from ehlo.report.style import Style, style_of
from ehlo.report.terminal import SessionView
from ehlo.report.text import safe, wrap
from ehlo.smtp.address import parse_path
from ehlo.smtp.states import CONNECT, CONTENT
from ehlo.transcript.event import Event
from ehlo.transcript.exchanges import Exchange, ExchangeReader

EPILOG = """\
examples:
  ehlo demo
  ehlo demo --color never > session.txt

Nothing leaves this machine: a server of ehlo's own plays mail.example.com.
"""

_SENDER = "sender@yourdomain.com"
_RECIPIENT = "recipient@example.com"
_UNKNOWN = "nobody@example.com"
_MESSAGE = f"""\
Subject: Test Email from ehlo
From: {_SENDER}
To: {_RECIPIENT}

This is the body of the test email.
It's being sent directly via SMTP.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_colour_option(parser)


def run(args: argparse.Namespace) -> int:
    """Play both sessions."""
    style = style_of(sys.stdout, args.color)
    with Lab().running() as lab:
        status = _explained_session(lab, style)
        return status or _failing_session(lab, style)


def _plan(lab: RunningLab, recipient: str) -> Plan:
    return Plan(
        parse_target(f"127.0.0.1:{lab.port}"),
        helo="yourdomain.com",
        sender=parse_path(f"<{_SENDER}>"),
        recipients=(parse_path(f"<{recipient}>"),),
        message=_MESSAGE.encode(),
        starttls="never",
        stop_after="message",
    )


def _explained_session(lab: RunningLab, style: Style) -> int:
    tour = _Tour(style)
    tour.paragraph("opening")
    session = client_session(_plan(lab, _RECIPIENT), tour.event)
    run_session(session)
    tour.paragraph("closing")
    return judge(session.recorder.transcript).exit_status


def _failing_session(lab: RunningLab, style: Style) -> int:
    tour = _Tour(style)
    tour.paragraph("failure")
    print(f"$ ehlo check mail.example.com -f {_SENDER} -t {_UNKNOWN}\n")
    view = SessionView(sys.stdout, style)
    session = client_session(_plan(lab, _UNKNOWN)._replace(message=b"", stop_after="rcpt"), view.event)
    view.begin(session.recorder.header._replace(target="mail.example.com"))
    run_session(session)
    transcript = session.recorder.transcript
    verdict = judge(transcript)
    view.finish(transcript, verdict)
    print()
    tour.paragraph("end")
    # This session is meant to fail, at this very stage.
    return 0 if verdict.stage == "rcpt" else verdict.exit_status


class _Tour:
    """Shows each exchange with its lines, and tells what it means."""

    def __init__(self, style: Style) -> None:
        import tomllib

        self._style = style
        self._texts: dict[str, str] = tomllib.loads(read_data("demo.toml"))
        self._reader = ExchangeReader()
        self._events: list[Event] = []

    def event(self, event: Event) -> None:
        """Take an event; show the exchange that it completes."""
        self._events.append(event)
        exchange = self._reader.feed(event)
        if exchange is None:
            return
        if exchange.problem is not None:
            self._text(f"This went wrong: {exchange.problem.fact('message')}.")
        elif exchange.stage == "connect":
            self.paragraph("connect")
        elif exchange.reply is not None:
            self._exchange(exchange)

    def paragraph(self, name: str) -> None:
        """Tell a piece of the story."""
        for number, part in enumerate(self._texts[name].strip().split("\n\n")):
            if number:
                print()
            self._text(part)
        print()

    def _exchange(self, exchange: Exchange) -> None:
        for number in exchange.numbers:
            event = self._events[number]
            if event.kind == "data":
                for line in (event.data or b"").decode().splitlines():
                    self._line("C", line)
                self._line("C", ".")
            else:
                self._line("C" if event.who == "client" else "S", event.text)
        print()
        self.paragraph({CONNECT: "banner", CONTENT: "message"}.get(exchange.verb, exchange.verb.lower()))

    def _line(self, who: str, text: str) -> None:
        style = self._style
        shown = safe(text)
        keyword = text[4:].split(" ")[0] if who == "S" and text.startswith("250") else ""
        meaning = meaning_of_keyword(keyword) if keyword else ""
        line = style.paint(shown, "36") if who == "C" else style.bold(shown)
        gap = max(2, 30 - len(shown))
        beside = 5 + len(shown) + gap + len(meaning) <= style.width
        if meaning and beside:
            line += " " * gap + style.dim(meaning)
        print(f"  {style.dim(who + ':')} {line}")
        if meaning and not beside:
            for part in wrap(meaning, style.width - 9):
                print(f"         {style.dim(part)}")

    def _text(self, text: str) -> None:
        for line in textwrap.wrap(self._style.plain(text), min(self._style.width, 78)):
            print(line)
