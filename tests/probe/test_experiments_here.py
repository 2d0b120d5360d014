"""Experiments about this side: its address and names, block lists, the password, the sender and the login."""

from __future__ import annotations

import dns.rcode
import pytest

from ehlo.lab import Lab, Policy
from ehlo.lab.scenario import make_fault
from ehlo.probe.experiments import Outcome, Wishes
from ehlo.probe.experiments.here import own_address
from ehlo.smtp.address import parse_path
from ehlo.smtp.sasl import Credentials
from ehlo.transcript.event import Event
from ehlo.transcript.transcript import Header, Transcript
from interop.nameserver import SILENT, Zone, nameserver

from .bench import SOON, bench_for, experiments_of, faulty, first_session, plan_for, proved, sessions, shown

#: 127.0.0.1, made to look like an address that others see.
PUBLIC = SOON._replace(is_public=lambda _: True)
HERE = "1.0.0.127.in-addr.arpa"
#: A refusal that speaks of this machine's name in the DNS.
NO_NAME = "550 5.7.25 The sending address has no PTR record"


@pytest.mark.parametrize(
    ("text", "local", "address"),
    [
        ("250-mail.example.com Hello client [192.0.2.7]", "10.0.0.1:4000", "192.0.2.7"),
        ("250-mail.example.com at your service, [2001:db8::7]", "", "2001:db8::7"),
        ("250-mail.example.com at your service, [IPv6:2001:db8::7]", "", "2001:db8::7"),
        ("250-mail.example.com Hello x (198.51.100.7)", "10.0.0.1:4000", "198.51.100.7"),
        ("250-mail.example.com", "203.0.113.9:4000", "203.0.113.9"),
        ("250-mail.example.com", "[2001:db8::9]:4000", "2001:db8::9"),
        ("250-mail.example.com", "127.0.0.1:4000", "127.0.0.1"),
        ("250-mail.example.com [no address]", "", ""),
    ],
)
def test_own_address(text: str, local: str, address: str) -> None:
    events = [
        Event(0.0, "net", "connect", "connect", None, None, {"address": "192.0.2.1", "port": 25, "local": local}),
        Event(0.1, "server", "line", "ehlo", text.encode() + b"\r\n"),
    ]
    assert own_address(Transcript(Header("client", 0.0), events)) == address


@pytest.mark.parametrize(
    "refusal",
    [
        "554 5.7.1 Service unavailable; Client host [203.0.113.9] blocked using zen.spamhaus.org",
        "550 5.7.1 Your IP address 203.0.113.9 is blocked",
        "421 Too many connections from 203.0.113.9",
    ],
)
def test_behind_a_translation_the_refusal_tells_the_address(refusal: str) -> None:
    events = [
        Event(0.0, "net", "connect", "connect", None, None, {"local": "192.168.1.5:4000"}),
        Event(0.2, "server", "line", "rcpt", refusal.encode() + b"\r\n"),
    ]
    assert own_address(Transcript(Header("client", 0.0), events)) == "203.0.113.9"


def test_whether_an_address_is_public() -> None:
    assert Wishes().is_public("8.8.4.4")
    assert not any(map(Wishes().is_public, ("127.0.0.1", "192.168.1.5", "fe80::1", "100.64.0.1")))


# The name of the address.


def names(zone: Zone, wishes: Wishes = PUBLIC, reply: str = NO_NAME) -> list[Outcome]:
    with faulty("rcpt", reply=reply).running() as lab, nameserver(zone) as server:
        outcomes = sessions(plan_for(lab), wishes, server)
        assert lab.lab.session_count == 1
    return outcomes


@pytest.mark.parametrize(
    ("zone", "shows", "cause"),
    [
        ({}, "no-name-here", True),
        ({f"{HERE} PTR": ["here.example."], "here.example A": ["127.0.0.9"]}, "name-does-not-lead-back", True),
        ({f"{HERE} PTR": ["here.example."]}, "name-does-not-lead-back", True),
        (
            {f"{HERE} PTR": ["old.example.", "here.example."], "old.example A": [], "here.example A": ["127.0.0.1"]},
            "name-confirmed",
            False,
        ),
        # What the DNS does not answer is not known.
        ({f"{HERE} PTR": dns.rcode.SERVFAIL}, "", False),
        ({f"{HERE} PTR": ["here.example."], "here.example A": dns.rcode.SERVFAIL}, "", False),
    ],
    ids=["no PTR", "other address", "no address", "confirmed", "PTR not answered", "A not answered"],
)
def test_the_name_of_this_machines_address(zone: Zone, shows: str, cause: bool) -> None:
    outcomes = names(zone)
    assert shown(outcomes) == {"own-address": shows}
    assert (proved(outcomes) == shows) == (cause or not shows)


def test_a_private_address_has_no_name_and_that_is_said() -> None:
    outcomes = names({}, SOON)
    assert shown(outcomes) == {
        "own-address": "127.0.0.1 is a private address: no public list and no public DNS knows it"
    }


