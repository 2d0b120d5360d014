"""From a transcript to a verdict.

    exchanges ──> which of them failed, and which failures did the session get over? ──> evidence
    evidence  ──> which rules hold for it, and which knows most? ──> findings, verdict

Nothing here knows a single reply text or code: that is in the rules (`ehlo.knowledge`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from ehlo.diagnosis.evidence import (
    AUTH_NOT_OFFERED,
    AUTH_NOT_OFFERED_IN_CLEAR,
    HELO_ALONE,
    NO_RECIPIENT_NAMED,
    TOKEN_MECHANISMS,
    TOKEN_REFUSED,
    UNEXPLAINED,
    Evidence,
    certificate_evidence,
    evidence_of,
    masked_evidence,
    session_subject,
)
from ehlo.diagnosis.verdict import Certainty, Finding, SessionOutcome, Verdict
from ehlo.knowledge.catalogue import Catalogue
from ehlo.knowledge.products import identify, name_of, setting_for, speaks_like
from ehlo.knowledge.rules import Rule
from ehlo.smtp.reply import Reply
from ehlo.smtp.stages import STAGE_OF_VERB, STAGES, Stage
from ehlo.transcript.exchanges import Exchange, exchanges
from ehlo.transcript.transcript import Transcript

#: A failure here does not end a session if a later try at the same stage succeeds: the next
#: address or mail exchanger, HELO after EHLO.
_TRIED_AGAIN: frozenset[Stage] = frozenset({"dns", "connect", "ehlo"})

#: What looks like an address, in a command that may be misspelt.
_ADDRESS = re.compile(r"[^\s<>:]+@[^\s<>]+")
#: The commands that begin a transaction, go on with it, or end it.
_OF_TRANSACTIONS = frozenset({"EHLO", "HELO", "LHLO", "MAIL", "RCPT", "RSET"})


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
    return _with_duties(verdict, judge_client(transcript, over=over), len(transcript.events) - 1)


def _with_duties(verdict: Verdict, owed: tuple[Finding, ...], last: int) -> Verdict:
    """A server's verdict with what its client did wrong; `last` is the number of the last event.

    Rules about what breaks below SMTP speak to a client, of a server that hangs up or fails in the handshake. Here it
    is the client that did, so where a duty tells of the same events, or of the end, it goes in their place.
    """
    broken = [finding for finding in verdict.findings if finding.reply is None]
    replies = [finding for finding in verdict.findings if finding.reply is not None]
    told = {last, *(number for finding in broken for number in finding.evidence)}
    instead = [finding for finding in owed if not told.isdisjoint(finding.evidence)] if broken else []
    # What the server said of it itself, such as 421 after a wait in vain, will do, too.
    instead += [finding for finding in replies if broken and finding.evidence > broken[0].evidence]
    if not instead:
        return verdict._replace(findings=verdict.findings + owed)
    rest = [finding for finding in (*replies, *owed) if finding not in instead]
    was_broken = verdict.findings[0].reply is None
    findings = [*instead, *rest] if was_broken else sorted([*rest, *instead], key=lambda it: it.reply is None)
    return verdict._replace(findings=tuple(findings), layer=findings[0].layer)


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
    masked = _in_one([found for step in steps if (found := masked_evidence(step, subject))])
    evidence = [*masked]
    evidence += [_evidence(steps, number, transcript, subject) for number in others]
    certificates = [found for step in steps for found in certificate_evidence(step, subject)]
    if main is None:
        findings = _each_once([*evidence, *certificates])
        stage: Stage = steps[-1].stage if steps else "dns"
        outcome: SessionOutcome = "accepted" if transcript.complete else "interrupted"
        return Verdict(outcome, stage, None, False, findings)
    step = steps[main]
    first = _evidence(steps, main, transcript, subject)
    if first.error == "certificate-not-verified" and step.stage in ("tls", "starttls"):
        # That the session was given up over a certificate says less than what is wrong with it.
        findings = _each_once([*certificates, first, *evidence])
    elif masked and step.verb in ("EHLO", "HELO"):
        # What rewrites the server's words may be what refuses the greeting, too.
        findings = _each_once([*masked, first, *evidence[len(masked) :], *certificates])
    else:
        findings = _each_once([first, *evidence, *certificates])
    outcome = "refused" if step.outcome == "refused" else "failed"
    if step.problem is not None and step.problem.fact("error") == "interrupted":
        outcome = "interrupted"
    layer = findings[0].layer if findings else None
    return Verdict(outcome, step.stage, layer, step.temporary, findings)


def _evidence(steps: list[Exchange], number: int, transcript: Transcript, subject: dict[str, str]) -> Evidence:
    """The evidence in a step that did not go well, in the light of those before it."""
    evidence = evidence_of(steps[number], transcript.events, subject)
    if _knows_helo_alone(steps, number):
        return evidence._replace(error=HELO_ALONE)
    if evidence.error == AUTH_NOT_OFFERED and _left_in_clear(steps[:number]):
        return evidence._replace(error=AUTH_NOT_OFFERED_IN_CLEAR)
    if evidence.reply is not None and steps[number].verb == "AUTH" and _mechanism(steps, number) in TOKEN_MECHANISMS:
        return evidence._replace(error=TOKEN_REFUSED)
    return evidence._replace(error=NO_RECIPIENT_NAMED) if _names_no_recipient(steps, number) else evidence


def _in_one(evidence: list[Evidence]) -> list[Evidence]:
    """Pieces of evidence that all say the same, as one that is seen in the first."""
    return [evidence[0]._replace(numbers=sum((piece.numbers for piece in evidence), ()))] if evidence else []


def _left_in_clear(steps: list[Exchange]) -> bool:
    """Whether STARTTLS was offered, and nothing has been encrypted by the end of these steps."""
    replies = [step.reply for step in steps if step.verb == "EHLO" and step.reply is not None]
    offered = any(line.upper() == "STARTTLS" for reply in replies for line in reply.lines)
    return offered and not any(step.step is not None and step.step.kind == "tls" for step in steps)


def _mechanism(steps: list[Exchange], number: int) -> str:
    """The mechanism of the login that a step belongs to; empty if nobody knows."""
    for step in reversed(steps[: number + 1]):
        words = step.command.text.upper().split() if step.command is not None else []
        if words[:1] == ["AUTH"]:
            return "".join(words[1:2])
    return ""


def _names_no_recipient(steps: list[Exchange], number: int) -> bool:
    """Whether a step is a DATA that was refused for good in a transaction without any RCPT (RFC 5321 §3.3)."""
    reply = steps[number].reply
    if steps[number].verb != "DATA" or reply is None or reply.category != 5:
        return False
    before = next((step for step in reversed(steps[:number]) if step.verb in _OF_TRANSACTIONS), None)
    return before is not None and before.verb == "MAIL" and before.outcome == "ok"


def _knows_helo_alone(steps: list[Exchange], number: int) -> bool:
    """Whether a step is an EHLO that the server did not know, after which it took HELO (RFC 5321 §3.2)."""
    reply = steps[number].reply
    if steps[number].verb != "EHLO" or reply is None or reply.code not in (500, 502, 504):
        return False
    return any(step.verb == "HELO" and step.outcome == "ok" for step in steps[number + 1 :])


def _software(steps: list[Exchange]) -> dict[str, str]:
    """The product that the server is, in the words of a rule's subject, where its greeting tells."""
    banner = next((step.reply for step in steps if step.stage == "banner" and step.reply is not None), None)
    product = identify(banner.text, [banner.text.partition(" ")[0]]) if banner is not None else None
    return {"product": product.id} if product is not None else {}


