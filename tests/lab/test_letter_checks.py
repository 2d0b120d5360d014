"""Each check speaks up about what is wrong, and is silent about what is nearly that and right."""

import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehlo.lab import letter_checks
from ehlo.lab.letter_checks import Check, check_letter

NOW = datetime(2025, 7, 1, 9, 0, 0, tzinfo=UTC)
SIGNATURE = "v=1; a=rsa-sha256; d=example.com; s=key1;\r\n h=from:to:subject:date; bh=aGFzaA==; b=c2lnbmF0dXJl"
FIELDS = {
    "DKIM-Signature": SIGNATURE,
    "From": "Ann <ann@example.com>",
    "To": "Bob <bob@example.org>",
    "Subject": "Lunch",
    "Date": "Tue, 01 Jul 2025 10:52:37 +0200",
    "Message-ID": "<1@example.com>",
}
MIME = {"MIME-Version": "1.0"}


def mail(changes: dict[str, str] | None = None, body: bytes = b"Shall we?\r\n", *more: str, without: str = "") -> bytes:
    """A message in which nothing is wrong, but for these changes: fields changed or added, more fields, one less."""
    fields = [f"{name}: {value}" for name, value in (FIELDS | (changes or {})).items() if name != without]
    return "".join(f"{field}\r\n" for field in [*fields, *more]).encode("utf-8", "surrogateescape") + b"\r\n" + body


def typed(content_type: str, body: bytes = b"Shall we?\r\n", encoding: str = "") -> bytes:
    extra = {"Content-Transfer-Encoding": encoding} if encoding else {}
    return mail({**MIME, "Content-Type": content_type, **extra}, body)


def multipart(*parts: bytes, end: bytes = b"--b--\r\n", kind: str = "mixed", encoding: str = "") -> bytes:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + end
    return typed(f"multipart/{kind}; boundary=b", body, encoding)


def html(markup: str) -> bytes:
    return multipart(TEXT, b"Content-Type: text/html\r\n\r\n" + markup.encode(), kind="alternative")


def attached(disposition: str) -> bytes:
    return multipart(TEXT, b"Content-Type: a/b\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\nx")


def signed(*changes: tuple[str, str]) -> bytes:
    """A message whose signature has one text for another."""
    signature = SIGNATURE
    for old, new in changes:
        assert old in signature
        signature = signature.replace(old, new)
    return mail({"DKIM-Signature": signature})


def people(count: int) -> str:
    return ",\r\n ".join(f"p{n}@example.org" for n in range(count))


