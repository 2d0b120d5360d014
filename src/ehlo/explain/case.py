"""A case: one answer of a server, or one failure, as some text tells of it; and what the rules say of it.

Every reader of this package (replies, exceptions, bounces, logs) gives cases; sessions give transcripts, which
`ehlo.diagnosis.judge` judges as it does its own.
"""

from __future__ import annotations

from typing import NamedTuple

from ehlo.diagnosis.evidence import Evidence
from ehlo.diagnosis.judge import findings_of, rules_that_hold
from ehlo.diagnosis.verdict import Finding
from ehlo.knowledge.rules import load_rules
from ehlo.smtp.reply import EnhancedStatus, Reply
from ehlo.smtp.stages import STAGES, Stage


class Case(NamedTuple):
    """One answer or failure.

    `text` is what was said, without the codes where these are known apart. `code` is the reply code, 0 where the text
    has none, `status` the enhanced status code ("5.1.1"), `error` the id of a failure below SMTP (`NETWORK_ERRORS` and
    the errors of rules). `stage` is where it happened, None where the text does not say. `server` is who answered,
    `software` the id of the program that wrote the text ("postfix", "nodemailer"), `seen` the part of the input that
    all this comes from.
    """

    text: str = ""
    code: int = 0
    status: str = ""
    error: str = ""
    stage: Stage | None = None
    recipient: str = ""
    sender: str = ""
    server: str = ""
    software: str = ""
    seen: str = ""

    @property
    def reply(self) -> Reply | None:
        """The reply, as far as it is known: a code that is missing is the usual one of the status's class."""
        if self.error and not self.code:
            return None
        code = self.code or {"2": 250, "4": 450}.get(self.status[:1], 550)
        status = f"{self.status} " if self.status and EnhancedStatus.parse(self.text) is None else ""
        lines = [line for line in f"{status}{self.text}".split("\n") if line.strip()] or [status.strip()]
        return Reply(code, tuple(lines))

    @property
    def subject(self) -> dict[str, str]:
        """What a rule's texts may name."""
        known = {"recipient": self.recipient, "sender": self.sender, "host": self.server}
        return {name: value for name, value in known.items() if value}


def explain_case(case: Case) -> Finding:
    """What the rules say of a case. Without a stage, the one at which a rule knows most is taken for it."""
    return findings_of([_evidence(case)])[0]


def _evidence(case: Case) -> Evidence:
    seen = case.seen or case.text
    stages = STAGES if case.stage is None else (case.stage,)
    if case.error and not case.code:
        candidates = [Evidence(stage, (), error=case.error, seen=seen, subject=case.subject) for stage in stages]
    else:
        candidates = [Evidence(stage, (), case.reply, seen=seen, subject=case.subject) for stage in stages]
    if len(candidates) == 1:
        return candidates[0]
    rules = load_rules()

    def knowledge(evidence: Evidence) -> tuple[int, bool]:
        holding = rules_that_hold(evidence, rules)
        # At equal knowledge, most refusals are of recipients.
        return (holding[0][1] if holding else -1, evidence.stage == "rcpt")

    return max(candidates, key=knowledge)
