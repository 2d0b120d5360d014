"""Sessions and debug output as people paste them: the first line of the answer and the first advice help.

Each file of `sessions/` begins with what is expected: the line of the verdict, and how the first advice begins. Behind
a line of dashes comes what is pasted.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ehlo.diagnosis.judge import judge
from ehlo.diagnosis.verdict import Finding
from ehlo.explain.case import explain_case
from ehlo.explain.exceptions import read_exception
from ehlo.explain.paste import read_paste
from ehlo.transcript.redaction import redact

SESSIONS = sorted((Path(__file__).parent / "sessions").glob("*.txt"))


def answer(text: str) -> Finding:
    """What `ehlo explain` says first of a text."""
    paste = read_paste(text)
    if paste is None:
        return explain_case(read_exception(text)[0])
    return judge(redact(paste.transcript), paste.software).findings[0]


@pytest.mark.parametrize("file", SESSIONS, ids=lambda file: file.stem)
def test_the_first_line_helps(file: Path) -> None:
    expected, _, text = file.read_text("utf-8").partition("\n-----\n")
    headline, advice = expected.split("\n")
    found = answer(text)
    assert f"{found.layer} · {found.title}" == headline
    assert found.fix[0].startswith(advice)


def test_there_are_sessions_of_many_programs() -> None:
    assert len(SESSIONS) >= 20
    assert {file.stem.partition("-")[0] for file in SESSIONS} >= {"telnet", "python", "node", "php", "java", "ruby"}
