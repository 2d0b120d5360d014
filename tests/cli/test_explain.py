"""Whole command lines of `ehlo explain`: every kind of input, every form of output, hostile octets."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from docs.examples import FILES
from ehlo.cli.main import main
from ehlo.knowledge.rules import load_rules

SCHEMA = json.loads((files("ehlo.report") / "schema.json").read_text("utf-8"))
BOUNCES = Path(__file__).parents[1] / "explain" / "bounces"
LISTED = "550 5.7.1 Service unavailable; client host [192.0.2.1] blocked using zen.spamhaus.org"
TRANSCRIPT = """\
{"format":"smtp-transcript","version":1,"role":"client","started":"2026-03-01T09:30:00.000000Z",\
"target":"mail.example.com","software":"ehlo 0.1.0","redacted":true}
{"t":0.1,"who":"server","kind":"line","stage":"banner","text":"554 5.7.1 No SMTP service here"}
{"t":0.2,"who":"client","kind":"close","stage":"banner"}
"""
#: Each kind of input, how it is named in JSON, and the rule that is its answer.
KINDS = {
    "reply": (LISTED, "listed-spamhaus"),
    "session": (FILES["pasted.txt"], "credentials-wrong"),
    "exception": (FILES["error.txt"], "tls-on-plaintext-port"),
    "bounce": (FILES["bounce.eml"], "mailbox-full"),
    "log": (FILES["mail.log"], "mailbox-full"),
    "transcript": (TRANSCRIPT, "host-takes-no-mail"),
}

Explain = Callable[..., str]


@pytest.fixture
def explain(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Explain:
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words: str, given: bytes = b"", status: int = 0) -> str:
        with mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(given))):
            assert main(["explain", *words]) == status
        out, err = capfd.readouterr()
        if status:
            assert err.startswith("ehlo explain: ")
            assert (out, err.count("\n")) == ("", 1)
            return err
        assert err == ""
        return out

    return run


def document(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    Draft202012Validator(SCHEMA).validate(found)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found_out(kind: str, explain: Explain, tmp_path: Path) -> None:
    text, rule = KINDS[kind]
    (tmp_path / "it").write_text(text)
    for words, octets in (([str(tmp_path / "it")], b""), (["-"], text.encode()), ([], text.encode())):
        found = document(explain("--json", *words, given=octets))
        assert found["kind"] == kind
        assert found["results"][0]["verdict"]["findings"][0]["rule"] == rule
    shown = explain(str(tmp_path / "it"))
    assert rule in shown
    assert max(map(len, shown.splitlines())) <= 80
    forced = document(explain("--json", "--as", kind, str(tmp_path / "it")))
    assert forced["results"] == found["results"]
    assert explain("-q", str(tmp_path / "it")) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_of_each_kind(kind: str, explain: Explain, tmp_path: Path) -> None:
    text, rule = KINDS[kind]
    explain("--html", str(tmp_path / "page.html"), "-", given=text.encode())
    page = (tmp_path / "page.html").read_text("utf-8")
    assert rule in page
    assert "1970" not in page


def test_the_answer(explain: Explain) -> None:
    assert explain(LISTED) == (
        "✗ reputation · The sending address is listed by Spamhaus         listed-spamhaus\n"
        "  Spamhaus lists addresses that send spam (SBL, CSS), that belong to infected\n"
        "  machines (XBL), or that should not send directly (PBL). Very many servers ask\n"
        "  it.\n"
        "  try   look your address up at check.spamhaus.org: it says which list, why, and\n"
        "        how to get off\n"
        "        stop the cause first: an infected machine, a stolen password, a bought\n"
        "        list of addresses\n"
        "        if the address is not yours alone, tell its provider\n"
        "  seen  S: 550 5.7.1 Service unavailable; client host [192.0.2.1] blocked using\n"
        "        zen.spamhaus.org\n"
    )


def test_words_need_no_quotes(explain: Explain) -> None:
    assert explain(*LISTED.split()) == explain(LISTED)


def test_a_reply_that_no_rule_knows(explain: Explain) -> None:
    (result,) = document(explain("--json", "550 Zwölf Boxkämpfer"))["results"]
    (finding,) = result["verdict"]["findings"]
    assert (finding["rule"], finding["certainty"]) == ("refused-unexplained", "possible")
    assert finding["meaning"]
    # That it is about a recipient, or comes after RCPT, nobody says.
    assert result["stage"] is finding["stage"] is None
    assert finding["layer"] == "server"
    assert explain("554 mail.example.com Zwölf Boxkämpfer").startswith("✗ server · The server refuses for good")
    assert explain("450 4.7.999 Zwölf Boxkämpfer").startswith("✗ server · The server refuses for now")
    # Where the text says it, the stage's own rule stands.
    assert "content-refused" in explain("554 Zwölf Boxkämpfer (in reply to end of DATA command)")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("5.2.2", "mailbox-full"),
        ("over quota", "mailbox-full"),
        ("User unknown", "recipient-unknown"),
        ("X.7.25", "no-reverse-name"),
        ("relay access denied", "relay-denied"),
    ],
)
def test_a_fragment_will_do(text: str, rule: str, explain: Explain) -> None:
    (result,) = document(explain("--json", text))["results"]
    assert result["verdict"]["findings"][0]["rule"] == rule
    # A code that nobody said is not shown.
    assert "S: " not in explain(text)


def test_agreement_is_no_failure(explain: Explain) -> None:
    assert explain("250 2.1.5 Ok").startswith("✓ 250 2.1.5 Ok\n")
    assert explain("350") == "✓ 350\n  No table knows the code 350.\n"


@pytest.mark.parametrize(
    ("words", "given", "said"),
    [
        (["hello world"], b"", "there is nothing in it that ehlo knows how to explain."),
        (["-"], b"", "there is nothing in it that ehlo knows how to explain."),
        (["-"], b"\0" * 100, "there is nothing in it that ehlo knows how to explain."),
        (["no/such/file.eml"], b"", "no/such/file.eml: there is no such file."),
        (["--as", "transcript", "x"], b"", "this is no transcript: "),
        (["--as", "pcap", "x"], b"", "this is no capture in the formats pcap or pcapng."),
        (["/no/such/file"], b"", "/no/such/file: there is no such file."),
        (["mail.log"], b"", "mail.log: there is no such file."),
        (["a\x1b[31m/b.eml"], b"", "a\\x1b[31m/b.eml: there is no such file."),
    ],
)
def test_mistakes(words: list[str], given: bytes, said: str, explain: Explain) -> None:
    assert explain(*words, given=given, status=2).startswith(f"ehlo explain: {said}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(explain: Explain, tmp_path: Path) -> None:
    (tmp_path / "x").touch(mode=0)
    assert "cannot be read" in explain(str(tmp_path / "x"), status=2)


def test_secrets_are_not_shown(explain: Explain) -> None:
    secret, text = "AGFsaWNlAC8qIHNlY3JldCAqLw", FILES["pasted.txt"]
    assert secret in text
    for options in ([], ["-v"], ["--json"]):
        assert secret not in explain(*options, "-", given=text.encode())
    assert secret in explain("-v", "--show-secrets", "-", given=text.encode())


def test_a_packed_log(explain: Explain, tmp_path: Path) -> None:
    (tmp_path / "mail.log.1.gz").write_bytes(gzip.compress(FILES["mail.log"].encode()))
    assert explain(str(tmp_path / "mail.log.1.gz")) == explain("-", given=FILES["mail.log"].encode())


def test_a_packed_log_that_is_damaged(explain: Explain, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.gz").write_bytes(b"\x1f\x8b\x08rubbish")
    assert "nothing of it can be unpacked" in explain(str(tmp_path / "a.gz"), status=2)
    lines = [f"{line} {os.urandom(40).hex()}\n".encode() for line in FILES["mail.log"].splitlines()] * 500
    packed = gzip.compress(b"".join(lines))
    (tmp_path / "b.gz").write_bytes(packed[: len(packed) // 2])
    assert main(["explain", str(tmp_path / "b.gz")]) == 0
    out, err = capfd.readouterr()
    assert 0 < int(out.partition(" ")[0]) < 1500
    assert err == "ehlo explain: the packed log is damaged or cut off: what follows the damage is missing.\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("kind", ["reply", "session", "exception", "bounce", "log"])
def test_text_in_wide_characters(encoding: str, kind: str, explain: Explain, tmp_path: Path) -> None:
    """As PowerShell writes it."""
    text, rule = KINDS[kind]
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / "it").write_bytes((mark + text.replace("\n", "\r\n")).encode(encoding))
    found = document(explain("--json", str(tmp_path / "it")))
    assert (found["kind"], found["results"][0]["verdict"]["findings"][0]["rule"]) == (kind, rule)


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    (tmp_path / "it").write_text("".join(f"550 5.1.1 <user{number}@example.com>: unknown\n" for number in range(300)))
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "ehlo", "explain", str(tmp_path / "it")]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=60)
    os.close(writing)
    assert done.stderr == b""


def test_a_log_without_a_failure_says_whose_logs_are_read(explain: Explain) -> None:
    shown = explain("--as", "log", "-", given=b"2026-03-01 09:00:00 all is well\n")
    assert shown.startswith("0 failures, 0 causes\n")
    assert "No line tells of a failure as Postfix, Exim, Sendmail, OpenSMTPD and Exchange write it." in " ".join(
        shown.split()
    )


def test_a_reply_is_wrapped_and_a_bare_code_stands_alone(explain: Explain) -> None:
    said = "250 2.1.5 a reply that goes on and on, as some servers do, with an id 0123456789 and with more behind it"
    shown = explain(said).splitlines()
    assert (len(shown), max(map(len, shown)) <= 80) == (3, True)
    assert explain("550").endswith("  seen  S: 550\n")


def test_a_finding_that_names_no_recipient_says_whose_it_is(explain: Explain) -> None:
    said = b"""Diagnostic information for administrators:

