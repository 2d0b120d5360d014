"""Hostile servers seen by each driver, and in each form of output.

test_hostile_servers.py has the cases as a person sees them; here are those where the driver matters, the
places where a server's words reach a terminal by another way, and the transcript that is kept.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from peers.certificates import Authority, Certificate
from peers.silent import Close, Expect, Flood, Handshake, Hang, Pause, ReadContent, Reset, Send, Step, scripted
from peers.world import SENDER

from .client import Ehlo
from .messages import RECIPIENT, SIMPLE, TEN_MEGABYTES

ENVELOPE = ("-f", SENDER, "-t", RECIPIENT)
EVIL = b"\x1b]0;owned\x07\x1b[2J\r\x08\x9b31m\xc2\x9b31m \xe2\x80\xae\xef\xbb\xbf\xe2\x80\xa8 \0 \x7f"
#: An ordinary session with a message, to be bent at any place.
STEPS: dict[str, list[Step]] = {
    "banner": [Send(b"220 mail.example.com ESMTP\r\n")],
    "ehlo": [Expect(b"EHLO"), Send(b"250 mail.example.com\r\n")],
    "mail": [Expect(b"MAIL"), Send(b"250 2.1.0 Ok\r\n")],
    "rcpt": [Expect(b"RCPT"), Send(b"250 2.1.5 Ok\r\n")],
    "data": [Expect(b"DATA"), Send(b"354 go on\r\n")],
    "message": [ReadContent(), Send(b"250 2.0.0 Ok\r\n")],
    "quit": [Expect(b"QUIT"), Send(b"221 2.0.0 Bye\r\n")],
}
STATUS = {"banner": 13, "ehlo": 14, "mail": 17, "rcpt": 18, "data": 19, "message": 20, "quit": 21}


def bent(stage: str, *instead: Step) -> list[Step]:
    """The session up to a stage, and there something else instead of the reply."""
    stages = list(STEPS)
    before = [step for name in stages[: stages.index(stage)] for step in STEPS[name]]
    return [*before, *STEPS[stage][:-1], *instead]


def with_reply(stage: str, reply: bytes, *, refusal: bool = False) -> list[Step]:
    """The whole session with one reply exchanged for another; after a refusal there is only QUIT."""
    after = ["quit"] if refusal and stage != "quit" else list(STEPS)[list(STEPS).index(stage) + 1 :]
    return [*bent(stage, Send(reply)), *(step for name in after for step in STEPS[name])]


def is_plain(text: str) -> bool:
    """Whether a text can do nothing to a terminal but show itself."""
    return all(char == "\n" or char.isprintable() for char in text)


@pytest.mark.parametrize("stage", STEPS)
@pytest.mark.parametrize(
    ("nonsense", "rules"),
    [
        (Send(b"no code at all\r\n"), ("not-a-mail-server", "not-a-reply")),
        (Flood(b"z" * 65536), ("endless-line",)),
        (Flood(b"250-and more\r\n" * 1000), ("endless-reply",)),
        (Send(b"\r\n"), ("not-a-mail-server", "not-a-reply")),
        (Send(b"\xff\xfe\0\x16\x03\x01\r\n"), ("not-a-mail-server", "not-a-reply")),
    ],
    ids=["no code", "endless line", "endless reply", "empty line", "binary"],
)
def test_nonsense_at_each_stage(stage: str, nonsense: Step, rules: tuple[str, ...], ehlo: Ehlo) -> None:
    with scripted(bent(stage, nonsense, Hang())) as server:
        outcome = ehlo.send(server, SIMPLE)
    assert (outcome.answer.status, outcome.answer.stage) == (STATUS[stage], stage)
    assert outcome.answer.rule in rules
    assert outcome.document["verdict"]["outcome"] == "failed"
    assert len(json.dumps(outcome.document)) < 300_000


@pytest.mark.parametrize(
    ("sent", "title", "row"),
    [
        (b"", "The server gives no complete answer at the stage rcpt", "no answer in time"),
        (
            b"250-2.1.5 well\r\n",
            "The server gives no complete answer at the stage rcpt",
            "the reply did not end in time",
        ),
    ],
)
def test_what_is_not_answered_under_pipelining_is_at_its_stage(sent: bytes, title: str, row: str, ehlo: Ehlo) -> None:
    offers: list[Step] = [Expect(b"EHLO"), Send(b"250-mail.example.com\r\n250 PIPELINING\r\n"), Expect(b"MAIL")]
    with scripted([*STEPS["banner"], *offers, Send(b"250 2.1.0 Ok\r\n" + sent), Hang()]) as server:
        outcome = ehlo.send(server, SIMPLE, "--timeout", "0.5")
    assert outcome.answer == (18, "rcpt", "server", "no-answer")
    assert outcome.document["verdict"]["findings"][0]["title"] == title
    assert [step["summary"] for step in outcome.document["stages"] if step["stage"] == "rcpt"] == [
        f"{RECIPIENT}: {row}"
    ]
    assert outcome.event("error").stage == "rcpt"


@pytest.mark.parametrize("stage", STEPS)
@pytest.mark.parametrize("end", [Close(), Reset()], ids=["close", "reset"])
def test_half_a_line_then_the_end(stage: str, end: Step, ehlo: Ehlo) -> None:
    with scripted(bent(stage, Send(b"250 2.0"), Pause(0.02), end)) as server:
        outcome = ehlo.send(server, SIMPLE)
    assert (outcome.answer.status, outcome.answer.stage) == (STATUS[stage], stage)
    (part,) = (event for event in outcome.events if event.data == b"250 2.0")
    assert (part.who, part.stage) == ("server", stage)


@pytest.mark.parametrize("stage", [stage for stage in STEPS if stage != "quit"])
def test_421_at_each_stage(stage: str, ehlo: Ehlo) -> None:
    with scripted(bent(stage, Send(b"421 4.3.2 mail.example.com shutting down\r\n"), Hang())) as server:
        outcome = ehlo.send(server, SIMPLE)
    assert outcome.answer == (STATUS[stage], stage, "server", "server-shuts-down")
    assert outcome.document["verdict"]["temporary"] is True


@pytest.mark.parametrize("stage", STEPS)
@pytest.mark.parametrize("refusal", [False, True], ids=["agrees", "refuses"])
def test_escape_sequences_at_each_stage(stage: str, refusal: bool, ehlo: Ehlo, tmp_path: Path) -> None:
    code = b"550" if refusal else {"data": b"354", "quit": b"221", "banner": b"220"}.get(stage, b"250")
    script = with_reply(stage, code + b"-5.7.1 " + EVIL + b"\r\n" + code + b" " + EVIL + b"\r\n", refusal=refusal)
    message = tmp_path / "message.eml"
    message.write_bytes(SIMPLE)
    common = [*ENVELOPE, "--data", str(message), "--helo", "x.org", "--timeout", "5"]
    for options in ([], ["-v"], ["-v", "--show-secrets"], ["--json"]):
        with scripted(script) as server:
            status, out, err = ehlo.run("send", f"{server.host}:{server.port}", *common, *options)
        assert (status, err) == (STATUS[stage] if refusal else 0, "")
        assert is_plain(out)
        # Without -v a long reply is shortened; in a document octets that are no text stand in base64.
        assert "owned" in out or "-v" not in options


def test_record_keeps_the_octets_that_were_not_shown(ehlo: Ehlo, tmp_path: Path) -> None:
    record = tmp_path / "session.jsonl"
    with scripted(with_reply("ehlo", b"550 " + EVIL + b"\r\n", refusal=True)) as server:
        outcome = ehlo.check(server, "--record", str(record))
    assert b"550 " + EVIL + b"\r\n" in [event.data for event in outcome.events]
    assert is_plain(record.read_text("ascii"))
    for options in ([], ["-v"], ["--json"]):
        status, out, _ = ehlo.run("show", str(record), *options)
        assert status == 0
        assert is_plain(out)


def evil_certificate(authority: Authority) -> Certificate:
    """A certificate whose every name moves the cursor."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, EVIL.replace(b"\0", b"").decode("latin-1"))])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    files = Certificate(authority.folder / "evil.pem", authority.folder / "evil.key")
    files.chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files.key.write_bytes(key.private_bytes(*form))
    return files