def test_a_missing_name_is_the_cause_only_where_the_server_minds() -> None:
    with faulty("rcpt", reply="550 no").running() as lab, nameserver({}) as server:
        outcomes = sessions(plan_for(lab), PUBLIC, server)
    assert shown(outcomes)["own-address"] == "no-name-here"
    assert proved(outcomes) == ""


# Block lists.

LISTS = ("zen.spamhaus.org", "bl.spamcop.net", "b.barracudacentral.org", "psbl.surriel.com")
LISTED = "554 5.7.1 Client host [127.0.0.1] blocked using zen.spamhaus.org"


@pytest.mark.parametrize(
    ("zone", "shows"),
    [
        ({f"1.0.0.127.{LISTS[0]} A": ["127.0.0.2", "127.0.0.4"]}, "listed-here"),
        ({}, "not-listed"),
        # An answer about the question, and no answer at all, say nothing of the address.
        ({f"1.0.0.127.{LISTS[0]} A": ["127.255.255.254"]}, ""),
        ({f"1.0.0.127.{LISTS[1]} A": dns.rcode.REFUSED}, ""),
        ({f"1.0.0.127.{LISTS[1]} A": SILENT, f"1.0.0.127.{LISTS[3]} A": ["127.0.0.2"]}, "listed-here"),
    ],
    ids=["listed", "not listed", "open resolver", "refused", "one is silent"],
)
def test_block_lists(zone: Zone, shows: str) -> None:
    outcomes = names(zone, PUBLIC._replace(lists=True), LISTED)
    (lists,) = outcomes
    assert shown(outcomes) == {"lists": shows}
    assert [trial.what for trial in lists.trials] == list(LISTS)
    assert lists.names_the_cause == (shows == "listed-here")


def test_block_lists_are_opt_in() -> None:
    asked: list[Outcome] = names({}, PUBLIC, LISTED)
    assert [outcome.trials for outcome in asked] == [()]


def test_lists_are_asked_for_ipv6_in_nibbles() -> None:
    local = {"local": "[2001:db8::1]:4000"}
    transcript = Transcript(
        Header("client", 0.0), [Event(0.0, "net", "connect", "connect", None, None, {"address": "x", **local})]
    )
    reverse = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"
    with nameserver({f"{reverse}.{LISTS[0]} A": ["127.0.0.3"]}) as server:
        bench = bench_for(plan_for("192.0.2.1"), transcript, PUBLIC._replace(lists=True), server)
        assert shown(experiments_of(bench))["lists"] == "listed-here"


# The password.


@pytest.mark.parametrize(
    ("password", "cause"), [("secret ", "password-mangled"), ('"secret"', "password-mangled"), ("plain", "")]
)
def test_a_password_is_looked_at_without_showing_it(password: str, cause: str) -> None:
    policy = Policy(users={"alice": "wonderland"}, auth_in_clear=True)
    with Lab(policy=policy).running() as lab:
        outcomes = sessions(plan_for(lab, credentials=Credentials("alice", password), auth_in_clear=True))
        # It is looked at here; the server is not asked again.
        assert len(lab.sessions) == 1
    assert proved(outcomes) == cause
    everything = str(outcomes)
    assert password.strip(' "') not in everything
    assert f"{len(password)} characters" in everything


# The sender and the login.


def test_a_sender_that_must_be_the_login() -> None:
    policy = Policy(users={"alice@here.example": "wonderland"}, auth_in_clear=True)
    refusal = make_fault("mail", "", {"reply": "550 5.7.1 Not yours", "sender": "me@here.example"})
    with Lab(policy=policy, faults=[refusal]).running() as lab:
        login = Credentials("alice@here.example", "wonderland")
        outcomes = sessions(plan_for(lab, credentials=login, auth_in_clear=True))
        senders = [
            event.text
            for transcript in lab.sessions
            for event in transcript.events
            if event.kind == "line" and event.text.startswith("MAIL")
        ]
    assert proved(outcomes) == "sender-must-be-login"
    # As the login, and then as before.
    assert [line.partition(" SIZE")[0] for line in senders] == [
        "MAIL FROM:<me@here.example>",
        "MAIL FROM:<alice@here.example>",
        "MAIL FROM:<me@here.example>",
    ]


def test_the_null_sender_and_postmaster_are_tried() -> None:
    with faulty("rcpt", reply="550 no").running() as lab:
        transcript = first_session(plan_for(lab, sender=parse_path("<me@here.example>")))
        outcomes = experiments_of(bench_for(plan_for(lab), transcript))
    (senders,) = [outcome for outcome in outcomes if outcome.name == "senders"]
    assert [trial.what for trial in senders.trials] == ["the null sender", "postmaster as sender"]
    assert shown(outcomes)["senders"] == "not-the-sender"


def test_a_helo_name_is_carried_on_to_rcpt() -> None:
    with faulty("rcpt", reply="550 no", helo="client.example").running() as lab:
        outcomes = sessions(plan_for(lab))
        (helo,) = [outcome for outcome in outcomes if outcome.name == "helo"]
        assert helo.trials[0].detail.startswith("rcpt: 250 ")
        assert proved(outcomes) == "helo-is-the-cause"
