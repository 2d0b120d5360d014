"""What a person reads of a login: the mechanism with what is said against it, and who logs in."""

from __future__ import annotations

import base64

import pytest

from ehlo.report.margin import LineExplainer
from ehlo.report.steps import StepReader
from ehlo.smtp.sasl import MECHANISMS
from ehlo.transcript.event import Event
from ehlo.transcript.exchanges import exchanges
from ehlo.transcript.redaction import Redactor
from transcript.conversation import error, said


def b64(octets: str | bytes) -> str:
    return base64.b64encode(octets if isinstance(octets, bytes) else octets.encode()).decode()


def steps(events: list[Event]) -> list[str]:
    reader = StepReader()
    return [step.summary for exchange in exchanges(events) if (step := reader.feed(exchange))]


@pytest.mark.parametrize(
    ("mechanism", "shown"),
    [
        ("PLAIN", "PLAIN: 235 2.7.0 Hello"),
        ("scram-sha-256", "SCRAM-SHA-256: 235 2.7.0 Hello"),
        ("DIGEST-MD5", "DIGEST-MD5 (obsolete, RFC 6331): 235 2.7.0 Hello"),
        ("LOGIN", "LOGIN (obsolete, IANA): 235 2.7.0 Hello"),
        ("CRAM-MD5", "CRAM-MD5 (limited use, IANA): 235 2.7.0 Hello"),
        ("NTLM", "NTLM (limited use, IANA): 235 2.7.0 Hello"),
        ("X-OWN", "235 2.7.0 Hello"),
    ],
)
def test_the_step_names_the_mechanism(mechanism: str, shown: str) -> None:
    assert steps(said(f"C: AUTH {mechanism}\nS: 334 \nC: x\nS: 334 \nC: AUTH PLAIN\nS: 235 2.7.0 Hello")) == [shown]


def test_one_login_after_the_other() -> None:
    first = [*said("C: AUTH DIGEST-MD5\nS: 334 \nC: *"), error("challenge-refused", "auth", 5)]
    again = "C: AUTH PLAIN x\nS: 535 5.7.8 No\nC: AUTH\nS: 501 5.5.4 What?\nC: AUTH LOGIN\nS: 503 5.5.1 No"
    assert steps([*first, *said(again, since=6)])[1:] == [
        "PLAIN: 535 5.7.8 No",
        "501 5.5.4 What?",
        "LOGIN (obsolete, IANA): 503 5.5.1 No",
    ]


def test_an_obsolete_mechanism_is_said_to_be_so() -> None:
    against = {mechanism.keyword: mechanism.standing for mechanism in MECHANISMS.values() if mechanism.standing}
    assert against == {
        "CRAM-MD5": "limited use, IANA",
        "LOGIN": "obsolete, IANA",
        "NTLM": "limited use, IANA",
        "DIGEST-MD5": "obsolete, RFC 6331",
    }


@pytest.mark.parametrize(
    ("conversation", "margins"),
    [
        (f"C: AUTH PLAIN {b64(chr(0) + 'alice' + chr(0) + 'wonderland')}", ["logs in: user alice"]),
        (f"C: AUTH SCRAM-SHA-256 {b64('n,,n=alice,r=xyz')}", ["logs in: user alice"]),
        (f"C: AUTH EXTERNAL {b64('alice')}", ["logs in: as alice"]),
        ("C: AUTH EXTERNAL =", ["logs in: as whom the certificate names"]),
        (
            f"C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: {b64('alice')}\nS: 334 UGFzc3dvcmQ6\nC: {b64('wonderland')}",
            ["logs in (obsolete, IANA)", "asks for the user name", "user alice", "asks for the password", ""],
        ),
        (
            f"C: AUTH CRAM-MD5\nS: 334 {b64('<1@x>')}\nC: {b64('alice ' + 'a' * 32)}",
            ["logs in (limited use, IANA)", "challenge <1@x>", "user alice"],
        ),
        (f"C: AUTH X-OWN {b64('alice')}", ["logs in"]),
    ],
)
def test_the_user_is_in_the_margin(conversation: str, margins: list[str]) -> None:
    redactor, explainer = Redactor(), LineExplainer()
    assert [explainer.explain(redactor.redact(event)) for event in said(conversation)] == margins


def test_what_no_one_can_read_is_shown_in_hexadecimal() -> None:
    explainer = LineExplainer(show_secrets=True)
    lines = f"C: AUTH GSSAPI {b64(b'`' + bytes(range(128, 140)))}\nS: 334 {b64('ab')}"
    shown = [explainer.explain(event) for event in said(lines)]
    assert shown == ["logs in: a Kerberos ticket: 60808182838485868788898a8b", "6162"]
