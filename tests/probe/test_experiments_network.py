"""Experiments about the way there: ports, addresses, TLS, sizes, a server for comparison."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ehlo.diagnosis.verdict import Verdict
from ehlo.lab import Lab
from ehlo.net.settings import TLSSettings
from ehlo.probe.experiments import Bench, Outcome, ports
from ehlo.probe.experiments import sizes as ladder
from ehlo.probe.plan import Timeouts
from ehlo.probe.target import parse_target
from ehlo.transcript.transcript import Transcript
from peers.aio import AioServer
from peers.certificates import Authority
from peers.silent import Close, Expect, Handshake, Hang, Send, Step, refusing_port, scripted
from peers.world import MailServer

from .bench import (
    SOON,
    bench_for,
    experiments_of,
    faulty,
    first_session,
    gate,
    looked_up,
    plan_for,
    proved,
    sessions,
    shown,
)

# Ports.


def table(outcomes: list[Outcome]) -> dict[str, set[str]]:
    """How each port speaks."""
    (found,) = [outcome for outcome in outcomes if outcome.name == "ports"]
    return {trial.what: {how for how, so in (trial.speaks or {}).items() if so} for trial in found.trials}


def test_every_port_and_how_it_encrypts() -> None:
    with (
        Lab().running(doors={"smtps": 0}) as lab,
        faulty("ehlo", drop=["STARTTLS"]).running() as plain,
        faulty("banner", delay=6).running() as late,
        scripted([Send(b"HTTP/1.1 400 Bad Request\r\n"), Close()]) as web,
        refusing_port() as closed,
    ):
        others = (lab.port, lab.ports["smtps"], plain.port, late.port, web.port)
        plan = plan_for(f"127.0.0.1:{closed}", timeouts=Timeouts(10.0))
        outcomes = sessions(plan, SOON._replace(ports=others))
        assert table(outcomes) == {
            f"port {lab.port}": {"clear", "starttls"},
            f"port {lab.ports['smtps']}": {"tls"},
            f"port {plain.port}": {"clear"},
            # It answers the handshake with its greeting.
            f"port {late.port}": {"clear"},
            f"port {web.port}": set(),
            f"port {closed}": set(),
        }
        # One connection a port.
        assert lab.lab.session_count == 2
        assert len(web.received) == 1
    details = {trial.what: trial.detail for trial in outcomes[0].trials}
    assert details[f"port {closed}"] == "connect: Connection refused"
    assert "HTTP/1.1 400" in details[f"port {web.port}"]
    assert details[f"port {lab.port}"].startswith("in clear, STARTTLS: 220 ")
    assert details[f"port {lab.ports['smtps']}"].startswith("TLS from the start: 220 ")
    assert details[f"port {late.port}"] == "in clear, after a long silence"
    assert proved(outcomes) == "other-port"


def test_no_port_works() -> None:
    with refusing_port() as one, refusing_port() as two:
        assert shown(sessions(plan_for(f"127.0.0.1:{one}"), SOON._replace(ports=(one, two)))) == {
            "ports": "no-port-works"
        }


def test_starttls_that_fails_is_not_taken_for_one_that_works() -> None:
    with faulty("tls", handshake="garbage").running() as lab:
        outcomes = sessions(plan_for(lab, starttls="require"))
        (trial,) = ports.trials(bench_for(plan_for(lab), first_session(plan_for(lab))))
    assert trial.speaks == {"clear": True, "starttls": False, "tls": False}
    assert trial.detail.startswith("in clear, STARTTLS fails: 220 ")
    assert proved(outcomes) == "no-tls-version"


def test_the_same_port_the_other_way() -> None:
    with Lab().running(doors={"smtps": 0}) as lab:
        clear = plan_for(lab, starttls="auto")
        wrong = clear._replace(target=parse_target(f"smtps://{lab.host}:{lab.port}"))
        assert proved(sessions(wrong)) == "other-tls-mode"
        encrypted = clear._replace(target=parse_target(f"{lab.host}:{lab.ports['smtps']}"))
        assert proved(sessions(encrypted)) == "other-tls-mode"


# Addresses.


@contextlib.contextmanager
def two_addresses(one: Lab, other: Lab, hosts: tuple[str, str]) -> Iterator[tuple[int, list[str]]]:
    """Two servers at the same port of two addresses."""
    try:
        with one.running(hosts[0]) as first, other.running(hosts[1], first.port):
            yield first.port, list(hosts)
    except OSError as problem:
        pytest.skip(f"there are not two such addresses: {problem}")


def at_both(port: int, hosts: list[str]) -> list[Outcome]:
    """The experiments after a session that came to the first address of a host with both."""
    where = f"[{hosts[0]}]" if ":" in hosts[0] else hosts[0]
    transcript = looked_up(first_session(plan_for(f"{where}:{port}")), "two.example", hosts)
    return experiments_of(bench_for(plan_for(f"two.example:{port}"), transcript))


@pytest.mark.parametrize(
    ("hosts", "cause"),
    [
        (("127.0.0.2", "127.0.0.3"), "one-address-broken"),
        (("::1", "127.0.0.3"), "ipv6-broken"),
        (("127.0.0.3", "::1"), "ipv4-broken"),
    ],
)
def test_each_address_by_itself(hosts: tuple[str, str], cause: str) -> None:
    with two_addresses(faulty("rcpt", reply="550 no"), Lab(), hosts) as (port, addresses):
        outcomes = at_both(port, addresses)
    assert proved(outcomes) == cause
    assert [(trial.what, trial.worked) for trial in outcomes[0].trials] == [(hosts[0], False), (hosts[1], True)]


def test_one_address_is_no_experiment() -> None:
    with faulty("rcpt", reply="550 no").running() as lab:
        plan = plan_for(f"one.example:{lab.port}", recipients=())
        transcript = looked_up(first_session(plan_for(lab)), "one.example", [lab.host])
        assert "addresses" not in shown(experiments_of(bench_for(plan, transcript)))


def test_the_mail_exchanger_that_was_reached_is_what_is_tried() -> None:
    with faulty("rcpt", reply="550 no").running() as lab:
        transcript = looked_up(first_session(plan_for(lab)), "mx.example", [lab.host])
    plan = plan_for("recipient@example.com")
    bench = bench_for(plan, transcript)
    assert (bench.plan.target.host, bench.plan.target.port, bench.plan.target.mx) == ("mx.example", 25, False)
    assert bench.has_ports
    assert bench_for(plan, transcript._replace(events=[])).plan.target.mx


# Another server.


def test_them_or_us() -> None:
    with Lab().running() as lab, refusing_port() as closed, refusing_port() as other:
        plan = plan_for(f"127.0.0.1:{closed}")
        them = sessions(plan, SOON._replace(control=f"{lab.host}:{lab.port}"))
        us = sessions(plan, SOON._replace(control=f"127.0.0.1:{other}"))
    assert shown(them) == {"ports": "no-port-works", "control": "it-is-them"}
    assert shown(us) == {"ports": "no-port-works", "control": "it-is-us"}


def test_another_server_tells_nothing_of_a_refusal() -> None:
    with faulty("rcpt", reply="554 5.7.1 <{to}>: Relay access denied").running() as lab:
        outcomes = sessions(plan_for(lab), SOON._replace(control=f"{lab.host}:{lab.port}"))
        assert shown(outcomes) == {"control": "the server answered; why it refused, no other server can tell"}
        assert lab.lab.session_count == 1


# TLS.


def test_the_certificate_alone() -> None:
    with Lab().running() as lab:
        outcomes = sessions(plan_for(lab, starttls="require", verify="both"))
    assert proved(outcomes) == "certificate-alone"


def test_an_older_version_works() -> None:
    with faulty("tls", tls_max="1.2").running() as lab:
        outcomes = sessions(plan_for(lab, starttls="require", tls=TLSSettings(minimum="1.3")))
    (versions,) = outcomes
    assert proved(outcomes) == "other-tls-version"
    assert {trial.what: trial.worked for trial in versions.trials if trial.what in ("TLS 1.3", "TLS 1.2")} == {
        "TLS 1.3": False,
        "TLS 1.2": True,
    }


def test_no_version_works() -> None:
    with faulty("tls", handshake="garbage").running() as lab:
        outcomes = sessions(plan_for(lab, starttls="require"))
    assert proved(outcomes) == "no-tls-version"
    assert [trial.what for trial in outcomes[0].trials] == ["TLS 1.3", "TLS 1.2", "TLS 1.1", "TLS 1.0"]


@pytest.mark.parametrize("by_name", [True, False])
def test_with_and_without_the_name(by_name: bool, tmp_path: Path) -> None:
    """A server that has its right certificate only for clients that name it; or for nobody."""
    authority = Authority(tmp_path)
    context, right = authority.wrong_name().server_context(), authority.good.server_context()

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name and by_name:
            connection.context = right

    context.sni_callback = choose
    script: list[Step] = [
        Send(b"220 sni.example\r\n"),
        Expect(b"EHLO"),
        Send(b"250-sni.example\r\n250 STARTTLS\r\n"),
        Expect(b"STARTTLS"),
        Send(b"220 go\r\n"),
        Handshake(context),
        Expect(b"EHLO"),
        Send(b"250 sni.example\r\n"),
        Hang(),
    ]
    with scripted(script) as server:
        plan = plan_for(
            f"127.0.0.1:{server.port}",
            starttls="require",
            verify="both",
            ca_file=str(authority.good.authority),
            tls_name="mail.example.com",
            sni="",
            recipients=(),
            stop_after="ehlo",
        )
        transcript = first_session(plan._replace(stop_after="starttls"))
        outcomes = experiments_of(bench_for(plan._replace(sni=None, stop_after="starttls"), transcript))
    (sni, *_) = [outcome for outcome in outcomes if outcome.name == "sni"]
    assert [trial.worked for trial in sni.trials] == [by_name, False]
    assert (sni.finding is not None) == by_name


# Sizes.

MESSAGE = b"Subject: x\r\n\r\n" + b"x" * 900 + b"\r\n"


def cut_in_the_message(target: str) -> list[Outcome]:
    plan = plan_for(target, message=MESSAGE, stop_after="message")
    transcript = first_session(plan)
    assert transcript.events[-2].stage == "message"
    return sessions(plan)


@pytest.mark.parametrize("offered", ["CHUNKING", "PIPELINING"])
def test_a_limit_on_lines_is_no_limit_on_packets(offered: str) -> None:
    with gate("line", offered) as server:
        outcomes = cut_in_the_message(server.target)
    assert shown(outcomes) == {"sizes": "size-does-not-matter"}
    assert proved(outcomes) == ""
    sent = [trial.what for trial in outcomes[0].trials]
    assert sent[:4] == ["500 octets at once", "1,000 octets at once", "1,400 octets at once", "1,500 octets at once"]
    assert (sent[-1] == "65,536 octets at once") == (offered == "CHUNKING")


@pytest.mark.parametrize("offered", ["CHUNKING", "PIPELINING"])
def test_a_limit_on_amounts(offered: str) -> None:
    with gate("cut", offered) as server:
        outcomes = cut_in_the_message(server.target)
        # Two that failed in the message, those up the ladder, one that tries the broken rung again. A refused chunk is
        # a mistake, of which servers forgive three.
        assert server.sessions == (5 if offered == "CHUNKING" else 4)
    assert proved(outcomes) == "large-cut"
    assert [trial.worked for trial in outcomes[0].trials] == [True, True, True, False, True, False]


def test_silence_is_not_yet_a_lost_packet() -> None:
    with gate("swallow") as server:
        outcomes = cut_in_the_message(server.target)
    assert shown(outcomes) == {"sizes": "large-unanswered"}
    assert proved(outcomes) == ""
    assert outcomes[0].trials[-1].detail == "it arrived, and there was no answer"


def test_a_server_that_reads_chunks_as_commands_proves_nothing() -> None:
    with gate("commands") as server:
        outcomes = cut_in_the_message(server.target)
    assert shown(outcomes) == {"sizes": ""}


def test_without_extensions_nothing_large_can_be_sent() -> None:
    with gate("none", "8BITMIME") as server:
        outcomes = cut_in_the_message(server.target)
        assert server.sessions == 2
    assert "neither CHUNKING nor PIPELINING" in shown(outcomes)["sizes"]


@pytest.mark.parametrize("peer", ["postfix_server", "exim_server", "sendmail_server", "opensmtpd_server"])
def test_the_ladder_at_real_servers_delivers_nothing(peer: str, request: pytest.FixtureRequest) -> None:
    server: MailServer = request.getfixturevalue(peer)
    before = {mailbox: len(server.deliveries(mailbox)) for mailbox in server.maildirs}
    bench = after_a_cut(server)
    if bench.offered.keywords and not ladder.hindrance(bench):
        trials = list(ladder.trials(bench))
        assert all(trial.worked for trial in trials), "\n".join(map(str, trials))
        assert len(trials) >= 4
    assert {mailbox: len(server.deliveries(mailbox)) for mailbox in server.maildirs} == before


def after_a_cut(server: MailServer | AioServer) -> Bench:
    """The bench after a session whose message was lost; the session itself ended well, at RCPT."""
    plan = plan_for(f"{server.host}:{server.port}", timeouts=Timeouts(15.0))
    transcript: Transcript = first_session(plan)
    return bench_for(plan, transcript, verdict=Verdict("failed", "message", "network", False, ()))


# A way that loses large packets, in network namespaces: the far end takes no frame of more than 1,400 octets, and
# neither it nor anybody else says so.

NARROW = """
set -e
ip link add near type veth peer name far
unshare --net sleep 600 &
other=$!
trap 'kill $other' EXIT
sleep 0.5
ip link set far netns $other
ip addr add 10.99.0.1/24 dev near
ip link set near up mtu 1500 gso_max_segs 1
inside() { nsenter --target $other --net "$@"; }
inside ip addr add 10.99.0.2/24 dev far
inside ip link set far up mtu 1400
inside ip route replace 10.99.0.0/24 dev far advmss 1460
inside "$1" "$2" "$4" &
until [ -s "$4" ]; do sleep 0.1; done
"$1" "$3" "$(cat "$4")"
"""
SERVER = """
import sys, time
from ehlo.lab import Lab
from ehlo.lab.scenario import load_scenario
scenario = load_scenario("SCENARIO")
with Lab(scenario=scenario).running("10.99.0.2") as lab:
    open(sys.argv[1], "w").write(str(lab.port))
    time.sleep(600)
