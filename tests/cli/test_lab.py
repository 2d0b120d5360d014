"""Whole command lines of `ehlo lab`, as processes."""

from __future__ import annotations

import contextlib
import json
import mailbox
import os
import re
import signal
import smtplib
import socket
import ssl
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from ehlo.lab.authority import make_identity
from program import EHLO, run_ehlo, run_here

#: Believes in every certificate.
TRUSTING = ssl.create_default_context()
TRUSTING.check_hostname, TRUSTING.verify_mode = False, ssl.CERT_NONE


class Process:
    """A lab as a process, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._ready.wait(60), self.lines

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if line.startswith("try:"):
                self._ready.set()
        self._ready.set()

    def port(self, what: str = "listens on") -> int:
        found = re.search(rf"{what}.*?:(\d+)", "\n".join(self.lines))
        assert found, self.lines
        return int(found[1])

    def stop(self) -> str:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(30) == 0
        self._reader.join(10)
        return "\n".join(self.lines)


@contextlib.contextmanager
def lab(*options: str) -> Iterator[Process]:
    command = [*EHLO, "lab", "--port", "0", "--http", "off", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    try:
        yield Process(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


def ehlo(*words: str) -> subprocess.CompletedProcess[str]:
    return run_ehlo("lab", *words, env={"COLUMNS": "80"})


def send(port: int, to: str = "recipient@example.com", subject: str = "hello", login: str = "") -> None:
    with smtplib.SMTP("127.0.0.1", port, "client.example", timeout=30) as smtp:
        if login:
            smtp.login(*login.split(":"))
        smtp.sendmail("a@here.example", [to], f"Subject: {subject}\r\n\r\nFrom here\r\n")


def mode(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_list() -> None:
    done = ehlo("--list")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert any(line.startswith("greylisted  ") for line in lines)
    assert all(len(line) <= 80 for line in lines)
    assert "\x1b" not in done.stdout
    entries = json.loads(ehlo("--list", "--json").stdout)
    assert len(entries) >= 60
    assert {"name", "title", "description", "rule", "persona"} == set(entries[0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scenario", "grelisted"], "There is no scenario grelisted; did you mean greylisted?"),
        (["--scenario", "./none.toml"], "The scenario ./none.toml cannot be read: No such file or directory."),
        (["--port", "70000"], "--port 70000: a port is a number from 0 to 65535."),
        (["--tls-port", "-1"], "--tls-port -1: a port is a number from 0 to 65535."),
        (["--http", "many"], "--http many: a port, or off."),
        (["--user", "alice"], "--user alice: the form is NAME:PASSWORD."),
        (["--mechanism", "MAGIC"], "--mechanism MAGIC: there are"),
        (["--max-size", "0"], "--max-size 0: it is a number above 0."),
        (["--max-sessions", "-1"], "--max-sessions -1: it is a number above 0."),
        (["--mailbox", "nope"], "--mailbox nope: it is no mail address: there is no @ with a domain behind it."),
        (["--mailbox", "postmaster"], "--mailbox postmaster: it has no domain."),
        (["--mailbox", "<>"], "--mailbox <>: it has no domain."),
        (["--mailbox", ""], "--mailbox: there is no address."),
        (["--refuse-sender", "a b@c.example"], "--refuse-sender a b@c.example: it is no mail address: "),
        (
            ["--any-login", "--mechanism", "CRAM-MD5"],
            "Every login is taken by PLAIN, LOGIN, XOAUTH2, OAUTHBEARER, ANONY",
        ),
        (["--release", "foo:bar:baz"], "--release foo:bar:baz: 'foo:bar:baz' has too many colons"),
        (["--release", ""], "--release: The target is empty"),
        (["--durable"], "--durable is for a store in a file: --store FILE."),
        (["--tag", "x"], "--tag x: the form is TAG=QUERY"),
        (["--no-capture", "--export", "x"], "--no-capture keeps nothing"),
        (["--cert", "x"], "--cert and --key belong together."),
        (
            ["--exec", "no-such-command && pytest -q"],
            "--exec no-such-command && pytest -q: it cannot be run: there is no such program. No shell reads it; for"
            " what a shell does: --exec \"sh -c '…'\".",
        ),
        (["--exec", "'unfinished"], "it cannot be run: No closing quotation."),
        (["--listen", "192.0.2.1", "--port", "0"], "--listen 192.0.2.1: the lab cannot listen there: Cannot assign"),
        (["--listen", "nosuch.invalid", "--port", "0"], "--listen nosuch.invalid: the lab cannot listen there: "),
        (["--host", "a b"], "--host a b: it is no host name."),
        (["--host", "a\tb"], "it is no host name."),
        (["--host", ""], "it is no host name."),
        (["--release", "foo bar"], "--release foo bar: "),
        (["--tag", "foo=after:zz"], "--tag foo=after:zz: 'after:' does not take 'zz'."),
        (["--tag", "foo=x larger:many"], "'larger:' does not take 'many'."),
        (["--keep", "-1"], "--keep -1: it is a number above 0."),
        (["--keep", "0"], "--keep 0: it is a number above 0."),
        (["--keep-size", "-1"], "--keep-size -1: it is a number above 0."),
        (["--keep-hours", "nan"], "--keep-hours nan: it is a number above 0."),
        (["--idle", "nan"], "--idle nan: it is a number above 0."),
        (["--exec", ""], "--exec: there is no command."),
        (["--json"], "--json goes with --list."),
        (["--export", "/nope/x.mbox"], "--export /nope/x.mbox: it cannot be written: No such file or directory."),
        (["--export", "/nope/folder/"], "--export /nope/folder/: it cannot be written: No such file or directory."),
    ],
)
def test_wrong_usage(words: list[str], said: str) -> None:
    done = run_here("lab", *words, env={"COLUMNS": "80"})
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for words, option in ((["--port", port], "--port"), (["--port", "0", "--tls-port", port], "--tls-port")):
            done = ehlo("--http", "off", *words)
            assert done.returncode == 2
            assert done.stderr == f"ehlo lab: {option} {port}: the lab cannot listen there: Address already in use.\n"


def pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate and its key, as files."""
    identity = make_identity(name)
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(identity.certificate)
    key.write_bytes(identity.key)
    return certificate, key


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\x00\xffgarbage")
    (own, key), (_, other) = pair(tmp_path, "one.example"), pair(tmp_path, "two.example")
    for words in ((garbage, garbage), (garbage, key), (own, garbage), (own, other), (key, key), (own, own)):
        done = ehlo("--port", "0", "--http", "off", "--cert", str(words[0]), "--key", str(words[1]))
        assert done.returncode == 2
        assert f"--cert {words[0]}, --key {words[1]}: they cannot be used: " in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert "ssl.c" not in done.stderr
    locked = load_pem_private_key(key.read_bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"sesame")
    )
    garbage.write_bytes(locked)
    done = ehlo("--port", "0", "--http", "off", "--cert", str(own), "--key", str(garbage))
    assert done.returncode == 2
    assert f"--key {garbage}: it has a passphrase; " in done.stderr
    with lab("--cert", str(own), "--key", str(key)) as it, smtplib.SMTP("127.0.0.1", it.port()) as smtp:
        assert smtp.starttls(context=TRUSTING)[0] == 220


