"""What the lab answers where its policy decides, and in whose words."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from ehlo.lab import Lab, Limits, Policy, load_persona
from ehlo.lab.conditions import _expression
from ehlo.lab.persona import persona_names
from ehlo.smtp.address import parse_mailbox
from lab.wire import Wire, play
from peers.world import MailServer

MAIL = "C: MAIL FROM:<a@client.example>\nS: 250 2.1.0 Ok\n"
HELO = "banner\nC: HELO client.example\nS: 250 mail.example.com\n"
FULL = "S: 452 4.2.2 <{}>: Recipient address rejected: Mailbox is full / Blocks limit exceeded\nRSET"


# Quotas are of mailboxes, whatever address their mail came to.


OFFICE = Policy(
    mailboxes=frozenset({"bob@example.com", "al@example.com", "b+c@example.com"}),
    aliases={
        "all@example.com": ("bob@example.com", "al@example.com"),
        "everybody@example.com": ("all@example.com",),
        "boss@example.com": ("bob+boss@example.com",),
        "al@example.com": ("al@example.com", "archive@example.com"),
    },
    quotas={"bob@example.com": 1, "archive@example.com": 1, "b+c@example.com": 1},
)


def accepted(address: str) -> str:
    return f"{MAIL}C: RCPT TO:<{address}>\nS: 250 2.1.5 Ok\nDATA\nmessage\nqueued\n"


def full(address: str) -> str:
    return f"{MAIL}C: RCPT TO:<{address}>\n{FULL.format(address)}\n"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("bob@example.com", "BOB@Example.com"),
        ("all@example.com", "all@example.com"),
        ("all@example.com", "bob@example.com"),
        ("bob@example.com", "all@example.com"),
        ("bob+x@example.com", "bob+y@example.com"),
        ("all+x@example.com", "bob@example.com"),
        ("everybody@example.com", '"bob"@example.com'),
        ("boss@example.com", "bob@example.com"),
        ("al@example.com", "all@example.com"),
        ("b+c@example.com", "b+c@example.com"),
    ],
)
def test_a_quota_counts_what_a_mailbox_got(first: str, second: str) -> None:
    with Lab(policy=OFFICE).running() as lab:
        play(lab, HELO + accepted(first) + full(second))


def test_a_quota_is_of_one_mailbox() -> None:
    with Lab(policy=OFFICE).running() as lab:
        play(lab, HELO + accepted("bob@example.com") + accepted("al@example.com") + accepted("b+c@example.com"))
        lab.lab.store.delete([lab.messages[0].id])  # type: ignore[union-attr]
        play(lab, HELO + accepted("bob@example.com"))


@pytest.mark.parametrize(
    ("address", "mailboxes"),
    [
        ("x@y.example", {"x@y.example"}),
        ("all+tag@example.com", {"bob@example.com", "al@example.com", "archive@example.com"}),
        ("everybody@example.com", {"bob@example.com", "al@example.com", "archive@example.com"}),
        ("b+c@example.com", {"b+c@example.com"}),
        ("b+d@example.com", {"b@example.com"}),
    ],
)
def test_where_mail_goes(address: str, mailboxes: set[str]) -> None:
    assert OFFICE.deliveries(parse_mailbox(address)) == mailboxes


def test_aliases_in_a_circle_lead_nowhere() -> None:
    policy = Policy(aliases={"a@example.com": ("b@example.com",), "b@example.com": ("a@example.com",)})
    assert policy.deliveries(parse_mailbox("a@example.com")) == frozenset()


# VRFY, as each persona's original has it.

VERIFIED = [
    ("postfix", "recipient@example.com", "252 2.0.0 recipient@example.com"),
    ("postfix", "<recipient@example.com>", "252 2.0.0 <recipient@example.com>"),
    ("postfix", "recipient", "252 2.0.0 recipient"),
    ("postfix", "postmaster", "252 2.0.0 postmaster"),
    (
        "postfix",
        "<nobody@example.com>",
        "550 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown in local recipient table",
    ),
    ("postfix", "x@y.example", "554 5.7.1 <x@y.example>: Relay access denied"),
    ("postfix", "a b@", "501 5.5.4 Syntax: VRFY address"),
    ("sendmail", "recipient@example.com", "250 2.1.5 <recipient@example.com>"),
    ("sendmail", "nobody@example.com", "550 5.1.1 nobody@example.com... User unknown"),
    ("sendmail", "x@y.example", "252 2.1.5 <x@y.example>"),
    ("exim", "recipient@example.com", "252 Administrative prohibition"),
    ("exim", "nobody@example.com", "252 Administrative prohibition"),
    ("opensmtpd", "recipient@example.com", "500 5.5.1 Invalid command: Command unrecognized"),
    ("opensmtpd", "a b@", "500 5.5.1 Invalid command: Command unrecognized"),
    ("exchange", "nobody@example.com", "252 2.1.5 Cannot VRFY user"),
]


@pytest.mark.parametrize(("persona", "asked", "heard"), VERIFIED)
def test_vrfy(persona: str, asked: str, heard: str) -> None:
    with Lab(load_persona(persona)).running() as lab, Wire(lab) as wire:
        wire.socket.makefile("rb").readline()
        wire.play(f"C: VRFY {asked}\nS: {heard}")


def vrfy(host: str, port: int, address: str) -> tuple[str, str]:
    """The code of the reply, and its enhanced status code if there is one."""
    with socket.create_connection((host, port), timeout=60) as connection:
        stream = connection.makefile("rb")
        stream.readline()
        connection.sendall(f"VRFY {address}\r\n".encode())
        code, _, rest = stream.readline().decode().partition(" ")
        return code, rest.split()[0] if rest[1:2] == "." else ""


@pytest.mark.peer
@pytest.mark.parametrize("name", ["postfix", "exim", "opensmtpd", "sendmail"])
@pytest.mark.parametrize("address", ["recipient@example.com", "nobody@example.com", "x@elsewhere.example"])
def test_vrfy_is_that_of_the_original(name: str, address: str, request: pytest.FixtureRequest) -> None:
    original: MailServer = request.getfixturevalue(f"{name}_server")
    with Lab(load_persona(name)).running() as lab:
        assert vrfy(lab.host, lab.port, address) == vrfy(original.host, original.port, address)


@pytest.mark.peer
@pytest.mark.parametrize("parameter", ["SIZE=abc", "RET=X", "ENVID=+zz", "FOO=BAR"])
def test_a_wrong_parameter_is_refused_as_postfix_does(parameter: str, postfix_server: MailServer) -> None:
    codes = []
    with Lab().running() as lab:
        for host, port in ((lab.host, lab.port), (postfix_server.host, postfix_server.port)):
            with socket.create_connection((host, port), timeout=60) as connection:
                stream = connection.makefile("rb")
                stream.readline()
                connection.sendall(f"EHLO client.example\r\nMAIL FROM:<a@b.example> {parameter}\r\nQUIT\r\n".encode())
                codes.append([line for line in stream.read().splitlines() if line[3:4] == b" "][-2][:9])
    assert codes[0] == codes[1]


# What a client says is repeated, but does no harm.


@pytest.mark.parametrize("persona", persona_names())
@pytest.mark.parametrize("name", ["x" * 400, "é" * 240, "\x1b]0;x\x07", "{host}", "a\tb", "\udcff"])
@pytest.mark.parametrize("faults", [False, True])
def test_any_name_in_ehlo(persona: str, name: str, faults: bool) -> None:
    with Lab(load_persona(persona).at("h" * 60 + "." + "h" * 60 + ".example")).running() as lab, Wire(lab) as wire:
        if faults:
            lab.fault("quit", silent=True)
        stream = wire.socket.makefile("rb")
        stream.readline()
        for verb in ("EHLO", "HELO"):
            wire.socket.sendall(f"{verb} {name}\r\n".encode("utf-8", "surrogateescape"))
            while (line := stream.readline())[3:4] == b"-":
                assert len(line) <= 512
            assert line.startswith((b"250 ", b"500 "))
            assert not set(line.rstrip(b"\r\n")) & set(range(32))


# Words for what is out of order.


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("AUTH PLAIN", "503 5.5.1 Error: MAIL transaction in progress"),
        ("STARTTLS", "503 5.5.1 Error: MAIL transaction in progress"),
        ("ETRN x", "503 5.5.1 Error: MAIL transaction in progress"),
        ("MAIL FROM:<x@y.example>", "503 5.5.1 Error: nested MAIL command"),
        ("DATA", "503 5.5.1 Error: need RCPT command"),
    ],
)
def test_within_a_transaction(said: str, heard: str) -> None:
    with Lab().running() as lab:
        play(lab, f"{HELO}{MAIL}C: {said}\nS: {heard}")


def test_a_refused_chunk_ends_the_transaction() -> None:
    """RFC 3030 §2: what follows is not a message without an envelope."""
    with Lab(policy=Policy(extensions=("CHUNKING",), limits=Limits(size=10))).running() as lab:
        play(
            lab,
            f"{HELO}MAIL\nRCPT\nC: BDAT 22 LAST\nC: 12345678901234567890\n"
            "S: 552 5.3.4 Error: message file too big\n"
            "C: BDAT 3 LAST\nC: a\nS: 503 5.5.1 Error: need RCPT command\nkept 0\nRSET\nMAIL",
        )


def test_a_persona_that_hangs_up_does() -> None:
    """Gmail says 502 when it has had enough, and closes."""
    persona = load_persona("gmail")
    policy = Policy(limits=Limits(errors=2))
    with Lab(persona, policy).running() as lab, Wire(lab) as wire:
        wire.socket.sendall(b"XYZZY\r\nXYZZY\r\nNOOP\r\n")
        said = b""
        while part := wire.socket.recv(65536):
            said += part
    assert said.splitlines()[-1].startswith(b"502 5.5.1 Too many errors, goodbye.")


# Regular expressions are stopped.

SLOW = "^(a|a)*$"


def test_a_pattern_that_takes_too_long_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known to be one that takes longer than the universe lasts."""
    monkeypatch.setattr("ehlo.lab.conditions._PATIENCE", 0.05)
    with pytest.raises(TimeoutError):
        _expression(SLOW).search("a" * 60 + "!", timeout=0.05)
    slow: dict[str, Any] = {"recipient": f"/{SLOW[:-1]}@/", "title": "slow"}
    with Lab(policy=Policy(any_recipient=True)).running() as lab:
        lab.fault("rcpt", reply="450 4.2.0 Next", **{**slow, "recipient": "x*", "title": ""})
        with lab.fault("rcpt", reply="450 4.2.0 Slow", **slow) as switch:
            play(lab, f"{HELO}MAIL\nC: RCPT TO:<{'a' * 60}!@example.com>\nS: 250 2.1.5 Ok")
            play(lab, f"{HELO}MAIL\nC: RCPT TO:<x@example.com>\nS: 450 4.2.0 Next")
        assert switch.hits == 0
        notes = [event.fact("message") for event in lab.sessions[0].events if event.kind == "note"]
    assert notes == ["fault: slow: its regular expression took too long, and does not hold"]


