"""`ehlo explain`."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ehlo.cli.commands import UsageError
from ehlo.cli.explain_input import chained, open_file, recoded, size_of, source_of, unreadable
from ehlo.cli.options import add_report_option, add_view_options
from ehlo.cli.progress import Progress
from ehlo.explain.detect import KINDS, Kind, kind_of, wide_encoding, without_quotation
from ehlo.report.document import case_to_json, group_to_json
from ehlo.report.finding import Cause, finding_lines, labelled, labelled_counts
from ehlo.report.style import Style, style_of
from ehlo.report.text import safe, wrap
from ehlo.transcript.redaction import redact

if TYPE_CHECKING:
    from ehlo.diagnosis.verdict import Finding
    from ehlo.explain.bounces import Bounce
    from ehlo.explain.case import Case
    from ehlo.explain.logs import Group
    from ehlo.transcript.event import JsonValue
    from ehlo.transcript.transcript import Transcript

EPILOG = """\
examples:
  ehlo explain "550 5.7.1 Service unavailable; client host blocked using zen.spamhaus.org"
  ehlo explain 5.1.1
  ehlo explain bounce.eml                    a bounce; an mbox file or a folder of them is summed up
  ehlo explain /var/log/mail.log             a log of Postfix, Exim, Sendmail, OpenSMTPD, Exchange (gz, too)
  ehlo explain session.txt                   what was pasted from telnet, openssl, swaks, curl -v ...
  tail -500 app.log | ehlo explain -         an exception, with or without a stack trace

