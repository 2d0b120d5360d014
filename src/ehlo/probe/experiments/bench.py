"""Where experiments are made: the plan that did not work, what is open about it, and a way to run sessions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Literal, NamedTuple, cast

from ehlo.diagnosis.judge import judge
from ehlo.diagnosis.verdict import Finding, Verdict
from ehlo.net.names import Nameserver, is_address
from ehlo.net.session import Session
from ehlo.probe.plan import Plan, Timeouts
from ehlo.probe.walk import client_session
from ehlo.smtp.address import Path
from ehlo.smtp.capabilities import Capabilities, parse_capabilities
from ehlo.smtp.stages import STAGES, Stage
from ehlo.transcript.event import JsonValue
from ehlo.transcript.exchanges import Exchange, exchanges
from ehlo.transcript.transcript import Transcript

#: Between two sessions with the same server, in seconds.
_PACE = 1.0
#: Longest wait at each stage of an experiment: it is one of several.
_CAP = 15.0
#: How long the patient session waits, in seconds.
_PATIENCE = 60.0
#: How long a port may take to greet before it is spoken to in TLS, in seconds.
_LISTEN = 5.0
#: Where mail servers listen (RFC 5321 §4.5.4.2, RFC 6409 §3.1, RFC 8314 §3.3); 2525 is what providers offer besides.
_PORTS = (25, 465, 587, 2525)
#: The last stage that an experiment goes to: beyond it, something could be delivered.
_LAST: Stage = "rcpt"
#: The last trial of an experiment that found a difference: whether it is one, or only time has passed.
AS_BEFORE = "as before"


class Trial(NamedTuple):
    """One session of an experiment, or one look-up: what was changed, whether it worked, and what was seen.

    `seen` is that in a word, which conclusions go by: the id of the rule that a session ended with, what a list said.
    `refused` says whether a reply ended it, and for how long; `speaks` how a port speaks: "clear", "starttls", "tls".
    """

    what: str
    worked: bool
    detail: str
    seen: str = ""
    refused: Literal["", "for now", "for good"] = ""
    speaks: Mapping[str, bool] | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """The trial as it stands in JSON documents."""
        out: dict[str, JsonValue] = {"what": self.what, "worked": self.worked, "detail": self.detail}
        return out if self.speaks is None else {**out, "speaks": dict(self.speaks)}


class Outcome(NamedTuple):
    """What an experiment showed.

    `finding` is what it proved; None when it told nothing new. `names_the_cause` says whether nothing is left to ask.
    `remark` is why it could not be made, though it was called for.
    """

    name: str
    title: str
    trials: tuple[Trial, ...]
    finding: Finding | None = None
    names_the_cause: bool = False
    remark: str = ""

    def to_json(self) -> dict[str, JsonValue]:
        """The outcome as it stands in JSON documents."""
        return {
            "name": self.name,
            "title": self.title,
            "trials": [trial.to_json() for trial in self.trials],
            "rule": self.finding.rule if self.finding else None,
            "conclusion": self.finding.title if self.finding else None,
            "remark": self.remark or None,
        }


def is_public(address: str) -> bool:
    """Whether an address is one that others on the Internet see."""
    return ip_address(address).is_global


class Wishes(NamedTuple):
    """What the user allows beyond the usual.

    `wait` seconds for a greylist, a `control` target to compare with, look-ups in block `lists`. `pace` is the pause
    between sessions, `ports` where to try, `listen` how long to wait for a greeting there, `patience` for everything.
    """

    wait: float = 0.0
    control: str = ""
    lists: bool = False
    pace: float = _PACE
    patience: float = _PATIENCE
    listen: float = _LISTEN
    ports: tuple[int, ...] = _PORTS
    is_public: Callable[[str], bool] = is_public


class Bench:
    """Where experiments are made. `plan` is the first session's, made short and harmless; `outcomes` are what the
    experiments so far have shown. `nameserver` is asked for names, or else the system's."""

    def __init__(
        self,
        plan: Plan,
        transcript: Transcript,
        verdict: Verdict,
        run: Callable[[Session], None],
        wishes: Wishes,
        nameserver: Nameserver | None = None,
    ) -> None:
        self.steps: Sequence[Exchange] = exchanges(transcript.events)
        self.plan = _harmless(_settled_on_host(plan, transcript))
        self.transcript = transcript
        self.verdict = verdict
        self.wishes = wishes
        self.nameserver = nameserver
        self.outcomes: list[Outcome] = []
        self._run = run
        self._began = False

    # What is open.

    @property
    def first(self) -> Finding | None:
        """What is wrong, as far as one session tells; None when nothing is."""
        return self.verdict.findings[0] if self.failing and self.verdict.findings else None

    @property
    def failing(self) -> bool:
        """Whether the session did not come as far as it should."""
        return self.verdict.outcome in ("refused", "failed")

    def names(self, experiment: str) -> bool:
        """Whether a rule that held, or one that it cannot exclude, says that this experiment would tell more."""
        from ehlo.knowledge.rules import load_rules

        findings = self.verdict.findings
        if any(finding.experiment == experiment for finding in findings):
            return True
        others = [load_rules().get(other) for finding in findings[:1] for other in finding.alternatives]
        return any(other.experiment == experiment for other in others if other is not None)

    @property
    def uncertain(self) -> bool:
        """Whether the evidence leaves the cause open, and time alone is not what would tell."""
        return self.first is not None and self.first.certainty != "certain" and not self.names("greylist")

    def refused_at(self, *stages: Stage) -> bool:
        """Whether a reply ended the session at one of these stages."""
        return self.verdict.outcome == "refused" and self.verdict.stage in stages

    def failed_at(self, *stages: Stage) -> bool:
        """Whether the session ended at one of these stages without an answer that says why."""
        return self.verdict.outcome == "failed" and self.verdict.stage in stages

    # What is known.

    @property
    def host(self) -> str:
        """The name of the server, not of the domain whose mail it takes."""
        return self.plan.target.host

    @property
    def has_ports(self) -> bool:
        """Whether the server is a host with ports, and it is known which."""
        return self.plan.target.transport == "tcp" and not self.plan.target.mx

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of the host, as the first session found them; empty when it was pointed at one."""
        found = _looked_up(self.transcript, self.host)
        return () if is_address(self.host) or found is None else found

    @property
    def offered(self) -> Capabilities:
        """What the server's last EHLO reply offered."""
        replies = [step.reply for step in self.steps if step.verb in ("EHLO", "LHLO") and step.outcome == "ok"]
        return parse_capabilities(replies[-1]) if replies and replies[-1] is not None else Capabilities("", "", {})

    @property
    def recipient(self) -> Path | None:
        """Whom the mail is for; the first of them."""
        return self.plan.recipients[0] if self.plan.recipients else None

    # Sessions.

    def perform(self, session: Session) -> None:
        """Run one session more, after a pause."""
        if self._began and self.wishes.pace:
            time.sleep(self.wishes.pace)
        self._began = True
        self._run(session)

    def attempt(self, plan: Plan) -> tuple[Verdict, Transcript]:
        """Carry out a plan, and judge it."""
        session = client_session(plan)
        self.perform(session)
        transcript = session.recorder.transcript
        return judge(transcript), transcript

    def try_(self, what: str, plan: Plan) -> Trial:
        """One session more as a trial: it worked if it came as far as the plan wanted."""
        verdict, transcript = self.attempt(plan)
        # A goodbye that goes wrong is no part of the question.
        worked = verdict.outcome == "accepted" or verdict.stage == "quit"
        seen = verdict.findings[0].rule if verdict.findings and not worked else ""
        if worked or verdict.outcome != "refused":
            return Trial(what, worked, summary_of(verdict, transcript), seen)
        lasting: Literal["for now", "for good"] = "for now" if verdict.temporary else "for good"
        return Trial(what, worked, summary_of(verdict, transcript), seen, lasting)

    def try_as_before(self) -> Trial:
        """The first session once more, as far as it may go."""
        return self.try_(AS_BEFORE, self.plan)


