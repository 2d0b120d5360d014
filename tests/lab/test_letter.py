"""A message is any octets whatever: what is read out of it is right if it can be read, and harmless if it cannot."""

import base64
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehlo import mime
from ehlo.lab import letter
from ehlo.lab.letter import (
    MAX_LOOK,
    MAX_SNIPPET,
    Letter,
    Part,
    html_document,
    part_content,
    read_letter,
    search_text,
    summarize,
)
from ehlo.mime import (
    MAX_DEPTH,
    MAX_HEADER,
    MAX_PARTS,
    Person,
    clean,
    decode_base64,
    decode_text,
    decode_words,
    find_codec,
    plain_text,
    read_date,
    read_header,
    read_parameters,
    read_people,
    walk,
)

#: What no result may have: a terminal or a page would do as it says.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def wire(text: str) -> bytes:
    """A message as it comes over the wire, from lines as they are written here."""
    return text.lstrip("\n").replace("\n", "\r\n").encode()


NEWSLETTER = wire("""
From: "Zoë at the shop" <zoe@shop.example>
To: Ann <ann@example.com>, bob@example.com
Cc: =?utf-8?q?Caf=C3=A9?= <cafe@example.com>
Bcc: hidden@example.com
Reply-To: answers@shop.example
Return-Path: <bounce@shop.example>
Message-ID: <n1@shop.example>
Date: Tue, 01 Jul 2025 10:52:37 +0200
Subject: =?utf-8?b?R3LDvMOfZQ==?= from
 the shop
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="outer"

Nobody reads this.
--outer
Content-Type: multipart/related; boundary="middle"

--middle
Content-Type: multipart/alternative; boundary="inner"

--inner
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Buy a caf=C3=A9=
 today.
--inner
Content-Type: text/html; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

<p>Buy a caf=E9</p><img src=3D"cid:logo@shop">
--inner--

--middle
Content-Type: image/png; name="logo.png"
Content-ID: <logo@shop>
Content-Transfer-Encoding: base64

aW1hZ2U=
--middle--

--outer
Content-Type: application/pdf
Content-Disposition: attachment; filename*0*=UTF-8''%E2%82%AC%20pri;
 filename*1="ces.pdf"
Content-Transfer-Encoding: base64

cHJp
Y2Vz
--outer--
Nor this.
""")


class TestANewsletter:
    """One message with all that a real one has."""

    def test_summary(self) -> None:
        assert summarize(NEWSLETTER) == letter.Summary(
            message_id="n1@shop.example",
            subject="Grüße from the shop",
            sender=Person("Zoë at the shop", "zoe@shop.example"),
            to=(Person("Ann", "ann@example.com"), Person("", "bob@example.com")),
            cc=(Person("Café", "cafe@example.com"),),
            bcc=(Person("", "hidden@example.com"),),
            reply_to=(Person("", "answers@shop.example"),),
            date=datetime(2025, 7, 1, 8, 52, 37, tzinfo=UTC),
            attachments=1,
            snippet="Buy a café today.",
        )

    def test_letter(self) -> None:
        read = read_letter(NEWSLETTER)
        assert read.summary == summarize(NEWSLETTER)
        assert read.return_path == "bounce@shop.example"
        assert read.text == "Buy a café today."
        assert read.html == '<p>Buy a café</p><img src="cid:logo@shop">'
        assert read.attachments == (Part("2", "€ prices.pdf", "application/pdf", "", 6, False),)
        assert read.inline == (Part("1.2", "logo.png", "image/png", "logo@shop", 5, True),)
        assert ("Subject", "Grüße from the shop") in read.headers
        assert [name for name, _ in read.headers[:3]] == ["From", "To", "Cc"]

    def test_part_content(self) -> None:
        assert part_content(NEWSLETTER, "2") == ("application/pdf", "€ prices.pdf", b"prices")
        assert part_content(NEWSLETTER, "1.2") == ("image/png", "logo.png", b"image")
        text = part_content(NEWSLETTER, "1.1.1")
        assert text is not None
        assert text[2] == "Buy a café today.".encode()

    @pytest.mark.parametrize("part_id", ["", "1", "1.1", "3", "2.1", "0", "-1", "x", "1.1.1.1"])
    def test_what_is_no_part_has_no_content(self, part_id: str) -> None:
        assert part_content(NEWSLETTER, part_id) is None

    def test_places_in_the_tree(self) -> None:
        assert [(entity.id, entity.content_type, entity.closed) for entity in walk(NEWSLETTER)] == [
            ("", "multipart/mixed", True),
            ("1", "multipart/related", True),
            ("1.1", "multipart/alternative", True),
            ("1.1.1", "text/plain", True),
            ("1.1.2", "text/html", True),
            ("1.2", "image/png", True),
            ("2", "application/pdf", True),
        ]

    @pytest.mark.parametrize(
        "searched",
        [
            "Grüße",
            "Zoë",
            "zoe@shop.example",
            "Café",
            "hidden@",
            "answers@",
            "n1@shop",
            "café today",
            "€ prices",
            "logo.png",
        ],
    )
    def test_search_finds(self, searched: str) -> None:
        assert searched in search_text(NEWSLETTER)

    @pytest.mark.parametrize("searched", ["<p>", "cid:", "cHJp", "Nobody reads", "Nor this", "boundary", "prices\n\n"])
    def test_search_does_not_find(self, searched: str) -> None:
        assert searched not in search_text(NEWSLETTER)

    def test_html_document(self) -> None:
        asked: list[str] = []

        def cid_url(content_id: str) -> str:
            asked.append(content_id)
            return "/parts/1.2"

        assert html_document(read_letter(NEWSLETTER), cid_url) == '<p>Buy a café</p><img src="/parts/1.2">'
        assert asked == ["logo@shop"]


