"""Which experiments there are, which are called for, and what the verdict is after them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ehlo.diagnosis.evidence import Evidence
from ehlo.diagnosis.judge import findings_of
from ehlo.diagnosis.verdict import Finding, Verdict
from ehlo.probe.experiments import encryption, envelope, here, network, ports, sizes, waiting
from ehlo.probe.experiments.bench import Bench, Experiment, Outcome, Trial

#: In the order in which they are made: what is nearest to the wire first, and of two alike, what may end it sooner.
EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        "ports",
        "every port, and how it encrypts",
        lambda bench: (
            bench.has_ports
            and bench.failed_at("connect", "tls", "banner", "starttls")
            and (bench.names("ports") or bench.uncertain)
        ),
        ports.trials,
        ports.conclude,
    ),
    Experiment(
        "addresses",
        "each address of the host by itself",
        lambda bench: bench.has_ports and network.calls_for_addresses(bench),
        network.addresses,
        network.conclude_addresses,
    ),
    Experiment(
        "tls-versions",
        "each version of TLS by itself",
        lambda bench: bench.failed_at("tls", "starttls") and (bench.names("tls-versions") or bench.uncertain),
        encryption.versions,
        encryption.conclude_versions,
    ),
    Experiment(
        "sni",
        "with and without asking for the name",
        lambda bench: bench.names("sni"),
        encryption.sni,
        encryption.conclude_sni,
    ),
    Experiment(
        "verification",
        "the same without verifying the certificate",
        encryption.calls_for_unverified,
        encryption.unverified,
        encryption.conclude_unverified,
    ),
    Experiment(
        "patience",
        "one command at a time, with all the time in the world",
        lambda bench: bench.failing and bench.names("patience"),
        waiting.patience,
        waiting.conclude_patience,
    ),
    Experiment(
        "sizes",
        "more and more octets at once, without a message",
        lambda bench: bench.failed_at("data", "message") and (bench.names("sizes") or bench.uncertain),
        sizes.trials,
        sizes.conclude,
        sizes.hindrance,
    ),
    Experiment(
        "recipients",
        "other recipients of the same domain",
        lambda bench: (
            bench.refused_at("rcpt") and envelope.has_domain(bench) and (bench.names("recipients") or bench.uncertain)
        ),
        envelope.recipients,
        envelope.conclude_recipients,
    ),
    Experiment(
        "senders",
        "other senders",
        lambda bench: bench.refused_at("mail", "rcpt") and (bench.names("senders") or bench.uncertain),
        envelope.senders,
        envelope.conclude_senders,
    ),
    Experiment(
        "helo",
        "other names to greet with",
        lambda bench: bench.refused_at("ehlo", "mail", "rcpt") and (bench.names("helo") or bench.uncertain),
        envelope.helo,
        envelope.conclude_helo,
    ),
    Experiment(
        "own-address",
        "this machine's address and its name in the DNS",
        here.calls_for_address,
        here.addresses_name,
        here.conclude_address,
        here.hindrance_of_address,
    ),
    Experiment(
        "lists",
        "block lists that have this machine's address",
        lambda bench: bench.wishes.lists or (bench.failing and bench.names("lists")),
        here.lists,
        here.conclude_lists,
        here.hindrance_of_lists,
        wished=lambda bench: bench.wishes.lists,
    ),
    Experiment(
        "catch-all",
        "an address that cannot exist",
        envelope.calls_for_invented,
        envelope.invented,
        envelope.conclude_invented,
    ),
    Experiment(
        "password",
        "the password, without showing it",
        lambda bench: bench.plan.credentials is not None and bench.refused_at("auth"),
        here.password,
        here.conclude_password,
    ),
    Experiment(
        "greylist",
        "the same again, later",
        lambda bench: (
            bench.verdict.outcome == "refused"
            and bench.verdict.temporary
            and (bench.wishes.wait > 0 or bench.names("greylist"))
        ),
        waiting.greylist,
        waiting.conclude_greylist,
        waiting.hindrance_of_greylist,
        wished=lambda bench: bench.wishes.wait > 0,
    ),
    Experiment(
        "control",
        "another server, for comparison",
        network.calls_for_control,
        network.control,
        network.conclude_control,
        network.hindrance_of_control,
        wished=lambda bench: bool(bench.wishes.control),
    ),
)

#: What can be proved, and leaves the cause open.
_NO_CAUSES = frozenset(
    {
        "greylist-not-passed",
        "it-is-them",
        "it-is-us",
        "large-unanswered",
        "mailbox-known",
        "name-confirmed",
        "no-port-works",
        "nobody-there-accepted",
        "not-listed",
        "not-the-helo",
        "not-the-sender",
        "patience-does-not-help",
        "recipient-and-unknown-alike",
        "size-does-not-matter",
    }
)
#: What is a cause only where the server complained of just that.
_CAUSES_IF_NAMED = frozenset({"no-name-here", "name-does-not-lead-back", "listed-here"})
#: What takes the rules that call for the same experiment out of what else it may be.
_EXCLUDING = frozenset({"not-the-helo", "not-the-sender", "name-confirmed", "not-listed", "patience-does-not-help"})


def investigate(bench: Bench, told: Callable[[Experiment], None] | None = None) -> Iterator[Outcome | Trial]:
    """Make the experiments that the verdict calls for. Gives each trial as it ends, and after them the outcome.

    `told` is called before each experiment.
    """
    if bench.verdict.outcome == "interrupted":
        # Whoever ended the session does not want more of them.
        return
    known = False
    for experiment in sorted(EXPERIMENTS, key=lambda experiment: _turn(bench, experiment)):
        # Once the cause is known, further sessions would be idle curiosity; but what was wished is wished.
        if (known and not experiment.wished(bench)) or not experiment.calls_for(bench):
            continue
        if told is not None:
            told(experiment)
        remark = experiment.hindrance(bench)
        done: list[Trial] = []
        for trial in () if remark else experiment.trials(bench):
            done.append(trial)
            yield trial
        outcome = _outcome(bench, experiment, done, remark)
        bench.outcomes.append(outcome)
        known |= outcome.names_the_cause
        yield outcome


def _turn(bench: Bench, experiment: Experiment) -> int:
    """When an experiment is made: first the one that the rule itself names, then those of what it cannot exclude."""
    if bench.first is not None and bench.first.experiment == experiment.name:
        return 0
    return 1 if bench.names(experiment.name) else 2


def _outcome(bench: Bench, experiment: Experiment, trials: list[Trial], remark: str) -> Outcome:
    proved = experiment.conclude(bench, trials) if trials else ""
    cause = proved not in _NO_CAUSES and (proved not in _CAUSES_IF_NAMED or bench.names(experiment.name))
    finding = _finding(bench, proved) if proved else None
    return Outcome(experiment.name, experiment.title, tuple(trials), finding, bool(proved) and cause, remark)


def _finding(bench: Bench, proved: str) -> Finding:
    plan = bench.plan
    subject = {
        "host": bench.host,
        "sender": plan.sender.address or "<>",
        "helo": plan.helo or "this host's name",
    }
    if plan.recipients:
        subject["recipient"] = plan.recipients[0].address
    return findings_of([Evidence(bench.verdict.stage, (), error=proved, subject=subject)])[0]


def settled(verdict: Verdict, outcomes: Iterable[Outcome]) -> Verdict:
    """The verdict after experiments: what was proved stands before what one session could only suppose, and what was
    excluded is no longer among what else it may be."""
    outcomes = tuple(outcomes)
    # What was found out last is nearest to the cause.
    proved = tuple(outcome.finding for outcome in reversed(outcomes) if outcome.names_the_cause and outcome.finding)
    excluded = {
        outcome.name
        for outcome in outcomes
        if outcome.finding is not None and outcome.finding.rule.removeprefix("proved-") in _EXCLUDING
    }
    findings = proved + tuple(_without(finding, excluded) for finding in verdict.findings)
    layer = proved[0].layer if proved and verdict.layer is not None else verdict.layer
    return verdict._replace(findings=findings, layer=layer)


def _without(finding: Finding, excluded: set[str]) -> Finding:
    if not excluded or not finding.alternatives:
        return finding
    from ehlo.knowledge.rules import load_rules

    rules = load_rules()
    left = [other for other in finding.alternatives if (rule := rules.get(other)) and rule.experiment not in excluded]
    return finding._replace(alternatives=tuple(left))


def title_of(experiment: str) -> str:
    """What an experiment changes, in words; empty when there is none of that name."""
    return next((known.title for known in EXPERIMENTS if known.name == experiment), "")
