"""--investigate: further sessions after one that left something open."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from ehlo.cli.commands import UsageError
from ehlo.probe.target import TargetError, parse_target

if TYPE_CHECKING:
    from ehlo.diagnosis.verdict import Verdict
    from ehlo.net.names import Nameserver
    from ehlo.net.session import Session
    from ehlo.probe.experiments import Experiment, Outcome
    from ehlo.probe.plan import Plan
    from ehlo.report.terminal import SessionView
    from ehlo.transcript.transcript import Transcript

#: Room for what was changed in a trial.
_TRIAL_COLUMNS = 26


def add_experiment_options(parser: argparse.ArgumentParser) -> None:
    """What is tried after the session."""
    group = parser.add_argument_group("experiments", "Sessions changed in one point. They deliver nothing.")
    group.add_argument(
        "--investigate", action="store_true", help="find out more, where the evidence leaves something open"
    )
    group.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="with --investigate: wait out a greylist so long"
    )
    group.add_argument(
        "--control", default="", metavar="TARGET", help="with --investigate: another server, to tell them from us"
    )
    group.add_argument("--lists", action="store_true", help="with --investigate: ask block lists for this address")


def check_wishes(args: argparse.Namespace) -> None:
    """Raises `UsageError` for what cannot be meant."""
    if not 0 <= args.wait <= 86400:
        raise UsageError(f"--wait {args.wait:g}: a time is a number of seconds, at most 86400.")
    if args.control:
        try:
            parse_target(args.control)
        except TargetError as error:
            raise UsageError(f"--control: {error}") from None


def investigate(
    args: argparse.Namespace,
    plan: Plan,
    transcript: Transcript,
    verdict: Verdict,
    run: Callable[[Session], None],
    nameserver: Nameserver | None,
    view: SessionView | None,
) -> list[Outcome]:
    """Make the experiments that the verdict calls for, and show each with what it proved."""
    from ehlo.probe.experiments import Bench, Outcome, Wishes
    from ehlo.probe.experiments import investigate as make

    wishes = Wishes(args.wait, args.control, args.lists)
    bench = Bench(plan, transcript, verdict, run, wishes, nameserver)

    def begin(experiment: Experiment) -> None:
        if view is not None:
            view.heading(f"Experiment: {experiment.title}")

    outcomes: list[Outcome] = []
    try:
        for step in make(bench, begin):
            if isinstance(step, Outcome):
                outcomes.append(step)
                if view is not None:
                    _show(step, view)
            elif view is not None:
                view.trial(step.worked, step.what, step.detail, _TRIAL_COLUMNS)
    except KeyboardInterrupt:
        pass  # What was found out so far stands above.
    if view is not None and not outcomes:
        view.heading("Experiments")
        view.remark("the evidence calls for none")
    return outcomes


def _show(outcome: Outcome, view: SessionView) -> None:
    """What an experiment proved, below its trials."""
    if outcome.finding is not None:
        view.conclusion(outcome.finding)
    else:
        view.remark(outcome.remark or "this tells nothing new")
