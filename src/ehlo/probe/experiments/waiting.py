"""Time: a patient session, and the same again, later."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from ehlo.probe.experiments.bench import Bench, Trial, only_time
from ehlo.probe.plan import Tampering, Timeouts

#: Before each command of the patient session, in seconds.
_PAUSE = 1.0
#: Between two attempts at a greylist, in seconds: at first, and at most.
_SOON, _LATE = 1.0, 60.0


def patience(bench: Bench) -> Iterator[Trial]:
    """One command at a time, with a long wait for each reply; and if that works, in haste once more."""
    wait = bench.wishes.patience
    timeouts = Timeouts(max(wait, bench.plan.timeouts.cap))
    plan = bench.plan._replace(timeouts=timeouts, tampering=Tampering(pause=min(_PAUSE, wait / 10)))
    trial = bench.try_(f"waiting up to {wait:g} s for each reply", plan)
    yield trial
    if trial.worked:
        yield bench.try_as_before()


def conclude_patience(_: Bench, trials: Sequence[Trial]) -> str:
    """Whether haste is the cause."""
    if only_time(trials):
        return "works-now"
    return "patience-helps" if trials[0].worked else "patience-does-not-help"


def greylist(bench: Bench) -> Iterator[Trial]:
    """The same, after longer and longer pauses, until it is accepted or the wait is over."""
    began = time.monotonic()
    pause = _SOON
    while (passed := time.monotonic() - began) < bench.wishes.wait:
        time.sleep(min(pause, max(0.0, bench.wishes.wait - passed)))
        pause = min(_LATE, pause * 2)
        trial = bench.try_(f"after {time.monotonic() - began:.0f} s", bench.plan)
        yield trial
        if trial.worked:
            return


def hindrance_of_greylist(bench: Bench) -> str:
    """That nobody allowed to wait."""
    return "" if bench.wishes.wait > 0 else "with --wait SECONDS the same would be tried again until it is accepted"


def conclude_greylist(_: Bench, trials: Sequence[Trial]) -> str:
    """Whether it is a matter of time."""
    return "greylist-passed" if trials[-1].worked else "greylist-not-passed"
