"""What of a line is kept in the history."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.shell.commands import COMMANDS
from ehlo.shell.history import SafeHistory, keepable
from ehlo.smtp.states import VERBS, State

SECRET = "d29uZGVybGFuZA=="


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("EHLO here.org", "EHLO here.org"),
        ("mail FROM:<a@b.c> SIZE=10", "mail FROM:<a@b.c> SIZE=10"),
        ("AUTH PLAIN", "AUTH PLAIN"),
        ("auth login", "auth login"),
        (f"AUTH PLAIN {SECRET}", "AUTH PLAIN"),
        (f"AUTH  PLAIN\t{SECRET}", "AUTH PLAIN"),
        # The space was forgotten.
        (f"AUTH PLAIN{SECRET}", "AUTH"),
        (f"AUTH {SECRET}", "AUTH"),
        (f"AUTHPLAIN {SECRET}", ""),
        # An answer to a challenge that never came.
        (SECRET, ""),
        ("wonderland", ""),
        ("my pass phrase", ""),
        (f" AUTH PLAIN {SECRET}", "AUTH PLAIN"),
        ("", ""),
        (":starttls", ":starttls"),
        (":auth", ":auth"),
        (":auth LOGIN", ":auth LOGIN"),
        (":auth LOGIN wonderland", ":auth LOGIN"),
        (":auth wonderland", ":auth"),
        (f":b64 {SECRET}", ""),
        (f":unb64 {SECRET}", ""),
        (f":raw AUTH PLAIN {SECRET}", ""),
        (f": b64 {SECRET}", ""),
        (f":B64 {SECRET}", ""),
        (f":b46 {SECRET}", ""),
        (f":authPLAIN {SECRET}", ""),
        (":chunk some of the message", ""),
        (":chunk last @message.eml", ":chunk last @message.eml"),
        (":explain 550 5.1.1 User unknown", ":explain 550 5.1.1 User unknown"),
        (":save session.jsonl", ":save session.jsonl"),
    ],
)
def test_keepable(line: str, kept: str) -> None:
    assert keepable(line, State.READY) == kept


@pytest.mark.parametrize("state", [State.AUTH, State.CONTENT])
def test_nothing_of_an_exchange_or_a_message_is_kept(state: State) -> None:
    # These look like commands, and are none.
    assert keepable("HELO dear friend", state) == ""
    assert keepable("QUIT", state) == ""
    assert keepable(":wait 3", state) == ":wait 3"


@given(st.text(max_size=40), st.sampled_from(State))
def test_only_what_is_known_is_kept(line: str, state: State) -> None:
    kept = keepable(line, state)
    words = kept.lstrip(":").split()
    assert not kept or words[0].upper() in VERBS or words[0].lower() in COMMANDS


def test_a_line_is_kept_once_and_for_the_next_time(tmp_path: Path) -> None:
    file = tmp_path / "history"
    history = SafeHistory(file)
    # What the prompt itself would keep, at a time when it is not known yet what the line is.
    history.append_string(SECRET)
    history.keep("NOOP", State.READY)
    history.keep("NOOP", State.READY)
    history.keep(f"AUTH PLAIN {SECRET}", State.READY)
    assert [line[1:] for line in file.read_text().splitlines() if line.startswith("+")] == ["NOOP", "AUTH PLAIN"]
    assert list(SafeHistory(file).load_history_strings()) == ["AUTH PLAIN", "NOOP"]


def test_without_a_file_nothing_is_written() -> None:
    history = SafeHistory(None)
    history.keep("NOOP", State.READY)
    history.keep("NOOP \udcff", State.READY)
    assert history.get_strings()[0] == "NOOP"
