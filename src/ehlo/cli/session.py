"""Runs a client session for a command: live view, record, verdict, exit status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ehlo.cli.files import check_writable, write_file
from ehlo.cli.network import nameserver_from
from ehlo.cli.recording import RecordWriter
from ehlo.diagnosis.judge import judge
from ehlo.net.blocking import run
from ehlo.probe.plan import Plan
from ehlo.probe.walk import client_session
from ehlo.report.style import style_of
from ehlo.report.terminal import SessionView
from ehlo.report.text import safe
from ehlo.transcript.event import Event
from ehlo.transcript.redaction import redact

if TYPE_CHECKING:
    from ehlo.net.names import Nameserver
    from ehlo.net.tls import TLSFacts
    from ehlo.probe.trials import Trial

#: Smaller messages are gone before a progress bar could be seen.
_BAR_FROM = 500_000


def run_plan(args: argparse.Namespace, plan: Plan, command: str) -> int:
    """Carry out a plan as the options say, and give the exit status."""
    nameserver = nameserver_from(args.dns_server)
    _check_files(args, command)
    listeners: list[Callable[[Event], None]] = []
    quiet = args.quiet or args.json
    view = None
    if not quiet:
        style = style_of(sys.stdout, args.color)
        view = SessionView(
            sys.stdout,
            style,
            verbose=args.verbose,
            show_secrets=args.show_secrets,
            live=sys.stdout.isatty(),
        )
        listeners.append(view.event)
    lost: list[str] = []
    record = RecordWriter(args.record, show_secrets=args.show_secrets, warn=lost.append) if args.record else None

    def listen(event: Event) -> None:
        for listener in listeners:
            listener(event)

    seen: list[TLSFacts] = []
    session = client_session(plan, listen, None if quiet else _progress_bar(), seen.append)
    if record is not None:
        record.begin(session.recorder.transcript)
        listeners.insert(0, record.catch_up)
    if view is not None:
        view.begin(session.recorder.header)
    try:
        run(session, nameserver)
    except KeyboardInterrupt:
        pass  # The interruption is in the transcript; what is known so far is shown.
    finally:
        if record is not None:
            record.close()
        for sentence in lost:
            # Not before the end: on a terminal it would stand among the steps.
            sys.stderr.write(f"ehlo {command}: {safe(sentence)}\n")
    if seen:
        _save_certificates(args, seen[-1])
    transcript = session.recorder.transcript
    shown = transcript if args.show_secrets else redact(transcript)
    verdict = judge(shown)
    if view is not None:
        view.finish(shown, verdict)
    # Where there is no connection, there are no versions; and Ctrl-C is meant for all of it.
    nowhere = verdict.outcome == "interrupted" or (verdict.outcome == "failed" and verdict.stage in ("dns", "connect"))
    trials = explain_tls(plan, nameserver, view) if args.explain_tls and not nowhere else None
    outcomes = None
    if args.investigate and verdict.outcome != "interrupted":
        from ehlo.cli.investigation import investigate
        from ehlo.probe.experiments import settled

        outcomes = investigate(args, plan, shown, verdict, lambda each: run(each, nameserver), nameserver, view)
        if view is not None and any(outcome.names_the_cause for outcome in outcomes):
            view.settled(settled(verdict, outcomes))
        verdict = settled(verdict, outcomes)
    if command == "check" and args.html:
        from ehlo.report.page import session_page

        # A report is passed on: secrets are never in it.
        page = session_page(redact(transcript), verdict, outcomes or (), command)
        write_file(args.html, "report", page.encode("utf-8", "replace"))
    if args.json:
        from ehlo.cli.json_output import print_document
        from ehlo.report.document import session_document

        document = session_document(command, plan.target.to_json(), shown, verdict, show_secrets=args.show_secrets)
        if trials is not None:
            document["tls_versions"] = [trial.to_json() for trial in trials]
        if outcomes is not None:
            document["experiments"] = [outcome.to_json() for outcome in outcomes]
        print_document(document)
    return verdict.exit_status


def _check_files(args: argparse.Namespace, command: str) -> None:
    """See that what the session brings can be written, before it begins. Raises `UsageError`."""
    report = args.html if command == "check" else None
    files = ((args.record, "record"), (args.save_cert, "certificate"), (args.save_chain, "certificate"))
    for name, what in (*files, (report, "report")):
        if name:
            check_writable(name, what)


def explain_tls(plan: Plan, nameserver: Nameserver | None, view: SessionView | None) -> list[Trial]:
    """Try each version of TLS in a session of its own, and say which the server takes."""
    from ehlo.probe.trials import trials

    if view is not None:
        view.heading("TLS versions, each tried in a session of its own")
    done = []
    try:
        for trial in trials(plan, lambda session: run(session, nameserver)):
            done.append(trial)
            if view is not None:
                view.trial(trial.worked, f"TLS {trial.version}", trial.detail)
    except KeyboardInterrupt:
        pass  # What was found out so far stands above.
    return done


def _save_certificates(args: argparse.Namespace, tls: TLSFacts) -> None:
    """--save-cert and --save-chain."""
    chain = tls.certificate.chain if tls.certificate is not None else ()
    for name, certificates in ((args.save_cert, chain[:1]), (args.save_chain, chain)):
        if name:
            import ssl

            text = "".join(map(ssl.DER_cert_to_PEM_cert, certificates))
            write_file(name, "certificate", text.encode("ascii"))


def _progress_bar() -> Callable[[int, int], None] | None:
    """A bar on standard error for long uploads, where that is a terminal."""
    if not sys.stderr.isatty():
        return None

    from ehlo.cli.progress import bar

    def show(sent: int, total: int) -> None:
        if total < _BAR_FROM:
            return
        end = "\r\x1b[2K" if sent == total else ""
        sys.stderr.write(f"\r  sending {bar(sent, total)}{end}")
        sys.stderr.flush()

    return show
