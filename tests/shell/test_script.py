"""`ehlo shell < script`: whole processes, exact output, expectations."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ehlo.lab import Lab, Policy, RunningLab
from ehlo.probe.plan import Plan
from ehlo.probe.target import parse_target
from ehlo.report.style import Style
from ehlo.shell.script import NoQuestions, run_script, unmet
from ehlo.shell.shell import Shell
from ehlo.shell.view import View
from ehlo.smtp.reply import Reply
from ehlo.transcript.jsonl import read
from peers.silent import Close, Expect, Hang, Send, Step, scripted

EHLO = [sys.executable, "-m", "ehlo", "shell"]
PASSWORD = "wonder+land"
ENVELOPE = "HELO h\nMAIL FROM:<a@b.c>\nRCPT TO:<recipient@example.com>\n"


@pytest.fixture(scope="module")
def lab() -> Iterator[RunningLab]:
    policy = Policy(
        mailboxes=frozenset({"recipient@example.com"}), users={"alice": PASSWORD}, refused_senders=frozenset({"x@y.z"})
    )
    with Lab(policy=policy).running() as lab:
        yield lab


def shell(lab: RunningLab, script: str, *words: str, **environment: str) -> tuple[int, str, str]:
    """Run a script: exit status, output, errors."""
    done = subprocess.run(
        [*EHLO, f"127.0.0.1:{lab.port}", "--helo", "here.org", "--timeout", "30", *words],
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "80", **environment},
    )
    return done.returncode, re.sub(r"queued as [0-9A-F]+", "queued as ID", done.stdout), done.stderr


def test_a_session_to_the_end(lab: RunningLab) -> None:
    script = """\
# a message by hand
HELO here.org
< 250
MAIL FROM:<me@here.org>
RCPT TO:<recipient@example.com>
< 250 2.1.5
DATA
< 354
Subject: by hand

