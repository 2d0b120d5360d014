"""Experiments: made only where something is open, few, harmless; what each concludes, and the verdict after them."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from ehlo.diagnosis.evidence import Evidence
from ehlo.diagnosis.judge import findings_of, judge
from ehlo.diagnosis.verdict import Verdict
from ehlo.knowledge.rules import load_rules
from ehlo.lab import Lab, Policy
from ehlo.lab.scenario import load_scenario
from ehlo.probe.experiments import EXPERIMENTS, Experiment, Outcome, Trial, investigate, settled
from ehlo.smtp.reply import Reply
from ehlo.smtp.stages import Stage
from ehlo.transcript.transcript import Header, Transcript

from .bench import SOON, bench_for, experiments_of, faulty, first_session, plan_for, proved, sessions, shown

# Which are made.


def test_nothing_is_tried_where_nothing_is_asked_for() -> None:
    with Lab().running() as lab:
        assert sessions(plan_for(lab, recipients=())) == []
        assert len(lab.sessions) == 1


@pytest.mark.parametrize(
    "reply",
    [
        "554 5.7.1 Client host [127.0.0.1] blocked using zen.spamhaus.org",
        "550 5.1.1 <{to}>: Recipient address rejected: User unknown in local recipient table",
        "554 5.7.1 <{to}>: Relay access denied",
        "452 4.2.2 Mailbox full",
    ],
)
def test_nothing_is_tried_where_the_cause_is_certain(reply: str) -> None:
    with faulty("rcpt", reply=reply).running() as lab:
        outcomes = sessions(plan_for(lab))
        assert len(lab.sessions) == 1
    assert [outcome.trials for outcome in outcomes if outcome.trials] == []


def test_what_is_called_for_and_cannot_be_made_is_said() -> None:
    with faulty("rcpt", reply="554 5.7.1 Client host [127.0.0.1] blocked using zen.spamhaus.org").running() as lab:
        assert shown(sessions(plan_for(lab))) == {
            "lists": "with --lists, block lists would be asked for this machine's address"
        }
        assert shown(sessions(plan_for(lab), SOON._replace(lists=True))) == {
            "lists": "127.0.0.1 is a private address: no public list and no public DNS knows it"
        }


def test_what_was_wished_is_made_after_the_cause_is_known() -> None:
    with faulty("ehlo", reply="504 5.5.2 <{helo}>: Helo command rejected", helo="client.example").running() as lab:
        outcomes = sessions(plan_for(lab), SOON._replace(control=f"{lab.host}:{lab.port}"))
    assert list(shown(outcomes)) == ["helo", "control"]


def test_the_rule_that_knows_what_would_tell_goes_first() -> None:
    with faulty("rcpt", reply="550 5.7.1 Policy", sender="me@here.example").running() as lab:
        outcomes = sessions(plan_for(lab))
    assert next(iter(shown(outcomes))) == "recipients"
    assert proved(outcomes) == "sender-is-the-cause"


def test_an_interrupted_session_calls_for_nothing() -> None:
    with faulty("rcpt", reply="550 no").running() as lab:
        plan = plan_for(lab)
        transcript = first_session(plan)
    verdict = judge(transcript)._replace(outcome="interrupted")
    wishes = SOON._replace(lists=True, control="192.0.2.1")
    assert list(investigate(bench_for(plan, transcript, wishes, verdict=verdict))) == []


@pytest.mark.parametrize("stop_after", ["rcpt", "message"])
def test_nothing_is_delivered(stop_after: Stage) -> None:
    """Every experiment that may be made is made, and no message comes in."""
    message = b"Subject: x\r\n\r\nx\r\n"
    with faulty("rcpt", reply="550 5.7.1 Policy", first=1).running() as lab:
        plan = plan_for(lab, message=message, stop_after=stop_after, times=3, compose=lambda _: message, chunk_size=9)
        transcript = first_session(plan)
        before = len(lab.sessions)
        bench = bench_for(plan, transcript, SOON._replace(wait=0.1, patience=0.1, ports=(lab.port,)))
        for experiment in EXPERIMENTS:
            if experiment.name not in ("lists", "own-address", "control"):
                list(experiment.trials(bench))
        assert len(lab.sessions) > before + 10
        assert lab.messages == []
        assert not any(event.kind == "data" for each in lab.sessions for event in each.events)


def test_they_are_few() -> None:
    with faulty("rcpt", reply="550 5.7.1 Policy").running() as lab:
        sessions(plan_for(lab))
        assert 2 <= len(lab.sessions) <= 10


# What they prove, against a server that has just that fault. (Those of the way there: test_experiments_network.py.)


@pytest.mark.parametrize(
    ("lab", "changes", "cause"),
    [
        (
            faulty("rcpt", reply="504 5.5.2 <{helo}>: Helo command rejected", helo="client.example"),
            {},
            "helo-is-the-cause",
        ),
        (faulty("mail", reply="550 5.7.1 Access denied", helo="client.example"), {}, "helo-is-the-cause"),
        (faulty("rcpt", reply="550 5.7.1 Sender refused", sender="me@here.example"), {}, "sender-is-the-cause"),
        (faulty("mail", reply="554 5.7.1 Go away", times=1), {}, "works-now"),
        (faulty("rcpt", reply="550 no", times=1), {}, "works-now"),
        (faulty("rcpt", reply="550 5.7.1 Not here", recipient="recipient@*"), {}, "this-recipient-alone"),
        (faulty("banner", delay=4), {}, "patience-helps"),
        (faulty("banner", delay=4, times=1), {}, "works-now"),
        (faulty("rcpt", delay=4), {}, "patience-helps"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_cause_is_proved(lab: Lab, changes: dict[str, Any], cause: str) -> None:
    with lab.running() as running:
        outcomes = sessions(plan_for(running, **changes))
    assert proved(outcomes) == cause
    assert all(outcome.trials for outcome in outcomes if not outcome.remark)


@pytest.mark.parametrize(
    ("pattern", "shows"),
    [("/^(?!postmaster)/", "recipient-and-unknown-alike"), ("*", "nobody-there-accepted")],
)
def test_what_leaves_two_causes_names_none(pattern: str, shows: str) -> None:
    with faulty("rcpt", reply="550 no", recipient=pattern).running() as lab:
        outcomes = sessions(plan_for(lab))
    assert shown(outcomes)["recipients"] == shows
    assert proved(outcomes) == ""
    # So the others are made as well, and exclude what they can.
    assert shown(outcomes) == {"recipients": shows, "senders": "not-the-sender", "helo": "not-the-helo"}


def test_catch_all_is_told_from_a_mailbox() -> None:
    with Lab(scenario=load_scenario("catch-all")).running() as lab:
        outcomes = sessions(plan_for(lab))
        assert shown(outcomes) == {"catch-all": "catch-all"}
        assert len(lab.sessions) == 2
    assert outcomes[0].names_the_cause
    with Lab(policy=Policy(mailboxes=frozenset({"recipient@example.com"}))).running() as lab:
        outcomes = sessions(plan_for(lab))
    assert shown(outcomes) == {"catch-all": "mailbox-known"}
    assert not outcomes[0].names_the_cause


def test_a_server_that_is_not_sure_of_an_invented_address_proves_nothing() -> None:
    with faulty("rcpt", reply="450 4.2.0 Later", recipient="ehlo-*").running() as lab:
        assert shown(sessions(plan_for(lab))) == {"catch-all": ""}


def test_waiting_out_a_greylist() -> None:
    with Lab(scenario=load_scenario("greylisted-for-a-while")).running() as lab:
        assert list(shown(sessions(plan_for(lab)))) == ["greylist"]
        assert len(lab.sessions) == 1
    with Lab(scenario=load_scenario("greylisted-for-a-while")).running() as lab:
        assert proved(sessions(plan_for(lab), SOON._replace(wait=20.0))) == "greylist-passed"


# The verdict after them.


def test_one_cause_where_there_were_several() -> None:
    with faulty("rcpt", reply="550 5.7.1 Policy", helo="client.example").running() as lab:
        plan = plan_for(lab)
        transcript = first_session(plan)
        bench = bench_for(plan, transcript)
        outcomes = experiments_of(bench)
    before, after = bench.verdict, settled(bench.verdict, outcomes)
    assert len(before.findings[0].alternatives) == 4
    assert (after.findings[0].rule, after.findings[0].alternatives) == ("proved-helo-is-the-cause", ())
    assert after.layer == "greeting" != before.layer
    # What was excluded is not among what else it may be.
    assert shown(outcomes)["senders"] == "not-the-sender"
    assert "sender-blocked" not in after.findings[1].alternatives


def test_the_last_proof_is_the_nearest() -> None:
    rules = ("proved-other-port", "proved-port-blocked")
    findings = [findings_of([Evidence("connect", (), error=rule.removeprefix("proved-"))])[0] for rule in rules]
    outcomes = [Outcome("x", "x", (), finding, names_the_cause=True) for finding in findings]
    verdict = Verdict("failed", "connect", "network", False, ())
    assert [finding.rule for finding in settled(verdict, outcomes).findings] == [*reversed(rules)]


# What is concluded.


def trial(what: str, worked: bool, **more: Any) -> Trial:
    return Trial(what, worked, "", **more)


def port(number: int, *speaks: str) -> Trial:
    return trial(f"port {number}", bool(speaks), speaks={how: how in speaks for how in ("clear", "starttls", "tls")})


def octets(number: int, seen: str, before: str = "") -> Trial:
    return trial(f"{before}{number:,} octets at once", seen == "answered", seen=seen)


def broken(size: int, seen: str, *, below: int = 1_000, again: str = "") -> list[Trial]:
    climbed = [octets(each, "answered") for each in (500, 1_000, 1_400, 1_500, 4_096, 16_384) if each < size]
    return [*climbed, octets(size, seen), octets(below, "answered", "again: "), octets(size, again or seen, "again: ")]


YES, NO, AGAIN = trial("it", True), trial("it", False), trial("as before", False)
#: What each experiment concludes from its trials, of a session that failed at a stage with port 25.
CONCLUSIONS: list[tuple[str, Stage, list[Trial], str]] = [
    ("ports", "connect", [port(25), port(587, "clear", "starttls")], "other-port"),
    ("ports", "connect", [port(25), port(465, "tls")], "other-port"),
    ("ports", "connect", [port(25), port(587)], "no-port-works"),
    ("ports", "connect", [port(25, "clear")], "works-now"),
    ("ports", "banner", [port(25, "tls"), port(587, "clear")], "other-tls-mode"),
    ("ports", "banner", [port(25, "clear")._replace(seen="late"), port(587, "clear")], ""),
    ("ports", "starttls", [port(25, "clear"), port(465, "tls")], "other-port"),
    ("ports", "starttls", [port(25, "clear"), port(465)], ""),
    ("addresses", "banner", [trial("192.0.2.1", True), trial("2001:db8::1", False)], "ipv6-broken"),
    ("addresses", "banner", [trial("192.0.2.1", False), trial("2001:db8::1", True)], "ipv4-broken"),
    ("addresses", "banner", [trial("192.0.2.1", False), trial("192.0.2.2", True)], "one-address-broken"),
    ("addresses", "banner", [trial("192.0.2.1", True), trial("192.0.2.2", True)], "works-now"),
    ("addresses", "banner", [trial("192.0.2.1", False), trial("192.0.2.2", False)], ""),
    ("tls-versions", "tls", [trial("TLS 1.3", False), trial("TLS 1.2", True)], "other-tls-version"),
    ("tls-versions", "tls", [trial("TLS 1.3", False), trial("TLS 1.1", True)], "only-old-tls"),
    ("tls-versions", "tls", [trial("TLS 1.3", False), trial("TLS 1.2", False)], "no-tls-version"),
    ("tls-versions", "tls", [trial("TLS 1.3", True), trial("TLS 1.2", True), trial("TLS 1.1", False)], "works-now"),
    ("verification", "tls", [YES], "certificate-alone"),
    ("verification", "tls", [NO], ""),
    ("sni", "tls", [YES, NO], "sni-matters"),
    ("sni", "tls", [YES, YES], ""),
    ("patience", "banner", [YES, AGAIN], "patience-helps"),
    ("patience", "banner", [NO], "patience-does-not-help"),
    ("sizes", "message", broken(1_400, "lost"), "path-mtu"),
    ("sizes", "message", broken(16_384, "lost"), "large-unanswered"),
    ("sizes", "message", broken(1_400, "silent"), "large-unanswered"),
    ("sizes", "message", broken(1_400, "cut"), "large-cut"),
    ("sizes", "message", broken(1_400, "lost", again="cut"), ""),
    ("sizes", "message", broken(1_400, "lost", again="answered"), "works-now"),
    ("sizes", "message", [octets(500, "answered"), octets(1_000, "misread")], ""),
    ("sizes", "message", [octets(500, "answered"), octets(1_000, "over")], ""),
    ("sizes", "message", [octets(500, "cut")], ""),
    ("sizes", "message", [octets(500, "answered"), octets(1_000, "answered")], "size-does-not-matter"),
    ("helo", "rcpt", [NO, YES, AGAIN], "helo-is-the-cause"),
    ("helo", "rcpt", [NO, NO], "not-the-helo"),
    ("senders", "mail", [trial("the login as sender", True), AGAIN], "sender-must-be-login"),
    ("senders", "mail", [trial("the null sender", True), AGAIN], "sender-is-the-cause"),
    ("senders", "mail", [trial("the null sender", False)], "not-the-sender"),
    ("recipients", "rcpt", [YES, NO, AGAIN], "this-recipient-alone"),
    ("recipients", "rcpt", [NO, YES, AGAIN], "this-recipient-alone"),
    ("recipients", "rcpt", [trial("it", False, seen="recipient-refused"), YES, AGAIN], "recipient-and-unknown-alike"),
    ("recipients", "rcpt", [NO, NO], "nobody-there-accepted"),
    ("catch-all", "quit", [YES], "catch-all"),
    ("catch-all", "quit", [trial("it", False, seen="recipient-unknown", refused="for good")], "mailbox-known"),
    ("catch-all", "quit", [trial("it", False, seen="recipient-unknown", refused="for now")], ""),
    ("catch-all", "quit", [trial("it", False, seen="rate-limited", refused="for good")], ""),
    ("own-address", "rcpt", [trial("it", False, seen="no-such-host")], "no-name-here"),
    ("own-address", "rcpt", [trial("it", False, seen="timed-out")], ""),
    ("own-address", "rcpt", [YES, NO], "name-does-not-lead-back"),
    ("own-address", "rcpt", [YES, trial("it", False, seen="dns-failed")], ""),
    ("own-address", "rcpt", [YES, NO, YES], "name-confirmed"),
    ("lists", "rcpt", [YES, trial("it", False, seen="listed")], "listed-here"),
    ("lists", "rcpt", [YES, trial("it", False, seen="no-answer")], ""),
    ("lists", "rcpt", [YES, YES], "not-listed"),
    ("control", "connect", [YES], "it-is-them"),
    ("control", "connect", [trial("it", False, refused="for good")], "it-is-them"),
    ("control", "connect", [NO], "it-is-us"),
    ("password", "auth", [NO], "password-mangled"),
    ("password", "auth", [YES], ""),
    ("greylist", "rcpt", [NO, YES], "greylist-passed"),
    ("greylist", "rcpt", [NO, NO], "greylist-not-passed"),
]


@pytest.mark.parametrize(("name", "stage", "trials", "cause"), CONCLUSIONS)
def test_what_is_concluded(name: str, stage: Stage, trials: list[Trial], cause: str) -> None:
    refusal = Evidence(stage, (), Reply(550, ("no",)))
    verdict = Verdict("failed", stage, None, False, findings_of([refusal]))
    bench = bench_for(plan_for("192.0.2.1"), Transcript(Header("client", 0.0), []), verdict=verdict)
    bench.wishes = SOON._replace(control="192.0.2.2")
    (experiment,) = (it for it in EXPERIMENTS if it.name == name)
    assert experiment.conclude(bench, trials) == cause


def test_a_port_is_blocked_where_another_server_has_it_closed_too() -> None:
    alive = findings_of([Evidence("connect", (), error="other-port")])[0]
    verdict = Verdict("failed", "connect", "network", False, ())
    wishes = SOON._replace(control="192.0.2.2")
    bench = bench_for(plan_for("192.0.2.1"), Transcript(Header("client", 0.0), []), wishes, verdict=verdict)
    bench.outcomes.append(Outcome("ports", "", (), alive, names_the_cause=True))
    (control,) = (it for it in EXPERIMENTS if it.name == "control")
    assert control.conclude(bench, [NO]) == "port-blocked"
    bench.wishes = SOON._replace(control="192.0.2.2:587")
    assert control.conclude(bench, [NO]) == "it-is-us"


def test_every_proof_is_proved() -> None:
    proofs = {
        error for rule in load_rules() if rule.id.startswith("proved-") for it in rule.when for error in it.errors
    }
    assert proofs == {cause for *_, cause in CONCLUSIONS if cause} | {"port-blocked"}


def returned(value: ast.expr | None) -> Iterator[str]:
    """The texts that an expression may be."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.IfExp):
        yield from (*returned(value.body), *returned(value.orelse))
    elif isinstance(value, ast.Subscript) and isinstance(value.value, ast.Dict):
        yield from (text for each in value.value.values for text in returned(each))


