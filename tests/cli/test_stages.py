"""`--stop-after`: the session goes to that stage and no further, and ends in order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ehlo.diagnosis.judge import judge
from ehlo.lab import Lab, Policy, RunningLab
from ehlo.net.blocking import run
from ehlo.probe.plan import Plan
from ehlo.probe.target import parse_target
from ehlo.probe.walk import client_session
from ehlo.smtp.address import parse_path
from ehlo.smtp.sasl import Credentials
from ehlo.smtp.stages import Stage
from ehlo.transcript import Transcript, exchanges

#: What the client says up to each stage, QUIT included.
SAID: dict[Stage, list[str]] = {
    "dns": [],
    "connect": [],
    "tls": [],
    "banner": ["QUIT"],
    "ehlo": ["EHLO", "QUIT"],
    "starttls": ["EHLO", "STARTTLS", "EHLO", "QUIT"],
    "auth": ["EHLO", "STARTTLS", "EHLO", "QUIT"],
    "mail": ["EHLO", "STARTTLS", "EHLO", "MAIL", "QUIT"],
    "rcpt": ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "QUIT"],
    "message": ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA", "QUIT"],
    "quit": ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA", "QUIT"],
}


@pytest.fixture(name="lab", scope="module")
def running_lab() -> Iterator[RunningLab]:
    with Lab(policy=Policy(users={"alice": "x"})).running() as lab:
        yield lab


def session_of(plan: Plan) -> Transcript:
    session = client_session(plan)
    run(session)
    return session.recorder.transcript


def plan_for(lab: RunningLab, stop_after: Stage) -> Plan:
    return Plan(
        parse_target(f"127.0.0.1:{lab.port}"),
        helo="here.org",
        sender=parse_path("<a@here.org>"),
        recipients=(parse_path("<recipient@example.com>"),),
        message=b"Subject: x\r\n\r\n.\r\n",
        stop_after=stop_after,
    )


@pytest.mark.parametrize("stage", [stage for stage in SAID if stage != "tls"])
def test_stops_after(lab: RunningLab, stage: Stage) -> None:
    transcript = session_of(plan_for(lab, stage))
    said = [event.text.split()[0] for event in transcript.events if (event.who, event.kind) == ("client", "line")]
    assert said == SAID[stage]
    assert judge(transcript).outcome == "accepted"


def test_stop_after_data_closes_the_connection(lab: RunningLab) -> None:
    before = len(lab.lab.messages)
    transcript = session_of(plan_for(lab, "data"))
    assert (judge(transcript).outcome, judge(transcript).stage) == ("accepted", "data")
    assert transcript.events[-1].kind == "close"
    assert len(lab.lab.messages) == before


def test_what_may_not_be_sent_is_a_finding(lab: RunningLab) -> None:
    plan = plan_for(lab, "auth")._replace(credentials=Credentials("alice", "x" * 20_000), insecure=True)
    verdict = judge(session_of(plan))
    assert (verdict.stage, verdict.findings[0].rule) == ("auth", "not-sent")
    assert "12288" in verdict.findings[0].seen


def test_pipelining_says_the_same_in_fewer_turns(lab: RunningLab) -> None:
    plan = plan_for(lab, "message")._replace(starttls="never")
    one_by_one, ahead = session_of(plan), session_of(plan._replace(pipelining=True))
    assert [step.verb for step in exchanges(ahead.events)] == [step.verb for step in exchanges(one_by_one.events)]
    who = [event.who for event in ahead.events if event.stage in ("mail", "rcpt", "data") and event.kind == "line"]
    assert who == ["client"] * 3 + ["server"] * 3
    assert lab.lab.messages[-1].content == lab.lab.messages[-2].content == b"Subject: x\r\n\r\n.\r\n"


def test_pipelining_ends_a_transaction_without_recipients(lab: RunningLab) -> None:
    before = len(lab.lab.messages)
    plan = plan_for(lab, "message")._replace(
        starttls="never", pipelining=True, recipients=(parse_path("<nobody@example.com>"),)
    )
    verdict = judge(session_of(plan))
    assert verdict.findings[0].rule in ("wrong-order", "data-refused", "recipient-unknown")
    assert len(lab.lab.messages) == before
