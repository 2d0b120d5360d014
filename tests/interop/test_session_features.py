"""What a session can be told to do, against the lab and scripted servers; real servers are in test_matrix.py."""

from __future__ import annotations

import base64
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ehlo.lab import Lab, Policy, RunningLab
from ehlo.lab.authority import Identity, make_identity
from ehlo.probe.trials import Trial
from ehlo.smtp.sasl import MECHANISMS
from ehlo.smtp.sasl.server import SERVER_MECHANISMS
from peers.certificates import Authority
from peers.silent import Close, Expect, Handshake, Hang, Send, Step, scripted
from peers.world import SENDER, MailServer

from .client import Ehlo
from .messages import RECIPIENT, SIMPLE

ENVELOPE = ("-f", SENDER, "-t", RECIPIENT)
PASSWORD = "wonder+land"
EXTENSIONS = (
    "SMTPUTF8",
    "CHUNKING",
    "BINARYMIME",
    "REQUIRETLS",
    "MT-PRIORITY",
    "DELIVERBY 60",
    "FUTURERELEASE 3600 2030-01-01T00:00:00Z",
    "LIMITS RCPTMAX=10",
)


@pytest.fixture(scope="module")
def identity() -> Identity:
    return make_identity("mail.example.com", "127.0.0.1", "2001:db8:0:0:0:0:0:1")


@pytest.fixture(scope="module")
def lab(identity: Identity) -> Iterator[RunningLab]:
    policy = Policy(
        users={"alice": PASSWORD}, mechanisms=tuple(SERVER_MECHANISMS), extensions=EXTENSIONS, any_recipient=True
    )
    with Lab(policy=policy, identity=identity).running() as lab:
        yield lab


@pytest.fixture
def trust(identity: Identity, tmp_path: Path) -> tuple[str, ...]:
    file = tmp_path / "authority.pem"
    file.write_bytes(identity.authority)
    return ("--ca-file", str(file))


@pytest.fixture
def secret(tmp_path: Path) -> tuple[str, ...]:
    file = tmp_path / "secret"
    file.write_text(PASSWORD)
    return ("--password-file", str(file))


# Logging in.

#: EXTERNAL is about a certificate, and has a test of its own (tests/cli/test_lab.py).
NAMED = [
    name
    for name, mechanism in MECHANISMS.items()
    if mechanism.keyword in SERVER_MECHANISMS and mechanism.keyword != "EXTERNAL"
]


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_each_mechanism_of_the_lab(
    name: str, version: str, ehlo: Ehlo, lab: RunningLab, trust: tuple[str, ...], secret: tuple[str, ...]
) -> None:
    options = ("--user", "alice", *secret) if MECHANISMS[name].secret != "none" else ()
    outcome = ehlo.check(lab, *trust, "--tls-max", version, "--auth", name, *options)
    assert outcome.answer == (0, "quit", None, None)
    assert outcome.replies[-2:] == ["auth 235", "quit 221"]
    said = "\n".join(outcome.lines)
    for form in (PASSWORD.encode(), base64.b64encode(PASSWORD.encode())):
        assert form.decode() not in said


def test_the_strongest_is_taken(ehlo: Ehlo, lab: RunningLab, trust: tuple[str, ...], secret: tuple[str, ...]) -> None:
    outcome = ehlo.check(lab, *trust, "--user", "alice", *secret)
    assert "C: AUTH SCRAM-SHA3-512-PLUS [redacted]" in outcome.lines
    assert outcome.answer == (0, "quit", None, None)


