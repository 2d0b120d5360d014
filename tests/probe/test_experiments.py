"""Experiments: run only when called for, and each proves what it is for, against a lab that has just that fault."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from ehlo.diagnosis.evidence import Evidence
from ehlo.diagnosis.judge import findings_of, judge
from ehlo.diagnosis.verdict import Verdict
from ehlo.knowledge.rules import load_rules
from ehlo.lab import Lab, Policy, RunningLab
from ehlo.lab.scenario import load_scenario, make_fault
from ehlo.net.blocking import run
from ehlo.net.intents import Address
from ehlo.net.session import Session
from ehlo.probe import experiments
from ehlo.probe.experiments import EXPERIMENTS, Bench, Outcome, Trial, Wishes, investigate, own_address
from ehlo.probe.plan import Plan, Timeouts
from ehlo.probe.target import parse_target
from ehlo.probe.walk import client_session
from ehlo.smtp.address import parse_path
from ehlo.smtp.reply import Reply
from ehlo.smtp.sasl import Credentials
from ehlo.smtp.stages import Stage
from ehlo.transcript.event import Event
from ehlo.transcript.transcript import Header, Transcript

SOON = Wishes(pace=0.0, patience=3.0)


def plan_for(lab: RunningLab, **changes: Any) -> Plan:
    plan = Plan(
        parse_target(f"{lab.host}:{lab.port}"),
        helo="client.example",
        sender=parse_path("<me@here.example>"),
        recipients=(parse_path("<recipient@example.com>"),),
        starttls="never",
        timeouts=Timeouts(2.0),
    )
    return plan._replace(**changes)


def sessions(plan: Plan, wishes: Wishes = SOON) -> list[Outcome]:
    session = client_session(plan)
    run(session)
    transcript = session.recorder.transcript
    bench = Bench(plan, transcript, judge(transcript), lambda each: run(each), wishes)
    return [step for step in investigate(bench) if isinstance(step, Outcome)]


def faulty(stage: str, **words: object) -> Lab:
    return Lab(faults=[make_fault(stage, "", words)])


def proved(outcomes: list[Outcome]) -> str:
    """The cause that was found."""
    causes = [outcome.finding for outcome in outcomes if outcome.names_the_cause]
    assert len(causes) <= 1
    return causes[0].rule.removeprefix("proved-") if causes and causes[0] else ""


def test_nothing_is_tried_when_all_is_well() -> None:
    with Lab().running() as lab:
        assert sessions(plan_for(lab)) == []
        assert len(lab.sessions) == 1


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
        (faulty("rcpt", reply="550 5.7.1 Not here", recipient="recipient@*"), {}, "this-recipient-alone"),
        (Lab(policy=Policy(mailboxes=frozenset({"x@example.com"}))), {}, "recipient-and-unknown-alike"),
        (Lab(policy=Policy(domains=frozenset({"example.org"}))), {}, "nobody-there-accepted"),
        (faulty("banner", delay=4), {}, "patience-helps"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_cause_is_proved(lab: Lab, changes: dict[str, Any], cause: str) -> None:
    with lab.running() as running:
        outcomes = sessions(plan_for(running, **changes), SOON._replace(patience=10.0, ports=()))
    assert proved(outcomes) == cause
    assert all(outcome.trials for outcome in outcomes)


def test_the_same_port_the_other_way() -> None:
    with Lab().running(doors={"smtps": 0}) as lab:
        clear = plan_for(lab, starttls="auto")
        wrong = clear._replace(target=parse_target(f"smtps://{lab.host}:{lab.port}"))
        assert proved(sessions(wrong)) == "other-tls-mode"
        encrypted = clear._replace(target=parse_target(f"{lab.host}:{lab.ports['smtps']}"))
        assert proved(sessions(encrypted)) == "other-tls-mode"


def closed_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_another_port() -> None:
    with Lab().running() as lab:
        plan = plan_for(lab)._replace(target=parse_target(f"{lab.host}:{closed_port()}"))
        wishes = SOON._replace(ports=((lab.port, False), (plan.target.port, False)))
        assert proved(sessions(plan, wishes)) == "other-port"
    outcomes = sessions(plan, wishes)
    assert outcomes[0].finding is not None
    assert outcomes[0].finding.rule == "proved-no-port-works"


def test_them_or_us() -> None:
    with Lab().running() as lab:
        plan = plan_for(lab)._replace(target=parse_target(f"127.0.0.1:{closed_port()}"))
        them = sessions(plan, SOON._replace(ports=(), control=f"{lab.host}:{lab.port}"))
        us = sessions(plan, SOON._replace(ports=(), control=f"127.0.0.1:{closed_port()}"))
    assert [outcome.finding.rule for outcome in them if outcome.finding][-1] == "proved-it-is-them"
    assert [outcome.finding.rule for outcome in us if outcome.finding][-1] == "proved-it-is-us"


def test_waiting_out_a_greylist() -> None:
    with Lab(scenario=load_scenario("greylisted-for-a-while")).running() as lab:
        assert sessions(plan_for(lab)) == []
    with Lab(scenario=load_scenario("greylisted-for-a-while")).running() as lab:
        assert proved(sessions(plan_for(lab), SOON._replace(wait=20.0))) == "greylist-passed"


def test_each_address_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    with Lab().running() as lab:

        def resolve(host: str, port: int, family: object) -> tuple[Address, ...]:
            return (Address(socket.AF_INET6, "::1", port), Address(socket.AF_INET, "127.0.0.1", port))

        monkeypatch.setattr(experiments, "resolve", resolve)
        monkeypatch.setattr("ehlo.net.blocking.resolve", lambda host, port, family: resolve(host, port, family)[:1])
        plan = plan_for(lab)._replace(target=parse_target(f"two-faced.example:{lab.port}"))

        def pretend(session: Session) -> None:
            run(session)

        session = client_session(plan)
        run(session)
        monkeypatch.undo()
        monkeypatch.setattr(experiments, "resolve", resolve)
        bench = Bench(
            plan, session.recorder.transcript, judge(session.recorder.transcript), pretend, SOON._replace(ports=())
        )
        outcomes = [step for step in investigate(bench) if isinstance(step, Outcome)]
    assert proved(outcomes) == "ipv6-broken"


def test_the_certificate_alone() -> None:
    with Lab().running() as lab:
        outcomes = sessions(plan_for(lab, starttls="require", verify="both"))
    assert proved(outcomes) == "certificate-alone"


@pytest.mark.parametrize(
    ("versions", "cause"), [({"tls_max": "1.1"}, "only-old-tls"), ({"handshake": "garbage"}, "no-tls-version")]
)
def test_versions_of_tls(versions: dict[str, str], cause: str) -> None:
    with faulty("tls", **versions).running() as lab:
        outcomes = sessions(plan_for(lab, starttls="require"))
    # What this machine's own library refuses, it cannot find out.
    assert proved(outcomes) in {cause, "no-tls-version"}


@pytest.mark.parametrize(
    ("password", "cause"), [("secret ", "password-mangled"), ('"secret"', "password-mangled"), ("plain", "")]
)
def test_a_password_is_looked_at_without_showing_it(password: str, cause: str) -> None:
    policy = Policy(users={"alice": "wonderland"}, auth_in_clear=True)
    with Lab(policy=policy).running() as lab:
        outcomes = sessions(plan_for(lab, credentials=Credentials("alice", password), auth_in_clear=True))
    assert proved(outcomes) == cause
    shown = str(outcomes)
    assert password.strip(' "') not in shown
    assert f"{len(password)} characters" in shown


def test_large_packets_that_get_lost() -> None:
    """A way that loses long lines, as the fault's author would meet it: the connection dies at 1,500 octets."""
    import threading

    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, client.makefile("rb") as stream:
                client.sendall(b"220 here\r\n")
                while line := stream.readline(70_000):
                    if len(line) >= 1_500:
                        break
                    word = line[:4].upper()
                    if word == b"QUIT":
                        break
                    client.sendall({b"EHLO": b"250 here\r\n", b"DATA": b"354 go\r\n"}.get(word, b"250 ok\r\n"))
                    if word == b"DATA":
                        break

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        plan = Plan(
            parse_target(f"127.0.0.1:{listener.getsockname()[1]}"),
            helo="client.example",
            recipients=(parse_path("<x@y.example>"),),
            message=b"Subject: x\r\n\r\n" + b"x" * 900 + b"\r\n",
            stop_after="message",
            starttls="never",
            timeouts=Timeouts(2.0),
        )
        outcomes = sessions(plan)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    assert proved(outcomes) == "path-mtu"
    (sizes,) = [outcome for outcome in outcomes if outcome.name == "sizes"]
    assert [trial.worked for trial in sizes.trials] == [True, True, True, False]


