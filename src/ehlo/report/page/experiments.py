"""Experiments: what was changed, what came of it, what it proved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ehlo.probe.experiments import Outcome, Trial
from ehlo.report.page.frame import mark, section, text


def experiments_section(experiments: Sequence[Outcome]) -> str:
    """Each experiment with its trials and its conclusion."""
    return section("experiments", "Experiments", "".join(map(_experiment, experiments)))


def _experiment(outcome: Outcome) -> str:
    ports = bool(outcome.trials) and all(trial.speaks is not None for trial in outcome.trials)
    trials = _ports(outcome.trials) if ports else _trials(outcome.trials)
    return f'<div class="experiment"><h3>{text(capitalized(outcome.title))}</h3>{trials}{_conclusion(outcome)}</div>'


def capitalized(words: str) -> str:
    """Words as the beginning of a sentence."""
    return words[:1].upper() + words[1:]


def _conclusion(outcome: Outcome) -> str:
    finding = outcome.finding
    if finding is None:
        return f'<p class="meta">{text(capitalized(outcome.remark or "this tells nothing new") + ".")}</p>'
    return (
        f'<p class="proved"><strong>{text(finding.title)}.</strong> {text(finding.why)} '
        f"<code>{text(finding.rule)}</code></p>"
    )


def _trials(trials: Iterable[Trial]) -> str:
    rows = "".join(
        f'<tr><td class="sign">{_mark(trial.worked)}</td><th scope="row">{text(trial.what)}</th>'
        f'<td class="detail">{text(trial.detail)}</td></tr>'
        for trial in trials
    )
    return f'<table class="trials"><tbody>{rows}</tbody></table>' if rows else ""


def _mark(good: bool) -> str:
    return mark("✓", "worked:") if good else mark("✗", "did not work:")


_WAYS = (("clear", "in clear"), ("starttls", "STARTTLS"), ("tls", "TLS from the start"))


def _ports(trials: Iterable[Trial]) -> str:
    heads = "".join(f'<th scope="col">{text(title)}</th>' for _, title in _WAYS)
    rows = "".join(_port(trial) for trial in trials)
    return (
        f'<table class="trials ports"><thead><tr><th scope="col">port</th>{heads}<th scope="col">seen</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _port(trial: Trial) -> str:
    speaks = trial.speaks or {}
    cells = "".join(
        f'<td class="sign">{mark("✓", "yes") if speaks.get(way) else mark("–", "no")}</td>' for way, _ in _WAYS
    )
    name = trial.what.removeprefix("port ")
    return f'<tr><th scope="row">{text(name)}</th>{cells}<td class="detail">{text(trial.detail)}</td></tr>'
