"""The reader over the shoulder of a handshake: what it sees, and that nothing makes it fall."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.lab.authority import make_identity, server_context
from ehlo.net.handshake import ALERTS, HandshakeReader
from ehlo.net.settings import TLSSettings
from ehlo.net.tls import TLSLayer, client_context


def shake(client: TLSLayer, server: TLSLayer) -> bytes:
    """Let both sides shake hands; gives what the server sent."""
    sent = b""
    for _ in range(10):
        done = client.handshake()
        server.feed(client.take_outgoing())
        done &= server.handshake()
        data = server.take_outgoing()
        sent += data
        client.feed(data)
        if done:
            break
    return sent


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_the_group_is_seen(version: str) -> None:
    settings = TLSSettings(minimum=version, maximum=version)  # type: ignore[arg-type]
    client = TLSLayer(client_context(settings), "mail.example.com")
    server = TLSLayer(server_context(make_identity("mail.example.com")))
    sent = shake(client, server)
    assert client.reader is not None
    assert client.reader.version == f"TLS {version}"
    assert client.reader.group == "X25519"
    facts = client.facts("mail.example.com", None)
    assert (facts.version, facts.group, bool(facts.unique)) == (f"TLSv{version}", "X25519", version == "1.2")
    # In any pieces it is the same.
    for size in (1, 7, 1000):
        reader = HandshakeReader()
        for start in range(0, len(sent), size):
            reader.feed(sent[start : start + size])
        assert (reader.version, reader.group) == (f"TLS {version}", "X25519")


def test_a_server_that_chooses_an_old_version_is_named() -> None:
    client = TLSLayer(client_context(TLSSettings(minimum="1.2")), "mail.example.com")
    client.handshake()
    # A ServerHello of TLS 1.0, with the suite that everybody had then.
    hello = b"\x03\x01" + bytes(32) + b"\0" + b"\0\x2f" + b"\0"
    message = b"\x02" + len(hello).to_bytes(3, "big") + hello
    client.feed(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message)
    with pytest.raises(ssl.SSLError) as caught:
        client.handshake()
    said = client.failure(caught.value)
    assert said == "the server chose TLS 1.0, which this side does not take (unsupported protocol)"


@pytest.mark.parametrize("code", ALERTS)
def test_alerts_are_named(code: int) -> None:
    client = TLSLayer(client_context(), "mail.example.com")
    client.handshake()
    client.feed(b"\x15\x03\x03\0\x02\x02" + bytes((code,)))
    try:
        client.handshake()
    except ssl.SSLError as error:
        assert client.failure(error) == f"the other side gave up with the alert '{ALERTS[code]}'"  # noqa: PT017


def test_what_is_no_tls_is_said_to_be_none() -> None:
    client = TLSLayer(client_context(), "mail.example.com")
    client.handshake()
    client.feed(b"220 mail.example.com ESMTP\r\n")
    with pytest.raises(ssl.SSLError) as caught:
        client.handshake()
    assert client.failure(caught.value) == "what came from the other side is not TLS (wrong version number)"


_RECORDS = st.builds(
    lambda kind, body: bytes((kind,)) + b"\x03\x03" + len(body).to_bytes(2, "big") + body,
    st.sampled_from([20, 21, 22, 23, 0]),
    st.binary(max_size=80)
    | st.builds(
        lambda kind, body: bytes((kind,)) + len(body).to_bytes(3, "big") + body,
        st.sampled_from([2, 12, 11]),
        st.binary(max_size=80),
    ),
)


@given(st.lists(_RECORDS | st.binary(max_size=40), max_size=6))
def test_any_octets_are_looked_at_in_peace(records: list[bytes]) -> None:
    reader = HandshakeReader()
    for record in records:
        reader.feed(record)
    assert len(reader.version) < 10


def test_it_keeps_no_more_than_it_needs() -> None:
    reader = HandshakeReader()
    for _ in range(1000):
        reader.feed(b"\x16\x03\x03\x40\x00" + b"\x0b\xff\xff\xff" + b"\0" * 16380)
    assert len(reader._records) + len(reader._messages) < 300_000
