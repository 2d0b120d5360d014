"""Headers of the PROXY protocol: those that name a client, those that name none, and those that are none."""

from __future__ import annotations

import pytest

from ehlo.net.proxy import ProxyError, proxy_header, source_of, split_header


@pytest.mark.parametrize(
    ("words", "source"),
    [
        ("v1 192.0.2.7:4000 192.0.2.1:25", ("192.0.2.7", 4000)),
        ("v1 [2001:db8::7]:4000", ("2001:db8::7", 4000)),
        ("v2 192.0.2.7:4000", ("192.0.2.7", 4000)),
        ("v2 [2001:db8::7]:4000", ("2001:db8::7", 4000)),
        ("v1 unknown", None),
        ("v2 local", None),
    ],
)
def test_what_is_sent_is_understood(words: str, source: tuple[str, int] | None) -> None:
    header = proxy_header(words)
    assert split_header(header + b"EHLO x\r\n") == (header, b"EHLO x\r\n")
    assert source_of(header) == source
    assert all(split_header(header[:end]) is None for end in range(len(header)))


def test_what_stands_behind_unknown_is_ignored() -> None:
    header = b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n"
    assert split_header(header) == (header, b"")
    assert source_of(header) is None


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"FOO",
        b"LOCAL",
        b"TCP4",
        b"TCP4 bad",
        b"TCP4 192.0.2.7 192.0.2.1 4000",
        b"TCP4 192.0.2.7 192.0.2.1 4000 25 more",
        b"TCP4 192.0.2.7 192.0.2.1 4000 25 ",
        b"TCP4  192.0.2.7 192.0.2.1 4000 25",
        b"TCP4 192.0.2.7 bad 4000 25",
        b"TCP4 192.0.2.7 192.0.2.1 4000 70000",
        b"TCP4 192.0.2.7 192.0.2.1 -1 25",
        b"TCP4 2001:db8::7 2001:db8::1 4000 25",
        b"TCP6 192.0.2.7 192.0.2.1 4000 25",
        b"UDP4 192.0.2.7 192.0.2.1 4000 25",
        b"unknown",
    ],
)
def test_what_is_malformed_is_refused(words: bytes) -> None:
    with pytest.raises(ProxyError, match="malformed"):
        split_header(b"PROXY " + words + b"\r\n")
