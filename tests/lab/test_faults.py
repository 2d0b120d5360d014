"""What each fault does and when each condition holds, as a plain socket sees it, octet for octet."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from ehlo.lab import Lab, Policy, RunningLab
from ehlo.lab.authority import KINDS
from ehlo.lab.conditions import KEYS
from ehlo.lab.deviate import MANGLES
from ehlo.lab.fault_table import ACTIONS_AT, CONDITIONS_AT, FILE_WORDS
from ehlo.lab.faults import Action
from ehlo.transcript.transcript import Transcript
from lab.wire import STEPS, Wire, play


@pytest.fixture(name="lab")
def running_lab() -> Iterator[RunningLab]:
    policy = Policy(
        mailboxes=frozenset({"recipient@example.com", "other@example.com"}),
        users={"alice": "wonderland", "bob": "builder"},
        auth_in_clear=True,
    )
    with Lab(policy=policy).running(doors={"smtps": 0, "lmtp": 0}) as lab:
        yield lab


class Case(NamedTuple):
    """A fault, and a conversation in which it strikes."""

    stage: Any
    words: dict[str, Any]
    script: str
    door: str = "smtp"


def name_of(case: Case) -> str:
    words = " ".join(f"{name}={value}" for name, value in case.words.items() if name != "reply")
    return f"{case.stage} {case.words.get('reply', '')} {words}".strip()


def strikes(lab: RunningLab, case: Case) -> None:
    with lab.fault(case.stage, **case.words) as switch:
        play(lab, case.script, case.door)
    assert switch.hits


# A reply in place of another: what is said is what happens.

REPLIES = [
    # Granted in other words.
    Case("banner", {"reply": ["220 here", "and there"]}, "S: 220-here\nS: 220 and there\nEHLO"),
    Case("ehlo", {"reply": ["250-here", "250 FOO"]}, "banner\nC: EHLO x\nS: 250-here\nS: 250 FOO\nMAIL"),
    Case("mail", {"reply": "250 2.1.0 Sure"}, "hello\nC: MAIL FROM:<a@b.example>\nS: 250 2.1.0 Sure\nRCPT"),
    Case(
        "rcpt",
        {"reply": "251 I pass it on"},
        """
        hello
        MAIL
        C: RCPT TO:<recipient@example.com>
        S: 251 I pass it on
        DATA
        message
        queued
        kept 1
        """,
    ),
    Case("data", {"reply": "354 Go"}, "hello\nMAIL\nRCPT\nC: DATA\nS: 354 Go\nmessage\nqueued\nkept 1"),
    Case("message", {"reply": "250 Got it"}, "hello\nMAIL\nRCPT\nDATA\nmessage\nS: 250 Got it\nkept 1\nMAIL"),
    Case("starttls", {"reply": "220 Go"}, "hello\nC: STARTTLS\nS: 220 Go\ntls"),
    # RFC 3207 §4 has 220 alone, but clients look at the first digit.
    Case("starttls", {"reply": "250 Go"}, "hello\nC: STARTTLS\nS: 250 Go\ntls"),
    Case(
        "auth",
        {"reply": "235 Come in"},
        """
        hello
        C: AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=
        S: 235 Come in
        C: AUTH PLAIN
        S: 503 5.5.1 Error: already authenticated
        """,
    ),
    Case("quit", {"reply": "221 So long"}, "hello\nC: QUIT\nS: 221 So long\nclosed"),
    # Granted what the policy would refuse.
    Case(
        "rcpt",
        {"reply": "250 Why not"},
        """
        hello
        MAIL
        C: RCPT TO:<x@y.example>
        S: 250 Why not
        DATA
        message
        queued
        kept 1
        """,
    ),
    Case(
        "auth",
        {"reply": "235 Come in"},
        """
        hello
        C: AUTH PLAIN AGV2ZQB4
        S: 235 Come in
        MAIL
        C: RCPT TO:<x@y.example>
        S: 250 2.1.5 Ok
        """,
    ),
    # Refused.
    Case(
        "banner",
        {"reply": "554 No"},
        """
        S: 554 No
        C: EHLO x
        S: 503 5.7.0 Error: access denied for unknown[127.0.0.1]
        C: MAIL FROM:<>
        S: 503 5.7.0 Error: access denied for unknown[127.0.0.1]
        C: XYZZY
        S: 503 5.7.0 Error: access denied for unknown[127.0.0.1]
        QUIT
        """,
    ),
    Case(
        "ehlo",
        {"reply": "550 5.7.1 No", "times": 1},
        """
        banner
        C: EHLO x
        S: 550 5.7.1 No
        C: MAIL FROM:<>
        S: 503 5.5.1 Error: send HELO/EHLO first
        EHLO
        """,
    ),
    Case("starttls", {"reply": "454 4.7.0 No"}, "hello\nC: STARTTLS\nS: 454 4.7.0 No\nMAIL"),
    Case(
        "auth",
        {"reply": "535 5.7.8 No", "times": 1},
        """
        hello
        C: AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=
        S: 535 5.7.8 No
        AUTH
        """,
    ),
    Case(
        "mail",
        {"reply": "451 4.3.0 No", "times": 1},
        """
        hello
        C: MAIL FROM:<>
        S: 451 4.3.0 No
        C: RCPT TO:<x@y.example>
        S: 503 5.5.1 Error: need MAIL command
        MAIL
        """,
    ),
    Case(
        "rcpt",
        {"reply": "550 5.1.1 No"},
        """
        hello
        MAIL
        C: RCPT TO:<recipient@example.com>
        S: 550 5.1.1 No
        C: DATA
        S: 503 5.5.1 Error: need RCPT command
        """,
    ),
    Case("data", {"reply": "451 4.3.0 No"}, "hello\nMAIL\nRCPT\nC: DATA\nS: 451 4.3.0 No\nRCPT"),
    Case(
        "message",
        {"reply": "554 5.7.1 No", "times": 1},
        """
        hello
        MAIL
        RCPT
        DATA
        message
        S: 554 5.7.1 No
        kept 0
        SEND
        """,
    ),
    Case("quit", {"reply": "502 5.5.1 Stay", "times": 1}, "hello\nC: QUIT\nS: 502 5.5.1 Stay\nQUIT"),
    # A code that is no refusal, and grants nothing here.
    Case(
        "mail",
        {"reply": "354 Go", "times": 1},
        """
        hello
        C: MAIL FROM:<>
        S: 354 Go
        C: RCPT TO:<x@y.example>
        S: 503 5.5.1 Error: need MAIL command
        MAIL
        """,
    ),
    Case(
        "rcpt",
        {"reply": "354 Go"},
        """
        hello
        MAIL
        C: RCPT TO:<recipient@example.com>
        S: 354 Go
        C: DATA
        S: 503 5.5.1 Error: need RCPT command
        """,
    ),
    Case(
        "data",
        {"reply": "250 Go"},
        """
        hello
        MAIL
        RCPT
        C: DATA
        S: 250 Go
        C: Subject: x
        S: 502 5.5.2 Error: command not recognized
        RSET
        """,
    ),
    Case("message", {"reply": "354 More"}, "hello\nMAIL\nRCPT\nDATA\nmessage\nS: 354 More\nkept 0\nMAIL"),
    Case("starttls", {"reply": "334 "}, "hello\nC: STARTTLS\nS: 334 \nMAIL"),
    # A challenge goes on with the login, as far as that can be.
    Case(
        "auth",
        {"reply": "334 bW9yZQ==", "times": 1},
        """
        hello
        C: AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=
        S: 334 bW9yZQ==
        C: eA==
        S: 501 5.7.0 Authentication aborted
        AUTH
        """,
    ),
    # The end of the session.
    Case("rcpt", {"reply": "421 4.3.2 No"}, "hello\nMAIL\nC: RCPT TO:<recipient@example.com>\nS: 421 4.3.2 No\nclosed"),
]


@pytest.mark.parametrize("case", REPLIES, ids=name_of)
def test_what_is_said_is_what_happens(lab: RunningLab, case: Case) -> None:
    strikes(lab, case)


def test_who_was_let_in_without_a_name(lab: RunningLab) -> None:
    with lab.fault("auth", reply="235 Come in"):
        play(lab, "hello\nC: AUTH PLAIN AGV2ZQB4\nS: 235 Come in\nSEND")
    assert lab.messages[0].user == ""


ON_THE_WIRE = [
    (["550-5.1.1 a", "550 5.1.1 b"], "S: 550-5.1.1 a\nS: 550 5.1.1 b"),
    (["550 5.1.1 a", "550 5.1.1 b"], "S: 550-5.1.1 a\nS: 550 5.1.1 b"),
    ("550-5.1.1 a\n550 5.1.1 b", "S: 550-5.1.1 a\nS: 550 5.1.1 b"),
    ("550-a\r\n550-b\r\n550 c", "S: 550-a\nS: 550-b\nS: 550 c"),
    (["550 a", "b"], "S: 550-a\nS: 550 b"),
    (["550 a", "551 is another code"], "S: 550-a\nS: 550 551 is another code"),
    (["550", "550"], "S: 550-\nS: 550 "),
]


@pytest.mark.parametrize(("reply", "heard"), ON_THE_WIRE)
def test_a_reply_may_be_written_as_it_is_sent(lab: RunningLab, reply: str | list[str], heard: str) -> None:
    strikes(lab, Case("rcpt", {"reply": reply}, f"hello\nMAIL\nC: RCPT TO:<recipient@example.com>\n{heard}"))


def test_what_is_filled_in_fits_the_line(lab: RunningLab) -> None:
    name = "é" * 200 + "\x1b"
    with lab.fault("ehlo", reply="250 {helo} {helo} {helo}"):
        text = " ".join(["é" * 200 + "?"] * 3).encode()[:502].decode("utf-8", "ignore")
        play(lab, f"banner\nC: EHLO {name}\nS: 250 {text}")


# Where faults do not strike.

MISPLACED = [
    ("rcpt", "C: RCPT TO:bad bad\nS: 501 5.5.4 Syntax: RCPT TO:<address>"),
    ("rcpt", "RSET\nC: RCPT TO:<recipient@example.com>\nS: 503 5.5.1 Error: need MAIL command"),
    ("rcpt", "C: RCPT TO:<recipient@example.com> FOO=1\nS: 555 5.5.4 Unsupported option: FOO=1"),
    ("rcpt", "C: RCPT TO:<recipient@example.com> NOTIFY=x\nS: 501 5.5.4 Bad NOTIFY parameter syntax"),
    ("mail", "C: MAIL FROM:<b@client.example>\nS: 503 5.5.1 Error: nested MAIL command"),
    ("mail", "RSET\nC: MAIL FROM:<b@client.example> SIZE=abc\nS: 501 5.5.4 Bad SIZE parameter syntax"),
    ("mail", "RSET\nC: MAIL FROM: b b\nS: 501 5.5.4 Syntax: MAIL FROM:<address>"),
    ("data", "C: DATA\nS: 503 5.5.1 Error: need RCPT command"),
    ("data", "C: Subject: hello\nS: 502 5.5.2 Error: command not recognized"),
    ("auth", "C: AUTH PLAIN\nS: 503 5.5.1 Error: MAIL transaction in progress"),
    ("auth", "RSET\nAUTH\nC: AUTH PLAIN\nS: 503 5.5.1 Error: already authenticated"),
    ("starttls", "C: STARTTLS\nS: 503 5.5.1 Error: MAIL transaction in progress"),
    ("starttls", "RSET\nC: STARTTLS now\nS: 501 5.5.4 Syntax: STARTTLS"),
    ("ehlo", "C: EHLO\nS: 501 5.5.4 Syntax: EHLO"),
    ("message", "C: BDAT 3 LAST\nC: a\nS: 502 5.5.2 Error: command not recognized"),
]


@pytest.mark.parametrize(("stage", "script"), MISPLACED)
def test_a_command_that_may_not_stand_here_uses_nothing_up(lab: RunningLab, stage: Any, script: str) -> None:
    with Wire(lab) as wire:
        wire.play("hello\nMAIL")
        allowed = 1 if stage == "auth" and "AUTH\n" in script else 0
        with lab.fault(stage, reply="550 Struck", after=allowed) as switch:
            wire.play(script)
            wire.play("NOOP")
        assert not switch.hits


def test_a_command_before_ehlo_uses_nothing_up(lab: RunningLab) -> None:
    with lab.fault("mail", reply="250 Struck") as switch:
        play(
            lab,
            """
                banner
                C: MAIL FROM:<>
                S: 503 5.5.1 Error: send HELO/EHLO first
                C: RCPT TO:<x@y.z>
                S: 503 5.5.1 Error: send HELO/EHLO first
                """,
        )
    assert not switch.hits


# Each thing that a fault can do.

SAID = "hello\nC: MAIL FROM:<a@client.example>"
OK = b"250 2.1.0 Ok\r\n"

SPOILED: dict[str, bytes] = {
    "bare-lf": b"250 2.1.0 Ok\n",
    "bare-cr": b"250 2.1.0 Ok\r",
    "no-ending": b"250 2.1.0 Ok",
    "no-code": b"2.1.0 Ok\r\n",
    "no-text": b"250\r\n",
    "no-space": b"2502.1.0 Ok\r\n",
    "mixed-codes": b"251-2.1.0 Ok\r\n250 2.1.0 Ok\r\n",
    "endless": b"250-2.1.0 Ok\r\n",
    "ends-early": b"250 2.1.0 Ok\r\n250 and one line more\r\n",
    "over-long": b"250 2.1.0 Ok " + b"x" * 1024 + b"\r\n",
    "blank-line": b"\r\n250 2.1.0 Ok\r\n",
    "controls": b"250 2.1.0 Ok \x1b]0;hello\x07\x1b[2J\x08\r\n",
    "8-bit": b"250 2.1.0 Ok \xe9\xff\xc3\xa9\r\n",
    "nul": b"250 \x002.1.0 Ok\r\n",
    "garbage": bytes((octet * 73 + 41) % 256 for octet in range(14)) + b"\r\n",
    "twice": b"250 2.1.0 Ok\r\n250 2.1.0 Ok\r\n",
    "zeros": b"000 2.1.0 Ok\r\n",
    "four-digits": b"2500 2.1.0 Ok\r\n",
}
SPOILED_LINES: dict[str, bytes] = {
    "bare-lf": b"250-a\n250-b\n250 c\n",
    "bare-cr": b"250-a\r250-b\r250 c\r",
    "no-ending": b"250-a\r\n250-b\r\n250 c",
    "no-code": b"a\r\nb\r\nc\r\n",
    "no-text": b"250\r\n250\r\n250\r\n",
    "no-space": b"250a\r\n250b\r\n250c\r\n",
    "mixed-codes": b"251-a\r\n250-b\r\n250 c\r\n",
    "endless": b"250-a\r\n250-b\r\n250-c\r\n",
    "ends-early": b"250 a\r\n250-b\r\n250 c\r\n",
    "over-long": b"250-a " + b"x" * 1024 + b"\r\n250-b\r\n250 c\r\n",
    "zeros": b"000-a\r\n000-b\r\n000 c\r\n",
    "four-digits": b"2500-a\r\n2500-b\r\n2500 c\r\n",
}


@pytest.mark.parametrize("name", MANGLES)
def test_a_spoiled_reply(lab: RunningLab, name: str) -> None:
    with lab.fault("mail", mangle=name), Wire(lab) as wire:
        wire.play(SAID)
        assert wire.read(len(SPOILED[name])) == SPOILED[name]
        # The server goes on as if nothing had been.
        wire.play("RCPT")


@pytest.mark.parametrize("name", SPOILED_LINES)
def test_a_spoiled_reply_of_several_lines(lab: RunningLab, name: str) -> None:
    with lab.fault("mail", reply=["250 a", "b", "c"], mangle=name), Wire(lab) as wire:
        wire.play(SAID)
        assert wire.read(len(SPOILED_LINES[name])) == SPOILED_LINES[name]
        wire.play("RCPT")


UNRECOGNIZED = "S: 502 5.5.2 Error: command not recognized"
WITHOUT_STARTTLS = STEPS["EHLO"].replace("S: 250-STARTTLS\n", "")

DONE = [
    Case("banner", {"raw": "* OK ready\r\n"}, "S= * OK ready\\r\\n\nEHLO"),
    Case("mail", {"raw": b"\x00\xff no line"}, f"{SAID}\nS= \\x00\\xff no line\nRCPT"),
    Case("mail", {"silent": True}, f"{SAID}\nRCPT"),
    Case("mail", {"hold": True}, f"{SAID}\nC: RCPT TO:<recipient@example.com>\nS: 250 2.1.0 Ok\nS: 250 2.1.5 Ok"),
    Case("mail", {"close": True}, f"{SAID}\nS: 250 2.1.0 Ok\nclosed"),
    Case("mail", {"silent": True, "close": True}, f"{SAID}\nclosed"),
    Case("mail", {"silent": True, "reset": True}, f"{SAID}\nreset"),
    Case("message", {"silent": True, "close": True}, "hello\nMAIL\nRCPT\nDATA\nmessage\nclosed\nkept 1"),
    Case(
        "message",
        {"silent": True, "close": True, "reply": "451 No"},
        """
        hello
        MAIL
        RCPT
        DATA
        message
        closed
        kept 0
        """,
    ),
    Case("data", {"close_after": 10}, "hello\nMAIL\nRCPT\nDATA\nC: Subject: x\nclosed\nkept 0"),
    Case("data", {"close_after": 10, "reset": True}, "hello\nMAIL\nRCPT\nDATA\nC: Subject: x\nreset\nkept 0"),
    Case("message", {"lose": True}, "hello\nMAIL\nRCPT\nDATA\nmessage\nqueued\nkept 0\nMAIL"),
    Case("ehlo", {"drop": ["STARTTLS"]}, f"banner\n{WITHOUT_STARTTLS}\nC: STARTTLS\n{UNRECOGNIZED}"),
    Case("ehlo", {"drop": "starttls"}, f"banner\n{WITHOUT_STARTTLS}"),
    Case(
        "ehlo",
        {"drop": "SIZE", "times": 1},
        f"""
        banner
        {STEPS["EHLO"].replace("S: 250-SIZE 10240000", "")}
        C: MAIL FROM:<> SIZE=1
        S: 555 5.5.4 Unsupported option: SIZE=1
        EHLO
        C: MAIL FROM:<> SIZE=1
        S: 250 2.1.0 Ok
        """,
    ),
    Case(
        "ehlo",
        {"add": ["CHUNKING", "X-FOO a b"]},
        f"""
        banner
        {STEPS["EHLO"].replace("S: 250 AUTH", "S: 250-AUTH")}
        S: 250-CHUNKING
        S: 250 X-FOO a b
        MAIL
        RCPT
        C: BDAT 2 LAST
        C:
        queued
        """,
    ),
    Case(
        "ehlo",
        {"mask": True},
        f"""
        banner
        {STEPS["EHLO"].replace("STARTTLS", "XXXXXXXA")}
        C: STARTTLS
        {UNRECOGNIZED}
        """,
    ),
    Case("banner", {"mask": True}, "S= 220 " + "*" * 16 + " " + "*" * 5 + " " + "*" * 7 + "\\r\\n\nEHLO"),
    Case(
        "rcpt",
        {"reply": "450 {from} {to} {helo} {client} {user} {1}", "recipient": "/^(rec)/"},
        """
        hello
        AUTH
        MAIL
        C: RCPT TO:<recipient@example.com>
        S: 450 a@client.example recipient@example.com client.example 127.0.0.1 alice rec
        """,
    ),
    Case(
        "rcpt",
        {"reply": "{1} You said so", "recipient": "/^(\\d+)@/"},
        """
        hello
        MAIL
        C: RCPT TO:<452@example.com>
        S: 452 You said so
        C: RCPT TO:<999@example.com>
        S: 451 4.3.5 Local fault without a reply code
        """,
    ),
]


@pytest.mark.parametrize("case", DONE, ids=name_of)
def test_what_a_fault_does(lab: RunningLab, case: Case) -> None:
    strikes(lab, case)


CHUNKS = "S: 220 mail.example.com ESMTP Postfix\nC: HELO x\nS: 250 mail.example.com\nMAIL\nRCPT"
#: `C:` sends CRLF behind the line, which are two of the octets.
CHUNKED = [
    Case("data", {"close_after": 3}, f"{CHUNKS}\nC: BDAT 9 LAST\nC: ab\nclosed\nkept 0"),
    Case("data", {"close_after": 3, "reset": True}, f"{CHUNKS}\nC: BDAT 9 LAST\nC: ab\nreset\nkept 0"),
    Case("data", {"close_after": 0}, f"{CHUNKS}\nC: BDAT 9 LAST\nC: ab\nclosed\nkept 0"),
    Case("data", {"close_after": 5}, f"{CHUNKS}\nC: BDAT 4\nC: ab\nS: 250 2.0.0 Ok: 4 bytes\nC: BDAT 9\nC: a\nclosed"),
    # Longer than the message: at its end, before it is whole.
    Case("data", {"close_after": 99}, f"{CHUNKS}\nC: BDAT 4 LAST\nC: ab\nclosed\nkept 0"),
    Case("data", {"stall_after": 3, "stall": 0.1}, f"{CHUNKS}\nC: BDAT 4 LAST\nC: ab\nqueued\nkept 1"),
    # Other faults of the command DATA are not asked, and one of BDAT is left for the next message.
    Case(
        "data",
        {"close_after": 3, "times": 1},
        f"{CHUNKS}\nC: BDAT 2\nC:\nS: 250 2.0.0 Ok: 2 bytes\nRSET\nMAIL\nRCPT\nC: BDAT 4 LAST\nC: ab\nqueued\nkept 1",
    ),
]


@pytest.mark.parametrize("case", CHUNKED, ids=name_of)
def test_faults_within_a_message_in_chunks(case: Case) -> None:
    with Lab(policy=Policy(extensions=("CHUNKING",))).running() as lab, lab.fault("data", reply="451 No") as other:
        strikes(lab, case)
        assert not other.hits


def test_a_chunk_that_may_not_stand_here_uses_no_fault_up(lab: RunningLab) -> None:
    with lab.fault("data", close_after=1) as switch:
        play(lab, f"{CHUNKS}\nC: BDAT 4 LAST\nC: ab\nS: 502 5.5.2 Error: command not recognized\nNOOP")
    assert not switch.hits


def test_a_chunk_that_is_cut_off_is_in_the_record_with_its_command() -> None:
    with Lab(policy=Policy(extensions=("CHUNKING",))).running() as lab:
        with Wire(lab) as wire:
            wire.play(f"{CHUNKS}\nC: BDAT 9 LAST\nC: ab")
            wire.socket.shutdown(socket.SHUT_WR)
            assert wire.end() == "closed"
        said = [event.data for event in lab.sessions[-1].events if event.who == "client" and event.kind != "close"]
    assert said[-2:] == [b"BDAT 9 LAST\r\n", b"ab\r\n"]


TIMED = [
    ("delay", Case("mail", {"delay": 0.2}, f"{SAID}\nS: 250 2.1.0 Ok"), 0.2),
    ("stall", Case("mail", {"stall": 0.2}, f"{SAID}\nS: 250 2.1.0 Ok"), 0.2),
    ("pause", Case("mail", {"pause": 0.02}, f"{SAID}\nS: 250 2.1.0 Ok"), 14 * 0.02),
    ("pieces", Case("mail", {"pieces": [3, 4], "pause": 0.1}, f"{SAID}\nS: 250 2.1.0 Ok"), 3 * 0.1),
    ("stall_after", Case("data", {"stall_after": 5, "stall": 0.2}, "hello\nSEND\nkept 1"), 0.2),
    ("delay of TLS on connect", Case("tls", {"delay": 0.2}, "tls\nbanner", "smtps"), 0.2),
    ("delay of STARTTLS", Case("tls", {"delay": 0.2}, "hello\nSTARTTLS"), 0.2),
]


def lasted(transcript: Transcript) -> float:
    return transcript.events[-1].t - transcript.events[0].t


@pytest.mark.parametrize(("name", "case", "seconds"), TIMED, ids=[name for name, _, _ in TIMED])
def test_what_takes_time(lab: RunningLab, name: str, case: Case, seconds: float) -> None:
    """How long at least; nobody knows how long at most."""
    strikes(lab, case)
    assert lasted(lab.sessions[-1]) >= seconds * 0.99


def test_pieces_are_written_one_by_one(lab: RunningLab) -> None:
    """The pause is longer than anybody waits: the first piece is all that there is."""
    with lab.fault("mail", pieces=4, pause=3600), Wire(lab) as wire:
        wire.play(SAID)
        assert wire.socket.recv(65536) == b"250 "


def test_silence_after_quit_is_no_end(lab: RunningLab) -> None:
    with lab.fault("quit", silent=True) as switch, Wire(lab) as wire:
        wire.play("hello\nC: QUIT")
        wire.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            wire.socket.recv(1)
    assert switch.hits == 1


# TLS.

PROBLEMS = {
    "expired": 10,
    "not-yet-valid": 9,
    "wrong-name": 62,
    "self-signed": 18,
    "unknown-ca": 20,
    "weak-key": 66,
    "missing-intermediate": 20,
    "sha1": 68,
    "no-name": 62,
}


def verifying(lab: RunningLab, *more: bytes) -> ssl.SSLContext:
    context = lab.ssl_context()
    # OpenSSL's own level may be lower than what distributions set.
    context.set_ciphers("DEFAULT:@SECLEVEL=2")
    for certificate in more:
        context.load_verify_locations(cadata=certificate.decode("ascii"))
    return context


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_that_is_wrong(lab: RunningLab, kind: str) -> None:
    with lab.fault("tls", certificate=kind) as switch, Wire(lab) as wire:
        wire.play("hello\n" + STEPS["STARTTLS"].removesuffix("\ntls"))
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            wire.start_tls(verifying(lab))
    assert caught.value.verify_code == PROBLEMS[kind]
    assert switch.hits == 1


def chain(lab: RunningLab, kind: str, context: ssl.SSLContext) -> None:
    """The handshake succeeds, and something is said."""
    with lab.fault("tls", certificate=kind), Wire(lab) as wire:
        wire.play("hello\n" + STEPS["STARTTLS"].removesuffix("\ntls"))
        wire.start_tls(context)
        wire.play("NOOP")


def test_the_missing_intermediate_is_one(lab: RunningLab) -> None:
    """Who has it verifies the chain up to the lab's authority."""
    chain(lab, "missing-intermediate", verifying(lab, lab.lab.authority.intermediate))


