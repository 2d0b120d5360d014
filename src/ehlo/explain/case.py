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
    the errors of rules), `certificate` that of a certificate's problem. `stage` is where it happened, None where the
    text does not say. `server` is who answered, `product` the id of the program that did ("postfix"), `software` that
    of the one it answered ("nodemailer"), where these are known; `seen` the part of the input that all this comes from.
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
    product: str = ""
    seen: str = ""
    certificate: str = ""

    @property
    def reply(self) -> Reply | None:
        """The reply, as far as it is known: a code that is missing is the usual one of the status's class."""
        if (self.error or self.certificate) and self.code < 400:
            return None
        code = self.code or {"2": 250, "4": 450}.get(self.status[:1], 550)
        status = f"{self.status} " if self.status and EnhancedStatus.parse(self.text) is None else ""
        lines = [line for line in f"{status}{self.text}".split("\n") if line.strip()] or [status.strip()]
        return Reply(code, tuple(lines))

    @property
    def subject(self) -> dict[str, str]:
        """What a rule's texts may name."""
        known = {
            "recipient": self.recipient,
            "sender": self.sender,
            "host": self.server,
            "address": self.server,
            "software": self.software,
            "product": self.product,
        }
        return {name: value for name, value in known.items() if value}


def explain_case(case: Case) -> Finding:
    """What the rules say of a case. Without a stage, the one at which a rule knows most is taken for it."""
    evidence = _evidence(case)
    finding = findings_of([evidence])[0]
    if evidence.reply is None or case.code:
        return finding
    # Nobody said the code, so nothing is shown of it; a status means what it means by itself.
    meaning = finding.meaning if case.status else ""
    return finding._replace(reply=None, meaning=meaning)


def is_known(case: Case) -> bool:
    """Whether anything can be said of a case: it has a code or an error, or a rule knows its words."""
    if case.code or case.status or case.error or case.certificate:
        return True
    return case.reply is not None and load_rules().knows_words(case.reply)


def _evidence(case: Case) -> Evidence:
    seen, reply, stage, subject = " ".join((case.seen or case.text).split()), case.reply, case.stage, case.subject
    if reply is None:
        stages = STAGES if stage is None else (stage,)
        candidates = (
            Evidence(at, (), error=case.error, certificate=case.certificate, seen=seen, subject=subject)
            for at in stages
        )
        # At equal knowledge, most failures are of recipients.
        return max(candidates, key=lambda it: (_weight(it), it.stage == "rcpt"))
    # Servers judge late: a fault of HELO shows at RCPT, one of the sender after the dot. But a refused login is
    # about the login, whatever words stand in it.
    at = stage if stage == "auth" else load_rules().stage_of(reply, stage)
    return Evidence(at, (), reply, seen=seen, subject=subject)


def _weight(evidence: Evidence) -> int:
    holding = rules_that_hold(evidence, load_rules())
    return holding[0][1] if holding else -1
