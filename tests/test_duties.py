"""What clients owe to servers: each mistake is made over a plain socket, and found in the lab's transcript."""

from __future__ import annotations

import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, BinaryIO

import pytest

from ehlo.diagnosis.duties import judge_client
from ehlo.knowledge.rules import load_rules
from ehlo.lab import Lab, Policy, RunningLab
from ehlo.lab.scenario import make_fault
from ehlo.transcript.transcript import Recorder, Transcript

if TYPE_CHECKING:
    from _typeshed import TraceFunction

GOOD = b"mail.client.example"


def reply(stream: BinaryIO) -> bytes:
    lines = b""
    while True:
        line = stream.readline()
        lines += line
        if not line or line[3:4] != b"-":
            return lines


class Client:
    """A client that does exactly what the test says."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        self.socket: socket.socket = socket.create_connection((lab.host, lab.port), timeout=30)
        self.stream: BinaryIO = self.socket.makefile("rb")

    def send(self, *lines: bytes) -> None:
        self.socket.sendall(b"".join(line + b"\r\n" for line in lines))

    def reply(self) -> bytes:
        return reply(self.stream)

    def ask(self, *lines: bytes) -> bytes:
        answer = b""
        for line in lines:
            self.send(line)
            answer = self.reply()
        return answer

    def start_tls(self, context: ssl.SSLContext) -> None:
        assert self.ask(b"STARTTLS").startswith(b"220")
        self.socket = context.wrap_socket(self.socket, server_hostname="mail.example.com")
        self.stream = self.socket.makefile("rb")

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


def play(say: Callable[[Client], None], lab: Lab, *, now: float = 0.0) -> list[str]:
    """The rules that a client breaks."""
    with lab.running() as running:
        client = Client(running)
        say(client)
        client.close()
        deadline = time.monotonic() + 30
        while any(running.lab.is_running(number) for number in range(1, 9)) and time.monotonic() < deadline:
            time.sleep(0.01)
        first, *later = running.sessions
        found = judge_client(first, later, now=now and first.header.started + now)
    assert all(finding.layer == "client" and "{" not in finding.title + finding.why for finding in found)
    return [finding.rule.removeprefix("client-") for finding in found]


def greeted(client: Client) -> None:
    client.reply()
    client.ask(b"EHLO " + GOOD)


def encrypted(client: Client) -> None:
    greeted(client)
    client.start_tls(client.lab.ssl_context())
    client.ask(b"EHLO " + GOOD)


def lab(*faults: tuple[str, dict[str, object]], **policy: object) -> Lab:
    return Lab(
        policy=Policy(users={"alice": "wonderland"}, auth_in_clear=True)._replace(**policy),  # type: ignore[arg-type]
        faults=[make_fault(stage, "", words) for stage, words in faults],
    )


def test_a_client_without_reproach() -> None:
    def say(client: Client) -> None:
        encrypted(client)
        client.ask(b"AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=")
        client.send(b"MAIL FROM:<a@b.example>", b"RCPT TO:<recipient@example.com>", b"DATA")
        for code in (b"250", b"250", b"354"):
            assert client.reply().startswith(code)
        client.send(b"Subject: x", b"", b".")
        client.reply()
        client.ask(b"QUIT")

    assert play(say, lab(), now=60) == []


def mistake_early(client: Client) -> None:
    client.send(b"EHLO " + GOOD)
    client.reply()
    client.reply()
    client.ask(b"QUIT")


def mistake_talks_on(client: Client) -> None:
    client.reply()
    client.ask(b"EHLO " + GOOD)
    client.ask(b"QUIT")


def mistake_helo(client: Client) -> None:
    client.reply()
    client.ask(b"EHLO localhost", b"QUIT")


def mistake_helo_address(client: Client) -> None:
    client.reply()
    client.ask(b"EHLO 192.0.2.1", b"QUIT")


def mistake_content(client: Client) -> None:
    encrypted(client)
    client.ask(b"MAIL FROM:<a@b.example>", b"RCPT TO:<recipient@example.com>")
    client.send(b"DATA", b"Subject: x", b"", b".")
    client.reply()
    client.reply()
    client.ask(b"QUIT")


def mistake_group(client: Client) -> None:
    client.reply()
    client.send(b"EHLO " + GOOD, b"NOOP")
    client.reply()
    client.reply()
    client.ask(b"QUIT")


def mistake_pipelining(client: Client) -> None:
    encrypted(client)
    client.send(b"MAIL FROM:<a@b.example>", b"RCPT TO:<recipient@example.com>")
    client.reply()
    client.reply()
    client.ask(b"RSET", b"QUIT")


def mistake_password(client: Client) -> None:
    greeted(client)
    client.ask(b"AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=", b"QUIT")


def mistake_clear(client: Client) -> None:
    greeted(client)
    client.ask(b"MAIL FROM:<a@b.example>", b"RSET", b"QUIT")


def mistake_trust(client: Client) -> None:
    greeted(client)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    client.start_tls(context)
    client.ask(b"EHLO " + GOOD, b"MAIL FROM:<a@b.example>", b"QUIT")


def mistake_handshake(client: Client) -> None:
    greeted(client)
    with pytest.raises(ssl.SSLCertVerificationError):
        client.start_tls(ssl.create_default_context())


def mistake_distrust(client: Client) -> None:
    """As GnuTLS does it, with which msmtp looks at the certificate afterwards."""
    greeted(client)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    client.start_tls(context)


def mistake_no_tls(client: Client) -> None:
    greeted(client)
    client.ask(b"STARTTLS")
    client.send(b"EHLO " + GOOD)
    client.stream.read()


def mistake_refusal(client: Client) -> None:
    encrypted(client)
    client.ask(b"MAIL FROM:<a@b.example>", b"RCPT TO:<nobody@example.com>", b"DATA", b"QUIT")


def mistake_again(client: Client) -> None:
    encrypted(client)
    client.ask(b"MAIL FROM:<a@b.example>", b"RCPT TO:<nobody@example.com>", b"RCPT TO:<nobody@example.com>", b"QUIT")


def mistake_lf(client: Client) -> None:
    client.reply()
    client.socket.sendall(b"EHLO " + GOOD + b"\n")
    client.reply()
    client.ask(b"QUIT")


def mistake_order(client: Client) -> None:
    encrypted(client)
    client.ask(b"RCPT TO:<recipient@example.com>", b"QUIT")


def mistake_syntax(client: Client) -> None:
    encrypted(client)
    client.ask(b"MAIL FROM: a b", b"QUIT")


def mistake_impatient(client: Client) -> None:
    encrypted(client)
    client.send(b"MAIL FROM:<a@b.example>")
    time.sleep(0.1)


def mistake_no_quit(client: Client) -> None:
    encrypted(client)


SLOW_GREETING: tuple[str, dict[str, object]] = ("banner", {"delay": 0.3})
MISTAKES: list[tuple[str, Callable[[Client], None], Lab]] = [
    ("early-talker", mistake_early, lab(SLOW_GREETING)),
    ("talks-on", mistake_talks_on, lab(("banner", {"reply": "554 5.7.1 No"}))),
    ("helo-name", mistake_helo, lab()),
    ("helo-name", mistake_helo_address, lab()),
    ("content-unasked", mistake_content, lab(("data", {"delay": 0.3}))),
    ("group-not-ended", mistake_group, lab(("ehlo", {"delay": 0.3}))),
    ("pipelined-unoffered", mistake_pipelining, lab(("ehlo", {"drop": ["PIPELINING"]}), ("mail", {"delay": 0.3}))),
    ("password-in-clear", mistake_password, lab()),
    ("starttls-unused", mistake_clear, lab()),
    ("certificate-not-checked", mistake_trust, lab(("tls", {"certificate": "expired"}))),
    ("handshake-given-up", mistake_handshake, lab()),
    ("left-after-handshake", mistake_distrust, lab()),
    ("no-tls", mistake_no_tls, lab()),
    ("refusal-ignored", mistake_refusal, lab()),
    ("asked-again", mistake_again, lab()),
    ("bare-lf", mistake_lf, lab()),
    ("wrong-order", mistake_order, lab()),
    ("wrong-syntax", mistake_syntax, lab()),
    ("gave-up", mistake_impatient, lab(("mail", {"delay": 3}))),
    ("no-quit", mistake_no_quit, lab()),
]


@pytest.mark.parametrize(
    ("rule", "say", "server"), MISTAKES, ids=[f"{rule}-{say.__name__}" for rule, say, _ in MISTAKES]
)
def test_a_mistake_is_found(rule: str, say: Callable[[Client], None], server: Lab) -> None:
    found = play(say, server)
    assert rule in found
    # Nothing else is found but what follows from it.
    assert set(found) <= {rule, "wrong-order", "no-quit", "gave-up"}, found


@pytest.mark.parametrize(
    ("octets", "rule", "seen"),
    [
        (b"EHLO client.example\r\n", "client-no-tls", "SMTP in clear (EHLO)"),
        (b"helo x\r\n", "client-no-tls", "SMTP in clear (HELO)"),
        (b"GET / HTTP/1.1\r\n\r\n", "client-no-tls", "HTTP in clear (GET)"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "client-no-tls", "SSH"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "client-no-tls", "a PROXY header"),
        (b"AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=\r\n", "client-no-tls", "SMTP in clear (AUTH)"),
        (b"nothing that is known\r\n", "client-handshake-given-up", "wrong version number"),
        (b"\r\n\r\n\r\n", "client-handshake-given-up", "not TLS"),
        (b"", "client-handshake-awaited", "hung up in the TLS handshake"),
    ],
)
def test_what_is_spoken_where_tls_is_due_is_named(octets: bytes, rule: str, seen: str) -> None:
    with lab().running(doors={"smtps": 0}) as running:
        with socket.create_connection((running.host, running.ports["smtps"]), timeout=30) as client:
            client.sendall(octets)
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass
        deadline = time.monotonic() + 30
        while running.lab.is_running(1) and time.monotonic() < deadline:
            time.sleep(0.01)
        (transcript,) = running.sessions
    (found,) = judge_client(transcript)
    assert (found.rule, seen in found.seen, "AGFs" in found.seen) == (rule, True, False)


@pytest.mark.parametrize(("greeting", "rule"), [({}, "left-after-handshake"), ({"delay": 2}, "gave-up")])
def test_who_leaves_after_the_handshake_was_greeted(greeting: dict[str, object], rule: str) -> None:
    with lab(*([("banner", greeting)] if greeting else [])).running(doors={"smtps": 0}) as running:
        with socket.create_connection((running.host, running.ports["smtps"]), timeout=30) as plain:
            client = running.ssl_context().wrap_socket(plain, server_hostname="localhost")
            if not greeting:
                client.recv(100)
            client.close()
        deadline = time.monotonic() + 60
        while running.lab.is_running(1) and time.monotonic() < deadline:
            time.sleep(0.01)
        (transcript,) = running.sessions
    assert [found.rule for found in judge_client(transcript)] == [f"client-{rule}"]


def test_what_is_asked_by_hand_is_not_taken_for_something_else() -> None:
    """A refusal in answer to a first command is no refusal in place of the greeting; a second MAIL ends nothing."""

    def say(client: Client) -> None:
        client.reply()
        client.ask(b"HELP", b"EHLO " + GOOD)
        client.start_tls(client.lab.ssl_context())
        client.ask(b"EHLO " + GOOD, *[b"MAIL FROM:<a@b.example>"] * 2, b"RCPT TO:<recipient@example.com>", b"QUIT")

    assert play(say, lab()) == ["wrong-order"]


def test_patience_is_measured_until_the_client_left() -> None:
    with lab(("mail", {"delay": 3})).running() as running:
        client = Client(running)
        mistake_impatient(client)
        client.close()
        deadline = time.monotonic() + 30
        while running.lab.is_running(1) and time.monotonic() < deadline:
            time.sleep(0.01)
        (finding,) = judge_client(running.sessions[0])
    assert finding.title.startswith("The client gave up after ")
    assert 0.1 <= float(finding.title.split()[5]) < 3.0


def deliver(client: Client) -> bytes:
    encrypted(client)
    answer = client.ask(b"MAIL FROM:<a@b.example>", b"RCPT TO:<recipient@example.com>")
    client.ask(b"QUIT")
    return answer


def come_back(times: int) -> Callable[[Client], None]:
    def say(client: Client) -> None:
        deliver(client)
        for _ in range(times):
            again = Client(client.lab)
            deliver(again)
            again.close()

    return say


GREYLIST = ("rcpt", {"reply": "450 4.2.0 Greylisted", "times": 1})


@pytest.mark.parametrize(
    ("server", "times", "after", "rules"),
    [
        (lab(GREYLIST), 1, 60.0, []),
        (lab(GREYLIST), 0, 60.0, ["not-retried"]),
        (lab(GREYLIST), 0, 2.0, []),
        (lab(("rcpt", {"reply": "550 5.1.1 Nobody"})), 1, 60.0, ["retried-in-vain"]),
        (lab(("rcpt", {"reply": "550 5.1.1 Nobody"})), 0, 60.0, []),
    ],
)
def test_who_comes_back(server: Lab, times: int, after: float, rules: list[str]) -> None:
    assert play(come_back(times), server, now=after) == rules


def test_every_rule_about_clients_is_proved() -> None:
    rules = {rule.id.removeprefix("client-") for rule in load_rules() if rule.id.startswith("client-")}
    proved = {rule for rule, _, _ in MISTAKES} | {
        "not-retried",
        "retried-in-vain",
        "retried-too-fast",
        "handshake-awaited",
    }
    assert rules == proved


def test_a_stampede() -> None:
    server = lab(("rcpt", {"reply": "450 4.2.0 Greylisted"}))
    with server.running() as running:
        for _ in range(5):
            client = Client(running)
            client.reply()
            client.ask(b"EHLO " + GOOD, b"MAIL FROM:<a@b.example>", b"RCPT TO:<recipient@example.com>", b"QUIT")
            client.close()
        first, *later = running.sessions
    # As fast as a machine is; the transcripts' own times are what counts.
    later = [each._replace(header=each.header._replace(started=first.header.started + 0.1)) for each in later]
    rules = [finding.rule for finding in judge_client(first, later, now=first.header.started + 60)]
    assert "client-retried-too-fast" in rules


def monotonous(messages: int) -> Transcript:
    """A long session that gives every duty something to look at: refusals, repetitions, no TLS."""
    recorder = Recorder("server", "127.0.0.1:1")
    recorder.add_lines("server", "banner", b"220 mail.example.com ESMTP\r\n")
    recorder.add_lines("client", "ehlo", b"EHLO client\r\n")
    recorder.add_lines("server", "ehlo", b"250-mail.example.com\r\n250 STARTTLS\r\n")
    for number in range(messages):
        recorder.add_lines("client", "mail", b"MAIL FROM:<a@here.example>\r\n")
        recorder.add_lines("client", "rcpt", b"RCPT TO:<%d@example.com>\r\nRCPT TO:<full@example.com>\r\n" % number)
        recorder.add_lines("server", "mail", b"250 2.1.0 Ok\r\n")
        recorder.add_lines("server", "rcpt", b"450 4.2.0 Greylisted\r\n" if number % 2 else b"250 2.1.5 Ok\r\n")
        recorder.add_lines("server", "rcpt", b"552 5.2.2 Full\r\n")
        recorder.add_lines("client", "data", b"DATA\r\n")
        recorder.add_lines("server", "data", b"354 Go ahead\r\n")
        recorder.add("client", "data", "message", b"Subject: x\n\n")
        recorder.add_lines("server", "message", b"250 2.0.0 Ok\r\n")
    recorder.add("client", "close", "message")
    return recorder.transcript


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of Python, in the package, some work takes."""
    count = 0

    def local(_: FrameType, event: str, __: object) -> TraceFunction:
        nonlocal count
        count += event == "line"
        return local

    def trace(frame: FrameType, _: str, __: object) -> TraceFunction | None:
        return local if "/ehlo/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def test_the_work_grows_with_the_session_and_no_faster() -> None:
    """Counted in lines of Python, so that the speed of the machine plays no part."""
    judge_client(monotonous(1), now=1e12)  # loads the rules

    def work(messages: int) -> int:
        own = monotonous(messages)
        return lines_run(lambda: judge_client(own, [own], now=own.header.started + 1000))

    small, large = work(50), work(400)
    assert large < 8.5 * small
    rules = {finding.rule for finding in judge_client(monotonous(50), now=1e12)}
    assert {"client-refusal-ignored", "client-asked-again", "client-starttls-unused"} <= rules


