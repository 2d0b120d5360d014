"""Whole command lines of `ehlo rule`."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator

from ehlo.cli.main import main
from ehlo.knowledge.rules import LAYERS, load_rules

SCHEMA = json.loads((files("ehlo.report") / "schema.json").read_text("utf-8"))
PAGE = """\
recipient · The mailbox for RECIPIENT is full                       mailbox-full
  The address is right, but there is no room for another message.
  at    rcpt, message
  try   tell the recipient by another way
        try again when the mailbox has been cleared
  seen  552 5.2.2 Mailbox full
        452 4.2.2 The email account that you tried to reach is over quota
  not   550 5.2.1 The email account that you tried to reach is inactive
  lab   ehlo lab --scenario mailbox-over-quota
  refs  RFC 3463 §3.3

  Settings of the server, if it is yours
    Postfix: mailbox_size_limit, virtual_mailbox_limit; with Dovecot quota:
        doveadm quota get -u USER
    Exim: quota on the appendfile transport
    Exchange: Get-MailboxStatistics, ProhibitSendReceiveQuota
    Courier: maildirquota
"""


def shown(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert main(["rule", *words]) == status
    out, err = capsys.readouterr()
    assert (out == "") is (status != 0)
    return out or err


def test_one_rule(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert shown(capsys, "mailbox-full") == PAGE


@pytest.mark.parametrize("width", [60, 80, 200])
def test_every_rule_fits(width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for rule in load_rules():
        lines = shown(capsys, rule.id).splitlines()
        assert rule.id in "".join(lines[:5])
        assert not [line for line in lines if "{" in line and "{" not in repr(rule)]
        assert max(map(len, lines)) <= width or any(len(word) > width - 8 for word in " ".join(lines).split())


def test_the_table_has_all_rules_within_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = shown(capsys).splitlines()
    ids = {word for line in lines for word in line.split()[:2]}
    assert {rule.id for rule in load_rules()} <= ids
    assert max(map(len, lines)) <= 80


def test_search_and_layer(capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(capsys, "--search", "SPAMHAUS list").splitlines()
    assert found
    assert "listed-spamhaus" in found[0]
    everything = json.loads(shown(capsys, "--json", "--layer", "tls"))["rules"]
    assert {rule["layer"] for rule in everything} == {"tls"}
    both = json.loads(shown(capsys, "--json", "--layer", "tls", "--search", "expired"))["rules"]
    assert "certificate-expired" in {rule["id"] for rule in both}
    assert len(both) < len(everything)


def test_settings_in_the_words_of_a_program_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(capsys, "--json", "--search", "EMAIL_USE_TLS"))["rules"]
    assert any("django" in rule["settings"] for rule in found)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(shown(capsys, "--json"))
    Draft202012Validator(SCHEMA).validate(document)
    rules = document["rules"]
    assert len(rules) == len(load_rules()) >= 150
    assert {rule["layer"] for rule in rules} == set(LAYERS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mailbox-ful"], "there is no rule mailbox-ful; did you mean mailbox-full"),
        (["zzzz"], "there is no rule zzzz; ehlo rule shows them all."),
        (["x\x1b[31m"], "there is no rule x"),
        (["--search", "qwertyuiop"], "no rule has all the words of 'qwertyuiop'."),
        (["--search", "zzzz", "--layer", "dns"], "no rule of the layer dns has all the words of 'zzzz'."),
        (["mailbox-full", "--layer", "dns"], "give the id of a rule, or --search and --layer, not both."),
    ],
)
def test_mistakes(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    err = shown(capsys, *words, status=2)
    assert err.startswith(f"ehlo rule: {said}")
    assert err.count("\n") == 1
    assert "\x1b" not in err
