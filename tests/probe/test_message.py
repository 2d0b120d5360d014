"""Messages: what goes in comes out again, by the standard library's reader; templates, repairs, signatures."""

from __future__ import annotations

import email
import re
from email.message import EmailMessage
from email.policy import default

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from ehlo.probe.message.compose import Attachment, MessageError, compose
from ehlo.probe.message.dkim import DKIMKey, sign
from ehlo.probe.message.repair import LONGEST_LINE, repair
from ehlo.probe.message.template import FIELDS, fill
from ehlo.smtp.address import NULL_PATH, parse_path

SENDER, RECIPIENT = parse_path("<me@here.org>"), parse_path("<you@example.com>")


def read(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def made(**parts: object) -> bytes:
    return compose(SENDER, [RECIPIENT], helo="here.org", **parts)  # type: ignore[arg-type]


def lines_are_good(content: bytes) -> None:
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert b"\r" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= LONGEST_LINE


def test_what_rfc_5322_demands_is_there() -> None:
    message = read(made())
    assert [message[name] for name in ("From", "To", "Subject")] == [
        "me@here.org",
        "you@example.com",
        "Test message from ehlo",
    ]
    assert re.fullmatch(r"<\d+\.[0-9a-f]{16}@here\.org>", message["Message-ID"])
    assert message["Date"].datetime.tzinfo is not None
    bounce = read(compose(NULL_PATH, [], helo="[192.0.2.1]"))
    assert bounce["From"] == "postmaster@[192.0.2.1]"


def test_headers_replace_what_is_made_and_join_it() -> None:
    message = read(made(headers=["subject: Grüße", "X-One: 1", "X-One: 2"]))
    assert message["Subject"] == "Grüße"
    assert message.get_all("X-One") == ["1", "2"]


@pytest.mark.parametrize("header", ["no colon", ": x", "Sub ject: x", "Größe: 1", "Subject: a\r\nBcc: b", "X: a\nb"])
def test_a_header_that_is_none(header: str) -> None:
    with pytest.raises(MessageError):
        made(headers=[header])


_TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\0"), max_size=200
)
_NAMES = st.text(
    st.characters(codec="utf-8", categories=("L", "N"), include_characters=" .-_"), min_size=1, max_size=30
)


@settings(max_examples=60, deadline=None)
@given(_TEXT, _TEXT, st.lists(st.tuples(_NAMES, st.binary(max_size=300)), max_size=3))
def test_parts_survive(body: str, html: str, files: list[tuple[str, bytes]]) -> None:
    attachments = [Attachment(name, "application/octet-stream", content) for name, content in files]
    content = made(body=body, html=html, attachments=attachments)
    if html or files:
        lines_are_good(content)
    message = read(content)
    plain = message.get_body(("plain",))
    assert plain is not None
    assert plain.get_content().replace("\r\n", "\n").rstrip("\n") == body.rstrip("\n")
    if html:
        rich = message.get_body(("html",))
        assert rich is not None
        assert rich.get_content().replace("\r\n", "\n").rstrip("\n") == html.rstrip("\n")
    found = [(part.get_filename(), part.get_payload(decode=True)) for part in message.iter_attachments()]
    assert [payload for _, payload in found] == [content for _, content in files]
    assert [(name or "").strip() for name, _ in found] == [name.strip() for name, _ in files]


@pytest.mark.parametrize("attachments", [[], [Attachment("a.png", "", b"x")]], ids=["alone", "with a file"])
def test_html_without_a_text(attachments: list[Attachment]) -> None:
    message = read(made(html="<p>x</p>", attachments=attachments))
    assert message.get_body(("plain",)) is None
    rich = message.get_body(("html",))
    assert rich is not None
    assert rich.get_content().strip() == "<p>x</p>"
    assert message.is_multipart() == bool(attachments)


def test_mime_version_stands_at_the_top_alone() -> None:
    for parts in ({"body": "ä"}, {"html": "x"}, {"body": "x", "html": "ä", "attachments": [Attachment("a", "", b"")]}):
        content = made(**parts)
        assert content.partition(b"\r\n\r\n")[0].count(b"MIME-Version: 1.0\r\n") == 1
        assert content.count(b"MIME-Version") == 1
        assert read(content).defects == []


def test_the_type_of_an_attachment() -> None:
    message = read(
        made(attachments=[Attachment("a.png", "", b"x"), Attachment("b", "image/gif", b"y"), Attachment("c", "", b"z")])
    )
    assert [part.get_content_type() for part in message.iter_attachments()] == [
        "image/png",
        "image/gif",
        "application/octet-stream",
    ]
    with pytest.raises(MessageError, match="'png' is no media type"):
        made(attachments=[Attachment("a", "png", b"")])


# Templates.


def test_fields_and_braces() -> None:
    assert fill("To: {to}, {{not}} {n}}}", {"to": "you@example.com", "n": "7"}) == "To: you@example.com, {not} 7}"


