"""The client is refused by real servers: exit status, stage, layer and rule say where and by whom."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from ehlo.net import blocking
from ehlo.probe.plan import Plan
from ehlo.probe.target import parse_target
from ehlo.probe.walk import client_session
from ehlo.smtp.address import parse_path
from ehlo.transcript.exchanges import exchanges
from peers.aio import EnvelopeHandler
from peers.fixtures import skip_if_missing
from peers.sink import smtp_sink
from peers.world import OUTSIDE_RECIPIENT, REFUSED_SENDER, SENDER, SIZE_LIMIT, UNKNOWN_RECIPIENT

from .client import Ehlo
from .messages import OTHER, RECIPIENT, SIMPLE, TOO_LARGE
from .servers import Peer, started

pytestmark = pytest.mark.peer

SMALL_LIMIT = 20_000
OVER_SMALL_LIMIT = SIMPLE + b"more and more\r\n" * SMALL_LIMIT


@pytest.mark.parametrize("command", ["check", "send"])
def test_unknown_recipient(command: str, ehlo: Ehlo, choosy_server: Peer) -> None:
    options = "--starttls", "never", "--pipeline", "no"
    if command == "check":
        outcome = ehlo.check(choosy_server, "-f", SENDER, "-t", UNKNOWN_RECIPIENT, *options)
    else:
        outcome = ehlo.send(choosy_server, SIMPLE, *options, recipients=(UNKNOWN_RECIPIENT,))
    assert outcome.answer == (18, "rcpt", "recipient", "recipient-unknown")
    assert outcome.document["verdict"]["outcome"] == "refused"
    assert outcome.document["verdict"]["temporary"] is False
    assert outcome.commands == ["EHLO", "MAIL", "RCPT", "QUIT"]
    assert outcome.replies[-2:] == ["rcpt 550", "quit 221"]
    (finding,) = outcome.document["verdict"]["findings"]
    assert next(outcome.events[number].text[:4] for number in finding["evidence"]) == "RCPT"
    assert UNKNOWN_RECIPIENT in finding["title"]


def test_refused_sender(ehlo: Ehlo, choosy_server: Peer) -> None:
    outcome = ehlo.check(choosy_server, "-f", REFUSED_SENDER, "-t", RECIPIENT, "--starttls", "never")
    # Postfix says "Access denied", the others no more than that they refuse.
    assert outcome.answer in ((17, "mail", "policy", "sender-blocked"), (17, "mail", "sender", "sender-refused"))
    assert outcome.commands == ["EHLO", "MAIL", "QUIT"]
    assert outcome.replies[-2] in ("mail 550", "mail 554")


@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_no_relaying(name: str, ehlo: Ehlo) -> None:
    with started(name) as server:
        outcome = ehlo.check(server, "-f", SENDER, "-t", OUTSIDE_RECIPIENT)
    assert outcome.answer == (18, "rcpt", "policy", "relay-denied")


def test_declared_size_is_refused_at_mail(ehlo: Ehlo, choosy_server: Peer) -> None:
    outcome = ehlo.send(choosy_server, TOO_LARGE, "--starttls", "never", "--pipeline", "no")
    assert outcome.answer == (17, "mail", "content", "message-too-large")
    assert outcome.lines[-4] == f"C: MAIL FROM:<{SENDER}> SIZE={len(TOO_LARGE)}"
    assert outcome.commands == ["EHLO", "MAIL", "QUIT"]
    assert f"SIZE {SIZE_LIMIT}" in {line[7:] for line in outcome.lines}


@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_what_was_sent_ahead_in_vain_is_not_blamed(name: str, ehlo: Ehlo, request: pytest.FixtureRequest) -> None:
    server = Peer(name, request.getfixturevalue(f"{name}_server"))
    ahead = ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]
    outcome = ehlo.send(server, TOO_LARGE, "--starttls", "never")
    assert outcome.answer == (17, "mail", "content", "message-too-large")
    assert (outcome.commands, outcome.rules) == (ahead, ["message-too-large"])
    outcome = ehlo.send(server, SIMPLE, "--starttls", "never", recipients=(UNKNOWN_RECIPIENT,))
    assert outcome.answer == (18, "rcpt", "recipient", "recipient-unknown")
    assert (outcome.commands, outcome.rules) == (ahead, ["recipient-unknown"])
    stages = {stage["stage"]: stage["outcome"] for stage in outcome.document["stages"]}
    assert (stages["rcpt"], stages["data"]) == ("refused", "skipped")


@contextlib.contextmanager
def secretive_server(name: str, patch: pytest.MonkeyPatch) -> Iterator[Peer]:
    """A server with a small limit on size that does not say so in its reply to EHLO."""
    settings: dict[str, Any] = {}
    if name == "postfix":
        settings["settings"] = {"smtpd_discard_ehlo_keywords": "size"}
    elif name == "exim":
        # Exim always says SIZE to EHLO; so this one does not know EHLO, and the client falls back to HELO.
        settings["settings"] = (
            r"acl_smtp_helo = ${if match{$smtp_command}{\N^(?i)ehlo\N}"
            r"{deny message = 502 5.5.2 Command not recognized}{accept}}"
        )
    else:

        async def without_size(
            _: object, smtp: SMTP, session: Session, envelope: Envelope, name: str, responses: list[str]
        ) -> list[str]:
            session.host_name = name
            return [line for line in responses if "SIZE" not in line]

        patch.setattr(EnvelopeHandler, "handle_EHLO", without_size, raising=False)
    with started(name, size_limit=SMALL_LIMIT, **settings) as server:
        yield server


@pytest.mark.parametrize("name", ["postfix", "exim", "aiosmtpd"])
def test_size_is_refused_after_the_dot(name: str, ehlo: Ehlo, monkeypatch: pytest.MonkeyPatch) -> None:
    with secretive_server(name, monkeypatch) as server:
        outcome = ehlo.send(server, OVER_SMALL_LIMIT)
        assert outcome.answer == (20, "message", "content", "message-too-large")
        assert not [line for line in outcome.lines if "SIZE" in line]
        assert outcome.event("data").data == OVER_SMALL_LIMIT
        assert outcome.replies[-2:] == ["message 552", "quit 221"]
        assert server.count(RECIPIENT) == 0
        greeting = ["EHLO", "HELO"] if name == "exim" else ["EHLO"]
        assert outcome.commands == [*greeting, "MAIL", "RCPT", "DATA", "QUIT"]


POSTFIX_POLICIES = {
    "client": ({"smtpd_client_restrictions": "reject"}, (13, "banner", "reputation", "address-blocked")),
    "helo": ({"smtpd_helo_restrictions": "reject"}, (14, "ehlo", "policy", "helo-refused")),
    "data": ({"smtpd_data_restrictions": "reject"}, (19, "data", "policy", "data-refused")),
    "message": ({"smtpd_end_of_data_restrictions": "reject"}, (20, "message", "content", "content-refused")),
    "filter": (
        {"body_checks": "regexp:{{/body/ REJECT no such words}}"},
        (20, "message", "content", "content-refused"),
    ),
    "greylisting": (
        {"smtpd_recipient_restrictions": f"check_recipient_access inline:{{{{{RECIPIENT} = 450 4.2.0 Greylisted}}}}"},
        (18, "rcpt", "policy", "greylisted"),
    ),
    "full": (
        {"smtpd_recipient_restrictions": f"check_recipient_access inline:{{{{{RECIPIENT} = 452 4.2.2 Over quota}}}}"},
        (18, "rcpt", "recipient", "mailbox-full"),
    ),
    "too many": ({"smtpd_recipient_limit": "1"}, (18, "rcpt", "policy", "recipient-limit")),
}


@pytest.mark.parametrize("policy", POSTFIX_POLICIES)
def test_policies_of_postfix(policy: str, blocking_ehlo: Ehlo) -> None:
    settings, expected = POSTFIX_POLICIES[policy]
    with started("postfix", settings=settings) as server:
        outcome = blocking_ehlo.send(
            server, SIMPLE, recipients=(RECIPIENT, OTHER) if policy == "too many" else (RECIPIENT,)
        )
    assert outcome.answer == expected


EXIM_POLICIES = {
    "acl_smtp_connect = deny": (13, "banner", "reputation", "greeting-refused"),
    "acl_smtp_connect = drop": (13, "banner", "reputation", "greeting-refused"),
    "acl_smtp_helo = deny": (14, "ehlo", "greeting", "ehlo-refused"),
    "acl_smtp_helo = drop": (14, "ehlo", "greeting", "ehlo-refused"),
    "acl_smtp_predata = deny": (19, "data", "policy", "data-refused"),
    "acl_smtp_predata = drop": (19, "data", "policy", "data-refused"),
    "acl_smtp_predata = defer": (19, "data", "server", "internal-error"),
}


@pytest.mark.parametrize("policy", EXIM_POLICIES)
def test_policies_of_exim(policy: str, ehlo: Ehlo) -> None:
    """With `drop` Exim hangs up after the refusal, and there is nobody to say QUIT to."""
    with started("exim", settings=policy) as server:
        outcome = ehlo.send(server, SIMPLE)
    assert outcome.answer == EXIM_POLICIES[policy]


REFUSALS = {
    "CONNECT": (13, "banner", "greeting-refused"),
    "EHLO": (0, "quit", None),
    "EHLO,HELO": (14, "ehlo", "ehlo-refused"),
    "MAIL": (17, "mail", "sender-refused"),
    "RCPT": (18, "rcpt", "recipient-refused"),
    "DATA": (19, "data", "data-refused"),
    ".": (20, "message", "content-refused"),
    "QUIT": (21, "quit", "quit-refused"),
}


@pytest.mark.parametrize("refused", REFUSALS)
@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_refusal_at_each_command(refused: str, hard: bool, ehlo: Ehlo) -> None:
    status, stage, rule = REFUSALS[refused]
    with skip_if_missing(), smtp_sink("-f" if hard else "-r", refused) as sink:
        outcome = ehlo.send(sink, SIMPLE)
    if refused == "EHLO" and not hard:
        # A 450 is no sign that the server does not know EHLO, so HELO would not help.
        status, stage, rule = 14, "ehlo", "ehlo-postponed"
    assert (outcome.answer.status, outcome.answer.stage) == (status, stage)
    verdict = outcome.document["verdict"]
    assert verdict["temporary"] is (not hard and status != 0)
    if hard and rule is not None:
        assert outcome.answer.rule == rule
    if not hard:
        assert outcome.answer.rule in (None, "quit-refused") or str(outcome.answer.rule).endswith("-postponed")


CUTS = {
    "CONNECT": (13, "banner", "closed-before-greeting"),
    "EHLO": (14, "ehlo", "connection-lost"),
    "MAIL": (17, "mail", "connection-lost"),
    "RCPT": (18, "rcpt", "connection-lost"),
    "DATA": (19, "data", "connection-lost"),
    ".": (20, "message", "message-unanswered"),
    "QUIT": (21, "quit", "quit-unanswered"),
}


@pytest.mark.parametrize("last", CUTS)
def test_server_hangs_up_after_each_command(last: str, ehlo: Ehlo) -> None:
    with skip_if_missing(), smtp_sink("-q", last) as sink:
        outcome = ehlo.send(sink, SIMPLE)
    status, stage, rule = CUTS[last]
    assert (outcome.answer.status, outcome.answer.stage, outcome.answer.rule) == (status, stage, rule)
    assert outcome.document["verdict"]["outcome"] == "failed"
    assert outcome.events[-1].who == "server"


@pytest.mark.parametrize("last", [command for command in CUTS if command not in ("CONNECT", "QUIT")])
def test_server_says_421_and_hangs_up(last: str, ehlo: Ehlo) -> None:
    with skip_if_missing(), smtp_sink("-Q", last) as sink:
        outcome = ehlo.send(sink, SIMPLE)
    status, stage, _ = CUTS[last]
    assert outcome.answer == (status, stage, "server", "service-closing")
    assert outcome.document["verdict"]["temporary"] is True
    assert "QUIT" not in outcome.commands


@pytest.mark.parametrize("refused", [UNKNOWN_RECIPIENT, None])
def test_pipelined_transaction(refused: str | None, choosy_server: Peer) -> None:
    """As engines for very many sessions send it: the replies are matched to their commands all the same."""
    recipients = [RECIPIENT, *([refused] if refused else []), OTHER]
    plan = Plan(
        parse_target(f"{choosy_server.host}:{choosy_server.port}"),
        helo="client.yourdomain.com",
        sender=parse_path(f"<{SENDER}>"),
        recipients=tuple(parse_path(f"<{recipient}>") for recipient in recipients),
        message=SIMPLE,
        starttls="never",
        stop_after="message",
        pipelining=True,
    )
    before = choosy_server.count(OTHER)
    session = client_session(plan)
    blocking.run(session)
    got = [(step.verb, step.reply.code) for step in exchanges(session.recorder.events) if step.reply is not None]
    codes = [550 if recipient == refused else 250 for recipient in recipients]
    assert got == [
        ("(connect)", 220),
        ("EHLO", 250),
        ("MAIL", 250),
        *(("RCPT", code) for code in codes),
        ("DATA", 354),
        ("(content)", 250),
        ("QUIT", 221),
    ]
    assert choosy_server.arrived(OTHER, before + 1) == choosy_server.keeps(SIMPLE)
