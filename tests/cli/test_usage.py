"""Wrong usage: one clear sentence on standard error, exit status 2, no traceback. Mostly whole processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from ehlo import TargetError, connect
from ehlo.lab import Lab
from ehlo.probe.target import parse_target
from peers.certificates import Authority
from program import EHLO, run_ehlo, run_here

ENVELOPE = ["-f", "a@here.org", "-t", "b@example.com"]


def ehlo(
    *words: str, stdin: int | None = subprocess.DEVNULL, env: dict[str, str] | None = None
) -> tuple[int, str, str]:
    done = run_ehlo(*words, stdin=stdin, env=env)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["check", "mail.example.com:99999"], "a port is a number from 1 to 65535, not '99999'"),
        (["check", "mail.example.com:http"], "a port is a number from 1 to 65535, not 'http'"),
        (["check", "mail.example.com:"], "a port is a number"),
        (["check", ""], "The target is empty"),
        (["check", "256.1.1.1"], "256.1.1.1 is no IPv4 address, and no host has a name of numbers alone."),
        (["explain", "--top", "-1", "5.1.1"], "--top -1: a number of causes is 1 or more."),
        (["check", "127.0.0.1:2525:99999"], "has too many colons for a host:port, and is no IPv6 address"),
        (["check", "recipient@[127.0.0.1]", "-6"], "127.0.0.1 is an IPv4 address, and -6 asks for IPv6 alone."),
        (["check", "recipient@[IPv6:::1]", "-4"], "::1 is an IPv6 address, and -4 asks for IPv4 alone."),
        (["check", "recipient@[x400:c=de]"], "[x400:c=de] is no address of IPv4 or IPv6"),
        (["check", "http://example.com"], "ehlo knows the schemes smtp://, smtps:// and lmtp://"),
        (["check", "unix:"], "behind unix: stands the path of a socket"),
        (["check", "pipe: "], "behind pipe: stands the command to run"),
        (["check", "pipe:'x"], "the quotes of the command do not match"),
        (["check", "x", "--tls-min", "1.3", "--tls-max", "1.2"], "--tls-min 1.3 is newer than --tls-max 1.2"),
        (["check", "x", "--ciphers", "NONSENSE"], "OpenSSL knows no cipher in 'NONSENSE'"),
        (["check", "x", "--cert", "/nonexistent.pem"], "The client certificate '/nonexistent.pem' cannot be read"),
        (["check", "x", "--cert", "/dev/null"], "The client certificate '/dev/null' cannot be used"),
        (["check", "x", "--key", "k.pem"], "--key needs --cert"),
        (["check", "x", "--ca-path", "/nonexistent"], "--ca-path /nonexistent: the folder cannot be read"),
        (["check", "x", "--ca-path", "/dev"], "the folder holds no certificate in PEM form"),
        (["check", "x", "--tls-name", "a b"], "--tls-name a b:"),
        (["check", "x", "--auth", "MAGIC", "--user", "me"], "MAGIC"),
        (["check", "x", "--auth", "PLAIN"], "--auth PLAIN needs --user"),
        (["check", "x", "--proxy", "v3 1.2.3.4"], "--proxy 'v3 1.2.3.4': the form is"),
        (["check", "x", "--proxy", "v1 here"], "'here' is no IP address"),
        (["check", "x", "--proxy", "v2 1.2.3.4 ::1"], "both addresses must be of one family"),
        (["check", "x", "--xclient", "COLOUR=red"], "the form is NAME=VALUE; names are NAME ADDR"),
        (["check", "x", "--source", ":0"], "a port is a number from 1 to 65535"),
        (["check", "x", "--notify", "sometimes"], "--notify sometimes: the value is never, or some of success,failure"),
        (["check", "x", "--priority", "10"], "--priority 10: the value is a number from -9 to 9 (RFC 6710 §4.1)."),
        (["check", "x", "--priority", ""], "--priority : the value is a number from -9 to 9"),
        (["check", "x", "--deliver-by", "soon"], "--deliver-by soon: the value is SECONDS;R to have it returned then"),
        (["check", "x", "--hold-for", "1h"], "--hold-for 1h: the value is a number of seconds"),
        (
            ["check", "x", "--hold-until", "tomorrow"],
            "--hold-until tomorrow: the value is a date and time such as 2030",
        ),
        (["check", "x", "--envid", ""], "--envid : the value is a text that is not empty"),
        (["check", "x", "--mail-param", "a=b=c"], "--mail-param: A= is not followed by a value"),
        (["check", "x", "--chunking=-3"], "the size of a chunk is a number of octets above 0"),
        (["check", "x", "--instead", "lunch=x"], "--instead lunch=x: the form is STAGE=OCTETS"),
        (["check", "x", "--instead", r"mail=\q"], r"\q has no meaning"),
        (["check", "x", "--pause", "tea=4"], "--pause tea=4: 'tea' is not one of ehlo"),
        (["check", "x", "--rate=-1"], "--rate -1: this is a number of octets above 0"),
        (["check", "x", "--rate", "0"], "--rate 0: this is a number of octets above 0"),
        (["check", "x", "--rate", "nan"], "--rate nan: this is a number of octets above 0"),
        (["check", "x", "--rate", "inf"], "--rate inf: this is a number of octets above 0"),
        (["check", "x", "--write-size", "0"], "--write-size 0: this is a number of octets above 0"),
        (["check", "127.0.0.1", "-6"], "127.0.0.1 is an IPv4 address, and -6 asks for IPv6 alone."),
        (["check", "[::1]:25", "-4"], "::1 is an IPv6 address, and -4 asks for IPv4 alone."),
        (["shell", "127.0.0.1", "-6"], "127.0.0.1 is an IPv4 address, and -6 asks for IPv6 alone."),
        (["check", "x", "--starttls", "never", "--verify"], "--starttls never and --verify contradict each other"),
        (["send", "x", *ENVELOPE, "--starttls=never", "--verify=name"], "--starttls never and --verify contradict"),
        (["shell", "x", "--starttls", "never", "--verify"], "--starttls never and --verify contradict each other"),
        (["check", "x", "-q", "--json"], "argument --json: not allowed with argument -q/--quiet"),
        (["show", "x", "--json", "-q"], "argument -q/--quiet: not allowed with argument --json"),
        (["check", "x", "--timeout", "-1"], "--timeout -1: a time is a number of seconds above 0"),
        (["check", "x", "--rate", "-1"], "--rate -1: this is a number of octets above 0"),
        (["send", "x", *ENVELOPE, "--count", "-1"], "--count -1: the number of messages is from 1 to 1000000"),
        (["check", "x", "-4", "-6"], "argument -6: not allowed with argument -4"),
        (["check", "x", "--ask", ""], "--ask: a command is one line, and not empty"),
        (["check", "two words"], "is neither a host"),
        (["check", "a\x1b[2Jhost"], "'a\\x1b[2Jhost' is neither a host"),
        (["check", "a\x07host"], "'a\\x07host' is neither a host"),
        (["check", "x", "-f", "a b@c", "-t", "d@e"], "The sender 'a b@c' is not a mail address"),
        (["check", "x", "-t", "nobody"], "The recipient 'nobody' is not a mail address: there is no @"),
        (["check", "x", "-t", "a@b..c"], "the domain has a character"),
        (["check", "x", "-t", ""], "The recipient is empty"),
        (["check", "x", "-f", ""], "The sender is empty. For the null sender write '<>'."),
        (["check", "x", "--helo", "a b"], "--helo a b:"),
        (["check", "x", "--timeout", "soon"], "--timeout soon: a time is a number of seconds"),
        (["check", "x", "--timeout=-1"], "--timeout -1"),
        (["check", "x", "--timeout", "nan"], "--timeout nan"),
        (["check", "x", "--timeout", "lunch=5"], "'lunch' is not a stage"),
        (["check", "x", "--user", "me", "--password-file", "/nonexistent/file"], "cannot be read: No such file"),
        (["check", "x", "--user", "me", "--password-file", "/"], "cannot be read: Is a directory"),
        (["check", "x", "--user", "me"], "--user needs a password"),
        (["check", "x", "--password-file", "y"], "A password needs a name: --user"),
        (["check", "x", "--ca-file", "/nonexistent/ca.pem"], "--ca-file /nonexistent/ca.pem: the file cannot be read"),
        (["check", "x", "--ca-file", "/dev/null"], "holds no certificate in PEM form"),
        (["check", "x", "--record", "/nonexistent/x.jsonl"], "The record '/nonexistent/x.jsonl' cannot be written"),
        (["check", "x", "--source", "eth0"], "this is not an IP address"),
        (["check", "x", "-6", "--source", "127.0.0.1"], "contradict each other"),
        (["check", "x", "--dns-server", "resolver"], "this is not an IP address, with or without a port"),
        (["check", "x", "--stop-after", "lunch"], "invalid choice: 'lunch'"),
        (["check"], "the following arguments are required: TARGET"),
        (["check", "x", "--no-such-option"], "unrecognized arguments: --no-such-option"),
        (["send", "x", *ENVELOPE, "--data", "/nonexistent.eml"], "The message '/nonexistent.eml' cannot be read"),
        (["send", "x", *ENVELOPE, "--data", "y", "--body", "z"], "--data sends a message as it is"),
        (["send", "x", *ENVELOPE, "--html", "/nonexistent/x"], "--html /nonexistent/x: of send this is the HTML text"),
        (["send", "x", *ENVELOPE, "--html", "@/nonexistent/x"], "The HTML '/nonexistent/x' cannot be read"),
        (["send", "x", *ENVELOPE, "--header", "no colon"], "'no colon' is not a header"),
        (["send", "x", *ENVELOPE, "--header", "A: b\nC: d"], "The header A contains a line break"),
        (["send", "x", "-t", "b@example.com"], "A sender is needed"),
        (["send", "x", "-f", "b@example.com"], "A recipient is needed"),
        (["show", "/nonexistent.jsonl"], "'/nonexistent.jsonl' cannot be read"),
        (["show", "/dev/null"], "is not a transcript: line 1"),
        (["show", "/dev/null"], "Bounces, logs, pasted and captured sessions are for ehlo explain."),
        (["lab", "--port", "70000"], "--port 70000"),
        (["lab", "--user", "alice"], "the form is NAME:PASSWORD"),
        (["lab", "--cert", "x"], "--cert and --key belong together"),
        (["lab", "--mailbox", "nobody"], "--mailbox nobody: it is no mail address"),
        (["completion", "dos"], "invalid choice: 'dos'"),
        (["no-such-command"], "invalid choice: 'no-such-command'"),
    ],
)
def test_one_sentence_and_status_2(words: list[str], sentence: str) -> None:
    done = run_here(*words)
    err = done.stderr
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 2


@pytest.mark.parametrize("command", ["check", "send", "shell", "config"])
@pytest.mark.parametrize(
    "words",
    [
        ["--password=Sup3rS3cret"],
        ["--password", "Sup3rS3cret"],
        ["--PASS=Sup3rS3cret"],
        ["--passwd", "Sup3rS3cret"],
        ["-p", "Sup3rS3cret"],
        ["--auth-password", "Sup3rS3cret"],
    ],
)
def test_a_password_on_the_command_line_is_not_repeated(command: str, words: list[str]) -> None:
    status, out, err = ehlo(command, *(["x"] if command != "config" else []), *words)
    assert (status, out) == (2, "")
    assert err.startswith(
        f"ehlo {command}: {words[0].partition('=')[0]}: a password does not belong on the command line"
    )
    for name in ("--user", "--password-file", "--password-command", "--password-keyring", "--password-env"):
        assert name in err
    assert "Sup3r" not in err


@pytest.mark.parametrize(
    "target",
    [
        "smtp://user:Sup3rPw@127.0.0.1:25",
        "http://user:Sup3rPw@127.0.0.1",
        "user:Sup3rPw@127.0.0.1",
        "smtps://user:Sup3r@Pw@example.com",
        "mx:user:Sup3rPw@example.com",
    ],
)
def test_a_password_in_the_target_is_not_repeated(target: str) -> None:
    for words in (
        ["check", target],
        ["send", target, *ENVELOPE],
        ["shell", target],
        ["check", "x", "--control", target],
    ):
        status, out, err = ehlo(*words)
        assert (status, out) == (2, "")
        assert "The target has a password in it" in err
        assert "Sup3r" not in err
    with pytest.raises(TargetError, match="The target has a password in it") as error:
        connect(target)
    assert "Sup3r" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--passphrase", "Sup3rS3cret"], "unrecognized arguments: --passphrase"),
        (["--pw2=Sup3rS3cret"], "unrecognized arguments: --pw2"),
        (["-pSup3rS3cret"], "unrecognized arguments: -p"),
        (["--passwo-=a", "--tls=Sup3rS3cret"], "ambiguous option: --tls could match --tls-on-connect"),
    ],
)
def test_the_value_of_an_unknown_option_is_not_repeated(words: list[str], shown: str) -> None:
    status, _, err = ehlo("check", "x", *words)
    assert status == 2
    assert shown in err
    assert "Sup3r" not in err


def test_an_address_literal_says_where_to_connect() -> None:
    """RFC 5321 §4.1.3. There is nothing to look up."""
    target = parse_target("recipient@[127.0.0.1]")
    assert (target.host, target.port, target.mx, target.recipient) == ("127.0.0.1", 25, False, "recipient@[127.0.0.1]")
    target = parse_target("recipient@[IPv6:2001:db8::1]")
    assert (target.host, target.mx) == ("2001:db8::1", False)
    assert (parse_target("mx:[192.0.2.1]").host, parse_target("mx:[192.0.2.1]").mx) == ("192.0.2.1", False)


def test_what_a_client_certificate_lacks(ca: Authority, tmp_path: Path) -> None:
    own, other = ca.client("alice"), ca.good
    alone, encrypted = tmp_path / "alone.pem", tmp_path / "encrypted.pem"
    alone.write_bytes(own.chain.read_bytes())
    key = load_pem_private_key(own.key.read_bytes(), None)
    encrypted.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    noise = tmp_path / "noise.pem"
    noise.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n")
    for words, why in (
        ([str(alone)], "there is no private key in this file, and no other file was named for it"),
        ([str(alone), "--key", str(alone)], f"there is no private key in '{alone}'"),
        ([str(alone), "--key", str(other.key)], f"the private key in '{other.key}' belongs to another certificate"),
        ([str(alone), "--key", str(encrypted)], f"the private key in '{encrypted}' is protected by a passphrase"),
        ([str(own.key)], "there is no certificate in PEM form in this file"),
        ([str(noise)], "OpenSSL cannot read what is in this file"),
    ):
        status, out, err = ehlo("check", "x", "--cert", *words)
        assert (status, out) == (2, "")
        assert err.startswith(f"ehlo check: The client certificate '{words[0]}' cannot be used: {why}")
        assert len(err.splitlines()) == 1
    status, _, err = ehlo("check", "x", "--cert", str(alone), "--key", "/nonexistent.pem")
    assert (status, err) == (2, "ehlo check: The key '/nonexistent.pem' cannot be read: No such file or directory.\n")


def test_binary_files_are_not_transcripts(tmp_path: Path) -> None:
    file = tmp_path / "noise"
    file.write_bytes(bytes(range(256)) * 10)
    status, _, err = ehlo("show", str(file))
    assert status == 2
    assert "is not a transcript" in err


def test_unknown_host_is_a_failure_of_the_stage_dns() -> None:
    status, out, err = ehlo("check", "no-such-host.invalid", "--timeout", "10")
    assert status == 10
    assert "no-such-host" in out or "dns-failed" in out
    assert err == ""


def test_where_nothing_answers_no_version_of_tls_is_tried() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        words = ("check", f"127.0.0.1:{taken.getsockname()[1]}", "--explain-tls")
        done = run_ehlo(*words)
        assert (done.returncode, "TLS 1.2" in done.stdout) == (11, False)
        assert "tls_versions" not in json.loads(run_ehlo(*words, "--json").stdout)


def test_port_in_use() -> None:
    with Lab().running() as lab:
        status, _, err = ehlo("lab", "--port", str(lab.port))
    assert status == 2
    assert "the lab cannot listen there" in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_full_disk_is_one_sentence() -> None:
    with Lab().running() as lab, open("/dev/full", "w") as full:
        done = subprocess.run(
            [*EHLO, "check", f"127.0.0.1:{lab.port}"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 2
    assert done.stderr == "ehlo: the output cannot be written: No space left on device.\n"


def test_closed_stdout_is_one_sentence() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m ehlo check 127.0.0.1 >&-"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == "ehlo: standard output is closed, so there is nowhere to write to.\n"


@pytest.mark.parametrize("words", ["check 127.0.0.1:{port} -v --starttls never", "rule", "lab --list", "--help"])
def test_a_reader_that_goes_away_ends_it_as_sigpipe_does(words: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    # argparse itself would swallow what happens to an output without a buffer.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Lab().running() as lab, open(writing, "wb") as nobody:
        command = [*EHLO, *words.format(port=lab.port).split()]
        done = subprocess.run(command, stdout=nobody, stderr=subprocess.PIPE, text=True, timeout=60, env=env)
    assert (done.returncode, done.stderr) == (141, "")


def test_no_arguments_show_help() -> None:
    status, out, _ = ehlo()
    assert status == 0
    assert out.startswith("usage: ehlo")


def test_bug_is_reported_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ehlo.cli import check, main

    def broken(*_: object) -> int:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(check, "run_plan", broken)
    assert main.main(["check", "127.0.0.1"]) == 70
    err = capsys.readouterr().err
    assert err.startswith("ehlo: this is a bug in ehlo: ZeroDivisionError: division by zero")
    assert "Traceback" not in err


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_names_the_commands(shell: str) -> None:
    status, out, err = ehlo("completion", shell)
    assert (status, err) == (0, "")
    assert "check" in out
    assert "starttls" in out