.hidden
# not a comment here
< nor an expectation
.
< 250 2.0.0 Ok: queued
"""
    before = len(lab.lab.messages)
    status, out, err = shell(lab, script)
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"127.0.0.1:{lab.port}",
        "S: 220 mail.example.com ESMTP Postfix",
        "   Service ready",
        "C: HELO here.org",
        "S: 250 mail.example.com",
        "C: MAIL FROM:<me@here.org>",
        "S: 250 2.1.0 Ok",
        "   The address was accepted",
        "C: RCPT TO:<recipient@example.com>",
        "S: 250 2.1.5 Ok",
        "   The recipient's address was accepted",
        "C: DATA",
        "S: 354 Start mail input; end with <CRLF>.<CRLF>",
        "   Start mail input",
        "type the message; a dot on a line of its own ends it",
        "sent as ..hidden, for a line that begins with a dot (RFC 5321 §4.5.2)",
        "(80 octets of message)",
        "S: 250 2.0.0 Ok: queued as ID",
        "   Requested action completed",
        "C: QUIT",
        "S: 221 2.0.0 Bye",
        "   Service closing transmission channel",
        "connection closed",
    ]
    assert len(lab.lab.messages) == before + 1
    assert lab.lab.messages[-1].content.endswith(b"\r\n.hidden\r\n# not a comment here\r\n< nor an expectation\r\n")


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ("< 554", 13, "line 1: expected 554, got 220 mail.example.com ESMTP Postfix"),
        ("EHLO here.org\n< 5yz", 14, "line 2: expected 5yz, got 250"),
        ("HELO here.org\nMAIL FROM:<x@y.z>\n< 250", 17, "line 3: expected 250, got 554 5.7.1 <x@y.z>"),
        ("HELO h\nMAIL FROM:<a@b.c>\nRCPT TO:<no@example.com>\n< 250", 18, "line 4: expected 250, got 550 5.1.1"),
        ("HELO h\nMAIL FROM:<a@b.c>\n< 250 2.1.5", 17, "line 3: expected 250 2.1.5, got 250 2.1.0 Ok"),
        # A mistake in the script is no failure of the server's.
        ("HELO h\n< what", 2, "line 2: '< what' is no expectation; the form is < CODE"),
        ("HELO h\n< 250\nQUIT\nNOOP", 21, "line 4: the session is over, so this was not sent: NOOP"),
    ],
)
def test_a_mismatch_says_which_line(script: str, status: int, said: str, lab: RunningLab) -> None:
    ended, _, err = shell(lab, script)
    assert ended == status
    assert err.startswith(f"ehlo shell: {said}")


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        (":foo", 2, "line 1: There is no command :foo; :help lists them."),
        ("# here\n:save /nonexistent/x", 2, "line 2: '/nonexistent/x' cannot be written: No such file or directory."),
        (":send /nonexistent", 2, "line 1: '/nonexistent' cannot be read: No such file or directory."),
        (":send", 2, "line 1: Which file?"),
        (":chunk", 2, "line 1: Which octets?"),
        (":auth FOO", 2, "line 1: there is no mechanism FOO"),
        (":auth PLAIN B C", 2, "line 1: Behind :auth stand a mechanism and a user, no more"),
        (":wait long", 2, "line 1: 'long' is no number of seconds."),
        (":wait nan", 2, "line 1: 'nan' is no number of seconds."),
        (":unb64 ???", 2, "line 1: That is not base64."),
        (":help foo", 2, "line 1: There is no command foo; :help lists them."),
        (":auth", 16, "line 1: AUTH does not belong here: EHLO or HELO is due."),
        ("EHLO h\n:auth\n< 235", 16, "line 2: the server does not offer AUTH here"),
        ("EHLO h\nQUIT\n:starttls", 21, "line 3: The session is over"),
        ("EHLO h\n:starttls\nEHLO h\n:auth\n< 235", 16, "line 4: There is nobody to ask for the user"),
        # Expectations that were met do not make up for what could not be done.
        ("EHLO h\n< 250\n:nonsense\n< 250", 2, "line 3: There is no command :nonsense"),
    ],
)
def test_what_cannot_be_done_ends_the_script(script: str, status: int, said: str, lab: RunningLab) -> None:
    ended, out, err = shell(lab, script, "--insecure")
    assert ended == status
    assert err.startswith(f"ehlo shell: {said}")
    assert "closed by the user" not in out


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        (f"{ENVELOPE}DATA\nSubject: x\n", 20, "line 5: the script ended inside the message"),
        ("EHLO h\nSTARTTLS\n", 15, "line 2: the script ended before the TLS handshake"),
        ("EHLO h\n:starttls\nEHLO h\nAUTH LOGIN\n< 334\n", 16, "line 5: the script ended inside the AUTH exchange"),
    ],
)
def test_a_script_that_ends_too_early(script: str, status: int, said: str, lab: RunningLab) -> None:
    ended, out, err = shell(lab, script)
    assert (ended, err) == (status, f"ehlo shell: {said}\n")
    assert "closed by the user" not in out


def test_a_certificate_that_must_be_good_ends_the_session(lab: RunningLab) -> None:
    status, out, err = shell(lab, "EHLO h\n:starttls\nEHLO h\n", "--verify")
    assert (status, err) == (15, "ehlo shell: line 2: the certificate does not verify\n")
    assert out.endswith("✗ the certificate does not verify\nconnection closed\n")


def test_only_an_answer_to_what_was_said_last_meets_an_expectation() -> None:
    steps: list[Step] = [Send(b"220 mail.example.com ESMTP\r\n"), Expect(b"EHLO h"), Send(b"250 mail.example.com\r\n")]
    with scripted([*steps, Expect(b"NOOP"), Close()]) as server:
        command = [*EHLO, f"{server.host}:{server.port}"]
        done = subprocess.run(command, input="EHLO h\nNOOP\n< 250\n", capture_output=True, text=True, timeout=60)
    assert done.stderr == "ehlo shell: line 3: expected 250, but the server has not answered.\n"
    assert done.returncode == 14


def test_no_answer_in_time_ends_the_script() -> None:
    said: list[str] = []
    errors = io.StringIO()
    with scripted([Send(b"220 mail.example.com ESMTP\r\n"), Expect(b"NOOP"), Hang()]) as server:
        plan = Plan(parse_target(f"{server.host}:{server.port}"))
        shell = Shell(plan, View(said.append, Style(False, True, 80)), NoQuestions(), wait=0.1)
        assert asyncio.run(run_script(shell, io.StringIO("NOOP\nQUIT\n"), errors)) == 13
    assert errors.getvalue() == "ehlo shell: line 1: the server has not answered\n"
    assert "C: QUIT" not in said


def test_octets_that_are_no_line_yet_are_not_waited_for(lab: RunningLab) -> None:
    script = """\