What it is finds out by itself; --as says it. No network is used. exit status: 0, or 2 if there is nothing to explain.
"""

#: What is read of one thing that is no log: more than any session or bounce has.
_MAX_INPUT = 64_000_000
_PEEK = 65_536
#: Below so many messages a folder's are shown one by one.
_FEW = 3
#: A time in a log, as it is shown.
_MINUTE = "%Y-%m-%d %H:%M"
#: Whose logs are read.
_KNOWN_LOGS = "Postfix, Exim, Sendmail, OpenSMTPD and Exchange"
#: How far what is known of a cause stands to the right of its count.
_INDENT = 2


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("what", metavar="TEXT|FILE|-", nargs="*", help="default: standard input")
    parser.add_argument("--as", dest="kind", choices=KINDS, help="what it is (default: found out)")
    parser.add_argument("--top", type=int, default=20, metavar="N", help="causes shown of a log or many bounces (20)")
    add_view_options(parser)
    add_report_option(parser)


def run(args: argparse.Namespace) -> int:
    """Explain something."""
    if args.top < 1:
        raise UsageError(f"--top {args.top}: a number of causes is 1 or more.")
    explainer = Explainer(args, style_of(sys.stdout, args.color))
    source = source_of(args.what)
    if isinstance(source, Path):
        if source.is_dir():
            explainer.bounces(source)
        else:
            with open_file(source) as stream:
                explainer.stream(stream, source)
    else:
        explainer.stream(source, None)
    return explainer.finish()


class Explainer:
    """Reads one input, and shows what it means or collects it for `--json`."""

    def __init__(self, args: argparse.Namespace, style: Style) -> None:
        self._args = args
        self._style = style
        self._kind: Kind = "reply"
        self._results: list[JsonValue] = []
        self._causes: list[Cause] = []
        self._shown = 0
        self._title = ""

    def stream(self, stream: BinaryIO, path: Path | None) -> None:
        """Explain what a stream has."""
        file = stream
        try:
            head = stream.read(_PEEK)
        except OSError as error:
            raise unreadable(path, error) from None
        if encoding := wide_encoding(head):
            stream, path = recoded(chained(head, stream), encoding), None
            head = stream.read(_PEEK)
        kind: Kind | None = self._args.kind or kind_of(head)
        if kind == "log":
            self._log(chained(head, stream), file)
        elif kind == "pcap":
            self._pcap(head + stream.read(_MAX_INPUT))
        elif kind == "bounce" and path is not None and _is_mbox(head):
            self.bounces(path)
        else:
            data = head + stream.read(_MAX_INPUT)
            if kind == "bounce":
                self._bounce(data)
            else:
                self._text(data.decode("utf-8", "replace"), kind)

    def finish(self) -> int:
        """Print the document and write the page, if they were asked for; the exit status."""
        if self._args.html and self._causes:
            from ehlo.report.page import findings_page

            title = self._title or f"a {self._kind}"
            self._write_page(findings_page(title, "" if len(self._causes) == 1 else "by cause", self._causes))
        if self._args.json:
            from ehlo.cli.json_output import print_document
            from ehlo.report.document import SCHEMA
            from ehlo.transcript.transcript import SOFTWARE

            print_document(
                {
                    "schema": SCHEMA,
                    "command": "explain",
                    "software": SOFTWARE,
                    "kind": self._kind,
                    "results": self._results,
                }
            )
        elif not self._shown:
            raise UsageError("there is nothing in it that ehlo knows how to explain.")
        return 0

    def _write_page(self, page: str) -> None:
        from ehlo.cli.files import write_file

        write_file(self._args.html, "report", page.encode("utf-8", "replace"))

    # The kinds.

    def _text(self, text: str, kind: Kind | None) -> None:
        from ehlo.explain.case import is_known
        from ehlo.explain.exceptions import read_exception
        from ehlo.explain.paste import read_paste
        from ehlo.explain.replies import read_replies

        if kind == "transcript":
            self._transcript(text)
            return
        if kind in (None, "session"):
            paste = read_paste(text)
            if paste is not None:
                self._session(paste.transcript, paste.software)
                return
        text = without_quotation(text)
        if kind in (None, "exception") and (cases := read_exception(text)):
            self._kind = "exception"
            self._cases(cases)
            return
        self._kind = "reply"
        self._cases(case for case in read_replies(text) if is_known(case))

    def _transcript(self, text: str) -> None:
        from ehlo.transcript.jsonl import TranscriptError, read_finished

        try:
            transcript = read_finished(io.StringIO(text))
        except TranscriptError as error:
            raise UsageError(f"this is no transcript: {error}") from None
        self._session(transcript, "ehlo")
        self._kind = "transcript"

    def _session(self, transcript: Transcript, software: str) -> None:
        from ehlo.diagnosis.judge import judge

        self._kind = "session"
        transcript = transcript if self._args.show_secrets else redact(transcript)
        verdict = judge(transcript, software)
        if self._args.html:
            from ehlo.report.page import session_page

            self._write_page(session_page(redact(transcript), verdict, (), "explain"))
        if self._args.json:
            from ehlo.report.document import verdict_to_json

            about: dict[str, JsonValue] = {"input": transcript.header.target, "software": software or None}
            self._results.append({**about, "stage": verdict.stage, "verdict": verdict_to_json(verdict)})
            return
        from ehlo.report.terminal import SessionView

        self._shown += 1
        if self._args.quiet:
            return
        view = SessionView(
            sys.stdout,
            self._style,
            verbose=self._args.verbose,
            show_secrets=self._args.show_secrets,
            timed=any(event.t for event in transcript.events),
        )
        view.begin(transcript.header, f"pasted from {software}" if software and software != "ehlo" else "")
        for event in transcript.events:
            view.event(event)
        view.finish(transcript, verdict, notes_first=True)

    def _cases(self, cases: Iterable[Case]) -> None:
        from ehlo.explain.case import explain_case

        for case in cases:
            self._case(case, explain_case(case))

    def _case(self, case: Case, finding: Finding) -> None:
        self._causes.append(Cause(case.recipient, finding))
        if self._args.json:
            self._results.append(case_to_json(case, finding))
            return
        if self._args.quiet:
            self._shown += 1
            return
        if self._shown:
            print()
        self._shown += 1
        reply = case.reply
        refused = reply is None or not reply.ok
        if reply is not None and not refused:
            from ehlo.knowledge.codes import explain_or_say_unknown

            for number, line in enumerate(wrap(safe(str(reply)), self._style.width - 2)):
                print(f"{' ' if number else self._style.mark('ok')} {self._style.bold(line)}")
            for line in wrap(explain_or_say_unknown(reply), self._style.width - 2):
                print(f"  {line}")
            return
        for line in finding_lines(finding, self._style):
            print(line)
        if case.recipient and case.recipient not in finding.title:
            # Of several recipients, each has to know what is theirs.
            for line in labelled("for", case.recipient, self._style):
                print(line)

    def _bounce(self, raw: bytes) -> None:
        from ehlo.explain.bounces import read_bounce

        self._kind = "bounce"
        self._one_bounce(read_bounce(raw))

    def _one_bounce(self, bounce: Bounce) -> None:
        if not bounce.cases and not self._args.json:
            self._shown += 1
            if self._args.quiet:
                return
            print("This mail tells of no failure." if bounce.kind != "vacation" else "This is an automatic answer.")
        self._cases(bounce.cases)

    def bounces(self, path: Path) -> None:
        """Many bounces: an mbox file, a Maildir or a folder."""
        from ehlo.explain.bounces import read_bounce
        from ehlo.explain.bounces.many import mails
        from ehlo.explain.case import explain_case

        self._kind = "bounce"
        octets = 0

        def read() -> Iterator[Bounce]:
            nonlocal octets
            try:
                for raw in mails(path):
                    octets += len(raw)
                    yield read_bounce(raw)
            except OSError as error:
                raise unreadable(error.filename or path, error) from None

        bounces = read()
        first = list(islice(bounces, _FEW + 1))
        if len(first) <= _FEW:
            for bounce in first:
                self._one_bounce(bounce)
            return
        tally = Tally()
        progress = Progress("mails", size_of(path))
        for bounce in progress.watch(chain(first, bounces), lambda: octets):
            for case in bounce.cases:
                tally.add(case, explain_case(case))
        progress.done()
        self._tally(tally, f"{number_of(progress.count, 'mail')}, {number_of(tally.count, 'failure')}")

    def _log(self, stream: BinaryIO, file: BinaryIO) -> None:
        """A log from a stream that reads this file."""
        from ehlo.explain.logs import Damage, read_log, summarize

        self._kind = "log"
        damage: list[Damage] = []
        progress = Progress("failures", size_of(file))
        groups = summarize(progress.watch(read_log(stream, on_damage=damage.append), file.tell))
        progress.done()
        if "all" in damage:
            raise UsageError("the packed log is damaged: nothing of it can be unpacked.")
        self._groups(groups, progress.count)
        if damage:
            sys.stderr.write(
                "ehlo explain: the packed log is damaged or cut off: what follows the damage is missing.\n"
            )

    def _groups(self, groups: list[Group], count: int) -> None:
        self._title = f"{number_of(count, 'failure')}, {number_of(len(groups), 'cause')}"
        self._causes += [_cause_of(group) for group in groups[: self._args.top]]
        if self._args.json:
            self._results += [group_to_json(group) for group in groups]
            return
        self._shown += 1
        if self._args.quiet:
            return
        style, narrow = self._style, self._style._replace(width=self._style.width - _INDENT)
        print(style.bold(self._title))
        if not groups:
            for line in wrap(f"No line tells of a failure as {_KNOWN_LOGS} write it.", style.width):
                print(line)
        for group in groups[: self._args.top]:
            print()
            print(f"{style.bold(style.plain(f'{group.count:>7,} ×'))}  {style.dim(_span(group))}")
            for line in finding_lines(group.finding, narrow):
                print(" " * _INDENT + line)
            for line in _where(group, narrow, verbose=self._args.verbose):
                print(" " * _INDENT + line)
        if len(groups) > self._args.top:
            print(f"\n{number_of(len(groups) - self._args.top, 'more cause')}; --top {len(groups)} shows all.")

    def _tally(self, tally: Tally, title: str) -> None:
        self._title = title
        self._causes += [Cause(f"{count:,} ×", finding) for count, _, finding in tally.causes()[: self._args.top]]
        if self._args.json:
            self._results += [
                {"count": count, **case_to_json(case, finding)} for count, case, finding in tally.causes()
            ]
            return
        self._shown += 1
        if self._args.quiet:
            return
        print(self._style.bold(title))
        for count, _, finding in tally.causes()[: self._args.top]:
            print()
            print(self._style.bold(self._style.plain(f"{count:>7,} ×")))
            for line in finding_lines(finding, self._style._replace(width=self._style.width - _INDENT)):
                print(" " * _INDENT + line)

    def _pcap(self, data: bytes) -> None:
        from ehlo.explain.pcap import PcapError, read_pcap

        try:
            self._captured(read_pcap(data))
        except PcapError as error:
            raise UsageError(str(error)) from None
        self._kind = "pcap"

    def _captured(self, sessions: Iterator[Transcript]) -> None:
        first = list(islice(sessions, _FEW + 1))
        if len(first) <= _FEW or self._args.json:
            for transcript in chain(first, sessions):
                if self._shown:
                    print()
                self._session(transcript, "")
        else:
            self._sessions(chain(first, sessions))

    def _sessions(self, sessions: Iterable[Transcript]) -> None:
        """Many sessions: what was wrong with them, by cause."""
        from ehlo.diagnosis.judge import judge
        from ehlo.explain.case import Case

        tally = Tally()
        progress = Progress("sessions")
        for transcript in progress.watch(sessions):
            verdict = judge(redact(transcript))
            if verdict.outcome != "accepted" and verdict.findings:
                tally.add(Case(), verdict.findings[0])
        progress.done()
        self._tally(tally, f"{number_of(progress.count, 'session')}, {tally.count:,} of them failed")


def _span(group: Group) -> str:
    """From when to when a group was seen; empty where the log has no times."""
    if group.first is None or group.last is None:
        return ""
    # What was seen once, or within a minute, has one time.
    return " to ".join(dict.fromkeys((f"{group.first:{_MINUTE}}", f"{group.last:{_MINUTE}}")))


def _cause_of(group: Group) -> Cause:
    """A group as it stands on the page."""
    facts = []
    for label, counted in (("with" if group.direction == "out" else "from", group.peers), ("mail to", group.domains)):
        names = [f"{name} ({count:,} ×)" for name, count in counted]
        if names:
            facts.append((label, ", ".join(names)))
    if span := _span(group):
        facts.insert(0, ("seen", span))
    return Cause(f"{group.count:,} ×", group.finding, facts, tuple(zip(group.lines, group.examples, strict=True)))


def _where(group: Group, style: Style, *, verbose: bool) -> Iterator[str]:
    """The hosts that a group is about, and its lines in the log."""
    if group.peers:
        side = "with" if group.direction == "out" else "from"
        yield from labelled_counts(side, group.peers[:_FEW], style, more=len(group.peers) > _FEW)
    if verbose:
        for number, (line, text) in enumerate(zip(group.lines, group.examples, strict=True)):
            yield from labelled("line" if number == 0 else "", f"{line}: {text}", style)
    elif group.lines:
        numbers = ", ".join(map(str, group.lines)) + (" …" if group.count > len(group.lines) else "")
        yield from labelled("line", numbers, style)


class Tally:
    """Failures counted by cause: the rule that knows most of each."""

    def __init__(self) -> None:
        self.count = 0
        self._causes: dict[str, tuple[int, Case, Finding]] = {}

    def add(self, case: Case, finding: Finding) -> None:
        """Count one."""
        self.count += 1
        count, first, known = self._causes.get(finding.rule, (0, case, finding))
        if known.title != finding.title:
            first, known = _of_nobody(first, known)
        self._causes[finding.rule] = (count + 1, first, known)

    def causes(self) -> list[tuple[int, Case, Finding]]:
        """How often each, with the first case; the most frequent first."""
        return sorted(self._causes.values(), key=lambda cause: -cause[0])


def _of_nobody(case: Case, finding: Finding) -> tuple[Case, Finding]:
    """A cause of several failures: it names no recipient, sender or server."""
    from ehlo.explain.case import explain_case

    if not case.text:
        from ehlo.diagnosis.judge import titles_of

        return case, finding._replace(title=titles_of([finding.rule])[0][1])
    case = case._replace(recipient="", sender="", server="")
    return case, explain_case(case)


def number_of(count: int, what: str) -> str:
    """A number of things, in words."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _is_mbox(head: bytes) -> bool:
    return head.startswith(b"From ")