bob@example.com
Remote Server returned '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup'

carol@example.net
Remote Server returned '550 5.7.1 Message rejected as spam'
"""
    shown = explain("-", given=said)
    assert [line.split() for line in shown.splitlines() if line.startswith("  for  ")] == [
        ["for", "bob@example.com"],
        ["for", "carol@example.net"],
    ]


def test_a_log_is_grouped(explain: Explain) -> None:
    log = FILES["mail.log"].encode()
    shown = explain("--top", "1", "-", given=log)
    assert shown.startswith("3 failures, 2 causes\n\n      2 ×  2026-03-01 09:31 to 2026-03-01 09:52\n")
    assert shown.endswith("\n1 more cause; --top 2 shows all.\n")
    assert explain("-", given=log.splitlines()[1]).startswith("1 failure, 1 cause\n")
    assert "    line  3, 4\n" in shown
    assert "    line  3: 2026-03-01T09:31:07" in explain("-v", "-", given=log)


@pytest.mark.parametrize("columns", [40, 60, 61, 62, 63, 64, 65, 66, 80])
def test_a_count_and_its_sign_stay_in_one_line(columns: int, explain: Explain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    hosts = [*(f"{'mx' * number}.example.net" for number in range(1, 5)), f"{'x' * 60}.example"]
    line = (
        "2026-03-01T09:31:07+00:00 mail postfix/smtp[503]: 4F2A1: to=<bob@example.net>, relay={0}[192.0.2.99]:25, "
        "delay=2, dsn=4.2.2, status=deferred (host {0}[192.0.2.99] said: 452 4.2.2 Mailbox full (in reply to RCPT TO))"
    )
    shown = explain("-", given="\n".join(map(line.format, hosts)).encode())
    assert shown.count("(1 ×)") == min(len(hosts), 3)
    assert "\n      5 ×  2026-03-01 09:31\n" in shown


def test_many_bounces_are_summed_up(explain: Explain, tmp_path: Path) -> None:
    for number, name in enumerate(("postfix-two-recipients.eml", "qmail.eml", "gmx.eml", "yahoo.eml", "no-bounce.eml")):
        shutil.copy(BOUNCES / name, tmp_path / f"{number}.eml")
    shown = explain(str(tmp_path))
    assert shown.startswith(
        "5 mails, 6 failures\n\n      3 ×\n  ✗ recipient · The server has no mailbox for bob@recipient.example\n"
    )
    results = document(explain("--json", str(tmp_path)))["results"]
    assert sum(result["count"] for result in results) == 6


def test_files_that_are_no_mail_are_not_counted(explain: Explain, tmp_path: Path) -> None:
    for name in ("qmail", "gmx", "yahoo", "no-bounce"):
        shutil.copy(BOUNCES / f"{name}.eml", tmp_path / name)
    shutil.copy(BOUNCES / "postfix-two-recipients.eml", tmp_path)
    for name in ("Makefile", "notes.txt", "empty", "code.py"):
        (tmp_path / name).write_text("all:\n\tdo: 550 5.1.1 <bob@example.com> is unknown\n" if name != "empty" else "")
    assert explain(str(tmp_path)).startswith("5 mails, 6 failures\n")


@pytest.mark.parametrize("words", [[""], ["", " "], ["\n"], ["", "--json"]])
def test_an_empty_text_is_no_folder(
    explain: Explain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]
) -> None:
    """As "$ERROR" is where nobody set it."""
    shutil.copy(BOUNCES / "qmail.eml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert "there is nothing to explain: the text is empty" in explain(*words, status=2)


QUOTABLE = """\
This is the mail system at host mail.example.org.