# Extensions.


CHUNKS = Policy(extensions=("CHUNKING", "BINARYMIME"))
RCPT = "C: RCPT TO:<recipient@example.com>\nS: 250 2.1.5 Ok\n"
BINARY = f"C: MAIL FROM:<a@client.example> BODY=BinaryMIME\nS: 250 2.1.0 Ok\n{RCPT}"


def test_binary_content_comes_in_chunks() -> None:
    """RFC 3030 §3: DATA is out of order then, however often it was in order before."""
    refused = "C: DATA\nS: 503 5.5.1 Error: BODY=BINARYMIME requires BDAT\n"
    with Lab(policy=CHUNKS).running() as lab:
        play(
            lab, f"{HELO}SEND\nSEND\n{BINARY}{refused}C: BDAT 0 LAST\nqueued\nSEND\n{BINARY}{refused}RSET\nSEND\nkept 5"
        )
        with lab.fault("data", reply="354 Go ahead") as fault:
            play(lab, f"{HELO}{BINARY}{refused}RSET")
        assert not fault.hits


@pytest.mark.parametrize("persona", persona_names())
def test_every_persona_has_a_503_for_it(persona: str) -> None:
    assert load_persona(persona).say("needs-bdat").code == 503


def test_a_parameter_of_the_other_command_is_not_known() -> None:
    """RFC 5321 §4.1.1.11: 555 is for those that are not known here, 501 for values that are wrong."""
    mail = "C: MAIL FROM:<a@client.example> NOTIFY=NEVER\nS: 555 5.5.4 Unsupported option: NOTIFY=NEVER\n"
    rcpt = "C: RCPT TO:<recipient@example.com> SIZE=3\nS: 555 5.5.4 Unsupported option: SIZE=3"
    with Lab().running() as lab:
        play(lab, f"{HELO}{mail}{MAIL}{rcpt}")


def test_between_chunks_it_is_not_a_recipient_that_is_missing() -> None:
    """RFC 3030 §2: a transaction is under way, and has its recipients."""
    refused = "S: 503 5.5.1 Error: MAIL transaction in progress\n"
    others = "".join(f"C: {line}\n{refused}" for line in ("RCPT TO:<a@example.com>", "DATA", "VRFY a", "STARTTLS"))
    chunk = "C: BDAT 0\nS: 250 2.0.0 Ok: 0 bytes\n"
    nested = "C: MAIL FROM:<a@client.example>\nS: 503 5.5.1 Error: nested MAIL command\n"
    with Lab(policy=CHUNKS).running() as lab:
        play(lab, f"{HELO}{MAIL}{RCPT}{chunk}{others}{nested}C: BDAT 0 LAST\nqueued\nkept 1")


@pytest.mark.parametrize("name", persona_names())
def test_a_message_is_taken_in_the_words_of_the_persona(name: str) -> None:
    persona = load_persona(name)
    assert persona.taken("0123456789A") == persona.reply("message", id="0123456789A")
