"""What kind of thing a text is."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.explain.detect import KINDS, kind_of


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'{"format": "smtp-transcript", "version": 1}\n', "transcript"),
        (b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00", "pcap"),
        (b"\x0a\x0d\x0d\x0a\x1c\x00\x00\x00", "pcap"),
        (gzip.compress(b"x", mtime=0), "log"),
        (b"Nov  4 10:00:00 mx postfix/smtp[1]: ABC: to=<a@b.example>, status=sent\n", "log"),
        (b"2026-11-04 10:00:00 1tABCD-000000001Ab-2x <= a@b.example H=x [192.0.2.1]\n", "log"),
        (b"2026-11-04T10:00:00.123+00:00 mx sendmail[1]: x: to=<a@b.example>, stat=Sent\n", "log"),
        (b"Return-Path: <>\r\nReceived: from x\r\nFrom: MAILER-DAEMON\r\nSubject: Undelivered\r\n\r\nx", "bounce"),
        (b"From MAILER-DAEMON Mon Nov 23 10:00:00 2026\nFrom: x@y.example\nSubject: z\n\n", "bounce"),
        (b"550 5.1.1 User unknown", None),
        (b"Trying 192.0.2.1...\nConnected to mail.example.com.\n220 x\n", None),
        (b"", None),
    ],
)
def test_kinds(data: bytes, kind: str | None) -> None:
    assert kind_of(data) == kind


@given(st.binary())
def test_any_octets_have_a_kind_or_none(data: bytes) -> None:
    assert kind_of(data) in (*KINDS, None)
