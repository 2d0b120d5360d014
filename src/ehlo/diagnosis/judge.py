"""From a transcript to a verdict.

    exchanges ──> which of them failed, and which failures did the session get over? ──> evidence
    evidence  ──> which rules hold for it, and which knows most? ──> findings, verdict

Nothing here knows a single reply text or code: that is in the rules (`ehlo.knowledge`).
"""

from __future__ import annotations

from collections.abc import Iterable

from ehlo.diagnosis.evidence import Evidence, certificate_evidence, evidence_of, session_subject
from ehlo.diagnosis.verdict import Certainty, Finding, SessionOutcome, Verdict
from ehlo.knowledge.rules import Rule, When
from ehlo.smtp.reply import Reply
from ehlo.smtp.stages import STAGES, Stage
from ehlo.transcript.exchanges import Exchange, exchanges
from ehlo.transcript.transcript import Transcript

#: A failure here does not end a session if a later try at the same stage succeeds: the next
#: address or mail exchanger, HELO after EHLO.
_TRIED_AGAIN: frozenset[Stage] = frozenset({"dns", "connect", "ehlo"})


def judge(transcript: Transcript) -> Verdict:
    """The verdict on a session, finished or not. A server's transcript tells of the client's mistakes, too."""
    verdict = _judge(transcript)
    if transcript.header.role != "server":
        return verdict
    from ehlo.diagnosis.duties import judge_client

    over = bool(transcript.events) and transcript.events[-1].kind == "close"
    return verdict._replace(findings=verdict.findings + judge_client(transcript, over=over))


def _judge(transcript: Transcript) -> Verdict:
    steps = exchanges(transcript.events)
    subject = session_subject(transcript)
    failures = [number for number, step in enumerate(steps) if step.outcome in ("failed", "refused")]
    fatal = [number for number in failures if not _overcome(steps, number)]
    main = max(fatal, key=lambda number: _weight(steps[number], number), default=None)

    # A goodbye that goes wrong after something else has is not worth a word.
    others = [number for number in fatal if number != main and steps[number].stage != "quit"]
    others += [number for number in failures if number not in fatal]
    evidence = [evidence_of(steps[number], transcript.events, subject) for number in others]
    evidence += [found for step in steps if (found := certificate_evidence(step, subject))]
    if main is None:
        findings = findings_of(evidence)
        stage: Stage = steps[-1].stage if steps else "dns"
        outcome: SessionOutcome = "accepted" if transcript.complete else "interrupted"
        return Verdict(outcome, stage, None, False, findings)
    step = steps[main]
    findings = findings_of([evidence_of(step, transcript.events, subject), *evidence])
    outcome = "refused" if step.outcome == "refused" else "failed"
    if step.problem is not None and step.problem.fact("error") == "interrupted":
        outcome = "interrupted"
    layer = findings[0].layer if findings else None
    return Verdict(outcome, step.stage, layer, step.temporary, findings)


def _overcome(steps: list[Exchange], number: int) -> bool:
    """Whether the session went on in spite of this failure."""
    failed, later = steps[number], steps[number + 1 :]
    if failed.stage in _TRIED_AGAIN:
        return any(step.stage == failed.stage and step.outcome == "ok" for step in later) or (
            failed.stage == "dns" and any(step.stage == "connect" for step in later)
        )
    if failed.stage == "starttls" and failed.outcome == "refused":
        return any(step.stage in ("auth", "mail") for step in later)
    if failed.stage == "auth":
        # A login that was optional.
        return any(step.stage == "mail" and step.outcome == "ok" for step in later)
    return False


def _weight(step: Exchange, number: int) -> tuple[bool, int, int]:
    """Of several failures, the one at the furthest stage counts; a QUIT that went wrong, least."""
    return step.stage != "quit", STAGES.index(step.stage), -number


def findings_of(evidence: list[Evidence]) -> tuple[Finding, ...]:
    """What the rules say of each piece of evidence, in the same order."""
    if not evidence:
        return ()
    # A session in which all went well does not pay for loading what is known of failures.
    from ehlo.knowledge.rules import load_rules

    rules = load_rules()
    return tuple(_finding(piece, rules) for piece in evidence)