def _overcome(steps: list[Exchange], number: int) -> bool:
    """Whether the session went on in spite of this failure."""
    failed, later = steps[number], steps[number + 1 :]
    if _is_about_syntax(failed) and any(_puts_right(step, failed) for step in later):
        return True
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


def _is_about_syntax(step: Exchange) -> bool:
    """Whether a reply is about the command as such, not about what it asks for (RFC 5321 §4.2.1: x0z)."""
    return step.reply is not None and step.reply.code // 10 == 50


def _puts_right(later: Exchange, failed: Exchange) -> bool:
    """Whether a command was answered that a misspelt one before it was meant to be, as far as can be told."""
    if later.reply is None or later.command is None or _is_about_syntax(later):
        return False
    if _has_no_stage(failed):
        # What it was meant to be, nobody knows; but the session went on.
        further = later.stage != "quit" and later.verb in STAGE_OF_VERB
        return further and STAGES.index(later.stage) >= STAGES.index(failed.stage)
    # Of recipients there may be several, and each has an answer of its own.
    return later.verb == failed.verb and (failed.verb != "RCPT" or _named(failed) in ("", _named(later)))


def _has_no_stage(step: Exchange) -> bool:
    """Whether a step is a command that belongs to no stage, such as VRFY, or no command at all."""
    return step.command is not None and step.command.kind == "line" and step.verb not in STAGE_OF_VERB