:raw HELO he
:raw re.org\\r\\nNOOP\\r\\n
< 250 2.0.0
MAIL FROM:<a@b.c>
RCPT TO:<recipient@example.com>
DATA
:raw Subject: raw\\r\\n\\r\\nhi\\r\\n.\\r\\n
< 250 2.0.0 Ok: queued
"""
    status, _, err = shell(lab, script)
    assert (status, err) == (0, "")
    assert lab.lab.messages[-1].content == b"Subject: raw\r\n\r\nhi\r\n"


def test_a_line_of_a_message_may_begin_with_a_colon(lab: RunningLab) -> None:
    script = f"{ENVELOPE}DATA\n:-) x\n:wait 0\n.\n< 250\n"
    assert shell(lab, script)[::2] == (0, "")
    assert lab.lab.messages[-1].content == b":-) x\r\n"


def test_starttls_says_encrypted_only_when_it_is(lab: RunningLab) -> None:
    status, out, _ = shell(lab, "EHLO h\n:starttls\nEHLO h\n:starttls\n< 554\n")
    assert status == 0
    assert "! The connection is encrypted already.\nC: STARTTLS\nS: 554" in out
    assert out.count("encrypted from here on") == 1


def test_what_helpers_say_is_hinted_at_and_said(lab: RunningLab) -> None:
    script = "EHLO h\n:chunk last hi\n< 502\n:auth EXTERNAL\n< 5\n:send /dev/null\n< 503\n"
    status, out, err = shell(lab, script)
    assert (status, err) == (0, "")
    assert "! BDAT does not belong here: a transaction may begin.\nC: BDAT 2 LAST\n(2 octets of message)\nS: 502" in out
    assert "! The server does not offer AUTH in clear; it may after :starttls.\nC: AUTH EXTERNAL" in out
    assert "! DATA does not belong here: a transaction may begin.\nC: DATA\nS: 503" in out


def test_each_reply_is_explained_beneath_it(lab: RunningLab) -> None:
    _, out, _ = shell(lab, "EHLO h\nNOOP\nXYZZY\n")
    assert "C: NOOP\nS: 250 2.0.0 Ok\n   Requested action completed\n" in out
    assert "C: XYZZY\nS: 502 5.5.2 Error: command not recognized\n   Syntax error\n" in out


def test_a_session_that_is_cut_on_purpose_is_no_failure(lab: RunningLab) -> None:
    status, out, err = shell(lab, "EHLO h\n:close\n")
    assert (status, err) == (0, "")
    assert out.endswith("\nconnection closed\n")
    assert "✗" not in out


@pytest.mark.parametrize("words", [[], ["--record"]], ids=["", "recorded"])
def test_an_output_that_is_closed_ends_the_shell_quietly(words: list[str], lab: RunningLab, tmp_path: Path) -> None:
    record = tmp_path / "session.jsonl"
    command = [*EHLO, f"127.0.0.1:{lab.port}", *words, *([str(record)] if words else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        while b"Service ready" not in process.stdout.readline():
            pass
        process.stdout.close()
        process.stdin.write(b"EHLO x\nMAIL FROM:<a@b.c>\n:wait 1\nQUIT\n")
        process.stdin.flush()
        # Which status says so is decided in one place for all commands.
        assert process.wait(30) != 0
        assert process.stderr.read() == b""
    if words:
        transcript = read(record.read_text().splitlines(keepends=True))
        assert [event.kind for event in transcript.events[-2:]] == ["error", "close"]
        assert transcript.events[-2].fact("message") == "nothing can be written any more"


def test_nothing_is_wrapped_where_there_is_no_terminal(lab: RunningLab) -> None:
    _, out, _ = shell(lab, "DATA\n:help\n:help auth\n:explain 550 5.7.1 Relaying denied\n", COLUMNS="40")
    assert "! DATA does not belong here: EHLO or HELO is due.\n" in out
    assert ":chunk [last] TEXT|@FILE  Send a piece of the message by BDAT: text with \\r \\n \\xHH, or a file\n" in out
    assert "what is missing is asked for, and not kept. A password is not sent in clear" in out


def test_a_code_that_belongs_to_no_stage_is_explained(lab: RunningLab) -> None:
    _, out, _ = shell(lab, ":explain 999 what is this\n")
    assert "No table knows the code 999.\n" in out
    assert "protocol · The server answers with a code that does not belong to the stage in question\n" in out


def test_without_expectations_the_verdict_counts(lab: RunningLab) -> None:
    assert shell(lab, "HELO h\nMAIL FROM:<a@b.c>\n")[0] == 0
    assert shell(lab, "HELO h\nMAIL FROM:<a@b.c>\nRCPT TO:<no@example.com>\n")[0] == 18
    assert shell(lab, "HELO h\nMAIL FROM:<a@b.c>\nRCPT TO:<no@example.com>\n< 550\n")[0] == 0


def test_no_server_is_the_stage_connect() -> None:
    done = subprocess.run([*EHLO, "127.0.0.1:1"], input="NOOP\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == 11
    assert "connection refused" in done.stdout


def test_hints_do_not_stop_a_script(lab: RunningLab) -> None:
    status, out, _ = shell(lab, "RCPT TO:<a@b.c>\n< 503\n")
    assert status == 0
    assert "! RCPT does not belong here: EHLO or HELO is due.\nC: RCPT TO:<a@b.c>\nS: 503" in out


def test_encrypted_login_keeps_the_secret(lab: RunningLab, tmp_path: Path) -> None:
    record = tmp_path / "session.jsonl"
    script = f"""\