def test_what_came_later_is_not_read_when_nobody_had_to_come_back() -> None:
    def later() -> Iterator[Transcript]:
        raise AssertionError("read for nothing")
        yield

    recorder = Recorder("server", "127.0.0.1:1")
    recorder.add_lines("client", "mail", b"MAIL FROM:<a@here.example>\r\n")
    recorder.add_lines("server", "mail", b"250 2.1.0 Ok\r\n")
    assert judge_client(recorder.transcript, later(), now=1e12) == ()


def test_a_reply_in_lmtp_is_about_one_recipient() -> None:
    recorder = Recorder("server", "127.0.0.1:1")
    for stage, client, server in (
        ("ehlo", b"LHLO mail.client.example\r\n", b"250 mail.example.com\r\n"),
        ("mail", b"MAIL FROM:<a@here.example>\r\n", b"250 2.1.0 Ok\r\n"),
        ("rcpt", b"RCPT TO:<ann@example.com>\r\n", b"250 2.1.5 Ok\r\n"),
        ("rcpt", b"RCPT TO:<bob@example.com>\r\n", b"250 2.1.5 Ok\r\n"),
        ("data", b"DATA\r\n", b"354 Go ahead\r\n"),
    ):
        recorder.add_lines("client", stage, client)  # type: ignore[arg-type]
        recorder.add_lines("server", stage, server)  # type: ignore[arg-type]
    recorder.add("client", "data", "message", b"Subject: x\r\n\r\n")
    recorder.add_lines("server", "message", b"250 2.0.0 Ok\r\n452 4.2.2 Full\r\n")
    found = judge_client(recorder.transcript, now=1e12)
    assert [finding.title for finding in found if finding.rule == "client-not-retried"] == [
        "The client did not try bob@example.com again after being put off"
    ]


def test_what_is_said_of_starttls_holds_without_a_message() -> None:
    with lab(("rcpt", {"reply": "450 4.2.0 Later"})).running() as running:
        client = Client(running)
        greeted(client)
        client.ask(b"MAIL FROM:<a@b.example>", b"RCPT TO:<recipient@example.com>", b"QUIT")
        client.close()
        (finding,) = judge_client(running.sessions[0], over=False)
    assert finding.rule == "client-starttls-unused"
    assert finding.why.startswith("Sender and recipients went over the network in clear")
