"""TLS: each version by itself, without verifying, with and without the name of the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ehlo.net.settings import TLS_VERSIONS
from ehlo.probe.experiments.bench import Bench, Trial
from ehlo.probe.trials import trials

_OLD = ("TLS 1.0", "TLS 1.1")


def versions(bench: Bench) -> Iterator[Trial]:
    """A handshake with each version, the newest first."""
    for trial in trials(bench.plan, bench.perform):
        yield Trial(f"TLS {trial.version}", trial.worked, trial.detail)


def conclude_versions(bench: Bench, trials: Sequence[Trial]) -> str:
    """Whether it is a matter of versions."""
    worked = [trial.what for trial in trials if trial.worked]
    if not worked:
        return "no-tls-version"
    allowed = [f"TLS {version}" for version in TLS_VERSIONS if _is_allowed(bench, version)]
    if set(allowed) <= set(worked):
        # The first session could have had any of these.
        return "works-now"
    return "only-old-tls" if set(worked) <= set(_OLD) else "other-tls-version"


def _is_allowed(bench: Bench, version: str) -> bool:
    lowest, highest = bench.plan.tls.minimum, bench.plan.tls.maximum
    # Left to itself, OpenSSL begins at 1.2 today.
    return (lowest or "1.2") <= version <= (highest or TLS_VERSIONS[-1])


def unverified(bench: Bench) -> Iterator[Trial]:
    """The same without verifying the certificate, and so without the password."""
    plan = bench.plan._replace(verify="", insecure=True, credentials=None)
    yield bench.try_("without verification", plan)


def calls_for_unverified(bench: Bench) -> bool:
    """Whether the session ended at the certificate: what lies behind it has not been seen."""
    return bench.first is not None and bench.first.rule.startswith("certificate-")


def conclude_unverified(_: Bench, trials: Sequence[Trial]) -> str:
    """Whether something else is in the way, too."""
    return "certificate-alone" if trials[0].worked else ""


def sni(bench: Bench) -> Iterator[Trial]:
    """Whose certificate comes when the name is asked for (RFC 6066 §3), and when it is not."""
    short = bench.plan._replace(verify="name", starttls="require", credentials=None, recipients=())
    short = short._replace(stop_after="ehlo" if bench.plan.target.tls_on_connect else "starttls")
    name = bench.plan.tls_name or bench.host
    yield bench.try_(f"asking for {name}", short._replace(sni=name))
    yield bench.try_("asking for no name", short._replace(sni=""))


def conclude_sni(_: Bench, trials: Sequence[Trial]) -> str:
    """Whether the certificate depends on the name."""
    return "sni-matters" if len({trial.worked for trial in trials}) == 2 else ""