class TestHeader:
    def test_fields_are_unfolded(self) -> None:
        header = read_header(b"A: 1\r\n 2\r\n\t3\r\nB:4\r\n\r\nbody: no")
        assert header.fields == (("A", b"1 2\t3"), ("B", b"4"))
        assert header.stray is None
        assert header.end == len(b"A: 1\r\n 2\r\n\t3\r\nB:4\r\n\r\n")

    def test_names_are_found_whatever_their_case(self) -> None:
        header = read_header(b"SUBJECT: a\r\nsubject : b\r\n\r\n")
        assert header.first("subject") == "a"
        assert header.all("subject") == ["a", "b"]
        assert header.first("to") == ""

    def test_a_line_that_is_no_field_ends_it(self) -> None:
        raw = b"A: 1\r\nDear Ann,\r\nB: 2\r\n"
        header = read_header(raw)
        assert header.fields == (("A", b"1"),)
        assert header.stray == header.end == 6
        assert read_letter(raw).text == "Dear Ann,\nB: 2\n"

    def test_the_first_line_of_an_mbox_is_passed_over(self) -> None:
        assert read_header(b"From ann@example.com Tue Jul  1\r\nA: 1\r\n\r\n").fields == (("A", b"1"),)

    @pytest.mark.parametrize("end", [b"\n", b"\r\n"])
    def test_either_line_end_will_do(self, end: bytes) -> None:
        raw = end.join([b"Subject: a", b"", b"text", b""])
        assert summarize(raw).subject == "a"
        assert read_letter(raw).text == "text\n"

    def test_without_a_body(self) -> None:
        assert summarize(b"Subject: a").subject == "a"
        assert read_letter(b"Subject: a").text == ""
        assert read_letter(b"") == read_letter(b"\r\n")

    @pytest.mark.parametrize("pad", range(8))
    def test_the_body_is_found_behind_a_header_that_is_too_long(self, pad: int) -> None:
        # The limit falls within a line, at its end, and right before the empty line.
        line = b"X: " + b"x" * 59 + b"\r\n"
        header = b"P:" + b"p" * (pad + 30) + b"\r\n" + line * (MAX_HEADER // len(line))
        for more in (b"", line, line * 3):
            raw = header + more + b"\r\nthe body\r\n\r\nand more"
            assert raw[read_header(raw).end :] == b"the body\r\n\r\nand more"

    def test_a_header_that_ends_right_at_the_limit(self) -> None:
        raw = b"X: " + b"x" * (MAX_HEADER - 4) + b"\r\n" + b"\r\nthe body\r\n\r\nand more"
        assert raw[read_header(raw).end :] == b"the body\r\n\r\nand more"


class TestWords:
    @pytest.mark.parametrize(
        ("encoded", "decoded"),
        [
            ("plain", "plain"),
            ("=?utf-8?q?caf=C3=A9_au_lait?=", "café au lait"),
            ("=?UTF-8?B?Y2Fmw6k=?=", "café"),
            ("=?iso-8859-1?Q?caf=E9?= and more", "café and more"),
            ("=?utf-8*fr?q?caf=C3=A9?=", "café"),  # RFC 2231 §5
            ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),  # RFC 2047 §6.2
            ("=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b"),
            ("=?utf-8?q?caf=C3?= =?utf-8?q?=A9?=", "café"),  # cut within a character
            ("=?utf-8?b?Y2Fmw6k?=", "café"),  # no padding
            ("=?koi8-r?b?8NLJ18XU?=", "Привет"),
            ("=?shift_jis?b?k/qWew==?=", "日本"),
            ("=?gb2312?b?1tDOxA==?=", "中文"),
            ("=?no-such?q?caf=C3=A9?=", "café"),
            ("=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
            ("=?utf-8?q?never ends", "=?utf-8?q?never ends"),
            ("a =? b ?= c", "a =? b ?= c"),
        ],
    )
    def test_decoded(self, encoded: str, decoded: str) -> None:
        assert decode_words(encoded) == decoded


class TestCharsets:
    @pytest.mark.parametrize(
        ("octets", "charset", "text"),
        [
            (b"caf\xc3\xa9", "utf-8", "café"),
            (b"caf\xc3\xa9", "", "café"),
            (b"caf\xe9", "", "café"),
            (b"\xe9", "", "é"),
            (b"\xc3\xa9\xe2\x82", "", "é"),  # cut off within a character
            (b"caf\xe9", "us-ascii", "café"),  # what it says is known to be wrong
            (b"\x93quoted\x94", "iso-8859-1", "“quoted”"),
            (b"\xef\xbb\xbfa", "utf-8", "a"),
            (b"\xff\xfea\x00", "utf-16", "a"),
            (b"caf\xe9", '"Latin1"', "café"),
            (b"\xd0\xd2", "KOI8-U", "пр"),
            (b"\xe1\xe0", "windows-1255", "בא"),
            (b"\xe1\xe0", "iso-8859-8-i", "בא"),
            (b"caf\xff\xff", "utf-8", "caf\ufffd\ufffd"),
            (b"caf\xc3\xa9", "x-unknown", "café"),
            (b"4142", "hex", "4142"),
            (b"uryyb", "rot13", "uryyb"),
            (b"\\u0041", "unicode_escape", "\\u0041"),
            (b"a", "undefined", "a"),
            (b"a", "../../etc/passwd", "a"),
            (b"a", "utf-8\0", "a"),
        ],
    )
    def test_decoded(self, octets: bytes, charset: str, text: str) -> None:
        assert decode_text(octets, charset) == text

    @pytest.mark.parametrize(
        ("charset", "codec"),
        [
            ("UTF-8", "utf-8"),
            ("us-ascii", "ascii"),
            ("ANSI_X3.4-1968", "ascii"),
            ("iso-8859-15", "iso8859-15"),
            ("latin1", "cp1252"),
            ("koi8-u", "koi8-u"),
            ("utf-8-sig", "utf-8-sig"),
            ("", ""),
            ("klingon", ""),
            ("hex", ""),
            ("base64", ""),
            ("idna", ""),
            ("punycode", ""),
            ("aliases", ""),
            ("é", ""),
            ("a" * 1000, ""),
        ],
    )
    def test_codec(self, charset: str, codec: str) -> None:
        assert find_codec(charset) == codec

    def test_unknown_charsets_leave_nothing_behind(self) -> None:
        """Python remembers each name that it looked for in vain: a message must not fill the memory with them."""
        import encodings

        remembered = encodings._cache
        before = len(remembered)
        decode_words(" ".join(f"=?never-heard-of-{n}?q?a?=" for n in range(50)))
        assert len(remembered) == before


class TestBase64:
    @pytest.mark.parametrize(
        ("encoded", "octets"),
        [
            (b"", b""),
            (b"YWJj", b"abc"),
            (b"YW\r\nJj\r\n", b"abc"),
            (b"YWI=", b"ab"),
            (b"YWI", b"ab"),
            (b"YWJjZ", b"abc"),
            (b"Y!W*Jj", b"abc"),
            (b"YWI=\r\n--\r\nan advertisement", b"ab"),
            (b"====", b""),
        ],
    )
    def test_decoded(self, encoded: bytes, octets: bytes) -> None:
        assert decode_base64(encoded) == octets


class TestParameters:
    @pytest.mark.parametrize(
        ("value", "parameters"),
        [
            ("", {}),
            ("text/plain", {}),
            ("text/plain; charset=UTF-8", {"charset": "UTF-8"}),
            ('a/b; BOUNDARY="a;b=c"; x=y', {"boundary": "a;b=c", "x": "y"}),
            ('a/b; name="a \\"b\\" c"', {"name": 'a "b" c'}),
            ('a/b; name="C:\\dir\\a.txt"', {"name": "C:\\dir\\a.txt"}),
            ("a/b; name = spaced ; x=1", {"name": "spaced", "x": "1"}),
            ("a/b; name=not quoted.txt", {"name": "not quoted.txt"}),
            ("a/b; name=first; name=second", {"name": "first"}),
            ('a/b; name=""', {"name": ""}),
            ('a/b; name="x" rubbish; y=1', {"name": "x", "y": "1"}),
            ("a/b; alone; ; =; x=1", {"x": "1"}),
            # RFC 2231 §3, §4, §4.1
            ("a/b; name*0=one; name*1=two", {"name": "onetwo"}),
            ("a/b; name*1=two; name*0=one", {"name": "onetwo"}),
            ("a/b; name*=utf-8''caf%C3%A9", {"name": "café"}),
            ("a/b; name*=iso-8859-1'fr'caf%E9", {"name": "café"}),
            ("a/b; name=cafe; name*=utf-8''caf%C3%A9", {"name": "café"}),
            ("a/b; name*0*=utf-8''caf%C3; name*1*=%A9; name*2=\" %41\"", {"name": "café %41"}),
            ("a/b; name*=no-such''caf%C3%A9", {"name": "café"}),
            # Not allowed by RFC 2047 §5, and done by many.
            ('a/b; name="=?utf-8?q?caf=C3=A9?="', {"name": "café"}),
        ],
    )
    def test_read(self, value: str, parameters: dict[str, str]) -> None:
        assert read_parameters(value) == parameters

    def test_what_would_break_the_standard_parser(self) -> None:
        assert read_parameters("a/b; x*" + "9" * 5000 + "=a; y=b") in ({}, {"y": "b"})


class TestPeople:
    @pytest.mark.parametrize(
        ("value", "people"),
        [
            ("", []),
            ("ann@example.com", [("", "ann@example.com")]),
            ("<ann@example.com>", [("", "ann@example.com")]),
            ("Ann <ann@example.com>", [("Ann", "ann@example.com")]),
            ('"Ann, Dr." <ann@example.com>', [("Ann, Dr.", "ann@example.com")]),
            ('"Ann \\"A\\" B" <ann@example.com>', [('Ann "A" B', "ann@example.com")]),
            ("ann@example.com (Ann (really))", [("Ann (really)", "ann@example.com")]),
            ("a@example.com, b@example.com;c@example.com", [("", f"{c}@example.com") for c in "abc"]),
            ("Team: a@example.com, B <b@example.com>;", [("", "a@example.com"), ("B", "b@example.com")]),
            ("undisclosed-recipients:;", []),
            ("<@relay.example,@other.example:ann@example.com>", [("", "ann@example.com")]),
            ('"ann smith"@example.com', [("", '"ann smith"@example.com')]),
            ("Ann ann@example.com", [("Ann", "ann@example.com")]),
            ("ann@[IPv6:2001:db8::1]", [("", "ann@[IPv6:2001:db8::1]")]),
            ("=?utf-8?q?Zo=C3=AB?= <zoe@example.com>", [("Zoë", "zoe@example.com")]),
            ('"=?utf-8?q?Zo=C3=AB?=" <zoe@example.com>', [("Zoë", "zoe@example.com")]),
            ("Ann <ann@example.com", [("Ann", "ann@example.com")]),
            ("root", [("", "root")]),
            ("Ann Smith", [("Ann Smith", "")]),
            ('"ann smith" <"ann smith"@example.com>', [("ann smith", '"ann smith"@example.com')]),
            ("< ann @ example.com >", [("", "ann@example.com")]),
            ("Ann <>", [("Ann", "")]),
            ("<>", []),
            (",,;,", []),
            ('"never closed', [("never closed", "")]),
            ("ann@example.com (never closed", [("never closed", "ann@example.com")]),
        ],
    )
    def test_read(self, value: str, people: list[tuple[str, str]]) -> None:
        assert read_people(value) == tuple(Person(*person) for person in people)

    def test_names_over_several_lines_stand_in_one(self) -> None:
        raw = b"To: Ann\r\n\tSmith\r\n  <ann@example.com>,\r\n bob@example.com\r\n\r\n"
        assert summarize(raw).to == (Person("Ann Smith", "ann@example.com"), Person("", "bob@example.com"))

    def test_fields_that_stand_twice_are_both_read(self) -> None:
        assert len(summarize(b"To: a@example.com\r\nTo: b@example.com\r\n\r\n").to) == 2

    def test_without_from_the_sender_field_counts(self) -> None:
        assert summarize(b"Sender: a@example.com\r\n\r\n").sender == Person("", "a@example.com")
        assert summarize(b"").sender == Person("", "")


class TestDate:
    def test_read(self) -> None:
        date = read_date("Tue, 1 Jul 2025 10:52:37 -0700 (PDT)")
        assert date == datetime(2025, 7, 1, 17, 52, 37, tzinfo=UTC)
        assert date.utcoffset() == timedelta(hours=-7)

    def test_an_unknown_zone_is_utc(self) -> None:
        date = read_date("Tue, 1 Jul 2025 10:52:37 -0000")
        assert date is not None
        assert date.tzinfo is not None

    @pytest.mark.parametrize(
        "value",
        ["", "yesterday", "Tue, 32 Jul 2025 10:00:00 +0000", "1 Jan 1066 00:00:00 +0000", "1 Jul 2025 1:1:1 +9999"],
    )
    def test_what_is_no_date(self, value: str) -> None:
        assert read_date(value) is None

    @given(st.text())
    def test_any_date_can_be_moved_to_any_zone(self, value: str) -> None:
        if date := read_date(value):
            date.astimezone(UTC)


def multipart(kind: str, *parts: str, boundary: str = "b") -> bytes:
    body = "".join(f"--{boundary}\n{part}\n" for part in parts)
    return wire(f"Content-Type: multipart/{kind}; boundary={boundary}\n\n{body}--{boundary}--\n")


class TestStructure:
    def test_a_single_body_is_part_1(self) -> None:
        raw = wire("Content-Type: application/zip; name=a.zip\nContent-Transfer-Encoding: base64\n\nemlw\n")
        assert read_letter(raw).attachments == (Part("1", "a.zip", "application/zip", "", 3, False),)
        assert part_content(raw, "1") == ("application/zip", "a.zip", b"zip")
        assert part_content(raw, "") is None

    def test_the_line_end_before_a_boundary_belongs_to_the_boundary(self) -> None:
        raw = multipart("mixed", "\none\n", "\ntwo")
        assert [part_content(raw, n) for n in "12"] == [("text/plain", "", b"one\r\n"), ("text/plain", "", b"two")]

    def test_a_part_may_be_empty(self) -> None:
        raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n\r\n--b--\r\n"
        assert [part_content(raw, n) for n in "12"] == [("text/plain", "", b"")] * 2

    def test_a_boundary_that_begins_with_another(self) -> None:
        inner = "Content-Type: multipart/mixed; boundary=bb\n\n--bb\n\ninner\n--bb--\n"
        raw = multipart("mixed", inner, "\nouter")
        assert [entity.id for entity in walk(raw)] == ["", "1", "1.1", "2"]
        assert read_letter(raw).text == "inner\nouter"

    def test_a_boundary_within_a_line_is_none(self) -> None:
        assert read_letter(multipart("mixed", "\nsee --b\nand --b--x")).text == "see --b\nand --b--x"

    def test_white_space_after_a_boundary_does_not_matter(self) -> None:
        raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b \t\r\n\r\none\r\n--b-- \r\nafter"
        assert read_letter(raw).text == "one"

    def test_a_multipart_that_is_not_closed(self) -> None:
        raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo"
        assert read_letter(raw).text == "one\ntwo"
        assert not walk(raw)[0].closed

    @pytest.mark.parametrize("parameter", ["", "; boundary=", '; boundary=""', "; boundary=other"])
    def test_a_multipart_that_cannot_be_cut_is_read_as_text(self, parameter: str) -> None:
        raw = wire(f"Content-Type: multipart/mixed{parameter}\n\n--b\n\none\n--b--\n")
        assert read_letter(raw).text == "--b\n\none\n--b--\n"

    def test_a_digest_holds_messages(self) -> None:
        raw = multipart("digest", "\nSubject: inner\n\nhello")
        assert [(part.content_type, part.id) for part in read_letter(raw).attachments] == [("message/rfc822", "1")]
        assert summarize(raw).subject == ""

    def test_a_message_within_is_an_attachment(self) -> None:
        raw = multipart("mixed", "\nsee below", "Content-Type: message/rfc822\n\nSubject: inner\n\nhidden")
        assert read_letter(raw).text == "see below"
        assert [part.id for part in read_letter(raw).attachments] == ["2"]

    def test_a_type_that_cannot_be_read_is_text(self) -> None:
        assert read_letter(wire("Content-Type: rubbish\n\nhello")).text == "hello"

    @pytest.mark.parametrize(
        ("header", "where"),
        [
            ("Content-Type: image/png\nContent-ID: <a>", "inline"),
            ("Content-Type: image/png\nContent-ID: <a>\nContent-Disposition: inline", "inline"),
            ("Content-Type: image/png\nContent-ID: <a>\nContent-Disposition: attachment", "inline"),
            ("Content-Type: application/pdf\nContent-ID: <a>\nContent-Disposition: attachment", "attachments"),
        ],
    )
    def test_what_the_html_shows(self, header: str, where: str) -> None:
        raw = multipart("related", "Content-Type: text/html\n\n<img src=cid:a>", f"{header}\n\nx")
        read = read_letter(raw)
        assert {"inline": read.inline, "attachments": read.attachments}[where][0].content_id == "a"
        assert len(read.inline) + len(read.attachments) == 1

    @pytest.mark.parametrize(
        ("header", "inline"),
        [
            ("Content-Disposition: inline; filename=a.png\nContent-ID: <a>", True),
            ("Content-Disposition: inline; filename=a.png", False),
            ("Content-Disposition: attachment; filename=a.png\nContent-ID: <a>", False),
        ],
    )
    def test_pictures_beside_the_text(self, header: str, inline: bool) -> None:
        read = read_letter(multipart("mixed", "\ntext", f"Content-Type: image/png\n{header}\n\nx"))
        assert (len(read.inline), len(read.attachments)) == (int(inline), int(not inline))

    def test_texts_that_are_attached_are_not_read(self) -> None:
        raw = multipart(
            "mixed",
            "Content-Type: text/plain; name=body.txt\n\nthe text",
            "Content-Type: text/plain; name=notes.txt\n\nnotes",
            "Content-Type: text/plain\nContent-Disposition: attachment\n\nlog",
            "Content-Type: text/html\nContent-Disposition: inline; filename=page.html\n\n<p>page",
            "Content-Type: text/plain\n\nand its end",
        )
        read = read_letter(raw)
        assert read.text == "the text\nand its end"
        assert read.html == ""
        assert [part.filename for part in read.attachments] == ["notes.txt", "", "page.html"]

    @pytest.mark.parametrize(
        ("disposition", "filename"),
        [
            ("attachment; filename=a.txt", "a.txt"),
            ("attachment; filename=/etc/passwd", "passwd"),
            ('attachment; filename="..\\\\..\\\\a.bat"', "a.bat"),
            ("attachment; filename=../..", ".."),
            ("attachment; filename*=utf-8''..%2F%E2%82%AC.txt", "€.txt"),
            ("attachment; filename*=utf-8''a%0D%0Ab%00.txt", "a b.txt"),
            ("attachment; filename*=utf-8''%E2%80%AEfdp.exe", "fdp.exe"),
            ('attachment; filename="=?utf-8?b?4oKsLnR4dA==?="', "€.txt"),
            ("attachment", "typed.txt"),
        ],
    )
    def test_file_names(self, disposition: str, filename: str) -> None:
        raw = wire(f"Content-Type: text/x; name=typed.txt\nContent-Disposition: {disposition}\n\nx")
        assert walk(raw)[0].filename == filename


class TestSummary:
    def test_the_snippet_is_short_and_in_one_line(self) -> None:
        snippet = summarize(b"\r\n" + b"some  words\r\n\r\n" * 1000).snippet
        assert snippet.startswith("some words some words")
        assert MAX_SNIPPET - 5 < len(snippet) <= MAX_SNIPPET

    def test_without_text_the_html_is_summarised(self) -> None:
        raw = wire("Content-Type: text/html\n\n<style>p {}</style><p>Hello<p>you")
        assert summarize(raw).snippet == "Hello you"

    def test_an_empty_text_is_passed_over(self) -> None:
        raw = multipart("alternative", "\n \n", "Content-Type: text/html\n\n<b>Hello</b>")
        assert summarize(raw).snippet == "Hello"

    def test_a_message_id_without_brackets(self) -> None:
        assert summarize(b"Message-ID: a@b\r\n\r\n").message_id == "a@b"

    def test_a_subject_in_latin_1(self) -> None:
        assert summarize(b"Subject: caf\xe9\r\n\r\n").subject == "café"

    def test_a_subject_that_would_write_a_second_line(self) -> None:
        assert summarize(b"Subject: =?utf-8?q?a=0D=0Ab=1B[31m?=\r\n\r\n").subject == "a b[31m"


class TestPlainText:
    @pytest.mark.parametrize(
        ("html", "text"),
        [
            ("", ""),
            ("no markup", "no markup"),
            ("<p>one</p><p>two</p>", "one\ntwo"),
            ("one<br>two<br/>three", "one\ntwo\nthree"),
            ("<b>bo</b>ld", "bold"),
            ("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>", "1 2\n3"),
            ("a &amp; b &lt;c&gt; &#8364; &#x20AC; &nosuch;", "a & b <c> € € &nosuch;"),
            ("a<!-- <p>hidden --> b", "a b"),
            ("<script>if (a < b) x('</p>')</script>seen", "seen"),
            ("<STYLE type=x>p > a {}</STYLE >seen", "seen"),
            ("<title>T</title><scripture>seen", "seen"),
            ("<script>never closed", ""),
            ("<!-- never closed", ""),
            ("text <b never closed", "text"),
            ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
            ("<!DOCTYPE html><?xml?>x", "x"),
            ("a&#0;b&#27;c&#13;d", "a\ufffdbc\nd"),
            ("   a\n\n  b  ", "a\nb"),
        ],
    )
    def test_read(self, html: str, text: str) -> None:
        assert plain_text(html) == text


def with_html(html: str) -> Letter:
    return read_letter(b"Content-Type: text/html; charset=utf-8\r\n\r\n" + html.encode())


class TestHtmlDocument:
    @pytest.mark.parametrize(
        ("html", "changed"),
        [
            ('<img src="cid:a">', '<img src="/p/a">'),
            ("<img src='CID:a'>", "<img src='/p/a'>"),
            ("<img src=cid:a>", "<img src=/p/a>"),
            ('<img src = " cid:a">', '<img src = " /p/a">'),
            ("<p style=\"background: url('cid:a')\">", "<p style=\"background: url('/p/a')\">"),
            ('<p style="background: url(&quot;cid:a&quot;)">', '<p style="background: url(&quot;/p/a&quot;)">'),
            ('<img src="cid:a%40b">', '<img src="/p/a@b">'),
            ("the cid:a in a text", "the cid:a in a text"),
            ('<img src="https://example.com/cid:a">', '<img src="https://example.com/cid:a">'),
        ],
    )
    def test_references_are_replaced(self, html: str, changed: str) -> None:
        assert html_document(with_html(html), "/p/{}".format) == changed

    @pytest.mark.parametrize("quoting", ["%22", "%27", "%3E", "%3C", "%20", "%29", "%0A", "%60"])
    def test_a_reference_cannot_leave_its_attribute(self, quoting: str) -> None:
        shown = html_document(with_html(f"<img src=cid:a{quoting}onload=alert(1)>"), lambda cid: "/p/" + cid)
        address = shown.removeprefix("<img src=/p/a").partition("onload")[0]
        assert not set(address) & set("\"'<> \n)`")


#: Pieces out of which messages are made that look like some.
PIECES = st.sampled_from(
    [
        b"From: ", b"To: ", b"Subject: ", b"Date: ", b"Message-ID: ", b"Content-Type: ", b"Content-ID: ",
        b"Content-Disposition: ", b"Content-Transfer-Encoding: ", b"multipart/mixed; boundary=", b"multipart/digest;",
        b"text/html; charset=", b"text/plain", b"utf-16", b"utf-7", b"+2AA-", b"hz", b"base64", b"quoted-printable",
        b"attachment; filename=", b"inline; filename*0*=utf-8''", b"filename*=", b"%00%1b", b"b", b"--b", b"--b--",
        b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\t", b'"', b"\\", b"(", b")", b"<", b">", b"@", b",", b";", b":",
        b"=", b"--", b"=?utf-8?q?", b"=?utf-16?b?", b"=?unicode-1-1-utf-7?q?", b"?=", b"=1B", b"=00", b"\x00",
        b"\x1b[31m", b"\x80", b"\xed\xa0\x80", b"\xff", b"\xc2\x9b", b"&#27;", b"&#xd800;", b"<script>", b"<!--",
        b"<img src=cid:",
        b"Tue, 01 Jul 2025 10:52:37 +0200", b"99999999999999999999",
    ]
)  # fmt: skip
OCTETS = st.one_of(st.binary(max_size=400), st.lists(PIECES, max_size=60).map(b"".join))


def texts(value: Any) -> Iterator[str]:
    """All texts in a result."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from texts(one)


class TestAnyOctets:
    @given(OCTETS)
    @settings(max_examples=400, deadline=None)
    def test_all_can_be_read_and_nothing_does_harm(self, raw: bytes) -> None:
        read = read_letter(raw)
        assert read.summary == summarize(raw)
        search = search_text(raw)
        document = html_document(read, lambda cid: cid)
        for text in (*texts(read), search, document, plain_text(read.html)):
            assert not CONTROLS.search(text)
        summary = read.summary
        for text in (*texts(summary), *texts(read.headers), *texts(read.attachments), *texts(read.inline)):
            assert "\n" not in text
            assert "\t" not in text
        for part in (*read.attachments, *read.inline):
            found = part_content(raw, part.id)
            assert found is not None
            assert (found[0], found[1], len(found[2])) == (part.content_type, part.filename, part.size)
            assert not set(part.filename) & set("/\\")
        if summary.date:
            assert summary.date.utcoffset() is not None
        assert read == read_letter(raw)

    @given(OCTETS)
    @settings(deadline=None)
    def test_the_tree_is_one(self, raw: bytes) -> None:
        entities = walk(raw)
        assert len({entity.id for entity in entities}) == len(entities)
        for entity in entities:
            assert 0 <= entity.start <= entity.end <= len(raw)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        for person in read_people(text):
            assert not CONTROLS.search("".join(person))
            assert any(person)
        for value in read_parameters(text).values():
            assert not CONTROLS.search(value)
        assert not CONTROLS.search(plain_text(text))
        assert not CONTROLS.search(clean(decode_words(text)))

    @given(
        st.binary(), st.one_of(st.text(), st.sampled_from(["utf-7", "utf-16", "utf-32", "hz", "iso-2022-jp", "utf-8"]))
    )
    def test_any_charset(self, octets: bytes, charset: str) -> None:
        assert not CONTROLS.search(clean(decode_text(octets, charset)))

    @given(st.binary())
    def test_what_was_encoded_is_decoded(self, octets: bytes) -> None:
        assert decode_base64(base64.encodebytes(octets)) == octets
        raw = b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(octets)
        assert part_content(raw, "1") == ("a/b", "", octets)

    @given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"])))
    def test_words_that_the_standard_library_encoded_are_decoded(self, text: str) -> None:
        from email.header import Header

        if "=?" not in text and not text.startswith("\ufeff"):
            encoded = Header(text, "utf-8").encode()
            assert decode_words(re.sub(r"\r?\n", "", encoded)) == text


def nested(depth: int) -> bytes:
    """Multiparts within each other, all of one octet's boundary and none closed."""
    return (
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth))
        + b"\r\nx"
    )


