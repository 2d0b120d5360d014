"""A case: one answer of a server, or one failure, as some text tells of it; and what the rules say of it.

Every reader of this package (replies, exceptions, bounces, logs) gives cases; sessions give transcripts, which
`ehlo.diagnosis.judge` judges as it does its own.
"""

from __future__ import annotations

from typing import NamedTuple

from ehlo.diagnosis.evidence import SOMEWHERE, Evidence
from ehlo.diagnosis.judge import finding_without_stage, findings_of, rules_that_hold
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
    `assumed` says that the words only stand for the code: nobody said it.
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
    assumed: bool = False

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
    """What the rules say of a case. Where nobody says the stage, none is guessed from what a code means at one."""
    seen = " ".join((case.seen or case.text).split())
    if case.reply is None:
        return _explain_failure(case, seen)
    finding = _explain_reply(case, case.reply, seen)
    if case.assumed:
        return finding._replace(reply=None)
    if case.code:
        return finding
    # Nobody said the code, so nothing is shown of it; a status means what it means by itself.
    return finding._replace(reply=None, meaning=finding.meaning if case.status else "")


def is_known(case: Case) -> bool:
    """Whether anything can be said of a case: it has a code or an error, or a rule knows its words."""
    if case.code or case.status or case.error or case.certificate:
        return True
    return case.reply is not None and load_rules().knows_words(case.reply)


#: Words of Postfix, and of those who took them over, that name the command that they refuse.
_REFUSED: tuple[tuple[str, Stage], ...] = (
    ("recipient address rejected", "rcpt"),
    ("sender address rejected", "mail"),
    ("helo command rejected", "ehlo"),
)


def _explain_reply(case: Case, reply: Reply, seen: str) -> Finding:
    said = reply.text.lower()
    stage = case.stage or next((stage for words, stage in _REFUSED if words in said), None)
    if stage is None:
        return finding_without_stage(reply, seen, case.subject)
    # Servers judge late: a fault of HELO shows at RCPT, one of the sender after the dot. But a refused login is
    # about the login, whatever words stand in it.
    at = stage if stage == "auth" else load_rules().stage_of(reply, stage)
    return findings_of([Evidence(at, (), reply, seen=seen, subject=case.subject)])[0]


def _explain_failure(case: Case, seen: str) -> Finding:
    def evidence(at: Stage, error: str) -> Evidence:
        subject = {**case.subject, "stage": at}
        return Evidence(at, (), error=error, certificate=case.certificate, seen=seen, subject=subject)

    if case.stage is not None:
        return findings_of([evidence(case.stage, case.error)])[0]
    if case.error in SOMEWHERE:
        return findings_of([evidence("banner", SOMEWHERE[case.error])])[0]._replace(stage=None)
    # At equal knowledge, most failures are of recipients.
    candidates = (evidence(at, case.error) for at in STAGES)
    return findings_of([max(candidates, key=lambda it: (_weight(it), it.stage == "rcpt"))])[0]


def _weight(evidence: Evidence) -> int:
    holding = rules_that_hold(evidence, load_rules())
    return holding[0][1] if holding else -1
