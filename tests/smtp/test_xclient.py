"""Attributes of XCLIENT, as Postfix's XCLIENT_README has them."""

from __future__ import annotations

import pytest

from ehlo.smtp.parameters import ParameterError
from ehlo.smtp.xclient import xclient_attribute, xclient_values


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("addr", "192.0.2.1", "ADDR=192.0.2.1"),
        ("ADDR", "2001:db8::1", "ADDR=IPV6:2001:db8::1"),
        ("DESTADDR", "IPv6:2001:db8::1", "DESTADDR=IPv6:2001:db8::1"),
        ("HELO", "a name+more", "HELO=a+20name+2Bmore"),
        ("LOGIN", "[UNAVAILABLE]", "LOGIN=[UNAVAILABLE]"),
    ],
)
def test_attributes(name: str, value: str, word: str) -> None:
    assert xclient_attribute(name, value) == word


@pytest.mark.parametrize(
    ("name", "value", "why"), [("COLOUR", "red", "there is no attribute COLOUR"), ("NAME", "a\r\nb", "line break")]
)
def test_what_is_none(name: str, value: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        xclient_attribute(name, value)


def test_values() -> None:
    assert xclient_values("name=[UNAVAILABLE] LOGIN=al+2Bice HELO=") == {"NAME": "", "LOGIN": "al+ice", "HELO": ""}
    with pytest.raises(ParameterError):
        xclient_values("LOGIN=a+2")