def test_sha1_is_all_that_is_wrong(lab: RunningLab) -> None:
    context = lab.ssl_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    chain(lab, "sha1", context)


def test_no_name_is_nowhere_in_the_certificate(lab: RunningLab) -> None:
    context = lab.ssl_context()
    context.check_hostname = False
    with lab.fault("tls", certificate="no-name"), Wire(lab, "smtps") as wire:
        wire.start_tls(context)
        assert isinstance(wire.socket, ssl.SSLSocket)
        shown = wire.socket.getpeercert()
    assert shown is not None
    assert shown["subject"] == ()
    assert "subjectAltName" not in shown


def offering(version: ssl.TLSVersion) -> Callable[[RunningLab], ssl.SSLContext]:
    def context(lab: RunningLab) -> ssl.SSLContext:
        made = lab.ssl_context()
        made.set_ciphers("ALL:@SECLEVEL=0")
        made.minimum_version = made.maximum_version = version
        return made

    return context


@pytest.mark.parametrize(
    ("words", "good", "bad"),
    [
        ({"tls_max": "1.2"}, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
        ({"tls_min": "1.3"}, ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2),
        ({"tls_min": "1.2", "tls_max": "1.2"}, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
    ],
)
def test_versions(lab: RunningLab, words: dict[str, str], good: ssl.TLSVersion, bad: ssl.TLSVersion) -> None:
    with lab.fault("tls", **words):
        with Wire(lab, "smtps") as wire:
            wire.start_tls(offering(good)(lab))
            wire.play("banner\nNOOP")
        with Wire(lab, "smtps") as wire, pytest.raises(ssl.SSLError, match=r"(?i)version|protocol"):
            wire.start_tls(offering(bad)(lab))


@pytest.mark.parametrize("how", ["close", "garbage"])
def test_no_handshake(lab: RunningLab, how: str) -> None:
    with lab.fault("tls", handshake=how) as switch, Wire(lab) as wire:
        wire.play("hello\n" + STEPS["STARTTLS"].removesuffix("\ntls"))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            wire.start_tls()
    assert switch.hits == 1


def test_no_answer_to_the_handshake(lab: RunningLab) -> None:
    with lab.fault("tls", handshake="silent"), Wire(lab, "smtps") as wire:
        wire.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            wire.start_tls()


# Each condition.

LATER = "S: 450 4.2.0 Later"


def mail(sender: str, heard: str = "S: 250 2.1.0 Ok", *, more: str = "") -> str:
    return f"C: MAIL FROM:<{sender}>{more}\n{heard}\nRSET"


def rcpt(recipient: str, heard: str = "S: 250 2.1.5 Ok", sender: str = "a@client.example") -> str:
    return f"C: MAIL FROM:<{sender}>\nS: 250 2.1.0 Ok\nC: RCPT TO:<{recipient}>\n{heard}\nRSET"


def times(*struck: int, of: int) -> str:
    return "\n".join(
        rcpt("recipient@example.com", LATER if n in struck else "S: 250 2.1.5 Ok") for n in range(1, of + 1)
    )


MINE = "recipient@example.com"
PASS, HELD = mail("a@b.example"), mail("a@b.example", LATER)
ANEW = STEPS["EHLO"].replace("client.example", "x")
LOTTERY, OTHER = "MAIL\nRCPT\nDATA\nmessage", "MAIL\nRCPT\nDATA\nC: Subject: x\nC: .\nqueued"

HOLDS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("mail", {"sender": "a@b.example"}, [mail("A@b.example", LATER), mail("aa@b.example"), mail("")]),
    ("mail", {"sender": "*@b.example"}, [mail("x@b.example", LATER), mail("x@c.example")]),
    ("mail", {"sender": "?@b.example"}, [mail("x@b.example", LATER), mail("xy@b.example")]),
    ("mail", {"sender": "/^(x|y)@/"}, [mail("Y@b.example", LATER), mail("z@b.example")]),
    ("mail", {"sender": ""}, [mail("", LATER), mail("x@b.example")]),
    ("rcpt", {"sender": ""}, [rcpt(MINE, LATER, ""), rcpt(MINE)]),
    ("rcpt", {"recipient": "other@*"}, [rcpt("other@example.com", LATER), rcpt(MINE)]),
    ("rcpt", {"to": "other@*"}, [rcpt("other@example.com", LATER), rcpt(MINE)]),
    ("mail", {"helo": "client.*"}, [HELD, ANEW, PASS]),
    ("ehlo", {"helo": "x"}, ["C: EHLO X", LATER, "EHLO"]),
    ("mail", {"client": "127.0.0.1"}, [HELD]),
    ("mail", {"client": "127.0.0.0/8"}, [HELD]),
    ("mail", {"client": "127.*"}, [HELD]),
    ("mail", {"client": "192.0.2.0/24"}, [PASS]),
    ("mail", {"client": "10.*"}, [PASS]),
    ("mail", {"user": "alice"}, [PASS, "AUTH", HELD]),
    ("mail", {"user": ""}, [HELD, "AUTH", PASS]),
    ("mail", {"tls": False}, [HELD]),
    ("mail", {"tls": True}, [PASS, "STARTTLS", WITHOUT_STARTTLS, HELD]),
    (
        "mail",
        {"larger": 1000},
        [mail("a@b.example", LATER, more=" SIZE=1001"), mail("a@b.example", more=" SIZE=1000"), PASS],
    ),
    ("message", {"larger": 34}, [LOTTERY, LATER, OTHER]),
    ("message", {"larger": 35}, ["SEND"]),
    ("message", {"text": "lot+ery"}, [LOTTERY, LATER, OTHER]),
    # Of the times that it holds.
    ("rcpt", {"times": 2}, [times(1, 2, of=4)]),
    ("rcpt", {"first": 2}, [times(1, 2, of=4)]),
    ("rcpt", {"nth": 2}, [times(2, of=4)]),
    ("rcpt", {"every": 2}, [times(2, 4, of=5)]),
    ("rcpt", {"after": 2}, [times(3, 4, of=4)]),
    ("rcpt", {"after": 1, "times": 3}, [times(2, 3, of=5)]),
    ("rcpt", {"rate": "2/hour"}, [times(3, 4, of=4)]),
    ("rcpt", {"wait": 3600}, [times(1, 2, 3, of=3)]),
    ("rcpt", {"within": 3600}, [times(1, 2, of=2)]),
    ("rcpt", {"probability": 0}, [times(of=2)]),
    ("rcpt", {"probability": 1}, [times(1, 2, of=2)]),
    # Counted apart.
    ("rcpt", {"times": 1, "per": "to"}, [times(1, of=2), rcpt("Other@example.com", LATER), rcpt("other@example.com")]),
    ("rcpt", {"times": 1, "per": "to-domain"}, [times(1, of=2), rcpt("other@example.com")]),
    ("mail", {"times": 1, "per": "from"}, [HELD, PASS, mail("x@b.example", LATER)]),
    ("mail", {"times": 1, "per": "from-domain"}, [HELD, mail("x@b.example"), mail("a@c.d", LATER)]),
    ("mail", {"times": 1, "per": "helo"}, [HELD, ANEW, HELD]),
    ("mail", {"times": 1, "per": "user"}, [HELD, "AUTH", HELD, PASS]),
    ("mail", {"times": 1, "per": "client"}, [HELD, mail("x@b.example")]),
    ("mail", {"times": 1, "per": ["client", "session"]}, [HELD, mail("x@b.example")]),
]


@pytest.mark.parametrize(("stage", "words", "steps"), HOLDS, ids=[f"{s} {w}" for s, w, _ in HOLDS])
def test_when_a_condition_holds(lab: RunningLab, stage: Any, words: dict[str, Any], steps: list[str]) -> None:
    script = "\n".join(["hello", *steps])
    with lab.fault(stage, reply="450 4.2.0 Later", **words) as switch:
        play(lab, script)
    assert switch.hits == script.count(LATER)


def test_counts_are_of_all_sessions_or_of_each(lab: RunningLab) -> None:
    with lab.fault("mail", reply="450 4.2.0 Later", times=1):
        play(lab, f"hello\n{mail('a@b.example', LATER)}")
        play(lab, f"hello\n{mail('a@b.example')}")
    with lab.fault("mail", reply="450 4.2.0 Later", times=1, per="session"):
        for _ in range(2):
            play(lab, f"hello\n{mail('a@b.example', LATER)}\n{mail('a@b.example')}")


@pytest.mark.parametrize("word", ["wait", "within", "rate"])
def test_time_passes(lab: RunningLab, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(lab.lab.faults, "_clock", lambda: now)
    words: dict[str, Any] = {"wait": 10, "within": 10, "rate": "1/10 seconds"}
    with lab.fault("rcpt", reply="450 4.2.0 Later", **{word: words[word]}):
        play(lab, f"hello\n{times(2, of=2) if word == 'rate' else times(1, 2, of=2)}")
        now += 10.5
        play(lab, f"hello\n{times(of=1)}")


def test_chance_has_a_seed() -> None:
    def heard(seed: int) -> bytes:
        with (
            Lab(seed=seed).running() as lab,
            lab.fault("rcpt", reply="450 2.1.5 No", probability=0.5),
            Wire(lab) as wire,
        ):
            wire.play("banner\nC: HELO x\nS: 250 mail.example.com\nMAIL")
            wire.play("C: RCPT TO:<recipient@example.com>\n" * 30 + "C: QUIT")
            # Both replies are of one length.
            return wire.read(30 * len("450 2.1.5 No\r\n"))

    assert heard(1) == heard(1)
    assert heard(1) != heard(2)
    assert set(heard(1).splitlines()) == {b"250 2.1.5 Ok", b"450 2.1.5 No"}


# LMTP: a reply for each recipient.


def lmtp(*replies: str) -> str:
    hello = STEPS["EHLO"].replace("EHLO", "LHLO")
    return "\n".join(
        [f"banner\n{hello}\nMAIL\nRCPT\nC: RCPT TO:<other@example.com>\nS: 250 2.1.5 Ok\nDATA\nmessage", *replies]
    )


WITH_LF = STEPS["queued"].replace("S:", "S=") + "\\n"


@pytest.mark.parametrize(
    ("words", "replies", "kept"),
    [
        ({"reply": "452 4.2.2 Full"}, ["S: 452 4.2.2 Full", "S: 452 4.2.2 Full"], []),
        ({"reply": "452 4.2.2 Full", "recipient": "other@*"}, ["queued", "S: 452 4.2.2 Full"], ["recipient"]),
        ({"lose": True, "recipient": "recipient@*"}, ["queued", "queued"], ["other"]),
        ({"mangle": "bare-lf", "recipient": "other@*"}, ["queued", WITH_LF], ["recipient", "other"]),
        ({"close": True, "recipient": "recipient@*"}, ["queued", "closed"], ["recipient", "other"]),
    ],
)
def test_each_recipient_of_lmtp(lab: RunningLab, words: dict[str, Any], replies: list[str], kept: list[str]) -> None:
    with lab.fault("message", **words):
        play(lab, lmtp(*replies), "lmtp")
    taken = [path.address for message in lab.messages for path in message.recipients]
    assert taken == [f"{name}@example.com" for name in kept]


# What the tables above leave out.


def test_every_action_is_proved() -> None:
    cases = [*REPLIES, *DONE, *(case for _, case, _ in TIMED)]
    tls = {"certificate", "tls_min", "tls_max", "handshake", "mangle"}
    assert {name for case in cases for name in case.words} & set(Action._fields) | tls == set(Action._fields)
    assert set(SPOILED) == set(MANGLES)
    assert set(PROBLEMS) == set(KINDS)


def test_every_condition_is_proved() -> None:
    proved = {FILE_WORDS.get(name, {"times": "first"}.get(name, name)) for _, words, _ in HOLDS for name in words}
    assert proved == {field for fields in CONDITIONS_AT.values() for field in fields}
    per = [words["per"] for _, words, _ in HOLDS if "per" in words]
    assert {key for keys in per for key in ([keys] if isinstance(keys, str) else keys)} == set(KEYS)


def test_every_reply_stage_is_proved() -> None:
    assert {case.stage for case in REPLIES} == {stage for stage, names in ACTIONS_AT.items() if "reply" in names}
