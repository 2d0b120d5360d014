"""A domain as target: its mail exchangers are looked up, put in order, and tried one after the other.

Port 25 belongs to mail exchangers whatever a test would like, so the last step of the way is bent:
names become addresses, and addresses ports, by a table.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import dns.rcode
import pytest

from ehlo.lab import Lab, RunningLab
from ehlo.net import aio, blocking
from ehlo.net.errors import classify_lookup_error
from ehlo.net.intents import Address
from ehlo.net.names import LookupFailedError
from peers.silent import Close, Hang, refusing_port, scripted
from peers.world import HOST, SENDER

from .client import Ehlo
from .messages import RECIPIENT
from .nameserver import SILENT, nameserver

DOMAIN = "example.com"
ENVELOPE = ("-f", SENDER, "-t", RECIPIENT)


@pytest.fixture
def lab() -> Iterator[RunningLab]:
    with Lab().running() as running:
        yield running


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """The loopback ports that stand for a host's addresses; a host that is not there does not exist."""
    table: dict[str, list[int]] = {}

    def resolve(host: str, *_: object) -> tuple[Address, ...]:
        if host not in table:
            error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            raise LookupFailedError(classify_lookup_error(error), f"{host}: {error.strerror}")
        return tuple(Address(socket.AF_INET, HOST, port) for port in table[host])

    monkeypatch.setattr(blocking, "resolve", resolve)
    monkeypatch.setattr(aio, "resolve", resolve)
    return table


def tries(outcome_events: object) -> list[tuple[int, str]]:
    """The ports that were tried, each with how it failed."""
    assert isinstance(outcome_events, list)
    return [(event.facts["port"], event.fact("error")) for event in outcome_events if event.kind == "connect"]


@pytest.mark.parametrize("target", [f"mx:{DOMAIN}", RECIPIENT])
def test_exchangers_are_tried_in_order_of_preference(
    target: str, ehlo: Ehlo, lab: RunningLab, hosts: dict[str, list[int]]
) -> None:
    records = ["20 good.example.com.", "30 spare.example.com.", "10 bad.example.com.", "5 gone.example.com."]
    with refusing_port() as refusing, nameserver({DOMAIN: records}) as server:
        hosts |= {"bad.example.com": [refusing], "good.example.com": [lab.port], "spare.example.com": [refusing]}
        outcome = ehlo.check(target, "-f", SENDER, "--dns-server", server)
    assert outcome.status == 0
    looked_up = [event for event in outcome.events if event.kind == "dns"]
    assert looked_up[0].facts["query"] == "MX"
    expected = ["gone.example.com", "bad.example.com", "good.example.com", "spare.example.com"]
    assert looked_up[0].facts["answers"] == expected
    assert [event.facts["name"] for event in looked_up[1:]] == expected[:3]
    assert [event.fact("error") for event in looked_up[1:]] == ["no-such-host", "", ""]
    assert tries(outcome.events) == [(refusing, "refused"), (lab.port, "")]
    # An address as target is the recipient too.
    assert ("RCPT" in outcome.commands) == (target == RECIPIENT)


def test_certificate_is_judged_by_the_exchangers_name(ehlo: Ehlo, lab: RunningLab, hosts: dict[str, list[int]]) -> None:
    with nameserver({DOMAIN: ["10 other.example.com."]}) as server:
        hosts["other.example.com"] = [lab.port]
        outcome = ehlo.check(f"mx:{DOMAIN}", "--dns-server", server)
    # The lab's authority is not known here, so the chain is what is wrong first.
    assert outcome.event("tls").facts["verified"] is False
    assert "certificate-unknown-issuer" in outcome.rules