def test_nothing_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty("rcpt", reply="550 5.7.1 Policy").running() as lab:
        sessions(plan_for(lab, message=b"Subject: x\r\n\r\n"))
        assert lab.messages == []
        assert 2 <= len(lab.sessions) <= 16


def trial(what: str, worked: bool) -> Trial:
    return Trial(what, worked, "")


YES, NO = trial("it", True), trial("it", False)
#: What each experiment concludes from its trials, of a session that failed at a stage with port 25.
CONCLUSIONS: list[tuple[str, str, list[Trial], str]] = [
    ("ports", "connect", [trial("port 25, STARTTLS", False), trial("port 587, STARTTLS", True)], "port-blocked"),
    ("ports", "banner", [trial("port 25, STARTTLS", False), trial("port 587, STARTTLS", True)], "other-port"),
    ("ports", "connect", [trial("port 25, STARTTLS", False), trial("port 587, STARTTLS", False)], "no-port-works"),
    ("ports", "connect", [trial("port 25, STARTTLS", True)], "works-now"),
    ("modes", "tls", [YES], "other-tls-mode"),
    ("addresses", "connect", [trial("192.0.2.1", True), trial("2001:db8::1", False)], "ipv6-broken"),
    ("addresses", "connect", [trial("192.0.2.1", False), trial("2001:db8::1", True)], "ipv4-broken"),
    ("addresses", "connect", [trial("192.0.2.1", False), trial("192.0.2.2", True)], "one-address-broken"),
    ("tls-versions", "tls", [trial("TLS 1.3", False), trial("TLS 1.2", True)], "other-tls-version"),
    ("tls-versions", "tls", [trial("TLS 1.3", False), trial("TLS 1.1", True)], "only-old-tls"),
    ("tls-versions", "tls", [trial("TLS 1.3", False), trial("TLS 1.2", False)], "no-tls-version"),
    ("verification", "tls", [YES], "certificate-alone"),
    ("sni", "tls", [YES, NO], "sni-matters"),
    ("patience", "banner", [YES], "patience-helps"),
    ("patience", "banner", [NO], "patience-does-not-help"),
    ("sizes", "message", [YES, NO], "path-mtu"),
    ("helo", "rcpt", [NO, YES], "helo-is-the-cause"),
    ("helo", "rcpt", [NO, NO], "not-the-helo"),
    ("senders", "mail", [trial("the login as sender", True)], "sender-must-be-login"),
    ("senders", "mail", [trial("the null sender", True)], "sender-is-the-cause"),
    ("senders", "mail", [trial("the null sender", False)], "not-the-sender"),
    ("recipients", "rcpt", [YES, NO], "this-recipient-alone"),
    ("recipients", "rcpt", [YES, Trial("it", False, "", "recipient-refused")], "recipient-and-unknown-alike"),
    ("recipients", "rcpt", [NO, YES], "nobody-there-accepted"),
    ("own-address", "rcpt", [NO], "no-name-here"),
    ("own-address", "rcpt", [YES, NO], "name-does-not-lead-back"),
    ("lists", "rcpt", [YES, NO], "listed-here"),
    ("lists", "rcpt", [YES, YES], "not-listed"),
    ("control", "rcpt", [YES], "it-is-them"),
    ("control", "rcpt", [NO], "it-is-us"),
    ("password", "auth", [NO], "password-mangled"),
    ("greylist", "rcpt", [NO, YES], "greylist-passed"),
    ("greylist", "rcpt", [NO, NO], "greylist-not-passed"),
]