TEXT = b"\r\nShall we?"
BULK = {"List-Unsubscribe": "<https://example.com/u/1>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
UPPER = b"caf\xc3\xa9\r\n"


class Case(NamedTuple):
    """A title, a message that has that wrong and nothing else, and one that is nearly the same and right."""

    title: str
    wrong: bytes
    right: bytes
    level: str
    said: str = ""
    sender: str = ""
    recipients: tuple[str, ...] = ()
    right_sender: str | None = None


CASES = [
    Case("No From field", mail(without="From"), mail(), "error"),
    Case("From without an address", mail({"From": "Ann"}), mail({"From": "ann@example.com"}), "error", "“Ann”"),
    Case("From without an address", mail({"From": "Ann <>"}), mail({"From": "<ann@example.com>"}), "error"),
    Case("From without an address", mail({"From": ""}), mail({"From": "ann@example.com (Ann)"}), "error", "is empty"),
    Case("From without an address", mail({"From": "Ann <@example.com>"}), mail(), "error"),
    Case(
        "Several authors, no Sender",
        mail({"From": "ann@example.com, bob@example.com"}),
        mail({"From": "ann@example.com, bob@example.com", "Sender": "ann@example.com"}),
        "error",
        "2 authors",
    ),
    *(
        Case(
            "Doubled header field",
            mail({name: value}, b"", f"{name.upper()}: {value}"),
            mail({name: value}, b""),
            "error",
        )
        for name, value in [
            *((name, FIELDS[name]) for name in ("To", "Subject", "Date", "Message-ID")),
            ("Sender", "ann@example.com"),
            ("Reply-To", "ann@example.com"),
            ("Cc", "carol@example.org"),
            ("In-Reply-To", "<0@example.com>"),
            ("References", "<0@example.com>"),
        ]
    ),
    Case("Doubled header field", mail({"Bcc": ""}, b"", "Bcc: "), mail({"Bcc": ""}), "error", "2 Bcc fields"),
    Case(
        "Doubled header field",
        mail({"Sender": "ann@example.com"}, b"", "From: ann@example.com"),
        mail({}, b"", "Received: a", "Received: b", "Comments: a", "Comments: b", "Keywords: a", "Keywords: b"),
        "error",
        "2 From fields",
    ),
    Case(
        "Line in the header that is no field",
        mail({}, b"", "this is none"),
        mail({}, b"this is none\r\n", "X-Note: folded\r\n this is none"),
        "error",
        "“this is none”",
    ),
    Case("No Date field", mail(without="Date"), mail(), "error"),
    Case("Date not readable", mail({"Date": "today"}), mail({"Date": "1 Jul 2025 09:00 GMT"}), "error", "“today”"),
    Case("Date not readable", mail({"Date": ""}), mail({"Date": "Tue, 1 Jul 2025 09:00:00 +0000 (UTC)"}), "error"),
    Case("CR or LF alone", mail(body=b"a\nb\r\n"), mail(body=b"a\r\nb\r\n"), "error", "1 LF without CR."),
    Case("CR or LF alone", mail(body=b"a\rb\rc\r\n"), mail(body=b"a\r\n\r\n"), "error", "2 CRs without LF."),
    Case(
        "CR or LF alone", mail(body=b"a\rb\nc\n\r\n"), mail(body=b""), "error", "1 CR without LF and 2 LFs without CR."
    ),
    Case("Line too long", mail(body=b"x" * 999 + b"\r\n"), mail(body=b"x" * 998 + b"\r\n"), "error", "Line 9 has 999"),
    Case(
        "Line too long",
        mail(body=b"x" * 998 + b"\r\n" + b"x" * 999 + b"\r\n"),
        mail(body=(b"x" * 998 + b"\r\n") * 3),
        "error",
        "Line 10 has 999",
    ),
    Case("Line too long", mail(body=b"x" * 5000), mail(body=b"x" * 998), "error", "Line 9 has 5000 octets"),
    Case("Line too long", mail(body=b"\r\n" * 3000 + b"x" * 999), mail(body=b"\r\n" * 3000), "error", "Line 3009 "),
    Case("NUL octets", mail(body=b"a\0b\0\r\n"), mail(body=b"a0b0\r\n"), "error", "2 NUL octets"),
    Case(
        "Header that is no UTF-8",
        mail({"Subject": "caf\udce9 noir"}),
        mail({"Subject": "=?iso-8859-1?q?caf=E9?="}),
        "error",
    ),
    Case(
        "Header needs SMTPUTF8",
        mail({"Subject": "café"}),
        mail({"Subject": "=?utf-8?q?caf=C3=A9?="}),
        "warning",
        "“Subject”",
    ),
    Case(
        "Header needs SMTPUTF8",
        attached('attachment; filename="café.txt"'),
        attached("attachment; filename*=utf-8''caf%C3%A9.txt"),
        "warning",
        "“Content-Disposition”",
    ),
    Case("Multipart without boundary", typed("multipart/mixed"), multipart(TEXT), "error", "the message"),
    Case(
        "Multipart without boundary",
        multipart(b"Content-Type: multipart/mixed\r\n\r\nx"),
        multipart(b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--"),
        "error",
        "part 1",
    ),
    Case(
        "Multipart without parts",
        typed("multipart/mixed; boundary=a", b"--b\r\n\r\nx\r\n--b--\r\n"),
        multipart(TEXT),
        "error",
    ),
    Case("Multipart not closed", multipart(TEXT, end=b""), multipart(TEXT), "error"),
    Case("Multipart not closed", multipart(TEXT, end=b"--b-\r\n"), multipart(TEXT, end=b"--b--"), "error"),
    Case("Content-Type not readable", typed("rubbish"), typed("text/plain"), "error", "“rubbish”"),
    Case("Content-Type not readable", typed("text"), typed("TEXT/PLAIN ; charset=utf-8"), "error"),
    Case("Doubled MIME field", mail(MIME, b"", "Mime-Version: 1.0"), mail(MIME), "error", "2 MIME-Version fields"),
    Case(
        "Doubled MIME field",
        multipart(b"Content-Type: a/b\r\nContent-type: c/d\r\n\r\nx"),
        multipart(b"Content-Type: a/b\r\nContent-ID: <a@b>\r\n\r\nx"),
        "error",
        "part 1 has 2 Content-Type fields",
    ),
    Case("Base64 broken", typed("a/b", b"YWJ*\r\n", "base64"), typed("a/b", b"YW Jj\r\nYQ==\r\n", "base64"), "error"),
    Case("Base64 broken", typed("a/b", b"YWJjYQ\r\n", "base64"), typed("a/b", b"YWJjYQ==\r\n", "base64"), "error"),
    Case("Base64 broken", typed("a/b", b"YQ==YWJj\r\n", "base64"), typed("a/b", b"", "base64"), "error"),
    Case("Base64 broken", typed("a/b", b"Y===\r\n", "base64"), typed("a/b", b"YWI=\r\n", "BASE64"), "error"),
    Case(
        "Unknown transfer encoding", typed("a/b", b"x", "uuencode"), typed("a/b", b"x", "7BIT"), "error", "“uuencode”"
    ),
    Case("Unknown transfer encoding", typed("a/b", b"x", "utf-8"), typed("a/b", b"x", "binary"), "error"),
    Case("Multipart encoded as a whole", multipart(TEXT, encoding="base64"), multipart(TEXT, encoding="8bit"), "error"),
    *(
        Case("DKIM-Signature lacks tags", signed((tag, new)), mail(), "error", f"lacks {lacking}.")
        for tag, new, lacking in [
            ("v=1;", "", "v="),
            ("a=rsa-sha256;", "", "a="),
            ("d=example.com;", "", "d="),
            ("s=key1;", "s=;", "s="),
            ("h=from:to:subject:date;", "", "h="),
            ("bh=aGFzaA==;", "", "bh="),
            (" b=c2lnbmF0dXJl", "", "b="),
        ]
    ),
    Case(
        "DKIM-Signature does not sign From",
        signed(("from:", "")),
        signed(("from:", " From : ")),
        "error",
        "“example.com”",
    ),
    Case("DKIM-Signature with SHA-1", signed(("sha256", "sha1")), signed(("rsa-", "ed25519-")), "error"),
    Case(
        "Bcc left in the message", mail({"Bcc": "eve@example.org"}), mail({"Bcc": ""}), "warning", "“eve@example.org”"
    ),
    Case("No Message-ID field", mail(without="Message-ID"), mail(), "warning"),
    Case(
        "Message-ID without @",
        mail({"Message-ID": "<1>"}),
        mail({"Message-ID": "<1.2@[10.0.0.1]>"}),
        "warning",
        "“<1>”",
    ),
    Case(
        "Message-ID without @",
        mail({"Message-ID": "1@example.com"}),
        mail({"Message-ID": "(c) <1@localhost>"}),
        "warning",
    ),
    Case(
        "Date far from now",
        mail({"Date": "Sun, 29 Jun 2025 08:59:59 +0000"}),
        mail({"Date": "Mon, 30 Jun 2025 09:00:00 +0000"}),
        "warning",
        "2 days before",
    ),
    Case(
        "Date far from now",
        mail({"Date": "Wed, 02 Jul 2025 09:00:01 +0000"}),
        mail({"Date": "Wed, 02 Jul 2025 11:00:00 +0200"}),
        "warning",
        "1 day after",
    ),
    Case("No recipient in the header", mail(without="To"), mail({"Cc": "bob@example.org"}, without="To"), "warning"),
    Case("No recipient in the header", mail(without="To"), mail({"To": "undisclosed-recipients:;"}), "warning"),
    Case("Eight-bit body not declared", mail(body=UPPER), typed("text/plain; charset=utf-8", UPPER, "8bit"), "warning"),
    Case(
        "Eight-bit body not declared",
        typed("text/plain; charset=utf-8", UPPER, "7bit"),
        typed("text/plain; charset=utf-8", UPPER, "binary"),
        "warning",
        "says “7bit”",
    ),
    Case(
        "Eight-bit body not declared",
        multipart(TEXT, b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + UPPER),
        multipart(TEXT, b"Content-Transfer-Encoding: 8bit\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + UPPER),
        "warning",
        "part 2",
    ),
    Case(
        "Quoted-printable broken",
        typed("text/plain", b"a=b\r\n", "quoted-printable"),
        typed("text/plain", b"a=3Db= \r\nc=\r\n", "quoted-printable"),
        "warning",
    ),
    Case(
        "Unknown charset",
        typed("text/plain; charset=klingon"),
        typed("text/plain; charset=utf-8"),
        "warning",
        "“klingon”",
    ),
    Case("Unknown charset", typed("text/plain; charset=hex"), typed("text/plain; charset=US-ASCII"), "warning"),
    Case("Unknown charset", typed('text/plain; charset="utf 8"'), typed("image/x; charset=klingon"), "warning"),
    Case("No MIME-Version field", mail({"Content-Type": "text/plain"}), typed("text/plain"), "warning"),
    Case(
        "Return-Path before delivery",
        mail({"Return-Path": "<ann@example.com>"}),
        mail({"Reply-To": "<ann@example.com>"}),
        "warning",
    ),
    *(
        Case(
            "Attached program",
            attached(f'attachment; filename="{wrong}"'),
            attached(f"attachment; filename={right}"),
            "warning",
            wrong,
        )
        for wrong, right in [
            ("a.exe", "a.exe.txt"),
            ("report.pdf.JS", "report.js.pdf"),
            ("a.scr.", "exe"),
            ("a.lnk ..", "a.json"),
            ("a b.ps1", "a.ps"),
        ]
    ),
    Case(
        "Signed by another domain",
        signed(("=example.com", "=mailer.example")),
        signed(),
        "warning",
        "by “mailer.example”",
    ),
    Case(
        "Signed by another domain",
        signed(("=example.com", "=notexample.com")),
        signed(("=example.com", "=mail.Example.COM")),
        "warning",
    ),
    Case(
        "Signed by another domain",
        mail({"From": "ann@shop.co.uk", "DKIM-Signature": SIGNATURE.replace("example.com", "other.co.uk")}),
        mail({"From": "ann@a.shop.co.uk", "DKIM-Signature": SIGNATURE.replace("example.com", "b.shop.co.uk")}),
        "warning",
    ),
    Case(
        "Signed by another domain",
        signed(("=example.com", "=one.example")),
        mail({"DKIM-Signature": SIGNATURE.replace("example.com", "one.example")}, b"", f"DKIM-Signature: {SIGNATURE}"),
        "warning",
    ),
    Case(
        "Signed by another domain",
        mail({"From": "ann@xn--bcher-kva.example"}),
        mail(
            {
                "From": "=?utf-8?q?Ann?= <ann@xn--bcher-kva.example>",
                "DKIM-Signature": SIGNATURE.replace("example.com", "m.xn--bcher-kva.example"),
            }
        ),
        "warning",
    ),
    Case(
        "DKIM-Signature with length",
        signed(("s=key1;", "s=key1; l=100;")),
        signed(("s=key1;", "s=key1; x=100;")),
        "warning",
    ),
    *(
        Case("Bulk mail without List-Unsubscribe", mail({name: value}), mail({name: value, **BULK}), "warning")
        for name, value in [("Precedence", "bulk"), ("Precedence", "List"), ("List-Id", "<news.example.com>")]
    ),
    Case(
        "Bulk mail without List-Unsubscribe",
        mail({"Precedence": "bulk"}),
        mail({"Precedence": "first-class"}),
        "warning",
    ),
    Case(
        "HTML without text",
        typed("text/html", b"<p>Shall we?\r\n"),
        multipart(TEXT, b"Content-Type: text/html\r\n\r\n<p>Shall we?", kind="alternative"),
        "warning",
    ),
    Case(
        "HTML without text",
        multipart(b"\r\n", b"Content-Type: text/html\r\n\r\n<p>Shall we?", kind="alternative"),
        multipart(TEXT, b"Content-Type: text/html\r\nContent-Disposition: attachment\r\n\r\n<p>Shall we?"),
        "warning",
    ),
    Case("Very many recipients", mail({"To": people(101)}), mail({"To": people(100)}), "warning", "101 recipients"),
    Case(
        "Very many recipients",
        mail({"To": people(50), "Cc": people(51)}),
        mail({"To": people(50), "Cc": people(50)}),
        "warning",
    ),
    Case("No DKIM-Signature", mail(without="DKIM-Signature"), mail(), "hint"),
    Case(
        "Envelope of another domain", mail(), mail(), "hint", "SPF", "bounce@mailer.example", (), "bounce@m.example.com"
    ),
    Case("Envelope of another domain", mail(), mail(), "hint", "“example.net”", "ann@example.net", (), ""),
    Case(
        "Recipients not in the header",
        mail({"To": "carol@example.org"}),
        mail({"To": "carol@example.org", "Cc": "BOB@example.org"}),
        "hint",
        recipients=("bob@example.org",),
    ),
    Case(
        "Recipients not in the header",
        mail({"To": "carol@example.org"}),
        mail({"To": "list@example.com", "List-Id": "<list.example.com>", **BULK}),
        "hint",
        recipients=("bob@example.org",),
    ),
    Case("No subject", mail({"Subject": ""}), mail({"Subject": "."}), "hint", "is empty"),
    Case("No subject", mail(without="Subject"), mail(), "hint", "no Subject field"),
    Case(
        "No unsubscribing with one click",
        mail({"List-Id": "<a>", "List-Unsubscribe": "<mailto:u@example.com>"}),
        mail({"List-Unsubscribe": "<mailto:u@example.com>"}),
        "hint",
    ),
    Case(
        "No unsubscribing with one click",
        mail({"List-Id": "<a>", "List-Unsubscribe": "<https://example.com/u>"}),
        mail({"List-Id": "<a>", **BULK}),
        "hint",
    ),
    *(
        Case("HTML with scripts, forms or frames", html(wrong), html(right), "hint", said)
        for wrong, right, said in [
            ("<script>x()</script>", "<scripture>", "<script>"),
            ("<FORM action=x><p></FORM><form>", "a form", "has <form>. "),
            ("<iframe src=x></iframe><object>", "&lt;iframe>", "<iframe>, <object>"),
        ]
    ),
    *(
        Case("HTML that loads from elsewhere", html(wrong), html(right), "hint", "loads 1 thing ")
        for wrong, right in [
            ('<img src="https://example.com/a.png">', '<img src="cid:a">'),
            ("<IMG alt=x SRC = http://example.com/a>", '<a href="https://example.com/">'),
            ("<img width=1 src='//example.com/a'>", "<img data-src='//example.com/a'>"),
            ("<img srcset=https://example.com/a>", "<img src=data:image/png;base64,eA==>"),
            ("<link rel=stylesheet href=https://example.com/a.css>", "see https://example.com/a.css"),
            ("<td background=https://example.com/a>", "<td title=https://example.com/a>"),
            ("<p style=\"background: url( 'https://example.com/a')\">", '<p style="background: url(cid:a)">'),
        ]
    ),
    Case("Long line in the header", mail({"X-Note": "x" * 71}), mail({"X-Note": "x" * 70}), "hint", "79 characters"),
    Case(
        "Long line in the header",
        mail({"X-Note": "word " * 20}),
        mail({"X-Note": "word " * 10 + "\r\n " + "word " * 10}, b"x" * 90 + b"\r\n"),
        "hint",
    ),
]
IDS = [f"{case.title}-{number}" for number, case in enumerate(CASES)]


def titles(checks: list[Check]) -> list[str]:
    return [check.title for check in checks]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_what_is_wrong_is_said_and_nothing_else(case: Case) -> None:
    checks = check_letter(case.wrong, case.sender, case.recipients, now=NOW)
    assert titles(checks) == [case.title]
    assert checks[0].level == case.level
    assert case.said in checks[0].detail


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_what_is_right_is_passed_over(case: Case) -> None:
    sender = case.sender if case.right_sender is None else case.right_sender
    assert check_letter(case.right, sender, case.recipients, now=NOW) == []


def test_each_check_has_a_case() -> None:
    assert {case.title for case in CASES} == {rule.title for rule in letter_checks._RULES}


def test_no_two_checks_have_one_title() -> None:
    assert len({rule.title for rule in letter_checks._RULES}) == len(letter_checks._RULES)


def test_a_clean_message_with_all_that_mail_has() -> None:
    raw = multipart(
        b"Content-Type: multipart/alternative; boundary=i\r\n\r\n"
        b"--i\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        b"caf=C3=A9\r\n"
        b"--i\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        b'<p>caf\xc3\xa9<a href="https://example.com/">more</a>\r\n'
        b"--i--",
        b"Content-Type: application/pdf; name=menu.pdf\r\nContent-Disposition: attachment; filename=menu.pdf\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\nJVBERg==",
    )
    assert check_letter(raw, "ann@example.com", ("bob@example.org",), now=NOW) == []


def test_the_most_serious_stands_first() -> None:
    levels = [check.level for check in check_letter(b"X-Note: " + b"x" * 999 + b"\n\na\0", now=NOW)]
    assert levels == sorted(levels, key=["error", "warning", "hint"].index)
    assert set(levels) == {"error", "warning", "hint"}


def test_an_empty_message() -> None:
    assert titles(check_letter(b"")) == [
        "No From field",
        "No Date field",
        "No Message-ID field",
        "No recipient in the header",
        "No DKIM-Signature",
        "No subject",
    ]


def test_a_message_just_written_is_not_far_from_now() -> None:
    date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
    assert check_letter(mail({"Date": date})) == []
    old = (datetime.now(UTC) - timedelta(days=10)).strftime("%a, %d %b %Y %H:%M:%S +0000")
    assert titles(check_letter(mail({"Date": old}))) == ["Date far from now"]


def test_a_bounce_has_no_sender_that_could_be_aligned() -> None:
    assert check_letter(mail(), "", ("bob@example.org",), now=NOW) == []
    assert check_letter(mail(), "<>", now=NOW) == []


def test_domains_in_unicode_and_in_ascii_are_the_same() -> None:
    raw = mail(
        {"From": "ann@bücher.example", "DKIM-Signature": SIGNATURE.replace("example.com", "xn--bcher-kva.example")}
    )
    assert titles(check_letter(raw, now=NOW)) == ["Header needs SMTPUTF8"]


@pytest.mark.parametrize(
    ("domain", "organisation"),
    [
        ("example.com", "example.com"),
        ("a.b.Example.com.", "example.com"),
        ("a.example.co.uk", "example.co.uk"),
        ("a.example.com.au", "example.com.au"),
        ("a.example.co.jp", "example.co.jp"),
        ("co.uk", "co.uk"),
        ("localhost", "localhost"),
        ("", ""),
    ],
)
def test_organisational_domains(domain: str, organisation: str) -> None:
    assert letter_checks._organisation(domain) == organisation


def test_a_message_nested_too_deep_to_be_read_is_not_called_broken() -> None:
    raw = TEXT
    for n in range(30):
        raw = b"Content-Type: multipart/mixed; boundary=b%d.\r\n\r\n--b%d.\r\n%b\r\n--b%d.--\r\n" % (n, n, raw, n)
    assert check_letter(b"MIME-Version: 1.0\r\n" + mail({}, b"").removesuffix(b"\r\n") + raw, now=NOW) == []


def test_many_things_are_counted_and_not_all_named() -> None:
    parts = [b"Content-Disposition: attachment; filename=%d.exe\r\n\r\nx" % n for n in range(500)]
    (check,) = check_letter(multipart(TEXT, *parts), now=NOW)
    assert "“0.exe”, “1.exe”, “2.exe” and 497 more" in check.detail


@pytest.mark.parametrize("rule", letter_checks._RULES, ids=lambda rule: rule.title)
def test_sentences(rule: letter_checks._Rule) -> None:
    assert re.fullmatch(r"(RFC \d{4} section \d+(\.\d+)*)?", rule.ref)
    assert re.fullmatch(r"[A-Z].*\.", rule.remedy)
    assert not rule.title.endswith(".")


PIECES = st.sampled_from(
    [
        *(f"{name}: {value}\r\n".encode() for name, value in FIELDS.items()),
        b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: text/html; charset=", b"utf-16\r\n",
        b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n", b"List-Id: a\r\n",
        b"Bcc: ", b"Return-Path: ", b"DKIM-Signature: v=1; d=", b"l=1;", b"filename=a.exe", b"Content-Disposition: a;",
        b"--b", b"--b--", b"--", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\x00", b"\x1b[31m", b"\xff", b"\xc3\xa9", b"=",
        b"=3", b"\xe2\x80\xae", b"\xed\xa0\x80", b"<img src=//a>", b"<script", b"url(//", b"@", b"<", b">", b" ",
        b"x" * 1000, b"From: a@\xc3\xa9..\xe3\x80\x82", b"From: a@" + b"\xc3\xa9" * 100 + b".example\r\n",
        b"Date: Fri, 31 Dec 9998 23:59:59 -1200\r\n", b"Date: Mon, 1 Jan 1900 00:00:00 +1200\r\n",
    ]
)  # fmt: skip


@given(
    st.one_of(st.binary(max_size=400), st.lists(PIECES, max_size=40).map(b"".join)),
    st.text(max_size=40),
    st.lists(st.text(max_size=20), max_size=3).map(tuple),
)
@settings(max_examples=400, deadline=None)
def test_any_octets_can_be_checked(raw: bytes, sender: str, recipients: tuple[str, ...]) -> None:
    checks = check_letter(raw, sender, recipients, now=NOW)
    assert len(set(titles(checks))) == len(checks)
    for check in checks:
        # What a message says is quoted, so it must neither break the line nor turn it around.
        assert check.detail.isprintable()
        assert len(check.detail) < 1000


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "fields": lambda n: b"a: b\r\n" * n,
    "eight-bit fields": lambda n: b"a: \xff\r\n" * n,
    "signatures": lambda n: b"DKIM-Signature: d=a\r\n" * n,
    "tags": lambda n: b"DKIM-Signature: " + b"a=b; " * n + b"\r\n\r\n",
    "labels": lambda n: b"From: a@" + b"a." * n + b"\r\nDKIM-Signature: d=" + b"\xc3\xa9." * n + b"\r\n\r\n",
    "lines": lambda n: b"\r\n" * n,
    "long lines": lambda n: (b"x" * 998 + b"\r\n") * (n // 100),
    "a long line": lambda n: b"\r\n" + b"x" * n,
    "feeds": lambda n: b"\r\n" + b"\n" * n,
    "returns": lambda n: b"\r\n" + b"\r" * n,
    "parts": lambda n: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * n,
    "images": lambda n: b"Content-Type: text/html\r\n\r\n" + b"<img " * n,
    "attributes": lambda n: b"Content-Type: text/html\r\n\r\n<img " + b"src=" * n,
    "spaces": lambda n: b"Content-Type: text/html\r\n\r\n<img src" + b" " * n,
    "styles": lambda n: b"Content-Type: text/html\r\n\r\n" + b"url(   " * n,
    "quoted": lambda n: b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=" + b" " * n + b"=" * n,
    "base64": lambda n: b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=" * n,
    "identifiers": lambda n: b"Message-ID: " + b"<" * n + b"\r\nMessage-ID: " + b"<a@" * n + b"\r\n\r\n",
}


def work(raw: bytes) -> int:
    """How many functions are called, in Python and in C: what a machine's speed does not change."""
    count = 0

    def tell(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    check_letter(raw, now=NOW)  # What is only done once shall not count.
    old = sys.getprofile()
    sys.setprofile(tell)
    try:
        check_letter(raw, now=NOW)
    finally:
        sys.setprofile(old)
    return count


@pytest.mark.parametrize("kind", HOSTILE)
def test_twice_the_message_is_no_more_than_twice_the_work(kind: str) -> None:
    assert work(HOSTILE[kind](800)) <= 2.2 * work(HOSTILE[kind](400)) + 50


@pytest.mark.parametrize("kind", HOSTILE)
def test_megabytes_of_it(kind: str) -> None:
    """What grows with the square does not end before the test is stopped."""
    one = len(HOSTILE[kind](1000)) / 1000
    check_letter(HOSTILE[kind](int(4_000_000 / one)), now=NOW)