def test_a_lab_that_does_not_start_exports_nothing(tmp_path: Path) -> None:
    earlier = tmp_path / "mail.mbox"
    earlier.write_text("From nobody\n")
    done = ehlo("--listen", "192.0.2.1", "--export", str(earlier))
    assert done.returncode == 2
    assert earlier.read_text() == "From nobody\n"


def test_a_wrong_scenario_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        '[[faults]]\nstage = "mail"\ndo = { close = true }\n[[faults]]\nstage = "rcpt"\ndo = { repl = "450 x" }\n'
    )
    done = ehlo("--scenario", str(file))
    assert done.returncode == 2
    assert "The scenario mine: fault 2 (rcpt): do has no key repl" in done.stderr


@pytest.mark.parametrize(
    ("policy", "said", "mended"),
    [
        ("auth_required = true", "A login is required, and nobody can log in", ["--user", "alice:x"]),
        ("tls_required = true", "TLS is required, and the persona minimal has no STARTTLS", ["--tls-port", "0"]),
    ],
)
def test_a_scenario_that_nobody_can_satisfy(tmp_path: Path, policy: str, said: str, mended: list[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'persona = "minimal"\n[policy]\n{policy}\n')
    done = ehlo("--scenario", str(file), "--port", "0", "--http", "off")
    assert done.returncode == 2
    assert said in done.stderr
    with lab("--scenario", str(file), *mended) as it:
        it.stop()


def test_a_scenario_that_the_options_do_not_allow() -> None:
    """Whoever chooses it later, on the page or by the API, hears the same as at the start."""
    options = ["--any-login", "--mechanism", "PLAIN", "--persona", "minimal"]
    said = "TLS is required, and the persona minimal has no STARTTLS: it needs --tls-port."
    assert said in ehlo(*options, "--scenario", "tls-required", "--port", "0", "--http", "off").stderr
    with lab(*options, "--http", "0") as it:
        page = f"http://127.0.0.1:{it.port('the page')}/api/v1"
        request = urllib.request.Request(f"{page}/scenario", b'{"name": "tls-required"}', method="PUT")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        assert (refused.value.code, json.load(refused.value)) == (400, {"Error": said})
        with urllib.request.urlopen(f"{page}/lab") as answer:
            assert json.load(answer)["scenario"] == ""


def test_a_scenario_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[[faults]]\nstage = "rcpt"\ndo = { reply = "450 4.2.0 As I like it" }\n')
    with lab("--scenario", str(file)) as process, pytest.raises(smtplib.SMTPRecipientsRefused, match="As I like it"):
        send(process.port())


def test_options_outweigh_the_scenario() -> None:
    with lab(
        "--scenario", "greylisted", "--mailbox", "bob@example.org", "--persona", "exim", "--host", "mx.test"
    ) as it:
        assert "mx.test (exim)" in it.lines[0]
        assert "mailboxes: bob@example.org" in it.lines
        with pytest.raises(smtplib.SMTPRecipientsRefused, match="Greylisted"):
            send(it.port(), "bob@example.org")
        send(it.port(), "bob@example.org")
        assert "1 message, 2 sessions." in it.stop()


def test_options_outweigh_the_next_scenario_too() -> None:
    """Also one that is taken up while the lab runs."""
    options = ["--http", "0", "--mailbox", "bob@example.org", "--persona", "exim", "--host", "mx.test", "--seed", "5"]

    def outcomes(it: Process) -> list[bool]:
        out = []
        for _ in range(12):
            with contextlib.suppress(smtplib.SMTPRecipientsRefused):
                send(it.port(), "bob@example.org")
                out.append(True)
                continue
            out.append(False)
        return out

    with lab(*options) as it:
        for name in ("now-and-then", "", "now-and-then"):
            put = urllib.request.Request(
                f"http://127.0.0.1:{it.port('the page')}/api/v1/scenario",
                json.dumps({"name": name}).encode(),
                {"Content-Type": "application/json"},
                method="PUT",
            )
            with urllib.request.urlopen(put, timeout=30) as answer:
                known = json.load(answer)
            assert (known["persona"], known["host"], known["scenario"]) == ("exim", "mx.test", name)
        later = outcomes(it)
    with lab(*options, "--scenario", "now-and-then") as it:
        assert outcomes(it) == later


def test_logins() -> None:
    with lab("--user", "alice:wonderland", "--auth-in-clear", "--any-recipient") as it:
        send(it.port(), "x@y.example", login="alice:wonderland")
        with pytest.raises(smtplib.SMTPAuthenticationError):
            send(it.port(), login="alice:wrong")
        assert "wonderland" not in it.stop()
    with lab("--any-login", "--auth-in-clear") as it:
        send(it.port(), "x@y.example", login="any:body")


def test_a_client_shows_its_certificate(tmp_path: Path) -> None:
    certificate = str(tmp_path / "alice.pem")
    # What is there of an earlier run may be read by everybody.
    (tmp_path / "alice.pem").touch(0o644)
    options = ["--user", "alice:x", "--mechanism", "EXTERNAL", "--client-cert-out", certificate]
    with lab(*options, "--ca-out", str(tmp_path / "ca.pem")) as it:
        target = [f"127.0.0.1:{it.port()}", "--ca-file", str(tmp_path / "ca.pem"), "--user", "alice"]
        words = [*EHLO, "check", *target, "--auth", "EXTERNAL", "-q", "-f", "a@b.example", "-t", "x@y.example"]
        assert mode(certificate) == 0o600
        assert subprocess.run([*words, "--cert", certificate], timeout=60).returncode == 0
        assert subprocess.run(words, timeout=60).returncode == 16


def test_doors() -> None:
    with lab("--tls-port", "0", "--lmtp-port", "0", "--proxy-port", "0") as it:
        with smtplib.SMTP_SSL("127.0.0.1", it.port("TLS from the start"), context=TRUSTING) as smtp:
            assert smtp.noop()[0] == 250
        with smtplib.LMTP("127.0.0.1", it.port("LMTP")) as lmtp:
            assert lmtp.sendmail("a@b.example", ["recipient@example.com"], "Subject: x\r\n\r\n") == {}
        with socket.create_connection(("127.0.0.1", it.port("behind a proxy")), timeout=30) as proxied:
            proxied.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 25\r\n")
            assert proxied.recv(100).startswith(b"220 ")
        with socket.create_connection(("127.0.0.1", it.port("behind a proxy")), timeout=30) as proxied:
            proxied.sendall(b"PROXY TCP4 bad\r\n")
            assert proxied.recv(100) == b""


def test_what_a_full_disk_has_cost_is_said(tmp_path: Path) -> None:
    """A message that got its 250 and could not be written is not passed over in silence."""
    code = (
        "import resource, sys, ehlo.cli.main as main, ehlo.lab.lab as lab; lab._TICK = 3600.0;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); sys.exit(main.main())"
    )
    words = ["lab", "--port", "0", "--http", "off", "--any-recipient", "--store", str(tmp_path / "store.db")]
    words += ["--exec", f"{sys.executable} {tmp_path / 'send.py'}"]
    (tmp_path / "send.py").write_text(
        "import os, smtplib\n"
        "smtp = smtplib.SMTP(os.environ['SMTP_HOST'], int(os.environ['SMTP_PORT']))\n"
        "for _ in range(3): smtp.sendmail('a@b.c', ['d@e.f'], b'x' * 50_000)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"ehlo lab: 3 messages are lost: {tmp_path / 'store.db'} could not be written.\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_store_outlives_the_lab(tmp_path: Path) -> None:
    store = str(tmp_path / "mail.db")
    with lab("--store", store, "--durable") as it:
        send(it.port(), subject="kept")
        it.stop()
    with lab("--store", store, "--export", str(tmp_path / "out.mbox")) as it:
        send(it.port(), subject="added")
        # Of this run, both.
        assert "\n1 message, 1 session." in it.stop()
    subjects = [message["Subject"] for message in mailbox.mbox(tmp_path / "out.mbox")]
    assert subjects == ["kept", "added"]
    assert next(message.get_payload() for message in mailbox.mbox(tmp_path / "out.mbox")) == ">From here\n"
    with lab("--store", store, "--export", str(tmp_path / "folder") + "/", "--keep", "1") as it:
        it.stop()
    assert len(mailbox.Maildir(tmp_path / "folder")) == 1
    written = [tmp_path / "out.mbox", *(tmp_path / "folder" / "new").iterdir()]
    assert [mode(path) for path in written] == [0o600] * 2


def test_what_is_counted_in_the_end_need_not_be_kept() -> None:
    for option in ("--no-capture", "--keep=1"):
        with lab(option) as it:
            for _ in range(2):
                send(it.port())
            assert "\n2 messages, 2 sessions." in it.stop()


def test_the_page_and_its_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = ehlo("--port", "0", "--http", str(port))
    assert done.returncode == 2
    assert done.stderr == f"ehlo lab: --http {port}: the page cannot listen there: Address already in use.\n"
    with lab("--http", "0", "--tag", "hi=subject:hello") as it:
        send(it.port())
        page = it.port("the page")
        with urllib.request.urlopen(f"http://127.0.0.1:{page}/api/v1/messages") as answer:
            assert json.load(answer)["messages"][0]["Tags"] == ["hi"]
        it.stop()


def test_exec() -> None:
    program = "import os; print(os.environ['SMTP_PORT'], os.environ['EHLO_LAB_URL']); raise SystemExit(7)"
    done = subprocess.run(
        [*EHLO, "lab", "--exec", f'{sys.executable} -c "{program}"'], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 7
    assert re.fullmatch(r"\d+ http://127\.0\.0\.1:\d+\n", done.stdout)
    assert done.stderr == ""
    killed = f"{sys.executable} -c 'import os; os.kill(os.getpid(), 15)'"
    assert subprocess.run([*EHLO, "lab", "--exec", killed], timeout=60).returncode == 143


HAS_IPV6 = Path("/proc/net/if_inet6").exists() and bool(Path("/proc/net/if_inet6").read_text())


@pytest.mark.parametrize(
    ("listen", "shown", "reached"),
    [
        ("0.0.0.0", "0.0.0.0", "127.0.0.1"),
        pytest.param("::1", "[::1]", "[::1]", marks=pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 here")),
        pytest.param("::", "[::]", "[::1]", marks=pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 here")),
    ],
)
def test_the_addresses_that_are_shown_can_be_used(listen: str, shown: str, reached: str) -> None:
    with lab("--listen", listen, "--http", "0", "--lmtp-port", "0") as it:
        assert re.search(rf" listens on {re.escape(shown)}:\d+$", it.lines[0])
        assert re.fullmatch(rf"LMTP: {re.escape(shown)}:\d+", it.lines[1])
        command = it.lines[-1].removeprefix("try:  ehlo ").split()
        assert re.fullmatch(rf"{re.escape(reached)}:\d+", command[1])
        assert subprocess.run([*EHLO, *command, "--insecure", "-q"], timeout=60).returncode == 0
        page = it.lines[2].removeprefix("the page: ")
        assert page.startswith(f"http://{reached}:")
        with urllib.request.urlopen(f"{page}/api/v1/messages") as answer:
            assert json.load(answer)["messages"] == []
        with urllib.request.urlopen(f"{page}/api/v1/lab") as answer:
            assert json.load(answer)["ports"]["smtp"] == it.lines[0].split()[-1]
        with urllib.request.urlopen(f"{page}/api/v1/sessions") as answer:
            assert re.fullmatch(rf"{re.escape(reached)}:\d+", json.load(answer)["sessions"][0]["client"])
    program = "import os; print(os.environ['SMTP_HOST'], os.environ['EHLO_LAB_URL'])"
    done = ehlo("--listen", listen, "--exec", f'{sys.executable} -c "{program}"')
    assert re.fullmatch(rf"{re.escape(reached.strip('[]'))} http://{re.escape(reached)}:\d+\n", done.stdout)


def test_chance_is_repeatable() -> None:
    def outcomes(seed: str) -> list[bool]:
        out = []
        with lab("--scenario", "now-and-then", "--seed", seed) as it:
            for _ in range(12):
                try:
                    send(it.port())
                    out.append(True)
                except smtplib.SMTPRecipientsRefused:
                    out.append(False)
        return out

    assert outcomes("5") == outcomes("5")
    assert len({tuple(outcomes(seed)) for seed in ("1", "2", "3")}) > 1
