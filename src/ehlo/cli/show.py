"""`ehlo show`."""

from __future__ import annotations

import argparse
import sys

from ehlo.cli.commands import UsageError
from ehlo.cli.options import add_report_option, add_view_options
from ehlo.diagnosis.judge import judge
from ehlo.report.style import style_of
from ehlo.report.terminal import SessionView
from ehlo.transcript.jsonl import TranscriptError, read_finished
from ehlo.transcript.redaction import redact
from ehlo.transcript.transcript import Transcript

EPILOG = """\
examples:
  ehlo check mail.example.com --record session.jsonl
  ehlo show session.jsonl
  ehlo show -v session.jsonl
  ehlo show --json session.jsonl
  ehlo show --html report.html session.jsonl

The file's format is described in docs/transcript.md. exit status: 0, also for a record that was
cut off, or 2 if the file cannot be read.
"""


#: Who reads what is no transcript.
_OTHERWISE = "Bounces, logs, pasted and captured sessions are for ehlo explain."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("file", metavar="FILE", help="a transcript, as --record writes it; - is standard input")
    add_view_options(parser)
    add_report_option(parser)


def run(args: argparse.Namespace) -> int:
    """Show a recorded session as it was shown when it ran."""
    transcript = _read(args.file)
    if not args.show_secrets:
        transcript = redact(transcript)
    verdict = judge(transcript)
    if args.html:
        from ehlo.cli.files import write_file
        from ehlo.report.page import session_page

        page = session_page(redact(transcript), verdict, (), "show")
        write_file(args.html, "report", page.encode("utf-8", "replace"))
    if args.json:
        from ehlo.cli.json_output import print_document
        from ehlo.report.document import session_document

        print_document(session_document("show", {"given": transcript.header.target}, transcript, verdict))
    elif not args.quiet:
        view = SessionView(
            sys.stdout, style_of(sys.stdout, args.color), verbose=args.verbose, show_secrets=args.show_secrets
        )
        view.begin(transcript.header)
        for event in transcript.events:
            view.event(event)
        view.finish(transcript, verdict)
    return 0


def _read(name: str) -> Transcript:
    try:
        if name == "-":
            return read_finished(sys.stdin)
        with open(name, encoding="utf-8") as stream:
            return read_finished(stream)
    except TranscriptError as error:
        raise UsageError(f"'{name}' is not a transcript: {error}. {_OTHERWISE}") from None
    except UnicodeDecodeError:
        raise UsageError(f"'{name}' is not a transcript: it is not text. {_OTHERWISE}") from None
    except OSError as error:
        raise UsageError(f"'{name}' cannot be read: {error.strerror}.") from None
