"""Addresses and paths (RFC 5321 §4.1.2, §4.1.3; RFC 6531 §3.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.smtp.address import NULL_PATH, AddressError, Mailbox, Path, parse_domain, parse_mailbox, parse_path
from grammar import paths

LONGEST_LOCAL = "a" * 64
LONGEST_DOMAIN = ".".join(["d" * 63] * 4)  # 255 octets


@pytest.mark.parametrize(
    ("text", "local_part", "domain"),
    [
        ("sender@yourdomain.com", "sender", "yourdomain.com"),
        ("first.last+tag@example.com", "first.last+tag", "example.com"),
        ("!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~", "example.com"),
        ('"John Doe"@example.com', '"John Doe"', "example.com"),
        ('"a@b"@example.com', '"a@b"', "example.com"),
        (r'"with \" and \\"@example.com', r'"with \" and \\"', "example.com"),
        ('""@example.com', '""', "example.com"),
        ("user@localhost", "user", "localhost"),
        ("user@3com.com", "user", "3com.com"),
        ("user@[192.0.2.1]", "user", "[192.0.2.1]"),
        ("user@[IPv6:2001:db8::1]", "user", "[IPv6:2001:db8::1]"),
        ("user@[ipv6:::ffff:192.0.2.1]", "user", "[ipv6:::ffff:192.0.2.1]"),
        ("user@[X-400:c=us]", "user", "[X-400:c=us]"),
        ("jörg@example.com", "jörg", "example.com"),
        ("用户@例子.广告", "用户", "例子.广告"),
        (f"{LONGEST_LOCAL}@example.com", LONGEST_LOCAL, "example.com"),
    ],
)
def test_mailbox(text: str, local_part: str, domain: str) -> None:
    assert parse_mailbox(text) == Mailbox(local_part, domain)
    assert str(parse_mailbox(text)) == text
    assert parse_path(f"<{text}>") == Path(Mailbox(local_part, domain))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("@example.com", "empty"),
        ("user", "no @"),
        ("user@", "nothing stands behind the @"),
        ("a b@example.com", "' ' may stand there only inside quotes"),
        ("a..b@example.com", "'.' may stand there only inside quotes"),
        (".a@example.com", "empty or begins with"),
        ("a.@example.com", "'.' may stand there only inside quotes"),
        ('"open@example.com', "not closed"),
        ('"a"b@example.com', "'b' may stand there only inside quotes"),
        ('"tab\t"@example.com', "not closed"),
        ("a@b@example.com", "the domain has a character"),
        ("user@exa mple.com", "the domain has a character"),
        ("user@-example.com", "the domain has a character"),
        ("user@example-.com", "the domain has a character"),
        ("user@example..com", "the domain has a character"),
        ("user@example.com.", "the domain has a character"),
        ("user@under_score.com", "the domain has a character"),
        ("user@[192.0.2.1", "closing bracket"),
        ("user@[192.0.2.256]", "neither an IPv4 nor"),
        ("user@[192.0.2]", "neither an IPv4 nor"),
        ("user@[192.0.2.1.]", "neither an IPv4 nor"),
        ("user@[]", "neither an IPv4 nor"),
        ("user@[IPv6:2001:db8:::1]", "not an IPv6 address"),
        ("user@[IPv6:fe80::1%eth0 x]", "no zone"),
        (f"{LONGEST_LOCAL}a@example.com", "longer than 64 octets"),
        (f"{'ö' * 33}@example.com", "longer than 64 octets"),
        (f"user@{LONGEST_DOMAIN}d", "longer than 255 octets"),
        ("j\udcf6rg@example.com", "not valid UTF-8"),
        ("user@j\udcf6rg.com", "not valid UTF-8"),
    ],
)
def test_no_mailbox(text: str, why: str) -> None:
    with pytest.raises(AddressError) as raised:
        parse_mailbox(text)
    assert why in raised.value.why


def test_null_path() -> None:
    assert parse_path("<>") == NULL_PATH == Path(None)
    assert str(NULL_PATH) == "<>"
    assert NULL_PATH.address == ""


@pytest.mark.parametrize("name", ["Postmaster", "postmaster", "POSTMASTER"])
def test_postmaster_needs_no_domain(name: str) -> None:
    """RFC 5321 §4.1.1.3: "<Postmaster>", in any case of letters."""
    path = parse_path(f"<{name}>")
    assert path == Path(Mailbox(name, None))
    assert (str(path), path.address) == (f"<{name}>", name)


def test_source_route_is_read_and_kept() -> None:
    """RFC 5321 §4.1.1.3 and appendix C: a server must accept it and should ignore it."""
    path = parse_path("<@relay.example.com,@b.example:user@d.example>")
    assert path.route == ("relay.example.com", "b.example")
    assert path.address == "user@d.example"
    assert str(path) == "<@relay.example.com,@b.example:user@d.example>"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("user@example.com", "must stand in angle brackets"),
        ("<user@example.com", "the closing > is missing"),
        ("<user>", "no @"),
        ("<@relay.example>", "not followed by a colon"),
        ("<@relay.example,b.example:user@d.example>", "begins with @"),
        ("<@:user@d.example>", "the domain has a character"),
        ("<@relay\udcff.example:user@d.example>", "the domain has a character"),
        ("<@relay.example:>", "empty"),
        ("<user@example.com> ", "the closing > is missing"),
        (f"<{'a' * 64}@{LONGEST_DOMAIN[:190]}>", "longer than 256 octets"),
    ],
)
def test_no_path(text: str, why: str) -> None:
    with pytest.raises(AddressError) as raised:
        parse_path(text)
    assert why in raised.value.why


def test_path_of_256_octets_is_the_longest() -> None:
    """RFC 5321 §4.5.3.1.3: 256 octets, the brackets included."""
    longest = f"<{LONGEST_LOCAL}@{LONGEST_DOMAIN[:188]}d>"
    assert len(longest) == 256
    assert str(parse_path(longest)) == longest
    assert str(parse_path(longest[1:-1], brackets=False)) == longest
    with pytest.raises(AddressError):
        parse_path(longest[1:-1] + "d", brackets=False)


def test_path_without_brackets_only_where_it_is_forgiven() -> None:
    assert parse_path("user@example.com", brackets=False) == Path(Mailbox("user", "example.com"))
    assert parse_path("postmaster", brackets=False) == Path(Mailbox("postmaster", None))


@pytest.mark.parametrize(
    ("local_part", "meant"),
    [("user", "user"), ('"John Doe"', "John Doe"), (r'"a\"b\\c"', r'a"b\c'), ('"user"', "user"), ('""', "")],
)
def test_quoting_has_no_meaning_of_its_own(local_part: str, meant: str) -> None:
    """RFC 5321 §4.1.2: "user"@d and user@d are one mailbox."""
    assert Mailbox(local_part, "example.com").unquoted == meant


@pytest.mark.parametrize(
    ("text", "needed"),
    [("user@example.com", False), ("jörg@example.com", True), ("user@例子.广告", True), ('"ü"@example.com', True)],
)
def test_needs_smtputf8(text: str, needed: bool) -> None:
    assert parse_mailbox(text).needs_smtputf8 is needed


def test_postmaster_needs_no_smtputf8() -> None:
    assert not Mailbox("Postmaster", None).needs_smtputf8


def test_an_error_shows_the_start_of_a_long_text() -> None:
    with pytest.raises(AddressError, match=r"^'x{80}…' is not a mail address: .*longer than 255 octets\.$") as raised:
        parse_domain("x" * 5000)
    assert raised.value.text == "x" * 5000


@given(paths)
def test_what_is_written_is_read(path: Path) -> None:
    assert parse_path(str(path)) == path


@given(st.text(max_size=60) | st.text('<>@,:;."[]\\ ab1:', max_size=30))
def test_any_text_is_a_path_or_an_address_error(text: str) -> None:
    try:
        path = parse_path(text)
    except AddressError:
        return
    assert str(path) == text