def only_time(trials: Sequence[Trial]) -> bool:
    """Whether the first session works, too, by now: then what was changed is not what made the difference."""
    return trials[-1].what == AS_BEFORE and trials[-1].worked


def _harmless(plan: Plan) -> Plan:
    """A plan that delivers nothing and does not wait for long."""
    stop = plan.stop_after if STAGES.index(plan.stop_after) < STAGES.index(_LAST) else _LAST
    exceptions = {stage: min(seconds, _CAP) for stage, seconds in plan.timeouts.exceptions.items()}
    timeouts = Timeouts(min(plan.timeouts.cap, _CAP), exceptions)
    return plan._replace(timeouts=timeouts, pipelining=False, message=b"", compose=None, times=1, stop_after=stop)


def _settled_on_host(plan: Plan, transcript: Transcript) -> Plan:
    """The plan with the mail exchanger that the first session came to in place of the domain."""
    if not plan.target.mx:
        return plan
    hosts = [event.fact("name") for event in transcript.events if event.kind == "dns" and event.fact("query") != "MX"]
    reached = [host for host in hosts if _looked_up(transcript, host)]
    if not reached:
        return plan
    return plan._replace(target=plan.target._replace(given=reached[-1], host=reached[-1], mx=False))


def _looked_up(transcript: Transcript, host: str) -> tuple[str, ...] | None:
    for event in transcript.events:
        if event.kind == "dns" and event.fact("name") == host and event.fact("query") == "A AAAA":
            return tuple(map(str, cast("Sequence[object]", event.facts.get("answers") or ())))
    return None


def summary_of(verdict: Verdict, transcript: Transcript) -> str:
    """A session in half a line: the answer that decided it."""
    if verdict.outcome != "accepted" and verdict.stage != "quit" and verdict.findings:
        finding = verdict.findings[0]
        return f"{verdict.stage}: {finding.reply or finding.seen or finding.title}"
    said = [step for step in exchanges(transcript.events) if step.reply is not None and step.stage != "quit"]
    last = said[-1].reply if said else None
    return f"{said[-1].stage}: {last.code} {last.lines[-1]}".rstrip() if last is not None else verdict.outcome


def _nothing(_: Bench) -> str:
    return ""


def _never(_: Bench) -> bool:
    return False


class Experiment(NamedTuple):
    """An experiment.

    `calls_for` says whether the evidence calls for it, or the user, who has `wished` it with an option; `hindrance` why
    it cannot be made all the same, in a sentence, empty when it can. `trials` makes it; `conclude` gives the id of what
    it proved, which a rule has in its `errors`, and empty for nothing.
    """

    name: str
    title: str
    calls_for: Callable[[Bench], bool]
    trials: Callable[[Bench], Iterator[Trial]]
    conclude: Callable[[Bench, Sequence[Trial]], str]
    hindrance: Callable[[Bench], str] = _nothing
    wished: Callable[[Bench], bool] = _never