def _finding(evidence: Evidence, rules: tuple[Rule, ...]) -> Finding:
    from ehlo.knowledge.codes import explain_reply

    matching = rules_that_hold(evidence, rules)
    meaning = explain_reply(evidence.reply) if evidence.reply is not None else ""
    if not matching:
        return _unknown(evidence, meaning)
    rule, weight = matching[0]
    subject = _Subject(evidence.subject)
    return Finding(
        rule=rule.id,
        title=rule.title.format_map(subject),
        layer=rule.layer,
        stage=evidence.stage,
        certainty=_certainty(rule, weight),
        why=rule.why.format_map(subject),
        fix=tuple(fix.format_map(subject) for fix in rule.fix),
        refs=rule.refs,
        evidence=evidence.numbers,
        meaning=meaning,
        reply=evidence.reply,
        seen=evidence.seen,
    )


def explain_answer(reply: Reply, stage: Stage | None = None) -> list[str]:
    """What a reply means by itself, in sentences: what its codes say, and for a refusal what rules know.

    Without a stage, the one at which a rule knows most is taken for it.
    """
    from ehlo.knowledge.codes import explain_reply
    from ehlo.knowledge.rules import load_rules

    meaning = explain_reply(reply) or f"No table knows the code {reply.code}."
    if reply.ok:
        return [meaning]
    candidates = [Evidence(at, (), reply, seen=str(reply)) for at in (STAGES if stage is None else (stage,))]
    rules = load_rules()

    def knowledge(evidence: Evidence) -> int:
        holding = rules_that_hold(evidence, rules)
        return holding[0][1] if holding else -1

    finding = _finding(max(candidates, key=knowledge), rules)
    return [meaning, f"{finding.layer} · {finding.title}", finding.why, *(f"try: {fix}" for fix in finding.fix)]


def rules_that_hold(evidence: Evidence, rules: tuple[Rule, ...]) -> list[tuple[Rule, int]]:
    """The rules that hold for a piece of evidence with their weights, the one that knows most first."""
    matching: list[tuple[Rule, int]] = []
    for rule in rules:
        if evidence.stage in rule.stages:
            weights = [when.weight for when in rule.when if _holds(when, evidence)]
            if weights:
                matching.append((rule, max(weights)))
    return sorted(matching, key=lambda match: -match[1])


def _holds(when: When, evidence: Evidence) -> bool:
    if when.errors or when.certificates:
        return evidence.error in when.errors or evidence.certificate in when.certificates
    reply = evidence.reply
    if reply is None:
        return False
    if when.codes and not {str(reply.code), f"{reply.category}yz"} & when.codes:
        return False
    if when.enhanced:
        status = reply.enhanced
        if status is None or not {str(status), status.generic} & when.enhanced:
            return False
    text = reply.text
    if when.text is not None and not when.text.search(text):
        return False
    return when.not_text is None or not when.not_text.search(text)


def _certainty(rule: Rule, weight: int) -> Certainty:
    # A rule that knows no more than the class of a code names the usual causes, no more.
    return "likely" if weight <= 1 and not any(when.certificates for when in rule.when) else "certain"


def _unknown(evidence: Evidence, meaning: str) -> Finding:
    """No rule knows this: say what the codes say, and that nothing more is known."""
    what = "refused" if evidence.reply is not None else "failed"
    return Finding(
        rule="unknown",
        title=f"The session {what} at the stage {evidence.stage}",
        layer="server",
        stage=evidence.stage,
        certainty="possible",
        why="No rule of ehlo knows this answer; nothing more can be said about it.",
        fix=("read the text of the answer",),
        refs=(),
        evidence=evidence.numbers,
        meaning=meaning,
        reply=evidence.reply,
        seen=evidence.seen,
    )


class _Subject(dict[str, str]):
    """What a rule's texts name; what is not known in this session is called by its kind."""

    def __missing__(self, name: str) -> str:
        return f"the {name}"


def titles_of(rules: Iterable[str]) -> list[tuple[str, str]]:
    """The titles of rules by their ids, in words that fit any session; ids that no rule has are left out."""
    from ehlo.knowledge.rules import load_rules

    titles = {rule.id: rule.title.format_map(_Subject()) for rule in load_rules()}
    return [(rule, titles[rule]) for rule in rules if rule in titles]