@pytest.mark.parametrize(("name", "stage", "trials", "cause"), CONCLUSIONS)
def test_what_is_concluded(name: str, stage: Stage, trials: list[Trial], cause: str) -> None:
    plan = Plan(parse_target("192.0.2.1"), recipients=(parse_path("<x@example.com>"),))
    refusal = Evidence(stage, (), Reply(550, ("no",)))
    verdict = Verdict("failed", stage, None, False, findings_of([refusal]))
    bench = Bench(plan, Transcript(Header("client", 0.0), []), verdict, lambda _: None, SOON)
    (experiment,) = (it for it in EXPERIMENTS if it.name == name)
    assert experiment.conclude(bench, trials) == cause


def test_every_proof_is_proved() -> None:
    proofs = {
        error for rule in load_rules() if rule.id.startswith("proved-") for it in rule.when for error in it.errors
    }
    assert proofs == {cause for *_, cause in CONCLUSIONS}


def test_every_proof_has_its_rule() -> None:
    known = {error for rule in load_rules() for when in rule.when for error in when.errors}
    import inspect
    import re

    source = inspect.getsource(experiments)
    for name in re.findall(r'(?:return|else|if [^\n]* else) "([a-z0-9-]+)"', source):
        if name not in ("accepted", "ehlo", "smtp", "starttls"):
            assert name in known, name
    assert len({experiment.name for experiment in EXPERIMENTS}) == len(EXPERIMENTS)


@pytest.mark.parametrize(
    ("text", "local", "address"),
    [
        ("250-mail.example.com Hello client [192.0.2.7]", "10.0.0.1:4000", "192.0.2.7"),
        ("250-mail.example.com at your service, [2001:db8::7]", "", "2001:db8::7"),
        ("250-mail.example.com", "203.0.113.9:4000", ""),
        ("250-mail.example.com", "8.8.4.4:4000", "8.8.4.4"),
        ("250-mail.example.com", "127.0.0.1:4000", ""),
        ("250-mail.example.com [no address]", "", ""),
    ],
)
def test_own_address(text: str, local: str, address: str) -> None:
    events = [
        Event(0.0, "net", "connect", "connect", None, None, {"address": "192.0.2.1", "port": 25, "local": local}),
        Event(0.1, "server", "line", "ehlo", text.encode() + b"\r\n"),
    ]
    assert own_address(Transcript(Header("client", 0.0), events)) == address


def test_trials_in_json() -> None:
    assert Trial("x", True, "y").to_json() == {"what": "x", "worked": True, "detail": "y"}