def test_all_exchangers_refuse(ehlo: Ehlo, hosts: dict[str, list[int]]) -> None:
    records = ["10 a.example.com.", "20 b.example.com."]
    with refusing_port() as one, refusing_port() as two, nameserver({DOMAIN: records}) as server:
        hosts |= {"a.example.com": [one], "b.example.com": [two]}
        outcome = ehlo.check(f"mx:{DOMAIN}", *ENVELOPE, "--dns-server", server)
    assert outcome.answer == (11, "connect", "network", "connection-refused")
    assert tries(outcome.events) == [(one, "refused"), (two, "refused")]


def test_domain_without_exchangers_is_its_own(ehlo: Ehlo, lab: RunningLab, hosts: dict[str, list[int]]) -> None:
    with nameserver({DOMAIN: []}) as server:
        hosts[DOMAIN] = [lab.port]
        outcome = ehlo.check(f"mx:{DOMAIN}", *ENVELOPE, "--dns-server", server)
    assert outcome.status == 0
    assert next(event for event in outcome.events if event.kind == "dns").facts["answers"] == [DOMAIN]


FAILURES = {
    "null MX": (["0 ."], "no-mail-here"),
    "NXDOMAIN": (None, "no-such-host"),
    "no answer": (SILENT, "dns-failed"),
    "SERVFAIL": (dns.rcode.SERVFAIL, "dns-failed"),
    "REFUSED": (dns.rcode.REFUSED, "dns-failed"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failed_look_up(name: str, ehlo: Ehlo) -> None:
    records, rule = FAILURES[name]
    with nameserver({} if records is None else {DOMAIN: records}) as server:
        outcome = ehlo.check(f"mx:{DOMAIN}", *ENVELOPE, "--dns-server", server, "--timeout", "dns=1.5")
    assert outcome.answer == (10, "dns", "dns", rule)
    (event,) = outcome.events
    assert (event.kind, event.facts["name"]) == ("dns", DOMAIN)
    if name == "no answer":
        assert event.t - event.began >= 1.4


def test_no_dns_server_there(ehlo: Ehlo) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind((HOST, 0))
        where = f"{HOST}:{nobody.getsockname()[1]}"
        outcome = ehlo.check(f"mx:{DOMAIN}", "--dns-server", where, "--timeout", "dns=0.3")
    assert outcome.answer == (10, "dns", "dns", "dns-failed")


def test_addresses_of_one_host_are_tried_in_order(ehlo: Ehlo, lab: RunningLab, hosts: dict[str, list[int]]) -> None:
    with refusing_port() as one, refusing_port() as two:
        hosts["mail.example.com"] = [one, two, lab.port, 1]
        outcome = ehlo.check("mail.example.com", *ENVELOPE)
    assert outcome.status == 0
    assert tries(outcome.events) == [(one, "refused"), (two, "refused"), (lab.port, "")]
    resolved = next(event for event in outcome.events if event.kind == "dns")
    assert resolved.facts["answers"] == [HOST] * 4


def test_addresses_that_all_refuse(ehlo: Ehlo, hosts: dict[str, list[int]]) -> None:
    with refusing_port() as one, refusing_port() as two:
        hosts["mail.example.com"] = [one, two]
        outcome = ehlo.check("mail.example.com", *ENVELOPE)
    assert outcome.answer == (11, "connect", "network", "connection-refused")
    assert tries(outcome.events) == [(one, "refused"), (two, "refused")]


@pytest.mark.parametrize(("script", "rule"), [(Close(), "closed-before-greeting"), (Hang(), "silent-server")])
def test_connection_that_stands_is_not_given_up(
    script: Close | Hang, rule: str, ehlo: Ehlo, lab: RunningLab, hosts: dict[str, list[int]]
) -> None:
    """A server that takes the connection is the one that is looked at, whatever it does then."""
    with scripted([script]) as first:
        hosts["mail.example.com"] = [first.port, lab.port]
        outcome = ehlo.check("mail.example.com", *ENVELOPE, "--timeout", "banner=0.3")
    assert outcome.answer == (13, "banner", "greeting", rule)
    assert tries(outcome.events) == [(first.port, "")]