def work(call: Callable[[], object]) -> int:
    """How many functions are called, in Python and in C: what a machine's speed does not change."""
    count = 0

    def tell(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    call()  # What is only done once shall not count.
    old = sys.getprofile()
    sys.setprofile(tell)
    try:
        call()
    finally:
        sys.setprofile(old)
    return count


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "fields": lambda n: b"a: b\r\n" * n,
    "folded": lambda n: b"To: a\r\n" + b" b,\r\n" * n,
    "empty lines": lambda n: b"\r\n" * n,
    "people": lambda n: b"To: " + b"a@b," * n + b"\r\n\r\n",
    "quotes": lambda n: b"To: " + b'"' * n + b"\r\n\r\n",
    "comments": lambda n: b"To: " + b"(" * n + b"\r\n\r\n",
    "angles": lambda n: b"To: " + b"<" * n + b"\r\nMessage-ID: " + b"<" * n + b"\r\n\r\n",
    "words": lambda n: b"Subject: " + b"=?x?q?a?= " * n + b"\r\n\r\n",
    "parameters": lambda n: b"Content-Type: a/b" + b";a=b" * n + b"\r\n\r\n",
    "semicolons": lambda n: b'Content-Type: a/b; "' + b";" * n + b"\r\n\r\n",
    "parts": lambda n: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * n,
    "false boundaries": lambda n: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + b"--bb\r\n" * n,
    "nested": lambda n: nested(n // 10),
    "markup": lambda n: b"Content-Type: text/html\r\n\r\n" + b"<p>a&amp;<!-- -->" * n,
    "open markup": lambda n: b"Content-Type: text/html\r\n\r\n" + b"<script" * n,
    "cids": lambda n: b"Content-Type: text/html\r\n\r\n" + b"<img src=cid:a>" * n,
}


class TestWork:
    @pytest.mark.parametrize("kind", HOSTILE)
    def test_twice_the_message_is_no_more_than_twice_the_work(self, kind: str) -> None:
        small, large = HOSTILE[kind](400), HOSTILE[kind](800)
        for read in (summarize, read_letter, search_text):
            assert work(lambda read=read: read(large)) <= 2.2 * work(lambda read=read: read(small)) + 50  # type: ignore[misc]

    @pytest.mark.parametrize("kind", HOSTILE)
    def test_megabytes_of_it(self, kind: str) -> None:
        """What grows with the square does not end before the test is stopped."""
        one = len(HOSTILE[kind](1000)) / 1000
        raw = HOSTILE[kind](int(4_000_000 / one))
        read = read_letter(raw)
        html_document(read, lambda cid: cid)
        search_text(raw)

    def test_nesting_ends_at_the_depth_allowed(self) -> None:
        entities = walk(nested(5000))
        assert len(entities) == MAX_DEPTH + 1
        assert entities[-1].parts == 0

    def test_what_is_below_that_depth_is_left_whole(self) -> None:
        raw = nested(MAX_DEPTH + 5)
        deepest = walk(raw)[-1]
        assert b"boundary=b%d" % (MAX_DEPTH + 1) in raw[deepest.start : deepest.end]
        assert "boundary" in read_letter(raw).text

    def test_no_more_parts_than_allowed(self) -> None:
        raw = HOSTILE["parts"](5 * MAX_PARTS)
        assert len(walk(raw)) == MAX_PARTS

    def test_parts_within_parts_count_together(self) -> None:
        inner = b"Content-Type: multipart/mixed; boundary=i\r\n\r\n" + b"--i\r\n\r\nx\r\n" * 100 + b"--i--\r\n"
        raw = b"Content-Type: multipart/mixed; boundary=o\r\n\r\n" + (b"--o\r\n" + inner) * 100
        assert len(walk(raw)) == MAX_PARTS

    def test_a_summary_decodes_the_beginning_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        decoded: list[int] = []

        def counted(octets: bytes) -> bytes:
            decoded.append(len(octets))
            return decode_base64(octets)

        monkeypatch.setattr(mime, "decode_base64", counted)
        raw = b"Content-Transfer-Encoding: base64\r\n\r\n" + b"YWJj" * 500_000
        assert summarize(raw).snippet == ("abc" * 100)[:MAX_SNIPPET]
        assert decoded == [MAX_LOOK]

    def test_hostile_parameters_in_a_thousand_parts(self) -> None:
        value = b'a/b; "' + b";" * 8000
        part = b"--b\r\nContent-Type: %b\r\nContent-Disposition: %b\r\n\r\nx\r\n" % (value, value)
        raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part * 1000
        assert len(read_letter(raw).attachments) == MAX_PARTS - 1
