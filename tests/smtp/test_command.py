"""Commands (RFC 5321 §4.1): the tolerant reader and the strict writer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.smtp.address import NULL_PATH, Path, parse_path
from ehlo.smtp.command import (
    AUTH_LINE_LIMIT,
    COMMAND_LINE_LIMIT,
    EXTENDED_LINE_LIMIT,
    Command,
    CommandError,
    auth,
    decode_base64,
    ehlo,
    helo,
    mail,
    parse_command,
    rcpt,
)
from ehlo.smtp.deviations import Deviation, LocalProtocolError
from grammar import commands

SENDER = parse_path("<sender@yourdomain.com>")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"QUIT\r\n", Command("QUIT")),
        (b"quit\r\n", Command("QUIT")),
        (b"EHLO here.org\r\n", Command("EHLO", "here.org")),
        (b"EHLO [192.0.2.1]\r\n", Command("EHLO", "[192.0.2.1]")),
        (b"NOOP ignored words\r\n", Command("NOOP", "ignored words")),
        (b"VRFY Smith\r\n", Command("VRFY", "Smith")),
        (b"AUTH PLAIN AGEAYg==\r\n", Command("AUTH", "PLAIN AGEAYg==")),
        (b"XYZZY 1\r\n", Command("XYZZY", "1")),
        (b"MAIL FROM:<sender@yourdomain.com>\r\n", Command("MAIL", path=SENDER)),
        (b"Mail From:<sender@yourdomain.com>\r\n", Command("MAIL", path=SENDER)),
        (b"MAIL FROM:<>\r\n", Command("MAIL", path=NULL_PATH)),
        (b"MAIL FROM:<> SIZE=9 smtputf8\r\n", Command("MAIL", "", NULL_PATH, {"SIZE": "9", "SMTPUTF8": None})),
        (b"RCPT TO:<Postmaster>\r\n", Command("RCPT", path=parse_path("<Postmaster>"))),
        (b"RCPT TO:<@a.example:u@b.example>\r\n", Command("RCPT", path=parse_path("<@a.example:u@b.example>"))),
        (b'RCPT TO:<"a>b"@c.example> NOTIFY=NEVER\r\n', rcpt(parse_path('<"a>b"@c.example>'), NOTIFY="NEVER")),
        (b'RCPT TO:<"a\\">b"@c.example>\r\n', rcpt(parse_path('<"a\\">b"@c.example>'))),
    ],
)
def test_read(line: bytes, command: Command) -> None:
    assert parse_command(line) == command


@pytest.mark.parametrize(
    ("line", "path", "deviations"),
    [
        # What people type into telnet, and what the RFC warns of in §3.3.
        (b"MAIL FROM: <sender@yourdomain.com>\r\n", SENDER, {Deviation.SPACE_AFTER_COLON}),
        (b"MAIL FROM:sender@yourdomain.com\r\n", SENDER, {Deviation.NO_ANGLE_BRACKETS}),
        (
            b"MAIL FROM: sender@yourdomain.com\r\n",
            SENDER,
            {Deviation.SPACE_AFTER_COLON, Deviation.NO_ANGLE_BRACKETS},
        ),
        (b"MAIL FROM:<sender@yourdomain.com> \t\r\n", SENDER, {Deviation.TRAILING_SPACE}),
        (b"MAIL FROM:<sender@yourdomain.com>\n", SENDER, {Deviation.BARE_LF}),
        ("RCPT TO:<jörg@example.com>\r\n".encode(), parse_path("<jörg@example.com>"), {Deviation.NOT_ASCII}),
    ],
)
def test_forgiven_in_a_path(line: bytes, path: Path, deviations: set[Deviation]) -> None:
    command = parse_command(line)
    assert (command.path, set(command.deviations)) == (path, deviations)


def test_parameters_behind_a_path_without_brackets() -> None:
    command = parse_command(b"MAIL FROM: sender@yourdomain.com SIZE=5\r\n")
    assert (command.path, command.parameters) == (SENDER, {"SIZE": "5"})


@pytest.mark.parametrize(
    ("line", "deviation"),
    [
        (b"NOOP\n", Deviation.BARE_LF),
        (b"NOOP \r\n", Deviation.TRAILING_SPACE),
        (b"NOOP \x07\r\n", Deviation.CONTROL),
        ("NOOP ü\r\n".encode(), Deviation.NOT_ASCII),
        (b"NOOP \xfc\r\n", Deviation.NOT_UTF8),
    ],
)
def test_forgiven_in_any_line(line: bytes, deviation: Deviation) -> None:
    command = parse_command(line)
    assert (command.verb, command.deviations) == ("NOOP", (deviation,))


@pytest.mark.parametrize(
    ("line", "verb", "code", "why"),
    [
        (b"\r\n", "", 500, "does not begin with a command"),
        (b" QUIT\r\n", "", 500, "does not begin with a command"),
        (b"???\r\n", "???", 500, "does not begin with a command"),
        (b"NOOP\0\r\n", "NOOP\0", 500, "NUL or CR"),
        (b"NOOP\rQUIT\r\n", "NOOP\rQUIT", 500, "NUL or CR"),
        ("RſET\r\n".encode(), "RſET", 500, "does not begin with a command"),
        (b"DATA now\r\n", "DATA", 501, "takes no argument"),
        (b"QUIT now\r\n", "QUIT", 501, "takes no argument"),
        (b"STARTTLS now\r\n", "STARTTLS", 501, "takes no argument"),
        (b"EHLO\r\n", "EHLO", 501, "needs the client's name"),
        (b"HELO \r\n", "HELO", 501, "needs the client's name"),
        (b"AUTH\r\n", "AUTH", 501, "needs the name of a mechanism"),
        (b"MAIL\r\n", "MAIL", 501, "followed by FROM:"),
        (b"MAIL TO:<a@b.c>\r\n", "MAIL", 501, "followed by FROM:"),
        (b"RCPT FROM:<a@b.c>\r\n", "RCPT", 501, "followed by TO:"),
        (b"MAIL FROM <a@b.c>\r\n", "MAIL", 501, "followed by FROM:"),
        (b"MAIL FROM:\r\n", "MAIL", 501, "followed by an address"),
        (b"MAIL FROM:<a@b.c\r\n", "MAIL", 501, "closing > is missing"),
        (b"MAIL FROM:<a@b.c>SIZE=1\r\n", "MAIL", 501, "A space stands between"),
        (b"MAIL FROM:<a@b.c> SIZE\x01=1\r\n", "MAIL", 501, "not a parameter keyword"),
        (b"MAIL FROM:<a b@c.d>\r\n", "MAIL", 501, "only inside quotes"),
        (b"MAIL FROM:<j\xf6rg@b.c>\r\n", "MAIL", 501, "not valid UTF-8"),
        (b"RCPT TO:<>\r\n", "RCPT", 501, "cannot be the null path"),
    ],
)
def test_not_read(line: bytes, verb: str, code: int, why: str) -> None:
    with pytest.raises(CommandError) as raised:
        parse_command(line)
    assert (raised.value.verb, raised.value.code) == (verb, code)
    assert why in str(raised.value)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (ehlo("here.org"), b"EHLO here.org\r\n"),
        (helo("[IPv6:::1]"), b"HELO [IPv6:::1]\r\n"),
        (mail(NULL_PATH), b"MAIL FROM:<>\r\n"),
        (mail(SENDER, SIZE="10", SMTPUTF8=None), b"MAIL FROM:<sender@yourdomain.com> SIZE=10 SMTPUTF8\r\n"),
        (rcpt(SENDER, NOTIFY="NEVER"), b"RCPT TO:<sender@yourdomain.com> NOTIFY=NEVER\r\n"),
        (auth("LOGIN"), b"AUTH LOGIN\r\n"),
        (auth("PLAIN", b"\0a\0b"), b"AUTH PLAIN AGEAYg==\r\n"),
        # RFC 4954 §4: an empty initial response is a single equals sign.
        (auth("EXTERNAL", b""), b"AUTH EXTERNAL =\r\n"),
    ],
)
def test_written(command: Command, line: bytes) -> None:
    assert command.encode() == line


@pytest.mark.parametrize(
    "command",
    [
        Command("NOOP", "a\r\nQUIT"),
        Command("NOOP", "a\nb"),
        Command("NOOP", "\0"),
        Command("NOOP", "\ud800"),
        mail(SENDER, SIZE=""),
        mail(SENDER, **{"X Y": None}),
    ],
)
def test_not_written(command: Command) -> None:
    with pytest.raises(LocalProtocolError):
        command.encode()


@pytest.mark.parametrize(
    ("before", "limit"),
    [
        (Command("NOOP"), COMMAND_LINE_LIMIT),
        (mail(SENDER), EXTENDED_LINE_LIMIT),
        (rcpt(SENDER), EXTENDED_LINE_LIMIT),
        (auth("PLAIN"), AUTH_LINE_LIMIT),
    ],
)
def test_longest_line_written(before: Command, limit: int) -> None:
    """RFC 5321 §4.5.3.1.4, RFC 4954 §4; the parameters of extensions are beyond the 512 octets."""

    def padded(octets: int) -> Command:
        if before.path is not None:
            return before._replace(parameters={"X": "x" * (octets - len(before.encode()) - 3)})
        argument = f"{before.argument} " if before.argument else ""
        return before._replace(argument=argument + "x" * (octets - len(before.verb) - 1 - len(argument) - 2))

    assert len(padded(limit).encode()) == limit
    assert parse_command(padded(limit).encode()) == padded(limit)
    with pytest.raises(LocalProtocolError, match=f"at most {limit} octets"):
        padded(limit + 1).encode()


@pytest.mark.parametrize(
    ("text", "octets"),
    [("", b""), ("=", b""), ("YQ==", b"a"), ("YQ=", None), ("Y Q==", None), ("ü", None), ("*", None)],
)
def test_base64_of_auth(text: str, octets: bytes | None) -> None:
    assert decode_base64(text) == octets


@given(commands)
def test_what_is_written_is_read(command: Command) -> None:
    read = parse_command(command.encode())
    assert read._replace(deviations=()) == command
    assert set(read.deviations) <= {Deviation.NOT_ASCII}


_lines = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda start, rest: start + rest,
        st.sampled_from([b"MAIL FROM:", b"rcpt to:<", b"EHLO ", b"MAIL FROM:<a@b.c> "]),
        st.text('<>@,:;."[]\\ ab1=\0\r\tü', max_size=30).map(str.encode) | st.binary(max_size=20),
    ),
)


@given(_lines, st.sampled_from([b"", b"\n", b"\r\n"]))
def test_any_line_is_a_command_or_a_command_error(line: bytes, ending: bytes) -> None:
    try:
        command = parse_command(line + ending)
    except CommandError:
        return
    assert command.verb == command.verb.upper()
    assert not {Deviation.NUL, Deviation.BARE_CR} & set(command.deviations)