def test_every_conclusion_has_its_rule() -> None:
    known = {error for rule in load_rules() for when in rule.when for error in when.errors}
    for experiment in EXPERIMENTS:
        tree = ast.parse(inspect.getsource(experiment.conclude))
        causes = {text for node in ast.walk(tree) if isinstance(node, ast.Return) for text in returned(node.value)}
        assert causes
        assert causes - {""} <= known, experiment.name
    assert len({experiment.name for experiment in EXPERIMENTS}) == len(EXPERIMENTS)


def test_each_is_told_before_it_is_made() -> None:
    told: list[Experiment] = []
    with faulty("rcpt", reply="550 no").running() as lab:
        plan = plan_for(lab)
        steps = list(investigate(bench_for(plan, first_session(plan)), told.append))
    assert [experiment.name for experiment in told] == [step.name for step in steps if isinstance(step, Outcome)]


def test_in_json() -> None:
    assert Trial("x", True, "y").to_json() == {"what": "x", "worked": True, "detail": "y"}
    assert port(25, "clear").to_json()["speaks"] == {"clear": True, "starttls": False, "tls": False}
    assert Outcome("lists", "t", (), remark="no").to_json() == {
        "name": "lists",
        "title": "t",
        "trials": [],
        "rule": None,
        "conclusion": None,
        "remark": "no",
    }
