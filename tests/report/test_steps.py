"""The steps of a report: what each took, told by hand-made events, in milliseconds."""

from __future__ import annotations

import re

from ehlo.diagnosis.judge import judge
from ehlo.lab import Lab
from ehlo.lab.scenario import make_fault
from ehlo.net.blocking import run
from ehlo.probe.plan import Plan
from ehlo.probe.target import parse_target
from ehlo.probe.walk import client_session
from ehlo.report.document import session_document
from ehlo.report.page import session_page
from ehlo.report.steps import Step, StepReader
from ehlo.report.text import duration
from ehlo.smtp.stages import Stage
from ehlo.transcript.event import Event
from ehlo.transcript.exchanges import exchanges
from ehlo.transcript.redaction import redact
from ehlo.transcript.transcript import Header, Transcript
from transcript.conversation import said

STAGES: dict[str, Stage] = {
    "EHLO": "ehlo",
    "STARTTLS": "starttls",
    "AUTH": "auth",
    "MAIL": "mail",
    "RCPT": "rcpt",
    "QUIT": "quit",
}
TLS = {"version": "TLSv1.3", "cipher": "X"}


def conversation(text: str) -> list[Event]:
    """Lines such as "4 C: EHLO x", and "10-20 TLS" for a handshake, as events."""
    stage: Stage = "banner"
    events = []
    for line in text.strip().splitlines():
        time, who, said = [*line.split(None, 2), ""][:3]
        begin, _, end = time.partition("-")
        at = int(end or begin) / 1000
        if who == "TLS":
            events.append(Event(at, "net", "tls", "starttls", None, int(begin) / 1000, TLS))
            continue
        stage = STAGES.get(said.split(" ")[0], stage) if who == "C:" else stage
        events.append(Event(at, "client" if who == "C:" else "server", "line", stage, said.encode() + b"\r\n"))
    return events


def steps(text: str) -> list[Step]:
    reader = StepReader()
    return [step for exchange in exchanges(conversation(text)) if (step := reader.feed(exchange)) is not None]


def took(text: str) -> list[tuple[str, int]]:
    """Stage and milliseconds of each step."""
    return [(step.stage, round(step.seconds * 1000)) for step in steps(text)]


ENCRYPTED = """
20 S: 220 here
20 C: EHLO x
30 S: 250-here
30 S: 250 STARTTLS
31 C: STARTTLS
2240 S: 220 2.0.0 Ready
2250-2380 TLS
2381 C: EHLO x
2881 S: 250-here
2881 S: 250 STARTTLS
2882 C: QUIT
2890 S: 221 bye
"""


def test_the_wait_for_the_reply_to_starttls_belongs_to_it() -> None:
    assert took(ENCRYPTED)[2] == ("starttls", 2380 - 31)
    assert [step.spans for step in steps(ENCRYPTED) if step.stage == "starttls"] == [((0.031, 2.380),)]


def test_every_second_of_waiting_has_its_step() -> None:
    assert took(ENCRYPTED) == [("banner", 20), ("ehlo", 10), ("starttls", 2349), ("ehlo", 500), ("quit", 8)]
    # What is left is what this side took between a reply and its next command.
    assert sum(milliseconds for _, milliseconds in took(ENCRYPTED)) == 2890 - 1 - 1 - 1


def test_a_refused_or_broken_starttls_keeps_its_time() -> None:
    refused = "0 S: 220 x\n0 C: EHLO x\n5 S: 250 x\n5 C: STARTTLS\n905 S: 454 4.7.0 not now"
    assert took(refused)[2] == ("starttls", 900)
    events = [*conversation("0 S: 220 x\n5 C: STARTTLS\n905 S: 220 go"), None]
    events[-1] = Event(1.105, "net", "tls", "starttls", None, 0.906, {"error": "tls-cut", "message": "cut"})
    reader = StepReader()
    (*_, last) = [reader.feed(exchange) for exchange in exchanges(event for event in events if event)]
    assert last is not None
    assert (last.outcome, round(last.seconds * 1000)) == ("failed", 1100)


def test_a_login_is_its_waits_without_the_pauses_between() -> None:
    login = """
0 S: 220 x
10 C: AUTH LOGIN
30 S: 334 VXNlcm5hbWU6
1030 C: YQ==
1080 S: 334 UGFzc3dvcmQ6
2080 C: Yg==
2090 S: 235 2.7.0 fine
"""
    (step,) = [step for step in steps(login) if step.stage == "auth"]
    assert step.spans == ((0.010, 0.030), (1.030, 1.080), (2.080, 2.090))
    assert round(step.seconds * 1000) == 80


def test_commands_sent_ahead_do_not_count_twice() -> None:
    ahead = """
0 S: 220 x
10 C: MAIL FROM:<a@b.example>
10 C: RCPT TO:<c@d.example>
10 C: RCPT TO:<e@f.example>
110 S: 250 fine
210 S: 250 fine
215 S: 550 no
"""
    assert took(ahead) == [("banner", 0), ("mail", 100), ("rcpt", 100), ("rcpt", 5)]


def test_page_terminal_and_document_say_the_same_time() -> None:
    with Lab(faults=[make_fault("starttls", "", {"delay": 0.6})]).running() as lab:
        session = client_session(Plan(parse_target(f"{lab.host}:{lab.port}"), helo="client.example"))
        run(session)
    transcript = session.recorder.transcript
    document = session_document("check", {}, transcript, judge(transcript))
    stages = document["stages"]
    assert isinstance(stages, list)
    seconds = {str(step["stage"]): step["seconds"] for step in stages if isinstance(step, dict)}
    starttls = seconds["starttls"]
    assert isinstance(starttls, float)
    assert starttls >= 0.6
    page = session_page(transcript, judge(transcript))
    assert re.search(rf"starttls.*?{re.escape(duration(starttls))}", page, re.DOTALL)


def test_what_is_no_command_stands_as_it_was_said() -> None:
    lines = """
        C: dtaa
        S: 500 unknown
        C: AUTH LOGIN
        S: 535 no
        C: d29uZGVybGFuZA==
        S: 500 unknown
        C: rset
        S: 250 Ok
    """
    reader = StepReader()
    events = redact(Transcript(Header("client", 0.0), said(lines))).events
    steps = [step for exchange in exchanges(events) if (step := reader.feed(exchange)) is not None]
    assert [step.summary.split(":")[0] for step in steps] == ["dtaa", "LOGIN (obsolete, IANA)", "[redacted]", "RSET"]