def test_certificate_with_escape_sequences(ehlo: Ehlo, ca: Authority) -> None:
    certificate = evil_certificate(ca)
    for options in ([], ["-v"], ["--json"], ["--ca-file", str(certificate.chain), "-v"]):
        script = [Handshake(certificate.server_context()), *STEPS["banner"], *STEPS["ehlo"], *STEPS["quit"]]
        with scripted(script) as server:
            status, out, err = ehlo.run("check", f"smtps://{server.host}:{server.port}", "--helo", "x.org", *options)
        assert (status, err) == (0, "")
        assert is_plain(out)


def test_replies_before_their_commands(ehlo: Ehlo) -> None:
    """All at once: what cannot be told from an answer is taken for one, and nothing hangs or breaks."""
    everything = b"".join(step.data for steps in STEPS.values() for step in steps if isinstance(step, Send))
    with scripted([Send(everything), Hang()]) as server:
        outcome = ehlo.send(server, SIMPLE, "--timeout", "3")
    assert outcome.status == 0
    assert outcome.commands == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


@pytest.mark.parametrize("stage", ["ehlo", "mail", "rcpt", "data"])
def test_one_reply_too_many(stage: str, ehlo: Ehlo) -> None:
    """An answer nobody asked for stands for the next one; a good end it cannot fake is not made up."""
    extra = STEPS[stage][-1]
    assert isinstance(extra, Send)
    with scripted(with_reply(stage, extra.data * 2)) as server:
        outcome = ehlo.send(server, SIMPLE, "--timeout", "3")
    assert outcome.status in (0, 19, 20, 21)
    assert outcome.lines.count("S: " + extra.data.decode().strip()) >= 2


