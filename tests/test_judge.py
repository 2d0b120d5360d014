"""Which of several things that went wrong matters most, and what a verdict says of the others."""

from __future__ import annotations

import socket
import time

import pytest

from ehlo.diagnosis.judge import judge
from ehlo.diagnosis.verdict import Finding
from ehlo.explain.paste import read_paste
from ehlo.lab import Lab, Policy
from ehlo.lab.scenario import load_scenario
from ehlo.net.blocking import run
from ehlo.probe.plan import Plan
from ehlo.probe.target import parse_target
from ehlo.probe.walk import client_session
from ehlo.report.outcome import achieved
from ehlo.smtp.sasl import Credentials
from ehlo.smtp.stages import Stage

BEGIN = "S: 220 mail.example.com ESMTP\nC: EHLO here.org\nS: 250 mail.example.com\n"
MAIL = "C: MAIL FROM:<a@here.org>\nS: 250 2.1.0 Ok\n"
END = "C: QUIT\nS: 221 2.0.0 Bye\n"
UNKNOWN = "C: RCPT TO:<x@example.com>\nS: 550 5.1.1 <x@example.com>: User unknown\n"
TAKEN = "C: RCPT TO:<x@example.com>\nS: 250 2.1.5 Ok\n"
MISSPELT = "C: RCPT TO x@example.com\nS: 501 5.5.4 Syntax: RCPT TO:<address>\n"
MISNAMED = "C: RCPT TO:<x@@example.com>\nS: 501 5.1.3 Bad recipient address syntax\n"
NO_COMMAND = "C: RCTP TO:<x@example.com>\nS: 500 5.5.2 Error: command not recognized\n"
NO_MAIL = "C: RCPT TO:<x@example.com>\nS: 503 5.5.1 Error: need MAIL command\n"
LATER = "C: DTAA\nS: 500 5.5.2 Error: command not recognized\n"


@pytest.mark.parametrize(
    ("session", "outcome", "rules"),
    [
        (MAIL + MISSPELT + UNKNOWN, "refused", ["recipient-unknown", "syntax-refused"]),
        (MAIL + MISNAMED + UNKNOWN, "refused", ["recipient-unknown", "recipient-syntax"]),
        (MAIL + NO_COMMAND + UNKNOWN, "refused", ["recipient-unknown", "command-unknown"]),
        (NO_MAIL + MAIL + UNKNOWN, "refused", ["recipient-unknown", "transaction-not-begun"]),
        (MAIL + UNKNOWN + LATER, "refused", ["recipient-unknown", "command-unknown"]),
        # A mistake that was put right decides nothing.
        (MAIL + MISSPELT + TAKEN, "accepted", ["syntax-refused"]),
        (MAIL + NO_COMMAND + TAKEN, "accepted", ["command-unknown"]),
        ("C: MAIL FRM:<a@here.org>\nS: 501 5.5.4 Syntax\n" + MAIL + TAKEN, "accepted", ["syntax-refused"]),
        # One that was not, does; and what is right for one recipient is not for another.
        (MAIL + MISSPELT, "refused", ["syntax-refused"]),
        (MAIL + NO_COMMAND, "refused", ["command-unknown"]),
        (MAIL + MISNAMED + TAKEN, "refused", ["recipient-syntax"]),
    ],
)
def test_a_mistake_that_was_put_right_is_not_what_matters(session: str, outcome: str, rules: list[str]) -> None:
    paste = read_paste(BEGIN + session + END)
    assert paste is not None
    verdict = judge(paste.transcript)
    assert (verdict.outcome, [finding.rule for finding in verdict.findings]) == (outcome, rules)


def test_what_is_said_again_and_again_is_one_finding() -> None:
    session = "".join(f"C: line {number}\nS: 500 5.5.2 unknown command\n" for number in range(3))
    paste = read_paste(BEGIN + MAIL + session + END)
    assert paste is not None
    (finding,) = judge(paste.transcript).findings
    assert (finding.rule, finding.evidence) == ("command-unknown", (5, 6, 7, 8, 9, 10))


def findings_of_login(lab: Lab, **changes: object) -> tuple[Finding, ...]:
    """What is found where alice logs in at a lab whose certificate nobody knows."""
    with lab.running() as running:
        plan = Plan(parse_target(f"127.0.0.1:{running.port}"), credentials=Credentials("alice", "x"), insecure=True)
        session = client_session(plan._replace(**changes))  # type: ignore[arg-type]
        run(session)
    return judge(session.recorder.transcript).findings


