"""Every mechanism of the client, over a socket, against a lab: who knows the password is in, and nobody else."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ehlo.client import Connector, connect
from ehlo.lab import Lab, Policy, RunningLab
from ehlo.net.settings import TLSSettings
from ehlo.smtp.sasl import MECHANISMS
from ehlo.smtp.sasl.server import SERVER_MECHANISMS
from ehlo.transcript.redaction import redact
from ehlo.web.serving import WebServer
from lab.wire import play

#: Those that ask for no password; NTLM and GSSAPI need a domain, which the lab has not.
NO_PASSWORD = ("EXTERNAL", "ANONYMOUS")
BOTH = [name for name, mechanism in MECHANISMS.items() if mechanism.keyword in SERVER_MECHANISMS]


class Place:
    """A lab that offers everything, and its page."""

    def __init__(self, lab: RunningLab, web: WebServer, folder: Path) -> None:
        self.lab = lab
        self.url = f"http://127.0.0.1:{web.port}"
        self.authority = folder / "ca.pem"
        self.authority.write_bytes(lab.lab.identity.authority)
        self.certificates = {}
        for user in ("alice", "mallory"):
            issued = lab.lab.authority.issue(host=user)
            self.certificates[user] = folder / f"{user}.pem"
            self.certificates[user].write_bytes(issued.key + issued.certificate)

    def client(self, certificate: str = "") -> Connector:
        """A session; with the certificate of a user, if asked."""
        settings = TLSSettings(certificate=str(self.certificates[certificate])) if certificate else TLSSettings()
        return connect(
            f"localhost:{self.lab.port}", name="client.example", ca_file=str(self.authority), tls=settings, timeout=60
        )

    def session(self) -> dict[str, object]:
        """The last session as the page has it."""
        number = len(self.lab.sessions)
        document = httpx.get(f"{self.url}/api/v1/session/{number}", trust_env=False).json()
        assert isinstance(document, dict)
        return document


@pytest.fixture(name="place", scope="module")
def running_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    policy = Policy(users={"alice": "wonderland"}, mechanisms=tuple(SERVER_MECHANISMS), any_recipient=True)
    lab = Lab(policy=policy)
    web = WebServer(lab)
    lab.companions.append(web)
    with lab.running() as running:
        yield Place(running, web, tmp_path_factory.mktemp("login"))


def test_the_mechanisms_are_all() -> None:
    assert {MECHANISMS[name].keyword for name in BOTH} == set(SERVER_MECHANISMS)


@pytest.mark.parametrize("name", BOTH)
def test_who_knows_the_password_is_in(place: Place, name: str) -> None:
    user = "anonymous" if name == "ANONYMOUS" else "alice"
    with place.client("alice" if name == "EXTERNAL" else "") as client:
        client.ehlo()
        client.starttls()
        reply = client.login("alice", "wonderland", mechanisms=[name])
        assert (reply.code, str(reply.enhanced)) == (235, "2.7.0")
        client.send("a@client.example", ["x@y.example"], b"Subject: hello\r\n\r\n")
    message = place.lab.messages[-1]
    assert message.user == user
    session = place.session()
    listed = httpx.get(f"{place.url}/api/v1/messages", trust_env=False).json()["messages"][0]
    assert listed["Username"] == user
    # ANONYMOUS has no name, and EXTERNAL may leave it to the certificate.
    assert session["user"] in (user, *(("",) if name in NO_PASSWORD else ()))
    assert "wonderland" not in json.dumps(session)
    for event in redact(message.transcript).events:
        assert "wonderland" not in event.text
        assert base64.b64encode(b"wonderland").decode() not in event.text


@pytest.mark.parametrize("name", [name for name in BOTH if name not in NO_PASSWORD])
@pytest.mark.parametrize("wrong", [("alice", "wonderlane"), ("alicia", "wonderland")])
def test_nobody_else_is(place: Place, name: str, wrong: tuple[str, str]) -> None:
    with place.client() as client:
        client.ehlo()
        client.starttls()
        reply = client.login(*wrong, mechanisms=[name])
        assert (reply.code, str(reply.enhanced)) == (535, "5.7.8")
        # The session goes on, and the next attempt may be right.
        assert client.login("alice", "wonderland", mechanisms=[name]).code == 235


@pytest.mark.parametrize("certificate", ["", "mallory"])
def test_a_certificate_of_nobody_here(place: Place, certificate: str) -> None:
    with place.client(certificate) as client:
        client.ehlo()
        client.starttls()
        assert client.login("alice", "", mechanisms=["EXTERNAL"]).code == 535


def test_the_session_is_still_in_the_name_of_nobody(place: Place) -> None:
    with place.client() as client:
        client.ehlo()
        client.starttls()
        client.login("alice", "wrong", mechanisms=["PLAIN"])
        client.send("a@client.example", ["x@y.example"], b"Subject: hello\r\n\r\n")
    assert place.lab.messages[-1].user == ""


def test_giving_up_is_no_login() -> None:
    gives_up = "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: {}\nS: 501 5.7.0 Authentication aborted\n"
    with Lab(policy=Policy(users={"alice": "x"}, auth_in_clear=True)).running() as lab:
        play(lab, "hello\n" + gives_up.format("*") + gives_up.format("no base64!") + "SEND")
    assert lab.messages[0].user == ""