@pytest.mark.parametrize("name", [name for name in NAMED if MECHANISMS[name].secret != "none"])
def test_a_wrong_password(
    name: str, blocking_ehlo: Ehlo, lab: RunningLab, trust: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "wrong"
    file.write_text("wrong")
    outcome = blocking_ehlo.check(lab, *trust, "--auth", name, "--user", "alice", "--password-file", str(file))
    token = MECHANISMS[name].secret == "token"
    assert outcome.answer == (16, "auth", "auth", "oauth-token-refused" if token else "credentials-wrong")


def test_challenges_are_explained(
    blocking_ehlo: Ehlo, lab: RunningLab, trust: tuple[str, ...], secret: tuple[str, ...]
) -> None:
    target = f"127.0.0.1:{lab.port}"
    words = ("check", target, *trust, "--auth", "SCRAM-SHA-256", "--user", "alice", *secret, "-v")
    status, out, _ = blocking_ehlo.run(*words)
    assert status == 0
    flat = " ".join(out.split())
    assert "salt, and 10000 iterations of the hash" in flat
    assert "the server's own signature, which proves that it knows the password" in flat
    assert ",p=" not in out
    shown = blocking_ehlo.run(*words, "--show-secrets")[1]
    assert ",p=" in "".join(shown.split())


def auth_script(*steps: Step) -> list[Step]:
    return [
        Send(b"220 mail.example.com ESMTP\r\n"),
        Expect(b"EHLO"),
        Send(b"250-mail.example.com\r\n250 AUTH SCRAM-SHA-1 PLAIN LOGIN XOAUTH2\r\n"),
        Expect(b"AUTH"),
        *steps,
        Hang(),
    ]


@pytest.mark.parametrize(
    ("steps", "rule"),
    [
        # A server that does not prove that it knows the password.
        ([Send(b"235 welcome\r\n")], "server-not-authentic"),
        ([Send(b"334 ???\r\n"), Expect(b"*"), Send(b"501 as you like\r\n")], "server-not-authentic"),
        ([Send(b"334 cj1uZXc=\r\n"), Expect(b"*"), Send(b"501 ok\r\n")], "server-not-authentic"),
        ([Send(b"334 \r\n"), Expect(b"*"), Send(b"501 ok\r\n")], "server-not-authentic"),
        ([Send(b"334 \xff\xfe\r\n"), Expect(b"*"), Send(b"501 ok\r\n")], "server-not-authentic"),
    ],
)
def test_a_server_that_cheats_at_scram(steps: list[Step], rule: str, ehlo: Ehlo, secret: tuple[str, ...]) -> None:
    with scripted(auth_script(*steps)) as server:
        outcome = ehlo.check(server, "--auth", "SCRAM-SHA-1", "--user", "alice", *secret, "--timeout", "quit=1")
    assert outcome.status == 16
    assert rule in outcome.rules


def test_the_reason_of_an_oauth_refusal(ehlo: Ehlo, secret: tuple[str, ...]) -> None:
    error = base64.b64encode(b'{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}')
    steps = auth_script(Send(b"334 " + error + b"\r\n"), Expect(b""), Send(b"535 5.7.8 not accepted\r\n"))
    with scripted(steps) as server:
        where = f"{server.host}:{server.port}"
        words = ("check", where, "--auth", "XOAUTH2", "--user", "a@b", *secret, "--auth-in-clear", "-v")
        status, out, _ = ehlo.run(*words, "--timeout", "quit=1")
    assert status == 16
    assert "OAuth error: status 400" in " ".join(out.split())
    assert PASSWORD not in out


# TLS.


def test_versions_and_ciphers(ehlo: Ehlo, lab: RunningLab, trust: tuple[str, ...]) -> None:
    tls = ehlo.check(lab, *trust, "--tls-max", "1.2", "--ciphers", "ECDHE+CHACHA20").event("tls")
    assert (tls.facts["version"], tls.facts["cipher"]) == ("TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305")
    assert tls.facts["group"] in ("X25519", "P-256")
    tls = ehlo.check(lab, *trust, "--tls-min", "1.3").event("tls")
    assert tls.facts["version"] == "TLSv1.3"
    assert tls.facts["group"]
    valid = {"begun": True, **{key: tls.facts[key] for key in ("not_before", "not_after", "days_left")}}
    assert tls.facts["chain"] == [{"subject": "mail.example.com", "issuer": "ehlo lab authority", **valid}]
    assert tls.facts["name"] == "127.0.0.1"
    assert tls.facts["names"] == ["mail.example.com", "127.0.0.1", "2001:db8::1"]


def modern(ca: Authority, *, sni: list[object] | None = None) -> ssl.SSLContext:
    context = ca.good.server_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if sni is not None:
        context.sni_callback = lambda _, name, __: sni.append(name)
    return context


def test_a_version_that_the_server_does_not_take(ehlo: Ehlo, ca: Authority) -> None:
    with scripted([Handshake(modern(ca)), Hang()]) as server:
        outcome = ehlo.check(f"smtps://{server.host}:{server.port}", "--tls-max", "1.2")
    assert outcome.answer == (12, "tls", "tls", "tls-old-version")
    assert outcome.event("tls").facts["message"] == "the other side gave up with the alert 'protocol version'"


@pytest.mark.parametrize(
    ("options", "asked"),
    [((), "localhost"), (("--sni", "other.example.com"), "other.example.com"), (("--sni", ""), None),
     (("--tls-name", "mail.example.com"), "mail.example.com")],
)  # fmt: skip
def test_the_name_that_is_asked_for(options: tuple[str, ...], asked: str | None, ehlo: Ehlo, ca: Authority) -> None:
    names: list[object] = []
    with scripted([Handshake(modern(ca, sni=names)), Send(b"220 hi\r\n"), Hang()]) as server:
        ehlo.check(
            f"smtps://localhost:{server.port}", "--stop-after", "banner", *options, "-4", "--timeout", "quit=0.2"
        )
    assert names == [asked]


def test_chain_and_name_apart(blocking_ehlo: Ehlo, lab: RunningLab, trust: tuple[str, ...]) -> None:
    def status(*options: str) -> int:
        return blocking_ehlo.check(lab, *options).status

    assert status("--verify") == 15
    assert status("--verify", "chain") == 15
    assert status("--verify", "name") == 0
    assert status(*trust, "--verify") == 0
    wrong = ("--tls-name", "wrong.example.com")
    assert status(*trust, *wrong, "--verify") == 15
    assert status(*trust, *wrong, "--verify", "chain") == 0
    assert status(*trust, *wrong, "--verify", "name") == 15
    assert status(*wrong, "--verify", "name") == 15


def test_authorities_in_a_folder(blocking_ehlo: Ehlo, lab: RunningLab, identity: Identity, tmp_path: Path) -> None:
    folder = tmp_path / "authorities"
    folder.mkdir()
    (folder / "notes.txt").write_text("not a certificate")
    (folder / "lab.pem").write_bytes(identity.authority)
    assert blocking_ehlo.check(lab, "--ca-path", str(folder), "--verify").status == 0


def test_certificates_are_saved(blocking_ehlo: Ehlo, lab: RunningLab, identity: Identity, tmp_path: Path) -> None:
    files = [tmp_path / "cert.pem", tmp_path / "chain.pem"]
    blocking_ehlo.check(lab, "--save-cert", str(files[0]), "--save-chain", str(files[1]))
    own = ssl.PEM_cert_to_DER_cert(identity.certificate.decode("ascii"))
    for file in files:
        assert ssl.PEM_cert_to_DER_cert(file.read_text()) == own


@pytest.mark.parametrize(
    ("option", "what"),
    [("--save-cert", "certificate"), ("--save-chain", "certificate"), ("--record", "record"), ("--html", "report")],
)
def test_what_cannot_be_written_is_said_before_the_session(
    option: str, what: str, blocking_ehlo: Ehlo, lab: RunningLab, tmp_path: Path
) -> None:
    before = lab.lab.session_count
    kept = tmp_path / "kept"
    kept.write_text("a record of yesterday")
    other = "--html" if option == "--record" else "--record"
    for name, why in (("/nonexistent/x", "No such file or directory"), (str(tmp_path), "Is a directory")):
        words = ("check", f"127.0.0.1:{lab.port}", option, name, other, str(kept), "-q")
        status, _, err = blocking_ehlo.run(*words)
        assert (status, err) == (2, f"ehlo check: The {what} '{name}' cannot be written: {why}.\n")
    assert lab.lab.session_count == before
    assert kept.read_text() == "a record of yesterday"


def test_a_file_that_can_be_written_is_not_made_before_there_is_something_to_write(
    blocking_ehlo: Ehlo, lab: RunningLab, tmp_path: Path
) -> None:
    file = tmp_path / "cert.pem"
    blocking_ehlo.check(lab, "--save-cert", str(file), "--starttls", "never")
    assert not file.exists()


def test_versions_are_tried(blocking_ehlo: Ehlo, lab: RunningLab, trust: tuple[str, ...]) -> None:
    outcome = blocking_ehlo.check(lab, *trust, "--explain-tls")
    tried = {trial["version"]: trial["worked"] for trial in outcome.document["tls_versions"]}
    assert tried == {"TLSv1.3": True, "TLSv1.2": True, "TLSv1.1": False, "TLSv1.0": False}


def test_trials_that_are_interrupted_leave_what_is_known(
    blocking_ehlo: Ehlo, lab: RunningLab, trust: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Iterator[Trial]:
        yield Trial("1.3", worked=True, detail="")
        raise KeyboardInterrupt("ended by SIGTERM")

    monkeypatch.setattr("ehlo.probe.trials.trials", interrupted)
    outcome = blocking_ehlo.check(lab, *trust, "--explain-tls")
    assert [trial["version"] for trial in outcome.document["tls_versions"]] == ["TLSv1.3"]
    assert outcome.status == 0


# Transports.


def test_a_command_in_place_of_a_network(ehlo: Ehlo, tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(
        "import sys\n"
        "say = lambda text: (sys.stdout.write(text + '\\r\\n'), sys.stdout.flush())\n"
        "say('220 mail.example.com ESMTP')\n"
        "for line in sys.stdin:\n"
        "    say('221 bye' if line.startswith('QUIT') else '250 mail.example.com')\n"
        "    if line.startswith('QUIT'): break\n"
    )
    outcome = ehlo.check(f"pipe:{sys.executable} '{script}'", *ENVELOPE)
    assert outcome.answer == (0, "quit", None, None)
    assert outcome.commands == ["EHLO", "MAIL", "RCPT", "QUIT"]


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("pipe:/nonexistent/server", (11, "connect", "client", "command-not-started")),
        ("unix:/nonexistent/socket", (11, "connect", "network", "no-such-socket")),
        ("pipe:true", (13, "banner", "server", "command-ended")),
    ],
)
def test_transports_that_fail(target: str, answer: tuple[int, str, str, str], ehlo: Ehlo) -> None:
    assert ehlo.check(target).answer == answer


@pytest.mark.parametrize(
    ("command", "status", "stage", "seen"),
    [
        ("exit 3", 13, "banner", "the command ended with exit status 3"),
        ("kill -9 $$", 13, "banner", "the command was ended by the signal SIGKILL"),
        (r"printf '220 hi\r\n'; read greeting; exit 4", 14, "ehlo", "the command ended with exit status 4"),
    ],
)
def test_a_command_that_ends(command: str, status: int, stage: str, seen: str, ehlo: Ehlo) -> None:
    outcome = ehlo.check(f'pipe:sh -c "{command}"')
    assert outcome.answer == (status, stage, "server", "command-ended")
    assert outcome.document["verdict"]["findings"][0]["seen"] == seen
    assert outcome.event("error").fact("message") == seen


def test_the_source_can_be_chosen(ehlo: Ehlo, lab: RunningLab) -> None:
    outcome = ehlo.check(lab, "--source", "127.0.0.2", "--starttls", "never")
    assert str(outcome.event("connect").facts["local"]).startswith("127.0.0.2:")


def test_lmtp_answers_for_each_recipient(ehlo: Ehlo) -> None:
    script: list[Step] = [
        Send(b"220 mail.example.com LMTP\r\n"),
        Expect(b"LHLO"),
        Send(b"250 mail.example.com\r\n"),
        Expect(b"MAIL"),
        Send(b"250 Ok\r\n"),
        *[step for code in (b"250", b"550", b"250") for step in (Expect(b"RCPT"), Send(code + b" that one\r\n"))],
        Expect(b"DATA"),
        Send(b"354 go on\r\n"),
        Expect(b"Subject"),
        Expect(b"From"),
        Expect(b"To"),
        Expect(b"\r\n"),
        Expect(b"This"),
        Expect(b".\r\n"),
        Send(b"250 2.0.0 for the first\r\n452 4.2.2 mailbox full, the third\r\n"),
        Expect(b"QUIT"),
        Send(b"221 bye\r\n"),
        Close(),
    ]
    with scripted(script) as server:
        recipients = ("one@example.com", "two@example.com", "three@example.com")
        outcome = ehlo.send(f"lmtp://{server.host}:{server.port}", SIMPLE, recipients=recipients)
    assert outcome.answer[:2] == (20, "message")
    summaries = [stage["summary"] for stage in outcome.document["stages"] if stage["stage"] == "message"]
    assert summaries == [
        "one@example.com: 250 2.0.0 for the first",
        "three@example.com: 452 4.2.2 mailbox full, the third",
    ]


@pytest.mark.parametrize(
    ("words", "header"),
    [
        ("v1 192.0.2.1:4711 192.0.2.2:25", b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 25\r\n"),
        ("v1 2001:db8::1 [2001:db8::2]:587", b"PROXY TCP6 2001:db8::1 2001:db8::2 0 587\r\n"),
        ("v1 unknown", b"PROXY UNKNOWN\r\n"),
        ("v2 local", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
        (
            "v2 192.0.2.1:4711 192.0.2.2:25",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x12\x67\0\x19",
        ),
    ],
)
def test_the_header_of_a_proxy_comes_first(words: str, header: bytes, ehlo: Ehlo) -> None:
    with scripted([Send(b"220 hi\r\n"), Hang()]) as server:
        ehlo.check(server, "--proxy", words, "--stop-after", "banner", "--timeout", "quit=0.2")
        assert server.received[0].startswith(header)


@pytest.mark.parametrize("words", ["v1 unknown", "v1 192.0.2.1:4711 192.0.2.2:25", "v2 local"])
def test_a_port_that_expects_no_header_of_a_proxy(words: str, ehlo: Ehlo, lab: RunningLab) -> None:
    outcome = ehlo.check(lab, "--proxy", words, *ENVELOPE)
    assert outcome.answer == (14, "ehlo", "client", "proxy-header-refused")
    assert outcome.rules.count("command-unknown") == 0
    assert outcome.commands == ["EHLO", "QUIT"]


def test_a_header_that_comes_too_early_for_the_greeting(ehlo: Ehlo) -> None:
    with scripted([Send(b"554 SMTP synchronization error\r\n"), Close()]) as server:
        outcome = ehlo.check(server, "--proxy", "v1 unknown")
    assert outcome.answer == (13, "banner", "client", "proxy-header-refused")


def test_a_refusal_behind_a_header_that_was_taken(ehlo: Ehlo) -> None:
    for greeting in (b"554 no service for you\r\n", b"421 too busy\r\n"):
        with scripted([Expect(b"PROXY"), Send(greeting), Close()]) as server:
            outcome = ehlo.check(server, "--proxy", "v1 unknown")
        assert outcome.status == 13
        assert "proxy-header-refused" not in outcome.rules
    with Lab().running(doors={"proxy": 0}) as lab:
        target = f"127.0.0.1:{lab.ports['proxy']}"
        outcome = ehlo.check(target, "--proxy", "v1 unknown", "--instead", r"ehlo=EHLO\r\n", "--starttls", "never")
        assert "proxy-header-refused" not in outcome.rules
        assert ehlo.check(target, "--proxy", "v1 unknown", "--ask", "FOO", "--starttls", "never").status == 0


def test_the_header_of_a_proxy_is_shown_among_the_lines(blocking_ehlo: Ehlo) -> None:
    with Lab().running(doors={"proxy": 0}) as lab:
        words = ("check", f"127.0.0.1:{lab.ports['proxy']}", "--proxy", "v2 192.0.2.1:4711 192.0.2.2:25")
        lines = blocking_ehlo.run(*words, "-v", "--starttls", "never")[1].splitlines()
        assert [line[11:] for line in lines if "PROXY" in line] == ["–  PROXY TCP4 192.0.2.1 192.0.2.2 4711 25"]
        assert "PROXY" not in blocking_ehlo.run(*words, "--starttls", "never")[1]


# Extensions.


@pytest.mark.parametrize(
    ("options", "mail", "rcpt"),
    [
        (("--ret", "hdrs", "--envid", "a b+c"), "RET=HDRS ENVID=a+20b+2Bc", ""),
        (("--notify", "success, failure", "--orcpt", "x@y.z"), "", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x@y.z"),
        (("--deliver-by", "120;rt"), "BY=120;RT", ""),
        (("--require-tls",), "REQUIRETLS", ""),
        (("--priority=-3",), "MT-PRIORITY=-3", ""),
        (("--hold-for", "60"), "HOLDFOR=60", ""),
        (("--hold-until", "2030-01-01t00:00:00z"), "HOLDUNTIL=2030-01-01T00:00:00Z", ""),
        (("--smtputf8",), "SMTPUTF8", ""),
        (("--body-type", "7bit"), "BODY=7BIT", ""),
        (("--mail-param", "SIZE=5", "--mail-param", "RET=FULL"), "SIZE=5 RET=FULL", ""),
        (("--rcpt-param", "NOTIFY=NEVER"), "", "NOTIFY=NEVER"),
    ],
)
def test_parameters(
    options: tuple[str, ...], mail: str, rcpt: str, blocking_ehlo: Ehlo, lab: RunningLab, trust: tuple[str, ...]
) -> None:
    outcome = blocking_ehlo.check(lab, *ENVELOPE, *trust, *options)
    assert outcome.answer == (0, "quit", None, None)
    assert f"C: MAIL FROM:<{SENDER}> {mail}".rstrip() in outcome.lines
    assert f"C: RCPT TO:<{RECIPIENT}> {rcpt}".rstrip() in outcome.lines


@pytest.mark.parametrize(
    ("option", "stage", "rule", "said"),
    [
        ("--prdr", "mail", "prdr-not-offered", "PRDR needs the extension PRDR, which the server does not offer"),
        ("--chunking", "mail", "chunking-not-offered", "the server does not offer CHUNKING"),
        (
            "--require-tls",
            "mail",
            "extension-not-offered",
            "REQUIRETLS needs the extension REQUIRETLS, which the server does not offer",
        ),
        (
            "--xclient=ADDR=192.0.2.1",
            "ehlo",
            "xclient-not-offered",
            "the server does not offer XCLIENT to this client",
        ),
    ],
)
@pytest.mark.parametrize("command", ["check", "send"])
def test_what_is_not_offered_is_not_sent(
    command: str, option: str, stage: str, rule: str, said: str, blocking_ehlo: Ehlo
) -> None:
    with Lab().running() as lab:
        if command == "send":
            outcome = blocking_ehlo.send(lab, SIMPLE, "--starttls", "never", option)
        else:
            outcome = blocking_ehlo.check(lab, *ENVELOPE, "--starttls", "never", option)
    assert outcome.answer[1:] == (stage, "client", rule)
    assert outcome.document["verdict"]["findings"][0]["seen"] == said
    assert outcome.commands == ["EHLO", "QUIT"]
    advice = " ".join(outcome.document["verdict"]["findings"][0]["fix"])
    assert ("--mail-param" in advice) == (rule == "extension-not-offered")


def test_a_parameter_nobody_offers_is_sent_when_it_is_literal(ehlo: Ehlo, lab: RunningLab) -> None:
    outcome = ehlo.check(lab, *ENVELOPE, "--starttls", "never", "--mail-param", "XYZZY=1")
    assert outcome.answer[:2] == (17, "mail")
    assert f"C: MAIL FROM:<{SENDER}> XYZZY=1" in outcome.lines


@pytest.mark.parametrize("pipeline", ["yes", "no"])
def test_chunks(pipeline: str, ehlo: Ehlo, lab: RunningLab) -> None:
    message = SIMPLE + b"..\r\n" * 100
    outcome = ehlo.send(lab, message, "--chunking", "200", "--pipeline", pipeline, "--starttls", "never")
    assert outcome.answer == (0, "quit", None, None)
    sizes = [len(message) - start for start in range(0, len(message), 200)]
    assert [line for line in outcome.lines if "BDAT" in line] == [
        f"C: BDAT {min(left, 200)}{' LAST' if left <= 200 else ''}" for left in sizes
    ]
    assert lab.lab.messages[-1].content == message
    assert b"".join(event.data or b"" for event in outcome.events if event.kind == "data") == message


def test_a_binary_message_is_sent_as_it_is(ehlo: Ehlo, lab: RunningLab) -> None:
    message = b"Content-Type: image/png\nContent-Transfer-Encoding: binary\n\n\x89PNG\r\n\x1a\n\0\r.\n"
    outcome = ehlo.send(lab, message, "--body-type", "binarymime", "--starttls", "never")
    assert outcome.answer == (0, "quit", None, None)
    assert any(line.endswith(" BODY=BINARYMIME") for line in outcome.lines)
    assert lab.lab.messages[-1].content == message


def test_questions_before_the_transaction(ehlo: Ehlo, lab: RunningLab) -> None:
    outcome = ehlo.check(lab, *ENVELOPE, "--starttls", "never", "--ask", "VRFY bob", "--ask", "NOOP", "--ret", "full")
    assert outcome.commands == ["EHLO", "VRFY", "NOOP", "MAIL", "RCPT", "QUIT"]
    assert outcome.answer == (0, "quit", None, None)
    assert [event.text for event in outcome.events if event.facts.get("question")] == ["VRFY bob", "NOOP"]


@pytest.mark.parametrize("envelope", [(), ENVELOPE], ids=["alone", "with a recipient"])
def test_a_refused_question_is_a_finding_and_no_failure(envelope: tuple[str, ...], ehlo: Ehlo, lab: RunningLab) -> None:
    outcome = ehlo.check(lab, *envelope, "--starttls", "never", "--ask", "EXPN staff", "--ask", "FOO", "--ask", "NOOP")
    assert outcome.answer == (0, "quit", None, "question-unknown")
    assert [finding["title"] for finding in outcome.document["verdict"]["findings"]] == [
        "The server does not know 'EXPN staff', or does not allow it",
        "The server does not know 'FOO', or does not allow it",
    ]
    assert [stage["outcome"] for stage in outcome.document["stages"] if "FOO" in stage["summary"]] == ["refused"]


def test_a_message_is_delivered_in_spite_of_a_refused_question(ehlo: Ehlo, lab: RunningLab) -> None:
    before = len(lab.lab.messages)
    outcome = ehlo.send(lab, SIMPLE, "--starttls", "never", "--ask", "FOO")
    assert outcome.answer == (0, "quit", None, "question-unknown")
    assert outcome.document["verdict"]["outcome"] == "accepted"
    assert len(lab.lab.messages) == before + 1


@pytest.mark.parametrize(
    ("question", "reply", "rule"),
    [
        (b"ETRN example.com", b"459 <example.com>: service unavailable", "question-postponed"),
        (b"VRFY nobody@example.com", b"550 5.1.1 <nobody@example.com>: user unknown", "question-refused"),
        (b"HELP me", b"504 no such topic", "question-unknown"),
    ],
)
def test_a_refusal_is_explained_as_the_answer_to_its_question(
    question: bytes, reply: bytes, rule: str, ehlo: Ehlo
) -> None:
    script: list[Step] = [
        *(Send(b"220 hi\r\n"), Expect(b"EHLO"), Send(b"250 hi\r\n")),
        *(Expect(question), Send(reply + b"\r\n"), Expect(b"QUIT"), Send(b"221 bye\r\n"), Close()),
    ]
    with scripted(script) as server:
        outcome = ehlo.check(server, "--ask", question.decode())
    assert outcome.answer == (0, "quit", None, rule)
    assert question.decode() in outcome.document["verdict"]["findings"][0]["title"]


def test_a_question_that_ends_the_session_is_a_failure(ehlo: Ehlo) -> None:
    greeted: list[Step] = [Send(b"220 hi\r\n"), Expect(b"EHLO"), Send(b"250 hi\r\n"), Expect(b"HELP")]
    with scripted([*greeted, Send(b"421 4.7.0 too much\r\n"), Close()]) as server:
        assert ehlo.check(server, "--ask", "HELP").answer == (14, "ehlo", "server", "service-closing")
    with scripted([*greeted, Close()]) as server:
        assert ehlo.check(server, "--ask", "HELP").answer == (14, "ehlo", "server", "connection-lost")


def test_a_question_that_begins_the_session_anew(ehlo: Ehlo, identity: Identity, trust: tuple[str, ...]) -> None:
    with Lab(policy=Policy(xclient=True, any_recipient=True), identity=identity).running() as lab:
        outcome = ehlo.check(lab, *ENVELOPE, *trust, "--ask", "XCLIENT ADDR=192.0.2.1", "--starttls", "never")
        assert outcome.commands == ["EHLO", "XCLIENT", "EHLO", "MAIL", "RCPT", "QUIT"]
        assert outcome.answer == (0, "quit", None, None)
        outcome = ehlo.check(lab, *ENVELOPE, *trust, "--ask", "STARTTLS", "--starttls", "never", "--ask", "NOOP")
        assert outcome.commands == ["EHLO", "STARTTLS", "EHLO", "NOOP", "MAIL", "RCPT", "QUIT"]
        assert outcome.answer == (0, "quit", None, None)
        outcome = ehlo.check(lab, *ENVELOPE, "--ask", "QUIT", "--ask", "NOOP", "--starttls", "never")
        assert outcome.commands == ["EHLO", "QUIT"]
        assert outcome.status == 0


@pytest.mark.peer
def test_xclient_as_a_question_to_postfix(blocking_ehlo: Ehlo, postfix_server: MailServer) -> None:
    target = f"{postfix_server.host}:{postfix_server.xclient_port}"
    words = ("--starttls", "never", "--ask", "XCLIENT ADDR=192.0.2.1", "--ask", "ETRN example.com")
    outcome = blocking_ehlo.check(target, *ENVELOPE, *words)
    assert outcome.commands == ["EHLO", "XCLIENT", "EHLO", "ETRN", "MAIL", "RCPT", "QUIT"]
    assert (outcome.status, outcome.rules) == (0, ["question-postponed"])


def test_several_messages_in_a_session(ehlo: Ehlo, lab: RunningLab, tmp_path: Path) -> None:
    template = tmp_path / "t.eml"
    template.write_text("Subject: no. {n}\n\nx\n")
    before = len(lab.lab.messages)
    status, out, _ = ehlo.run(
        "send", f"127.0.0.1:{lab.port}", *ENVELOPE, "--template", str(template), "--count", "3", "--starttls", "never"
    )
    assert status == 0
    assert out.rstrip().endswith(f"took 3 messages for {RECIPIENT}.")
    arrived = [message.content.split(b"\r\n")[0] for message in list(lab.lab.messages)[before:]]
    assert arrived == [b"Subject: no. 1", b"Subject: no. 2", b"Subject: no. 3"]


def test_one_refused_message_does_not_keep_the_others(ehlo: Ehlo) -> None:
    transaction: list[Step] = [Expect(b"MAIL"), Send(b"250 Ok\r\n"), Expect(b"RCPT")]
    script: list[Step] = [
        Send(b"220 hi\r\n"),
        Expect(b"EHLO"),
        Send(b"250 hi\r\n"),
        *transaction,
        Send(b"450 4.7.1 later\r\n"),
        Expect(b"RSET"),
        Send(b"250 Ok\r\n"),
        *transaction,
        Send(b"450 4.7.1 later\r\n"),
        Expect(b"QUIT"),
        Send(b"221 bye\r\n"),
        Close(),
    ]
    with scripted(script) as server:
        outcome = ehlo.send(server, SIMPLE, "--count", "2")
        assert server.problems == []
    assert outcome.answer[:2] == (18, "rcpt")


# Tampering.


def test_octets_in_place_of_a_command(ehlo: Ehlo, lab: RunningLab) -> None:
    outcome = ehlo.check(lab, *ENVELOPE, "--starttls", "never", "--instead", r"mail=mail from:<\x41@b.c>\n")
    event = next(event for event in outcome.events if event.stage == "mail" and event.who == "client")
    assert event.data == b"mail from:<A@b.c>\n"
    assert outcome.answer == (0, "quit", None, None)


def test_octets_in_place_of_the_message(ehlo: Ehlo, lab: RunningLab) -> None:
    smuggled = r"message=Subject: x\r\n\r\n\n.\nMAIL FROM:<evil@b.c>\r\n.\r\n"
    outcome = ehlo.send(lab, SIMPLE, "--starttls", "never", "--instead", smuggled)
    assert outcome.answer == (0, "quit", None, None)
    assert lab.lab.messages[-1].content == b"Subject: x\r\n\r\n\n.\nMAIL FROM:<evil@b.c>\r\n"


@pytest.mark.parametrize(
    ("option", "stage", "commands"),
    [
        ("--drop-at", "ehlo", []),
        ("--drop-at", "mail", ["EHLO"]),
        ("--drop-at", "rcpt", ["EHLO", "MAIL"]),
        ("--drop-at", "data", ["EHLO", "MAIL", "RCPT"]),
        ("--drop-at", "message", ["EHLO", "MAIL", "RCPT", "DATA"]),
        ("--drop-at", "quit", ["EHLO", "MAIL", "RCPT", "DATA"]),
        ("--drop-sent", "mail", ["EHLO", "MAIL"]),
        ("--drop-sent", "rcpt", ["EHLO", "MAIL", "RCPT"]),
        ("--drop-after", "rcpt", ["EHLO", "MAIL", "RCPT"]),
        ("--drop-sent", "message", ["EHLO", "MAIL", "RCPT", "DATA"]),
        ("--drop-after", "banner", []),
        ("--drop-after", "data", ["EHLO", "MAIL", "RCPT", "DATA"]),
        ("--drop-after", "message", ["EHLO", "MAIL", "RCPT", "DATA"]),
    ],
)
def test_the_connection_is_cut(option: str, stage: str, commands: list[str], ehlo: Ehlo, lab: RunningLab) -> None:
    before = len(lab.lab.messages)
    outcome = ehlo.send(lab, SIMPLE, "--starttls", "never", option, stage)
    assert outcome.commands == commands
    assert outcome.events[-1].kind == "close"
    assert outcome.events[-1].who == "client"
    taken = (option, stage) in {("--drop-at", "quit"), ("--drop-sent", "message"), ("--drop-after", "message")}
    if (option, stage) != ("--drop-sent", "message"):
        assert len(lab.lab.messages) == before + taken


@pytest.mark.parametrize(
    ("stage", "status", "commands"),
    [
        ("mail", 17, ["EHLO", "FOO", "QUIT"]),
        ("rcpt", 18, ["EHLO", "MAIL", "FOO", "QUIT"]),
        ("data", 19, ["EHLO", "MAIL", "RCPT", "FOO", "QUIT"]),
        ("quit", 21, ["EHLO", "MAIL", "RCPT", "DATA", "FOO"]),
    ],
)
@pytest.mark.parametrize("pipeline", ["auto", "no"])
def test_octets_in_place_of_a_command_belong_to_its_stage(
    stage: str, status: int, commands: list[str], pipeline: str, blocking_ehlo: Ehlo, lab: RunningLab
) -> None:
    before = len(lab.lab.messages)
    words = ("--starttls", "never", "--pipeline", pipeline, "--instead", rf"{stage}=FOO\r\n")
    outcome = blocking_ehlo.send(lab, SIMPLE, *words)
    assert outcome.answer[:2] == (status, stage)
    assert outcome.commands == commands
    assert len(lab.lab.messages) == before + (stage == "quit")


def test_octets_in_place_of_starttls_and_auth(
    blocking_ehlo: Ehlo, lab: RunningLab, secret: tuple[str, ...], trust: tuple[str, ...]
) -> None:
    outcome = blocking_ehlo.check(lab, "--starttls", "require", "--instead", r"starttls=FOO\r\n")
    assert (outcome.answer[:2], outcome.commands) == ((15, "starttls"), ["EHLO", "FOO", "QUIT"])
    outcome = blocking_ehlo.check(lab, "--starttls", "require", "--instead", r"starttls=NOOP\r\n", *ENVELOPE)
    assert outcome.commands == ["EHLO", "NOOP", "QUIT"]
    outcome = blocking_ehlo.check(lab, *trust, "--user", "alice", *secret, "--instead", r"auth=FOO\r\n")
    assert outcome.answer[:2] == (16, "auth")


def test_what_is_not_tampered_with_is_still_sent_ahead(ehlo: Ehlo, lab: RunningLab) -> None:
    outcome = ehlo.send(lab, SIMPLE, "--starttls", "never", "--instead", r"data=data\r\n")
    lines = [f"{event.who} {event.stage}" for event in outcome.events if event.stage in ("mail", "rcpt", "data")]
    assert lines == ["client mail", "client rcpt", "server mail", "server rcpt", "client data", "server data"]
    assert outcome.answer == (0, "quit", None, None)


def test_tampering_with_chunks(ehlo: Ehlo, lab: RunningLab) -> None:
    message = b"Subject: chunks\r\n\r\n" + b"0123456789\r\n" * 20
    words = ("--starttls", "never", "--chunking", "100")
    before = len(lab.lab.messages)
    outcome = ehlo.send(lab, message, *words, "--drop-at", "message")
    sent = [event for event in outcome.events if event.kind == "data"]
    assert b"".join(event.data or b"" for event in sent) == message[: len(message) // 2]
    assert sent[-1].facts["partial"] is True
    outcome = ehlo.send(lab, message, *words, "--drop-sent", "message")
    assert outcome.lines[-1].endswith("LAST")
    outcome = ehlo.send(lab, message, *words, "--pause", "message=0.5")
    middle = next(event for event in outcome.events if event.kind == "data" and event.t - event.began >= 0.3)
    assert middle.data == message[100:200]
    assert outcome.answer == (0, "quit", None, None)
    outcome = ehlo.send(lab, message, *words, "--instead", r"message=BDAT 14 LAST\r\nSubject: x\r\n\r\n")
    assert outcome.answer == (0, "quit", None, None)
    assert lab.lab.messages[-1].content == b"Subject: x\r\n\r\n"
    assert len(lab.lab.messages) - before in (2, 3)


@pytest.mark.parametrize(
    "options", [("--write-size", "3"), ("--rate", "100000"), ("--rate", "20000", "--write-size", "50")]
)
def test_pace_and_pieces_change_nothing_that_is_said(options: tuple[str, ...], ehlo: Ehlo, lab: RunningLab) -> None:
    outcome = ehlo.send(lab, SIMPLE, "--starttls", "never", *options)
    plain = ehlo.send(lab, SIMPLE, "--starttls", "never", "--pipeline", "no")
    assert outcome.answer == plain.answer == (0, "quit", None, None)
    ours = [event.data for event in outcome.events if event.who == "client" and event.kind != "close"]
    assert ours == [event.data for event in plain.events if event.who == "client" and event.kind != "close"]
    assert lab.lab.messages[-1].content == SIMPLE


def test_pauses(ehlo: Ehlo, lab: RunningLab) -> None:
    pauses = ("--pause", "rcpt=0.3", "--pause", "message=0.2")
    outcome = ehlo.send(lab, SIMPLE, "--starttls", "never", *pauses)
    rcpt = next(event for event in outcome.events if event.stage == "rcpt")
    assert rcpt.t - max(event.t for event in outcome.events if event.stage == "mail") >= 0.3
    message = outcome.event("data")
    assert message.t - message.began >= 0.2


def test_line_endings_and_dots_as_they_are(ehlo: Ehlo, lab: RunningLab) -> None:
    message = b"Subject: x\r\n\r\n.one\nbare\r\nend\r\n"
    ehlo.send(lab, message, "--starttls", "never", "--keep-line-endings", "--no-dot-stuffing")
    # The server takes the dot away that nobody has put there.
    assert lab.lab.messages[-1].content == message.replace(b".one", b"one")