@pytest.mark.parametrize(
    ("users", "starttls", "rule"),
    [
        ({"alice": "x"}, "never", "auth-not-offered-in-clear"),
        ({}, "auto", "auth-not-offered"),
        ({}, "never", "auth-not-offered-in-clear"),
    ],
)
def test_where_no_login_is_offered_it_matters_whether_tls_was_left_out(
    users: dict[str, str], starttls: str, rule: str
) -> None:
    finding = findings_of_login(Lab(policy=Policy(users=users)), starttls=starttls)[0]
    assert (finding.rule, any("--starttls" in fix for fix in finding.fix)) == (rule, rule != "auth-not-offered")


def test_a_server_without_starttls_is_not_to_be_encrypted_with_it() -> None:
    assert findings_of_login(Lab(scenario=load_scenario("no-starttls")))[0].rule == "auth-not-offered"


@pytest.mark.parametrize(
    ("offered", "named", "rule"),
    [
        ("XOAUTH2", (), "mechanism-not-named"),
        ("XOAUTH2", ("XOAUTH2",), "oauth-token-refused"),
        ("OAUTHBEARER", ("OAUTHBEARER",), "oauth-token-refused"),
        ("PLAIN", (), "credentials-wrong"),
    ],
)
def test_a_token_is_not_a_password(offered: str, named: tuple[str, ...], rule: str) -> None:
    lab = Lab(policy=Policy(users={"alice": "another"}, mechanisms=(offered,)))
    assert findings_of_login(lab, mechanisms=named)[0].rule == rule


def test_what_a_device_overwrites_is_said_once() -> None:
    paste = read_paste(
        "S: 220 ***************\nC: EHLO here.org\nS: 250-mail.example.com\nS: 250 XXXXXXXA\n" + MAIL + TAKEN + END
    )
    assert paste is not None
    (finding,) = judge(paste.transcript).findings
    assert (finding.rule, finding.evidence) == ("firewall-rewrites", (0, 1, 2, 3))


@pytest.mark.parametrize(
    ("goodbye", "rule"),
    [
        ("250 2.1.5 Ok", "quit-refused"),
        ("354 End data with <CR><LF>.<CR><LF>", "unexpected-reply"),
        ("550 5.1.1 User unknown", "quit-refused"),
    ],
)
def test_quit_has_one_answer(goodbye: str, rule: str) -> None:
    paste = read_paste(BEGIN + MAIL + TAKEN + f"C: QUIT\nS: {goodbye}\n")
    assert paste is not None
    verdict = judge(paste.transcript)
    assert (verdict.stage, [finding.rule for finding in verdict.findings]) == ("quit", [rule])
    # What is not a refusal was the answer to RCPT, and the one that RCPT seemed to get was not.
    assert bool(achieved(paste.transcript, verdict)) == goodbye.startswith("5")


@pytest.mark.parametrize(("stop_after", "stage"), [("ehlo", "ehlo"), ("starttls", "starttls"), ("auth", "auth")])
def test_how_far_a_session_came(stop_after: Stage, stage: Stage) -> None:
    with Lab(policy=Policy(users={"alice": "x"})).running() as lab:
        plan = Plan(parse_target(f"127.0.0.1:{lab.port}"), credentials=Credentials("alice", "x"), insecure=True)
        session = client_session(plan._replace(stop_after=stop_after))
        run(session)
    transcript = session.recorder.transcript
    assert achieved(transcript, judge(transcript)).endswith(f"up to the stage {stage}.")


@pytest.mark.parametrize(
    ("said", "rules"),
    [
        ([b"EHLO mail.client.example", b"STARTTLS", b"GET / HTTP/1.0"], ["client-no-tls"]),
        ([b"EHLO mail.client.example", b"STARTTLS"], ["client-handshake-given-up"]),
        ([b"EHLO mail.client.example"], ["client-no-quit"]),
        # What broke off here is neither's fault for sure, and no answer was due.
        (
            [
                b"EHLO mail.client.example",
                b"MAIL FROM:<a@b.example>",
                b"RCPT TO:<recipient@example.com>",
                b"DATA",
                b"x",
            ],
            ["message-cut", "client-starttls-unused"],
        ),
    ],
)
def test_in_a_servers_record_it_is_the_client_who_hung_up(said: list[bytes], rules: list[str]) -> None:
    with Lab().running() as lab:
        with socket.create_connection((lab.host, lab.port), timeout=30) as client:
            client.recv(4096)
            for number, line in enumerate(said):
                client.sendall(line + b"\r\n")
                if number < len(said) - 1 or line.startswith(b"EHLO"):
                    client.recv(4096)
        deadline = time.monotonic() + 30
        while lab.lab.is_running(1) and time.monotonic() < deadline:
            time.sleep(0.01)
        verdict = judge(lab.sessions[0])
    assert [finding.rule for finding in verdict.findings] == rules
    assert verdict.layer == verdict.findings[0].layer
