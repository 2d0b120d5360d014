"""SASL mechanisms, the client's side (RFC 4954, RFC 4616)."""

from __future__ import annotations

import pytest

from ehlo.smtp.command import auth
from ehlo.smtp.deviations import LocalProtocolError
from ehlo.smtp.sasl import MECHANISMS, Credentials, choose_mechanism, login, plain
from ehlo.smtp.states import State
from wire import client

ALICE = Credentials("alice", "wonderland")


def test_plain_has_everything_in_its_initial_response() -> None:
    """RFC 4616 §2: authzid NUL authcid NUL passwd."""
    exchange = plain(ALICE)
    assert next(exchange) == b"\0alice\0wonderland"
    with pytest.raises(StopIteration):
        exchange.send(b"")


def test_plain_is_utf8() -> None:
    assert next(plain(Credentials("jörg", "pä"))) == "\0jörg\0pä".encode()


@pytest.mark.parametrize("credentials", [Credentials("a\0b", "c"), Credentials("a", "b\0c")])
def test_plain_refuses_nul(credentials: Credentials) -> None:
    with pytest.raises(LocalProtocolError, match="NUL"):
        next(plain(credentials))


def test_login_answers_two_challenges_whatever_they_say() -> None:
    exchange = login(ALICE)
    assert next(exchange) is None
    assert exchange.send(b"Username:") == b"alice"
    assert exchange.send(b"") == b"wonderland"
    with pytest.raises(StopIteration):
        exchange.send(b"more?")


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("LOGIN", "PLAIN"), "PLAIN"),
        (("LOGIN",), "LOGIN"),
        (("GSSAPI", "LOGIN"), "LOGIN"),
        (("GSSAPI",), None),
        ((), None),
    ],
)
def test_the_strongest_that_both_know(offered: tuple[str, ...], chosen: str | None) -> None:
    assert choose_mechanism(offered) == chosen


def test_the_password_is_not_shown() -> None:
    assert "wonderland" not in f"{ALICE!r} {ALICE} {[ALICE]}"
    assert "alice" in repr(ALICE)


GREETED = """
    S: 220 mail.example.com ESMTP
    C: EHLO here.org
    S: 250-mail.example.com
    S: 250 AUTH PLAIN LOGIN
"""


def test_plain_on_the_wire() -> None:
    session = client(GREETED) << auth("PLAIN", next(plain(ALICE))) >> "235 2.7.0 Authentication successful"
    assert session.state is State.READY


def test_login_on_the_wire() -> None:
    session, exchange = client(GREETED), MECHANISMS["LOGIN"](ALICE)
    session << auth("LOGIN", next(exchange)) >> "334 VXNlcm5hbWU6"
    assert session.conn.send_auth_response(exchange.send(b"Username:")) == b"YWxpY2U=\r\n"
    session >> "334 UGFzc3dvcmQ6"
    assert session.conn.send_auth_response(exchange.send(b"Password:")) == b"d29uZGVybGFuZA==\r\n"
    session >> "235 2.7.0 Authentication successful"
    assert session.heard == ["(connect) 220", "EHLO 250", "AUTH 334", "AUTH 334", "AUTH 235"]
