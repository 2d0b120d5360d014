"""From a transcript to a verdict.

    exchanges ──> which of them failed, and which failures did the session get over? ──> evidence
    evidence  ──> which rules hold for it, and which knows most? ──> findings, verdict

Nothing here knows a single reply text or code: that is in the rules (`ehlo.knowledge`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from ehlo.diagnosis.evidence import Evidence, certificate_evidence, evidence_of, masked_evidence, session_subject
from ehlo.diagnosis.verdict import Certainty, Finding, SessionOutcome, Verdict
from ehlo.knowledge.catalogue import Catalogue
from ehlo.knowledge.products import identify, name_of, speaks_like
from ehlo.knowledge.rules import Rule
from ehlo.smtp.reply import Reply
from ehlo.smtp.stages import STAGES, Stage
from ehlo.transcript.exchanges import Exchange, exchanges
from ehlo.transcript.transcript import Transcript

#: A failure here does not end a session if a later try at the same stage succeeds: the next
#: address or mail exchanger, HELO after EHLO.
_TRIED_AGAIN: frozenset[Stage] = frozenset({"dns", "connect", "ehlo"})


def judge(transcript: Transcript, software: str = "") -> Verdict:
    """The verdict on a session, finished or not. A server's transcript tells of the client's mistakes, too.

    `software` is the id of the program that spoke to the server, where another than ehlo did
    (`ehlo.knowledge.products`): advice then names its settings.
    """
    verdict = _judge(transcript, software)
    if transcript.header.role != "server":
        return verdict
    from ehlo.diagnosis.duties import judge_client

    over = bool(transcript.events) and transcript.events[-1].kind == "close"
    return verdict._replace(findings=verdict.findings + judge_client(transcript, over=over))


def _judge(transcript: Transcript, software: str) -> Verdict:
    steps = exchanges(transcript.events)
    subject = {**session_subject(transcript), **_software(steps), **({"software": software} if software else {})}
    failures = [number for number, step in enumerate(steps) if step.outcome in ("failed", "refused")]
    fatal = [number for number in failures if not _overcome(steps, number)]
    main = max(fatal, key=lambda number: _weight(steps[number], number), default=None)

    # A goodbye that goes wrong after something else has is not worth a word.
    others = [number for number in fatal if number != main and steps[number].stage != "quit"]
    overcome = set(failures) - set(fatal)
    others += [number for number in failures if number in overcome]
    evidence = [found for step in steps if (found := masked_evidence(step, subject))]
    evidence += [evidence_of(steps[number], transcript.events, subject) for number in others]
    certificates = [found for step in steps if (found := certificate_evidence(step, subject))]
    if main is None:
        findings = findings_of([*evidence, *certificates])
        stage: Stage = steps[-1].stage if steps else "dns"
        outcome: SessionOutcome = "accepted" if transcript.complete else "interrupted"
        return Verdict(outcome, stage, None, False, findings)
    step = steps[main]
    first = evidence_of(step, transcript.events, subject)
    if first.error == "certificate-not-verified" and step.stage in ("tls", "starttls"):
        # That the session was given up over a certificate says less than what is wrong with it.
        findings = findings_of([*certificates, first, *evidence])
    else:
        findings = findings_of([first, *evidence, *certificates])
    outcome = "refused" if step.outcome == "refused" else "failed"
    if step.problem is not None and step.problem.fact("error") == "interrupted":
        outcome = "interrupted"
    layer = findings[0].layer if findings else None
    return Verdict(outcome, step.stage, layer, step.temporary, findings)


def _software(steps: list[Exchange]) -> dict[str, str]:
    """The product that the server is, in the words of a rule's subject, where its greeting tells."""
    banner = next((step.reply for step in steps if step.stage == "banner" and step.reply is not None), None)
    product = identify(banner.text, [banner.text.partition(" ")[0]]) if banner is not None else None
    return {"product": product.id} if product is not None else {}


def _overcome(steps: list[Exchange], number: int) -> bool:
    """Whether the session went on in spite of this failure."""
    failed, later = steps[number], steps[number + 1 :]
    if failed.question and failed.outcome == "refused":
        # What the session had no need of does not decide how it went.
        return bool(later)
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


def _finding(evidence: Evidence, rules: Catalogue) -> Finding:
    from ehlo.knowledge.codes import explain_reply

    matching = rules_that_hold(evidence, rules)
    meaning = explain_reply(evidence.reply) if evidence.reply is not None else ""
    if not matching:
        return _unknown(evidence, meaning)
    rule, weight = matching[0]
    subject = evidence.subject
    return Finding(
        rule=rule.id,
        title=_sentence(rule.title, subject),
        layer=rule.layer,
        stage=evidence.stage,
        certainty=_certainty(rule, weight),
        why=_sentence(rule.why, subject),
        fix=tuple([_to_type(advice, subject) for advice in _advice(rule, evidence)]),
        refs=rule.refs,
        evidence=evidence.numbers,
        meaning=meaning,
        reply=evidence.reply,
        seen=evidence.seen,
        alternatives=rule.alternatives,
        whose=rule.whose,
        experiment=rule.experiment,
    )


def _advice(rule: Rule, evidence: Evidence) -> Iterator[str]:
    """What to do. First the setting, in the words of the software that sends; last, that of the server's software."""
    if setting := rule.settings.get(evidence.subject.get("software", "")):
        yield f"in {name_of(evidence.subject['software'])}: {setting}"
    yield from rule.fix
    if rule.server:
        said = evidence.reply.text if evidence.reply is not None else ""
        known = evidence.subject.get("product")
        product = known or next((product for product in rule.server if speaks_like(product, said)), "")
        if setting := rule.server.get(product):
            yield f"if you run this server ({name_of(product)}): {setting}"


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


def rules_that_hold(evidence: Evidence, rules: Catalogue) -> list[tuple[Rule, int]]:
    """The rules that hold for a piece of evidence with their weights, the one that knows most first."""
    if evidence.error:
        holding = rules.for_error(evidence.error, evidence.seen, evidence.stage)
        if holding or evidence.reply is None:
            return holding
    if evidence.certificate:
        return rules.for_certificate(evidence.certificate, evidence.stage)
    return rules.for_reply(evidence.reply, evidence.stage) if evidence.reply is not None else []


def _certainty(rule: Rule, weight: int) -> Certainty:
    # A rule that knows no more than the class of a code names the usual causes, no more.
    # So does one that says itself what else it may be.
    if rule.alternatives:
        return "likely"
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


_NAMED = re.compile(r"\{([a-z]+)\}")
#: What is not known in a session is called by its kind.
_KINDS = {"helo": "of the client"}


def _sentence(text: str, subject: Mapping[str, str]) -> str:
    """A sentence of a rule, with what it names."""
    if "{" not in text:
        return text
    said = _NAMED.sub(lambda name: subject.get(name[1]) or _KINDS.get(name[1], f"the {name[1]}"), text)
    return "The " + said[4:] if said.startswith("the ") else said


def _to_type(text: str, subject: Mapping[str, str]) -> str:
    """The same for what may have to be typed, where a blank is one: RECIPIENT."""
    return _NAMED.sub(lambda name: subject.get(name[1]) or name[1].upper(), text) if "{" in text else text


def titles_of(rules: Iterable[str]) -> list[tuple[str, str]]:
    """The titles of rules by their ids, in words that fit any session; ids that no rule has are left out."""
    from ehlo.knowledge.rules import load_rules

    titles = {rule.id: _sentence(rule.title, {}) for rule in load_rules()}
    return [(rule, titles[rule]) for rule in rules if rule in titles]