EHLO here.org
:starttls
EHLO here.org
:auth LOGIN
< 235
:save {tmp_path / "saved.jsonl"}
:tls
"""
    status, out, err = shell(
        lab, script, "--user", "alice", "--insecure", "--record", str(record), EHLO_PASSWORD=PASSWORD
    )
    assert (status, err) == (0, "")
    assert "encrypted from here on" in out
    assert "version   TLS 1.3, 256 bits" in out
    encoded = base64.b64encode(PASSWORD.encode()).decode()
    for text in (out, record.read_text(), (tmp_path / "saved.jsonl").read_text()):
        assert PASSWORD not in text
        assert encoded not in text
    transcript = read(record.read_text().splitlines(keepends=True))
    assert [event.kind for event in transcript.events if event.kind in ("connect", "tls", "close")] == [
        "connect",
        "tls",
        "close",
    ]
    shown = shell(lab, script, "--user", "alice", "--insecure", "--show-secrets", EHLO_PASSWORD=PASSWORD)[1]
    assert encoded in shown
    assert PASSWORD in shown


def test_helpers(lab: RunningLab, tmp_path: Path) -> None:
    message = tmp_path / "message.eml"
    message.write_bytes(b"Subject: from a file\n\nhi\n")
    script = f"""\
:b64 \\0alice\\0secret
:unb64 VXNlcm5hbWU6
:raw NOOP\\r\\nHELO here.org\\r\\n
< 250 mail.example.com
:explain 550 5.1.1 User unknown
MAIL FROM:<me@here.org>
RCPT TO:<recipient@example.com>
:send {message}
< 250
:wait 0
:again
< 250 2.0.0 Ok
:chunk last hi
:verdict
:help chunk
:quit
"""
    before = len(lab.lab.messages)
    status, out, err = shell(lab, script)
    assert (status, err) == (0, "")
    assert "AGFsaWNlAHNlY3JldA==\nUsername:\n" in out
    assert "recipient · " in out
    assert [each.content for each in list(lab.lab.messages)[before:]] == [b"Subject: from a file\r\n\r\nhi\r\n"] * 2
    assert "! BDAT does not belong here" in out
    assert ":chunk [last] TEXT|@FILE" in out


def test_what_the_server_says_is_never_raw(lab: RunningLab) -> None:
    status, out, _ = shell(lab, "HELO here.org\nVRFY \x1b[31mred\n")
    assert status in (0, 14)
    assert "\x1b" not in out


def test_lines_without_an_end_and_of_any_octets(lab: RunningLab) -> None:
    done = subprocess.run(
        [*EHLO, f"127.0.0.1:{lab.port}", "--timeout", "30"],
        input=b"HELO here.org\r\nNOOP \xff\xfe\r\nQUIT",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == b""
    assert rb"C: NOOP \xff\xfe" in done.stdout


@pytest.mark.parametrize(
    ("line", "met"),
    [("< 250", True), ("<250", True), ("< 2", True), ("< 25", True), ("< 2yz", True), ("< 250 Ok", True),
     ("< 250-Ok", True), ("< 251", False), ("< 4yz", False), ("< 250 queued", False), ("< 99", False), ("<", False)],
)  # fmt: skip
def test_expectations(line: str, met: bool) -> None:
    assert (unmet(line, Reply(250, ("2.1.0 Ok",))) == "") is met
    assert unmet(line, None)


@pytest.mark.parametrize(
    ("ended_by", "note"),
    [(signal.SIGINT, "interrupted from the keyboard"), (signal.SIGTERM, "ended by SIGTERM")],
    ids=["ctrl-c", "sigterm"],
)
@pytest.mark.parametrize("given", [b"NOOP\n", b""], ids=["waiting for an answer", "waiting for a line"])
def test_a_signal_leaves_a_readable_record(given: bytes, ended_by: int, note: str, tmp_path: Path) -> None:
    record = tmp_path / "session.jsonl"
    with scripted([Send(b"220 mail.example.com ESMTP\r\n"), Hang()]) as server:
        command = [*EHLO, f"{server.host}:{server.port}", "--record", str(record)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as shell:
            assert shell.stdin is not None
            assert shell.stdout is not None
            shell.stdin.write(given)
            shell.stdin.flush()
            while b"NOOP" not in (line := shell.stdout.readline()):
                if b"Service ready" in line and not given:
                    break
            shell.send_signal(ended_by)
            # Standard input stays open: nothing may wait for it.
            assert shell.wait(30) == 130
            assert shell.stderr is not None
            assert shell.stderr.read() == b""
    transcript = read(record.read_text().splitlines(keepends=True))
    assert transcript.complete
    assert [event.kind for event in transcript.events[-2:]] == ["error", "close"]
    assert transcript.events[-2].fact("error") == "interrupted"
    assert transcript.events[-2].fact("message") == note


def test_a_login_that_goes_on_though_it_was_refused(lab: RunningLab, tmp_path: Path) -> None:
    """Neither the hint nor the record has the password; nor has the end of a session that was over before."""
    # In base64 it looks like a verb.
    password = "Sup3rS3cret!"
    response, whole = (base64.b64encode(text.encode()).decode() for text in (password, f"\0alice\0{password}"))
    script = f"EHLO a\nAUTH LOGIN\nYWxpY2U=\n{response}\nAUHT PLAIN {whole}\nQUIT\n{response}\n"
    record = tmp_path / "record.jsonl"
    _, out, err = shell(lab, script, "--record", str(record))
    for secret in (response, whole):
        assert secret.upper() not in (out + err + record.read_text()).upper()
    assert "! This is no command of SMTP.\nC: [redacted]\n" in out
    assert "! AUHT is no command of SMTP.\nC: AUHT PLAIN [redacted]\n" in out
    assert "not sent: a line that may be a secret" in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_disk_that_is_full_does_not_end_the_shell(lab: RunningLab) -> None:
    status, out, err = shell(lab, "HELO here.org\n< 250\n:again\nNOOP\n< 250\n", "--record", "/dev/full")
    assert (status, err) == (0, "")
    assert out.count("✗ The record '/dev/full' cannot be written: No space left on device.\n") == 1
    assert "C: NOOP" in out
