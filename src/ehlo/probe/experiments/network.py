"""The way there: each address by itself, and another server for comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ehlo.probe.experiments.bench import Bench, Trial
from ehlo.probe.target import parse_target
from ehlo.smtp.stages import STAGES


def addresses(bench: Bench) -> Iterator[Trial]:
    """Each address of the host, in the order in which they are tried."""
    target = bench.plan.target
    for address in bench.addresses:
        plan = bench.plan._replace(
            target=target._replace(host=address),
            tls_name=bench.plan.tls_name or target.host,
            sni=target.host if bench.plan.sni is None else bench.plan.sni,
        )
        yield bench.try_(address, plan)


def calls_for_addresses(bench: Bench) -> bool:
    """Whether another address could do better: the first that took the connection had the whole session."""
    if len(bench.addresses) < 2 or bench.first is None:
        return False
    # A failure may be one machine's; a refusal that gives its reason is everybody's.
    asked = bench.verdict.outcome == "failed" and bool(bench.first.experiment)
    return bench.names("addresses") or bench.uncertain or asked


def conclude_addresses(_: Bench, trials: Sequence[Trial]) -> str:
    """Whether some work and others do not, and whether that is a matter of IPv4 and IPv6."""
    worked = [trial for trial in trials if trial.worked]
    failed = [trial for trial in trials if not trial.worked]
    if not failed:
        return "works-now"
    if not worked:
        return ""
    if all(":" in trial.what for trial in failed) and all(":" not in trial.what for trial in worked):
        return "ipv6-broken"
    if all(":" not in trial.what for trial in failed) and all(":" in trial.what for trial in worked):
        return "ipv4-broken"
    return "one-address-broken"


def control(bench: Bench) -> Iterator[Trial]:
    """Another server, up to its EHLO reply: nobody there is to be written to."""
    target = parse_target(bench.wishes.control)
    plan = bench.plan._replace(target=target, credentials=None, recipients=(), verify="", tls_name="", sni=None)
    yield bench.try_(str(target), plan._replace(stop_after="ehlo", starttls="never"))


def calls_for_control(bench: Bench) -> bool:
    """Whether another server would tell more, or is to be asked in any case."""
    return bench.failing and (
        bool(bench.wishes.control) or (bench.names("control") and bench.verdict.outcome == "failed")
    )


def hindrance_of_control(bench: Bench) -> str:
    """Why another server would tell nothing, or which is to be asked."""
    if not bench.wishes.control:
        return "with --control TARGET another server would be tried, which tells whether it is them or us"
    if bench.verdict.outcome == "refused" and STAGES.index(bench.verdict.stage) > STAGES.index("ehlo"):
        return "the server answered; why it refused, no other server can tell"
    return ""


def conclude_control(bench: Bench, trials: Sequence[Trial]) -> str:
    """Whose trouble it is."""
    (trial,) = trials
    if trial.worked or trial.refused:
        # Whoever refuses has been reached.
        return "it-is-them"
    both_at_25 = bench.plan.target.port == parse_target(bench.wishes.control).port == 25
    alive = any(
        outcome.finding is not None and outcome.finding.rule == "proved-other-port" for outcome in bench.outcomes
    )
    return "port-blocked" if both_at_25 and alive and bench.failed_at("connect") else "it-is-us"