def _named(step: Exchange) -> str:
    """The address in a command, whatever else is wrong with it; empty if there is none."""
    found = _ADDRESS.search(step.command.text) if step.command is not None else None
    return found[0] if found else ""


def _weight(step: Exchange, number: int) -> tuple[bool, bool, int, bool, int]:
    """Of several failures, the one at the furthest stage counts, and there the first that is not about a command's
    syntax; a command without a stage counts little, a QUIT that went wrong, least."""
    syntax = _is_about_syntax(step)
    return (
        step.stage != "quit",
        not (syntax and _has_no_stage(step)),
        STAGES.index(step.stage),
        not syntax,
        -number,
    )


def _each_once(evidence: list[Evidence]) -> tuple[Finding, ...]:
    """The findings, those that say the same of the same words in one."""
    said: dict[tuple[str, str, str, Stage | None], Finding] = {}
    for finding in findings_of(evidence):
        key = finding.rule, finding.title, finding.seen, finding.stage
        if (before := said.get(key)) is not None:
            finding = before._replace(evidence=before.evidence + finding.evidence)
        said[key] = finding
    return tuple(said.values())


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
    if sending := setting_for(evidence.subject.get("software", ""), rule.settings):
        yield sending
    yield from rule.fix
    if rule.server:
        said = evidence.reply.text if evidence.reply is not None else ""
        known = evidence.subject.get("product")
        product = known or next((product for product in rule.server if speaks_like(product, said)), "")
        if setting := rule.server.get(product):
            yield f"if you run this server ({name_of(product)}): {setting}"


def explain_answer(reply: Reply, stage: Stage | None = None) -> list[str]:
    """What a reply means by itself, in sentences: what its codes say, and for a refusal what rules know.

    Without a stage, none is guessed from what a code means at one.
    """
    from ehlo.knowledge.codes import explain_or_say_unknown
    from ehlo.knowledge.rules import load_rules

    meaning = explain_or_say_unknown(reply)
    if reply.ok:
        return [meaning]
    evidence = None if stage is None else Evidence(stage, (), reply, seen=str(reply))
    finding = finding_without_stage(reply, str(reply), {}) if evidence is None else _finding(evidence, load_rules())
    return [meaning, f"{finding.layer} · {finding.title}", finding.why, *(f"try: {fix}" for fix in finding.fix)]


def finding_without_stage(reply: Reply, seen: str, subject: Mapping[str, str]) -> Finding:
    """What the rules say of a reply that came nobody knows where.

    The rule that knows its words tells the stage, too. Where nobody knows more than the class of its code, what the
    code means at one stage or another would be a guess: then it says what it says by itself.
    """
    from ehlo.knowledge.catalogue import WORDS
    from ehlo.knowledge.rules import load_rules

    rules = load_rules()
    evidence = Evidence(rules.stage_of(reply), (), reply, seen=seen, subject=subject)
    holding = rules_that_hold(evidence, rules)
    weight = holding[0][1] if holding else 0
    if weight <= _CLASS and reply.category in UNEXPLAINED:
        finding = _finding(evidence._replace(error=UNEXPLAINED[reply.category]), rules)
        return finding._replace(stage=None, certainty="possible")
    finding = _finding(evidence, rules)
    return finding if weight >= WORDS else finding._replace(stage=None)


def rules_that_hold(evidence: Evidence, rules: Catalogue) -> list[tuple[Rule, int]]:
    """The rules that hold for a piece of evidence with their weights, the one that knows most first."""
    if evidence.error:
        holding = rules.for_error(evidence.error, evidence.seen, evidence.stage)
        if holding or evidence.reply is None:
            return holding
    if evidence.certificate:
        return rules.for_certificate(evidence.certificate, evidence.stage)
    return rules.for_reply(evidence.reply, evidence.stage) if evidence.reply is not None else []


#: A rule of this weight knows no more of a reply than the class of its code.
_CLASS = 1


def _certainty(rule: Rule, weight: int) -> Certainty:
    # A rule that knows no more than the class of a code names the usual causes, no more.
    # So does one that says itself what else it may be.
    if rule.alternatives:
        return "likely"
    return "likely" if weight <= _CLASS and not any(when.certificates for when in rule.when) else "certain"


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
_KINDS = {"helo": "of the client", "stage": "in question"}


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
