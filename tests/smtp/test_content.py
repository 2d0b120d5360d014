"""Message content on the wire (RFC 5321 §4.1.1.4, §4.5.2): dots, and the only end there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.smtp.content import ContentReader, DotStuffer, has_bare_line_ending, to_crlf
from grammar import contents, cut, places


def written(*chunks: bytes) -> bytes:
    stuffer = DotStuffer()
    return b"".join(stuffer.feed(chunk) for chunk in chunks) + stuffer.finish()


def read(*chunks: bytes) -> tuple[bytes, bytes | None]:
    """The content in these pieces of the wire, and what stands behind its end."""
    reader, content = ContentReader(), b""
    for number, chunk in enumerate(chunks):
        part, rest = reader.feed(chunk)
        content += part
        if rest is not None:
            return content, rest + b"".join(chunks[number + 1 :])
    return content, None


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"Subject: x\r\n\r\nhi\r\n", b"Subject: x\r\n\r\nhi\r\n.\r\n"),
        (b"no line ending", b"no line ending\r\n.\r\n"),
        (b"", b".\r\n"),
        (b"\r\n", b"\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b".hidden\r\n..two\r\na.b\r\n", b"..hidden\r\n...two\r\na.b\r\n.\r\n"),
        (b"a\r\n.\r\n.\r\n", b"a\r\n..\r\n..\r\n.\r\n"),
        # A line begins after CRLF alone.
        (b"a\n.b\r\n", b"a\n.b\r\n.\r\n"),
        (b"a\r.b\r\n", b"a\r.b\r\n.\r\n"),
    ],
)
def test_written(content: bytes, wire: bytes) -> None:
    assert written(content) == wire
    assert written(*(content[at : at + 1] for at in range(len(content)))) == wire


@pytest.mark.parametrize(
    ("wire", "content", "rest"),
    [
        (b"Subject: x\r\n\r\nhi\r\n.\r\n", b"Subject: x\r\n\r\nhi\r\n", b""),
        (b".\r\n", b"", b""),
        (b"\r\n.\r\n", b"\r\n", b""),
        (b"..\r\n.\r\n", b".\r\n", b""),
        (b"..hidden\r\n...two\r\n.\r\n", b".hidden\r\n..two\r\n", b""),
        # RFC 5321 §4.5.2: the first period of a line goes, even if no second one follows.
        (b".not stuffed\r\n.\r\n", b"not stuffed\r\n", b""),
        (b"hi\r\n.\r\nQUIT\r\n", b"hi\r\n", b"QUIT\r\n"),
        (b".\r\n.\r\n", b"", b".\r\n"),
    ],
)
def test_read(wire: bytes, content: bytes, rest: bytes) -> None:
    assert read(wire) == (content, rest)
    assert read(*(wire[at : at + 1] for at in range(len(wire)))) == (content, rest)


#: What has been taken for an end by one server and not by another: SMTP smuggling.
SMUGGLING = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r\r\n.\n", b"\r\n\0.\r\n"]


@pytest.mark.parametrize("sequence", SMUGGLING)
def test_no_other_end(sequence: bytes) -> None:
    smuggled = b"MAIL FROM:<evil@example.org>\r\n"
    wire = b"hi" + sequence + smuggled
    content, rest = read(wire + b".\r\n")
    assert rest == b""
    assert content == wire.replace(b"\r\n.", b"\r\n")
    assert smuggled in content


@given(contents, places)
def test_the_pieces_do_not_matter_when_written(content: bytes, places: list[int]) -> None:
    assert written(*cut(content, places)) == written(content)


@given(contents, st.binary(max_size=10), places, places)
def test_what_is_written_is_read(content: bytes, behind: bytes, before: list[int], on_the_way: list[int]) -> None:
    wire = written(*cut(content, before)) + behind
    complete = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
    assert read(*cut(wire, on_the_way)) == (complete, behind)


@given(contents, places)
def test_content_without_end_goes_on(content: bytes, places: list[int]) -> None:
    """Whatever has come, it is given out but for the few octets that could be the start of the end."""
    wire = written(content)[:-3]
    got, rest = read(*cut(wire, places))
    assert rest is None
    assert wire.replace(b"\r\n.", b"\r\n").removeprefix(b".").startswith(got)
    assert len(wire) - wire.count(b"\r\n.") - 1 - len(got) <= 4


@pytest.mark.parametrize(
    ("content", "proper"),
    [
        (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\rb\r", b"a\r\nb\r\n"),
        (b"\n\r\n\r", b"\r\n\r\n\r\n"),
        (b"\r\r\n\n", b"\r\n\r\n\r\n"),
        (b"none", b"none"),
        (b"", b""),
    ],
)
def test_to_crlf(content: bytes, proper: bytes) -> None:
    """RFC 5321 §2.3.8."""
    assert to_crlf(content) == proper
    assert has_bare_line_ending(content) is (content != proper)
    assert not has_bare_line_ending(proper)
