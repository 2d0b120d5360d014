"""`ehlo.connect()` gets to a server in every way that the command line does, blocking and on asyncio."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ehlo
from ehlo.lab import Lab, Policy, RunningLab
from ehlo.lab.authority import Identity, make_identity
from peers.processes import free_port
from peers.world import MailServer

from .nameserver import nameserver

Step = Callable[[Any], Any]


def blocking(step: Step, target: str, **words: Any) -> list[Any]:
    """What each call of a program gives; `step` yields them."""
    with ehlo.connect(target, **words) as smtp:
        return list(step(smtp))


def on_asyncio(step: Step, target: str, **words: Any) -> list[Any]:
    """The same, where each call has to be awaited."""

    async def play() -> list[Any]:
        async with ehlo.connect(target, **words) as smtp:
            return [await each if asyncio.iscoroutine(each) else each for each in step(smtp)]

    return asyncio.run(play())


Run = Callable[..., list[Any]]


@pytest.fixture(params=[blocking, on_asyncio], ids=["blocking", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def identity() -> Identity:
    return make_identity("mail.example.com", "127.0.0.1")


@pytest.fixture(scope="module")
def lab(identity: Identity) -> Iterator[RunningLab]:
    policy = Policy(any_recipient=True, users={"alice": "wonderland"})
    with Lab(policy=policy, identity=identity).running(doors={"smtps": 0, "lmtp": 0, "proxy": 0}) as lab:
        yield lab


@pytest.fixture
def trust(identity: Identity, tmp_path: Path) -> str:
    (tmp_path / "authority.pem").write_bytes(identity.authority)
    return str(tmp_path / "authority.pem")


def ehlo_alone(smtp: Any) -> Iterator[Any]:
    yield smtp.ehlo()


def codes(replies: list[Any]) -> list[int]:
    return [reply.code for reply in replies]


def test_behind_a_proxy(run: Run, lab: RunningLab) -> None:
    words = {"proxy": "v2 192.0.2.77:4711 192.0.2.1:25"}
    assert codes(run(ehlo_alone, f"127.0.0.1:{lab.lab.ports['proxy']}", **words)) == [250]
    assert any("192.0.2.77" in event.fact("message") for event in lab.lab.sessions[-1].events)


@pytest.mark.parametrize("source", ["127.0.0.2", "127.0.0.2:{port}", ":{port}"])
def test_from_an_address_or_port(run: Run, lab: RunningLab, source: str) -> None:
    port = free_port()

    def local(smtp: Any) -> Iterator[Any]:
        yield next(event.fact("local") for event in smtp.transcript.events if event.kind == "connect")

    (found,) = run(local, f"127.0.0.1:{lab.port}", source=source.format(port=port))
    assert found.startswith("127.0.0.2:" if source[0] == "1" else "127.0.0.1:")
    assert "port" not in source or found.endswith(f":{port}")


def test_lmtp_by_name_and_by_word(run: Run, lab: RunningLab) -> None:
    def session(smtp: Any) -> Iterator[Any]:
        yield smtp.ehlo()
        yield smtp.command("NOOP")
        yield smtp.transcript

    place = f"127.0.0.1:{lab.lab.ports['lmtp']}"
    for target, words in ((f"lmtp://{place}", {}), (place, {"lmtp": True})):
        said, _, transcript = run(session, target, **words)
        assert said.ok
        assert "LHLO" in " ".join(event.text for event in transcript.events)


@pytest.mark.peer
def test_a_socket_in_the_file_system(run: Run, npm_server: MailServer) -> None:
    assert codes(run(ehlo_alone, f"lmtp://{npm_server.lmtp_socket}")) == [250]
    assert codes(run(ehlo_alone, f"unix:{npm_server.lmtp_socket}", lmtp=True)) == [250]


def test_a_command(run: Run, tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(
        "import sys\n"
        "say = lambda text: (sys.stdout.write(text + '\\r\\n'), sys.stdout.flush())\n"
        "say('220 mail.example.com ESMTP')\n"
        "for line in sys.stdin:\n"
        "    say('221 bye' if line.startswith('QUIT') else '250 ' + line.split()[0])\n"
        "    if line.startswith('QUIT'): break\n"
    )
    target = f"pipe:{sys.executable} '{script}'"
    assert [str(reply) for reply in run(ehlo_alone, target)] == ["250 EHLO"]
    assert [str(reply) for reply in run(ehlo_alone, target, lmtp=True)] == ["250 LHLO"]


def test_tls_on_connect_with_everything_said(run: Run, lab: RunningLab, trust: str) -> None:
    def session(smtp: Any) -> Iterator[Any]:
        yield smtp.tls
        yield smtp.ehlo()
        yield smtp.login("alice", "wonderland", mechanisms=["plain"])

    settings = ehlo.TLSSettings(minimum="1.2", maximum="1.2")
    target = f"smtps://127.0.0.1:{lab.lab.ports['smtps']}"
    words = {"tls_name": "mail.example.com", "sni": "", "verify": "both", "ca_file": trust, "family": "ipv4"}
    tls, *replies = run(session, target, tls=settings, name="client.yourdomain.com", **words)
    assert (tls.version, tls.certificate.name, tls.certificate.problem) == ("TLSv1.2", "mail.example.com", "")
    assert codes(replies) == [250, 235]


@pytest.mark.peer
def test_xclient(run: Run, postfix_server: MailServer) -> None:
    def session(smtp: Any) -> Iterator[Any]:
        yield smtp.ehlo()
        yield smtp.xclient(ADDR="192.0.2.77", HELO="there.example")
        yield smtp.mail("sender@yourdomain.com")

    def impossible(smtp: Any) -> Iterator[Any]:
        yield smtp.ehlo()
        yield smtp.xclient(ADDR="192.0.2.77")

    assert codes(run(session, f"{postfix_server.host}:{postfix_server.xclient_port}")) == [250, 220, 250]
    with pytest.raises(ehlo.NotDone, match="does not offer XCLIENT"):
        run(impossible, f"{postfix_server.host}:{postfix_server.port}")


def test_mail_exchangers_by_a_server_of_ones_own(run: Run) -> None:
    with nameserver({}) as server, pytest.raises(ehlo.SessionError) as raised:
        run(ehlo_alone, "mx:yourdomain.com", dns_server=server, timeout=10)
    assert (raised.value.stage, raised.value.error) == ("dns", "no-such-host")


def test_each_stage_has_its_time(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ehlo.SessionError) as raised:
        run(ehlo_alone, f"127.0.0.1:{silent.getsockname()[1]}", timeouts={"banner": 0.2})
    assert (raised.value.stage, raised.value.error) == ("banner", "timed-out")


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        ({"source": "mail.example.com"}, ValueError, "not an IP address"),
        ({"source": "127.0.0.1:0"}, ValueError, "from 1 to 65535"),
        ({"dns_server": "nameserver"}, ValueError, "not an IP address"),
        ({"proxy": "v3 192.0.2.1"}, ValueError, "the form is"),
        ({"tls": ehlo.TLSSettings(ciphers="NONE-SUCH")}, ValueError, "knows no cipher"),
        ({"tls": ehlo.TLSSettings(certificate="/nonexistent/x")}, ValueError, "cannot be read"),
        ({"ca_file": "/nonexistent/x"}, OSError, "No such file"),
        ({"ca_path": "/nonexistent"}, OSError, "No such file"),
    ],
)
def test_what_cannot_be_understood_is_said_before_anything_happens(
    words: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        ehlo.connect("mail.example.com", **words)


def test_lmtp_has_no_mail_exchangers() -> None:
    with pytest.raises(ehlo.TargetError, match="LMTP is spoken with one server"):
        ehlo.connect("mx:example.com", lmtp=True)


def test_an_attribute_that_there_is_not(lab: RunningLab) -> None:
    with ehlo.connect(f"127.0.0.1:{lab.port}") as smtp:
        smtp.ehlo()
        with pytest.raises(ValueError, match="there is no attribute COLOUR"):
            smtp.xclient(COLOUR="red")
        assert smtp.command("NOOP").ok