@pytest.mark.parametrize("template", ["{nobody}", "{", "}", "a { b }", "{to"])
def test_an_unknown_field_lists_the_known(template: str) -> None:
    with pytest.raises(MessageError, match=r"fields are \{from\} \{to\}"):
        fill(template, dict.fromkeys(FIELDS, "x"))


@given(st.text(max_size=60))
def test_a_text_without_braces_stays(text: str) -> None:
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert fill(escaped, {}) == text


# Repairs.


def repaired(content: bytes) -> tuple[bytes, list[str]]:
    done = repair(content, sender=SENDER, recipients=(RECIPIENT,), helo="here.org")
    return done.content, list(done.repairs)


GOOD = b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nFrom: a@b.c\r\nMessage-ID: <1@b.c>\r\n\r\n.dots\r\n\r\nend\r\n"


def test_a_good_message_is_left_as_it_is() -> None:
    assert repaired(GOOD) == (GOOD, [])


@pytest.mark.parametrize(
    ("content", "repairs"),
    [
        (b"From me Mon Nov 23\r\n" + GOOD, ["dropped the mbox line 'From …' at the beginning"]),
        (GOOD.replace(b"\r\n", b"\n"), ["made all line endings CRLF"]),
        (GOOD.replace(b"dots", b"d\0ots"), ["dropped NUL octets"]),
        (b"Date: x\r\n" + GOOD, ["dropped a second Date"]),
        (b"Subject: Gr\xc3\xbc\xc3\x9fe\r\n" + GOOD, ["encoded the non-ASCII characters of Subject"]),
        (b"From: a@b.c\r\n\r\nhi\r\n", ["added Date", "added Message-ID"]),
        (b"hello there", ["put a header before the text", "added Date", "added From", "added Message-ID"]),
        (b"", ["put a header before the text", "added Date", "added From", "added Message-ID"]),
        (GOOD + "Grüße\r\n".encode(), ["declared the 8-bit text as utf-8"]),
        (GOOD + b"\xe9t\xe9\r\n", ["declared the 8-bit text as iso-8859-1"]),
        (GOOD + b"x" * 2000 + b"\r\n", ["encoded the body, which has lines over 998 octets, as quoted-printable"]),
        (
            b"Content-Type: multipart/mixed; boundary=b\r\n" + GOOD + b"x" * 2000 + b"\r\n",
            ["left line 4 of the body as it is, though it has over 998 octets"],
        ),
    ],
)
def test_repairs(content: bytes, repairs: list[str]) -> None:
    once, said = repaired(content)
    assert said == repairs
    again, more = repaired(once)
    assert again == once
    assert more in ([], repairs[-1:])


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_octets_become_a_message(content: bytes) -> None:
    once, _ = repaired(content)
    message = read(once)
    assert message["From"] is not None
    assert b"\n" not in once.replace(b"\r\n", b"")
    assert repaired(once)[0] == once


@settings(deadline=None, max_examples=30)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1000, max_size=1500))
def test_long_lines_say_the_same(text: str) -> None:
    content = GOOD + text.encode() + b"\r\n"
    once, said = repaired(content)
    lines_are_good(once)
    body = read(once).get_payload(decode=True)
    assert isinstance(body, bytes)
    assert text.encode() in body
    assert said


# Signatures.


def keys() -> dict[str, tuple[bytes, bytes]]:
    """Private keys in PEM form, with the records that publish the public ones."""
    import base64

    strong = rsa.generate_private_key(65537, 2048)
    small = ed25519.Ed25519PrivateKey.generate()
    pem = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key in (strong, small)]
    public = strong.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raw = small.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {
        "rsa": (pem[0], b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)),
        "ed25519": (pem[1], b"v=DKIM1; k=ed25519; p=" + base64.b64encode(raw)),
    }


KEYS = keys()


@pytest.mark.parametrize("kind", KEYS)
def test_a_signature_verifies_and_breaks_with_the_message(kind: str) -> None:
    key, record = KEYS[kind]
    signed = sign(made(body="hello\n"), DKIMKey("here.org", "sel", key))
    asked = []

    def look_up(name: bytes, timeout: int = 5) -> bytes:
        asked.append(name)
        return record

    assert dkim.verify(signed, dnsfunc=look_up)
    assert asked == [b"sel._domainkey.here.org."]
    assert not dkim.verify(signed.replace(b"hello", b"hallo"), dnsfunc=look_up)
    assert not dkim.verify(signed.replace(b"Subject: Test", b"Subject: Best"), dnsfunc=look_up)


@pytest.mark.parametrize("key", [b"", b"no key", KEYS["rsa"][0][:200]])
def test_a_key_that_is_none(key: bytes) -> None:
    with pytest.raises(MessageError, match="no private key in PEM form"):
        sign(made(), DKIMKey("here.org", "sel", key))


def test_the_key_is_not_shown() -> None:
    assert "PRIVATE" not in repr(DKIMKey("here.org", "sel", KEYS["rsa"][0]))