<bob@example.com>: host mx.example.com[192.0.2.1] said: 550 5.1.1
    Recipient address rejected: User unknown in virtual
    mailbox table (in reply to RCPT TO command)
"""
SENDMAIL = """\
   ----- Transcript of session follows -----
... while talking to mx.example.com.:
>>> RCPT To:<bob@example.com>
<<< 550 5.1.1 <bob@example.com>: Recipient
    address rejected: User unknown
550 5.1.1 <bob@example.com>... User unknown
"""


@pytest.mark.parametrize("mark", ["> ", ">", "> > ", ">> "])
@pytest.mark.parametrize("text", [QUOTABLE, QUOTABLE.partition("\n\n")[2], f"This is the mail system\n\n{SENDMAIL}"])
@pytest.mark.parametrize("around", ["", "On Monday I got this:\n{}\nWhat is it?\n"])
def test_what_is_quoted_is_read_without_its_marks(text: str, mark: str, around: str, explain: Explain) -> None:
    quoted = "".join(f"{mark}{line}".rstrip() + "\n" for line in text.splitlines())
    found = document(explain("--json", "-", given=(around or "{}").format(quoted).encode()))
    assert "> " not in json.dumps([result["input"] for result in found["results"]]).replace(">>> ", "")
    assert [result["verdict"]["findings"][0]["rule"] for result in found["results"]] == ["recipient-unknown"]


def test_a_mail_that_is_no_bounce(explain: Explain) -> None:
    assert explain(str(BOUNCES / "no-bounce.eml")) == "This mail tells of no failure.\n"


WORDS = sorted({word for rule in load_rules() for example in rule.examples[:2] for word in example.split()})[::7]
PIECES = (
    st.binary(max_size=60)
    | st.sampled_from(WORDS).map(str.encode)
    | st.sampled_from(
        [b"\n", b"\r\n", b" ", b"220 x\r\n", b"EHLO y\r\n", b"C: ", b"S: ", b"From: <>\r\n", b"\x1b]0;x\x07",
         b"\xe2\x80\xae",
         b"Mar  1 09:30:00 mail postfix/smtp[5]: ", b"status=bounced (", b"Status: 5.1.1\r\n", b"--x\r\n", b"\x1f\x8b",
         b"\xd4\xc3\xb2\xa1", b'{"format":"smtp-transcript"', b"Traceback (most recent call last):\n", b"550-", b"\x85"]
    )
)  # fmt: skip


@given(st.lists(PIECES, max_size=25).map(b"".join), st.sampled_from([[], ["-v"], ["--json"]]))
@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_octets(octets: bytes, options: list[str]) -> None:
    """Never a traceback, never a control character; one sentence where there is nothing to say."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets))),
        mock.patch.object(sys, "stdout", out),
        mock.patch.object(sys, "stderr", err),
    ):
        status = main(["explain", *options, "-"])
    assert (status, err.getvalue().count("\n")) in ((0, 0), (2, 1)), err.getvalue()
    assert all(char == "\n" or char.isprintable() for char in out.getvalue() + err.getvalue())
    if options == ["--json"] and status == 0:
        document(out.getvalue())


@pytest.mark.parametrize(
    "piece",
    [
        "550 ",
        "550-x\n",
        "a@",
        "5.1.1 ",
        "(",
        "said: ",
        "> ",
        "C: AUTH LOGIN\n",
        "<",
        "\\",
        "x=",
        "[",
        ": ",
        "250 ok\n",
        ".",
    ],
)
def test_the_time_grows_with_the_size_alone(piece: str) -> None:
    """Counted in calls, which are as many on each machine: ten times the input may cost some twenty times as many."""

    def steps(size: int) -> int:
        count = 0

        def step(*_: object) -> None:
            nonlocal count
            count += 1

        text = (piece * size).encode()
        with (
            mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(text))),
            mock.patch.object(sys, "stdout", io.StringIO()),
            mock.patch.object(sys, "stderr", io.StringIO()),
        ):
            sys.setprofile(step)
            try:
                main(["explain", "-"])
            finally:
                sys.setprofile(None)
        return count

    steps(100)
    assert steps(1000) < 25 * steps(100) + 20_000
