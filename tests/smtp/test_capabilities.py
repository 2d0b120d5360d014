"""What a server offers in its reply to EHLO (RFC 5321 §4.1.1.1)."""

from __future__ import annotations

import pytest
from hypothesis import given

from ehlo.smtp.capabilities import Capabilities, parse_capabilities
from ehlo.smtp.deviations import Deviation
from ehlo.smtp.reply import Reply
from grammar import replies


def offers(*lines: str) -> Capabilities:
    return parse_capabilities(Reply(250, ("mail.example.com at your service", *lines)))


def test_keywords_in_the_servers_order() -> None:
    offered = offers("PIPELINING", "SIZE 10240000", "starttls", "", "X-OWN  a   b", "8BITMIME")
    assert (offered.domain, offered.greeting) == ("mail.example.com", "at your service")
    assert list(offered.keywords) == ["PIPELINING", "SIZE", "STARTTLS", "X-OWN", "8BITMIME"]
    assert offered.keywords["X-OWN"] == ("a", "b")
    assert "STARTTLS" in offered
    assert "starttls" not in offered
    assert list(offered.lines()) == ["PIPELINING", "SIZE 10240000", "STARTTLS", "X-OWN a b", "8BITMIME"]


def test_a_reply_to_helo_offers_nothing() -> None:
    offered = offers()
    assert offered.keywords == {}
    assert (offered.size, offered.auth, offered.limits, offered.deliver_by) == (None, (), {}, None)


@pytest.mark.parametrize(
    ("line", "size"),
    [("SIZE 10240000", 10240000), ("SIZE", 0), ("SIZE 0", 0), ("SIZE unlimited", None), ("SIZE -1", None)],
)
def test_size(line: str, size: int | None) -> None:
    """RFC 1870 §3: without a number, or with 0, no fixed maximum is in force."""
    assert offers(line).size == size


def test_a_size_of_thousands_of_digits_is_none() -> None:
    assert offers("SIZE " + "9" * 5000).size is None


@pytest.mark.parametrize(
    ("lines", "mechanisms", "deviations"),
    [
        (("AUTH PLAIN LOGIN",), ("PLAIN", "LOGIN"), ()),
        (("auth plain login",), ("PLAIN", "LOGIN"), ()),
        (("AUTH",), (), ()),
        (("AUTH=PLAIN LOGIN",), ("PLAIN", "LOGIN"), (Deviation.AUTH_EQUALS,)),
        (("AUTH PLAIN LOGIN", "AUTH=PLAIN LOGIN"), ("PLAIN", "LOGIN"), (Deviation.AUTH_EQUALS,)),
        (("AUTH PLAIN", "AUTH LOGIN PLAIN"), ("PLAIN", "LOGIN"), ()),
        (("AUTH=",), (), (Deviation.AUTH_EQUALS,)),
    ],
)
def test_auth(lines: tuple[str, ...], mechanisms: tuple[str, ...], deviations: tuple[Deviation, ...]) -> None:
    """RFC 4954 §3; old servers say it twice, the second time with "=" for the clients of their day."""
    offered = offers(*lines)
    assert (offered.auth, offered.deviations) == (mechanisms, deviations)


def test_limits() -> None:
    """RFC 9422 §3."""
    offered = offers("LIMITS RCPTMAX=100 mailmax=20 RCPTDOMAINMAX=x MAXIMUM=99999999")
    assert offered.limits == {"RCPTMAX": 100, "MAILMAX": 20}


@pytest.mark.parametrize(("line", "seconds"), [("DELIVERBY 240", 240), ("DELIVERBY", 0), ("DELIVERBY soon", 0)])
def test_deliver_by(line: str, seconds: int) -> None:
    assert offers(line).deliver_by == seconds


@given(replies)
def test_any_reply_can_be_read(reply: Reply) -> None:
    offered = parse_capabilities(reply)
    assert offered.size is None or offered.size >= 0
    assert all(keyword == keyword.upper() for keyword in offered.keywords)
    assert all(isinstance(value, int) for value in offered.limits.values())
    assert offered.deliver_by is None or offered.deliver_by >= 0
