"""Messages of NTLM, read: the example of [MS-NLMP] §4.2.4, what pyspnego says, and what is no message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.smtp.sasl import MECHANISMS, Credentials, explain_step
from ehlo.smtp.sasl.ntlm import AUTHENTICATE, CHALLENGE, NEGOTIATE, read_message

NTLM = MECHANISMS["NTLM"]
#: The CHALLENGE_MESSAGE of [MS-NLMP] §4.2.4.3.
THE_CHALLENGE = bytes.fromhex(
    "4e544c4d53535000 02000000 0c000c00 38000000 33828ae2 0123456789abcdef 0000000000000000"
    "24002400 44000000 0600 7017 0000000f"
    "53006500720076006500720002000c0044006f006d00610069006e0001000c005300650072007600650072000000 0000"
)


def test_the_challenge_of_the_specification() -> None:
    message = read_message(THE_CHALLENGE)
    assert message is not None
    assert (message.kind, message.target, message.version) == (CHALLENGE, "Server", "6.0.6000")
    assert message.facts == (("NetBIOS domain", "Domain"), ("computer", "Server"))
    assert message.octets == (("challenge", bytes.fromhex("0123456789abcdef")),)
    assert NTLM.show(THE_CHALLENGE) == (
        "CHALLENGE; target Server; flags Unicode, OEM characters, signing, sealing, NTLM, always sign, "
        "target is a server, extended session security, target information, version, 128 bits, key exchange, 56 bits; "
        "version 6.0.6000; NetBIOS domain Domain; computer Server; challenge 0123456789abcdef"
    )
    assert explain_step(NTLM, "server", THE_CHALLENGE) == "challenge of Server"


def test_what_a_client_says() -> None:
    pytest.importorskip("spnego")
    exchange = NTLM.start(Credentials("alice", "wonderland", realm="EXAMPLE", host="mail.example.com"))
    first = read_message(next(exchange) or b"")
    assert first is not None
    assert first.kind == NEGOTIATE
    assert "Unicode" in first.flags
    response = exchange.send(THE_CHALLENGE) or b""
    last = read_message(response)
    assert last is not None
    assert (last.kind, last.domain, last.user, last.account) == (AUTHENTICATE, "EXAMPLE", "alice", "EXAMPLE\\alice")
    assert last.workstation
    assert NTLM.read(2, response).user == "EXAMPLE\\alice"
    assert explain_step(NTLM, "client", response) == "user EXAMPLE\\alice, and a digest made with the password"
    shown = NTLM.show(response)
    # All that was computed is in hexadecimal: nothing of it can be taken for letters.
    assert shown.isascii()
    assert shown.isprintable()
    assert "; user alice; workstation " in shown
    assert f"; NT response {dict(last.octets)['NT response'].hex()}" in shown


@pytest.mark.parametrize(
    "data", [b"", b"NTLMSSP", b"NTLMSSP\0", b"NTLMSSP\0\x04\0\0\0", b"\0NTLMSSP\0\x02\0\0\0", b"x" * 99]
)
def test_what_is_none(data: bytes) -> None:
    assert read_message(data) is None
    assert NTLM.show(data) == data.hex()


def test_a_list_without_an_end_and_a_time_beyond_all_times() -> None:
    """Whatever a server sends, it is read as far as it goes."""
    pairs = (
        b"\x07\0\x08\0"
        + b"\xff" * 8
        + b"\x07\0\x08\0"
        + (134_000_000_000_000_000).to_bytes(8, "little")
        + b"\x01\0\xff\xff"
    )
    head = THE_CHALLENGE[:40] + len(pairs).to_bytes(2, "little") * 2 + (56).to_bytes(4, "little") + bytes(8)
    message = read_message(head + pairs)
    assert message is not None
    assert message.facts == (("time", "ff" * 8), ("time", "2025-08-18 14:13:20 UTC"), ("computer", ""))


@given(st.sampled_from([1, 2, 3]), st.binary(max_size=200))
def test_any_octets(kind: int, octets: bytes) -> None:
    data = b"NTLMSSP\0" + kind.to_bytes(4, "little") + octets
    for cut in (len(data), len(data) // 2):
        message = read_message(data[:cut])
        assert message is None or str(message)
        NTLM.read(2, data[:cut])
        explain_step(NTLM, "client", data[:cut])