"""
CLIENT = """
import sys
from ehlo.cli.main import main
main(["send", f"10.99.0.2:{sys.argv[1]}", "-f", "me@here.example", "-t", "recipient@example.com",
      "--helo", "here.example",
      "--body", "x" * 60 + ("\\n" + "x" * 60) * 60, "--starttls", "never", "--timeout", "4", "--json", "--investigate"])
"""


@pytest.mark.parametrize("scenario", ["all-extensions", "catch-all"])
def test_a_way_that_loses_large_packets(scenario: str, tmp_path: Path) -> None:
    programs = {"server.py": SERVER.replace("SCENARIO", scenario), "client.py": CLIENT, "narrow.sh": NARROW}
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("peer missing: only root can make network namespaces")
    trial = ["unshare", "--net", "sh", "-c", "ip link add near type veth peer name far"]
    if subprocess.run(trial, capture_output=True, check=False).returncode:
        pytest.skip("peer missing: no network namespaces here")
    words = [
        "sh",
        str(tmp_path / "narrow.sh"),
        sys.executable,
        *(str(tmp_path / f"{name}.py") for name in ("server", "client")),
    ]
    done = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", *words, str(tmp_path / "port")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    (error,) = [event for event in document["transcript"] if event["kind"] == "error"]
    assert error["unacknowledged"] > 1_400
    assert [finding["rule"] for finding in document["verdict"]["findings"]] == ["proved-path-mtu", "message-cut"]
    (sizes,) = document["experiments"]
    assert [trial["worked"] for trial in sizes["trials"]] == [True, True, False, True, False]