def test_octet_by_octet_under_tls(ehlo: Ehlo, ca: Authority) -> None:
    slow = [Send(step.data, 0.0005) if isinstance(step, Send) else step for steps in STEPS.values() for step in steps]
    with scripted([Handshake(ca.good.server_context()), *slow]) as server:
        outcome = ehlo.send(f"smtps://{server.host}:{server.port}", SIMPLE, "--ca-file", str(ca.file))
    assert outcome.answer == (0, "quit", None, None)


OFFER: list[Step] = [
    *(Send(b"220 mail.example.com\r\n"), Expect(b"EHLO"), Send(b"250-mail.example.com\r\n250 STARTTLS\r\n")),
    Expect(b"STARTTLS"),
]
GO: list[Step] = [Send(b"220 go\r\n"), Pause(0.05)]
TLS_CASES: dict[str, tuple[list[Step], str]] = {
    "a reply behind 220": ([Send(b"220 go\r\n250 injected\r\n"), Hang()], "bytes-before-tls"),
    "one octet behind 220": ([Send(b"220 go\r\nx"), Hang()], "bytes-before-tls"),
    "text as handshake": ([*GO, Send(b"500 what?\r\n"), Hang()], "starttls-failed"),
    "close": ([*GO, Close()], "tls-cut"),
    "reset": ([*GO, Reset()], "tls-cut"),
    "silence": ([*GO, Hang()], "starttls-silent"),
    "alert": ([*GO, Send(b"\x15\x03\x03\x00\x02\x02\x28"), Hang()], "tls-no-common-cipher"),
    "endless record": ([*GO, Flood(b"\x16\x03\x03\x40\x00" + b"\x02" * 16384)], "starttls-failed"),
}


@pytest.mark.parametrize("name", TLS_CASES)
def test_hostile_handshake(name: str, ehlo: Ehlo) -> None:
    steps, rule = TLS_CASES[name]
    with scripted([*OFFER, *steps]) as server:
        outcome = ehlo.check(server, *ENVELOPE, "--timeout", "starttls=1")
    assert outcome.answer == (15, "starttls", "tls", rule)
    assert outcome.commands == ["EHLO", "STARTTLS"]


@pytest.mark.parametrize(("end", "rule"), [(Hang(), "no-answer"), (Close(), "connection-lost")])
def test_no_reply_to_starttls(end: Step, rule: str, ehlo: Ehlo) -> None:
    with scripted([*OFFER, end]) as server:
        outcome = ehlo.check(server, *ENVELOPE, "--timeout", "starttls=0.3")
    assert outcome.answer == (15, "starttls", "server", rule)


def test_starttls_is_not_done_twice(ehlo: Ehlo, ca: Authority) -> None:
    again = [Expect(b"EHLO"), Send(b"250-mail.example.com\r\n250 STARTTLS\r\n"), *STEPS["quit"]]
    with scripted([*OFFER, Send(b"220 go\r\n"), Handshake(ca.good.server_context()), *again]) as server:
        outcome = ehlo.check(server, "--ca-file", str(ca.file))
    assert outcome.answer == (0, "quit", None, None)
    assert outcome.commands == ["EHLO", "STARTTLS", "EHLO", "QUIT"]


def test_server_that_reads_nothing(ehlo: Ehlo) -> None:
    """The network takes no more of the message: the time for a block runs out."""
    with scripted([*bent("data", Send(b"354 go on\r\n")), Pause(30)]) as server:
        outcome = ehlo.send(server, TEN_MEGABYTES * 3, "--timeout", "message=1")
    assert outcome.answer == (20, "message", "content", "message-cut")
    assert outcome.event("data").facts["partial"] is True


def test_auth_challenges_without_end(ehlo: Ehlo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHLO_PASSWORD", "secret")
    offer = [*STEPS["banner"], Expect(b"EHLO"), Send(b"250-mail.example.com\r\n250 AUTH LOGIN\r\n")]
    challenges = [step for _ in range(8) for step in (Expect(), Send(b"334 VXNlcg==\r\n"))]
    with scripted([*offer, *challenges, Expect(), Close()]) as server:
        outcome = ehlo.check(server, "--user", "me", "--auth-in-clear", "--timeout", "3")
    assert (outcome.answer.status, outcome.answer.stage) == (16, "auth")
    # Once the mechanism has no more to say, the exchange is given up (RFC 4954 §4).
    assert b"\r\n*\r\n" in server.received[0]
