"""Real bounces and what a table made by people says of them. The mails lie beside the project and are not part of it.

What a rule is called in that table is in reasons.toml, one mapping for all mails. Where we disagree, disagreements.md
says why; a disagreement that is not explained there is a bug.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from ehlo.explain.bounces import read_bounce, read_many
from ehlo.explain.case import Case, explain_case
from ehlo.knowledge.rules import load_rules

HERE = Path(__file__).parent
CORPUS = HERE.parents[2] / "shared" / "bounces"
REASONS: dict[str, list[str]] = {
    rule: [reasons] if isinstance(reasons, str) else reasons
    for rule, reasons in tomllib.loads((HERE / "reasons.toml").read_text())["reasons"].items()
}
EXPLAINED = (HERE / "disagreements.md").read_text()
#: The table makes up a status where the mail has none, by its reason: no register has X.0.9nn.
MADE_UP = re.compile(r"[45]\.0\.9\d\d")
#: The table makes up an address where a complaint or a notice names nobody.
NOBODY = ".invalid"
GOOD = 0.97

corpus = pytest.mark.skipif(
    not (CORPUS / "expected.jsonl").exists(), reason="the real bounces are not beside the project"
)


class Row(NamedTuple):
    """A recipient, as the table has it and as we do."""

    name: str
    expected: dict[str, str]
    case: Case | None
    rule: str

    @property
    def same(self) -> dict[str, bool]:
        case, expected = self.case, self.expected
        if case is None:
            return dict.fromkeys(("reason", "recipient", "status", "code"), False)
        status, recipient = expected["expected_status"], expected["recipient"]
        silent = MADE_UP.fullmatch(status) and case.status in ("", f"{status[0]}.0.0")
        unnamed = not recipient or recipient.endswith(NOBODY)
        return {
            "reason": expected["expected_reason"] in REASONS.get(self.rule, ()),
            "recipient": unnamed or case.recipient.lower() == recipient.lower(),
            "status": bool(silent) or case.status == status,
            "code": str(case.code or "") == expected["expected_replycode"],
        }


@cache
def rows() -> tuple[Row, ...]:
    table = [json.loads(line) for line in (CORPUS / "expected.jsonl").read_text().splitlines()]
    found: dict[str, list[Case]] = {}
    judged: list[Row] = []
    for row in table:
        if row["expected_reason"] is None:
            continue
        name = row["file"]
        if name not in found:
            found[name] = [case for bounce in read_many(CORPUS / name) for case in bounce.cases]
        index = row["index"] - 1
        case = found[name][index] if index < len(found[name]) else None
        rule = explain_case(case).rule if case else "none"
        judged.append(Row(f"{Path(name).stem}#{row['index']}", row, case, rule))
    return tuple(judged)


@corpus
@pytest.mark.parametrize("field", ["reason", "recipient", "status", "code"])
def test_agreement(field: str) -> None:
    wrong = [f"{row.name}: {row.rule} {row.case and row.case[:3]}" for row in rows() if not row.same[field]]
    agreement = 1 - len(wrong) / len(rows())
    assert agreement >= GOOD, f"{field}: {agreement:.1%}\n" + "\n".join(wrong)


@corpus
def test_every_disagreement_is_explained() -> None:
    unexplained = [
        f"{row.name} ({field}): {row.rule}"
        for row in rows()
        for field, same in row.same.items()
        if not same and f"| {row.name} | {field} |" not in EXPLAINED
    ]
    assert not unexplained, "\n".join(unexplained)


@corpus
def test_each_mail_is_read() -> None:
    mails = sorted((CORPUS / "mails").glob("*.eml"))
    kinds = Counter(read_bounce(mail.read_bytes()).kind for mail in mails)
    assert kinds.total() == len(mails)
    assert kinds["none"] == 2, "two mails of the corpus are no bounces"


def test_the_mapping_names_rules_that_exist() -> None:
    assert set(REASONS) <= {rule.id for rule in load_rules()}


def test_the_mapping_is_no_net_for_everything() -> None:
    # A list is for where the table divides by something else than the meaning: it must not swallow what is unlike.
    assert all(len(reasons) <= 3 for reasons in REASONS.values())
    assert sum(len(reasons) for reasons in REASONS.values()) / len(REASONS) < 1.35
