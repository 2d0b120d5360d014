"""From a mail to cases: which reader makes something of it, and what of all that is told goes into a case."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal, NamedTuple

from ehlo.explain.bounces.diagnostic import Diagnostic, read_diagnostic
from ehlo.explain.bounces.fields import Told, read_report
from ehlo.explain.bounces.freeform import Block, Exchange, addresses_within, blocks, exchanges
from ehlo.explain.bounces.notices import complaint, from_json, is_vacation
from ehlo.explain.bounces.parts import Parts, cut
from ehlo.explain.bounces.systems import system_of
from ehlo.explain.case import Case
from ehlo.explain.detect import is_bounce_without_header, without_quotation
from ehlo.knowledge.rules import load_rules
from ehlo.mime import decode_words, identifier, one_line, read_date, read_people
from ehlo.smtp.reply import Reply

#: A mail is read up to here; what follows is the message that came back.
MAX_MAIL = 4 * 1024 * 1024
#: How much of the text becomes that of a case when nothing in it could be told apart.
MAX_SAID = 2_000

Kind = Literal["dsn", "free-form", "feedback", "vacation", "none"]

_DAEMON = re.compile(
    r"mailer-?daemon|postmaster|mail ?delivery|delivery (?:sub)?system|system administrator|mail ?administrator|<\s*>"
    r"|^\s*$|interscan|content-filter|@sns\.amazonaws\.com|mail system|microsoftexchange[0-9a-f]{6,}@",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    "|".join(
        (
            r"undeliver|not? (?:be )?deliver|non-?delivery|not member article",
            # How Exchange and Outlook begin it in other languages.
            r"unzustellbar|non remis|non recapitabile|onbestelbaar|no entregado|não entregue|nie można dostarczyć",
            r"niedostarcz|nedoručiteln|kézbesíthetetlen|olevererbar|kan ikke leveres|teslim edileme|недоставл",
            r"не доставлен|配信|未達|送信でき|无法传递|未传递|無法傳遞|退信",
            r"deliver\w* (?:status|fail|notif|error|problem|delay)|failure (?:notice|delivery)|fail(?:ed|ure)",
            r"returned (?:mail|to sender)|returning message|mail (?:system )?error|error sending your mail|blocked by",
            r"delayed mail|warning: (?:message|could not)|could not (?:be )?(?:deliver|sen[dt])",
            r"no se (?:ha )?(?:pudo|podido) entregar",
        )
    ),
    re.IGNORECASE,
)
_DELIVERED = ("delivered", "relayed", "expanded", "deliverable")
_NOT_ROUTED = re.compile(r"\bun?rout(?:e)?able (?:mail )?(?:address|domain)", re.IGNORECASE)
#: Paragraphs with which systems begin, whatever the failure is; and sentences that they add to each.
_OPENING = re.compile(
    "|".join(
        (
            r"hi\b|hello\b|dear\b|transcript|no action|the message identifier|if you do so",
            r"this (?:message|mail|e-?mail|is|report)\b.{0,80}?(?:automatic|created|generated|\bat\b)",
            r"this (?:message|mail|is|report)\b.{0,80}?(?:mail (?:agent|system|delivery)|delivery (?:status|fail))",
            r"(?:a|the|your) (?:message|mail|e-?mail) (?:that )?(?:you )?(?:have )?(?:sent|to|was sent)?.{0,60}"
            r"(?:could not be|contained|has not|was not|cannot be|couldn't be)",
            r"(?:sorry|i'm (?:sorry|afraid))\b.{0,40}(?:able|inform)",
            r"there was an error delivering|we had trouble|an error (?:has )?occurred while",
            r"unable to deliver message to|delivery to the following|the (?:following|original|error)",
            r"for (?:further )?(?:assistance|help)|please,? (?:do not reply|include)",
            r"original (?:mail|message) (?:as )?follows",
        )
    ),
    re.IGNORECASE,
)
#: Whoever says this speaks of its own mailbox, and knows more than the reply that it quotes.
_OWN_WORDS = re.compile(r"the user\(s\) account is ", re.IGNORECASE)
_REPLY = re.compile(r"(?<![\w.])[45]\d\d[ -]|[45]\.\d\.\d")
_PHRASES = re.compile(
    r"(?:I'm\s+not\s+going\s+to\s+try\s+again[;,.]?\s*)?this\s+message\s+has\s+been\s+in\s+the\s+queue\s+too\s+long\.?"
    r"|I'm\s+not\s+going\s+to\s+try\s+again\.?|This\s+is\s+a\s+permanent\s+error[;.]?|I've\s+given\s+up\."
    r"|Sorry\s+it\s+didn't\s+work\s+out\.|Giving\s+up\s+on\s+[\w.:]+\.?|Technical\s+details\s+of\s+\w+\s+failure:"
    r"|For\s+further\s+assistance.{0,200}",
    re.IGNORECASE,
)

#: Statuses of a delay that do not say why.
_NO_REASON = ("", "4.0.0", "4.4.0", "4.4.7")
#: The exit statuses of programs that deliver (sysexits.h).
_EXITS = {
    "64": "wrong usage",
    "65": "wrong data",
    "66": "no input",
    "67": "no such user",
    "68": "no such host",
    "69": "service unavailable",
    "70": "a mistake in the program",
    "71": "an error of the system",
    "72": "a file of the system is missing",
    "73": "cannot create a file",
    "74": "an error while reading or writing",
    "75": "try again later",
    "76": "a mistake in the protocol",
    "77": "permission denied",
    "78": "a mistake in the settings",
}


class Bounce(NamedTuple):
    """What a mail tells: a case for each recipient.

    `kind` is "dsn" (with the fields of RFC 3464), "free-form" (text for people alone), "feedback" (a complaint),
    "vacation", or "none": it tells of no delivery. `system` is the id of the system that wrote it, empty if it does not
    show; `message_id` is that of the message that came back.
    """

    kind: Kind
    system: str = ""
    date: datetime | None = None
    message_id: str = ""
    cases: tuple[Case, ...] = ()


def read_bounce(raw: bytes) -> Bounce:
    """Read a mail, whatever its octets are."""
    parts = cut(raw[:MAX_MAIL])
    if not parts.header.fields:
        parts = parts._replace(text=without_quotation(parts.text))
    kind, cases = _cases(parts)
    system = system_of(parts) if kind != "none" else ""
    sender = _sender(parts)
    cases = [case._replace(software=system, sender=case.sender or sender) for case in cases]
    message_id = identifier(parts.returned.first("message-id"))
    return Bounce(kind, system, read_date(parts.header.first("date")), message_id, tuple(cases))


def _cases(parts: Parts) -> tuple[Kind, list[Case]]:
    if complaints := complaint(parts):
        return "feedback", [_notice(told, "complaint") for told in complaints]
    if noticed := from_json(parts.text):
        if all(told.action == "complained" for told in noticed):
            return "feedback", [_notice(told, "complaint") for told in noticed]
        return "dsn", _from_report(parts._replace(text=""), noticed)
    reported = [told for report in parts.reports for told in read_report(report)]
    if not reported and "ecipient" in parts.text:
        reported = _once(read_report(parts.text))
    if reported:
        return "dsn", _from_report(parts, reported)
    if is_vacation(parts):
        people = read_people(parts.header.first("from"))
        return "vacation", [_notice(Told(people[0].address if people else "", diagnostic=parts.text), "vacation")]
    if not _is_bounce(parts):
        return "none", []
    return "free-form", _from_text(parts)


def _once(reported: list[Told]) -> list[Told]:
    """Each recipient once: a text may tell of them first in its own words and then in the fields of a report."""
    merged: dict[str, Told] = {}
    for told in reported:
        earlier = merged.get(told.recipient.lower())
        if earlier is not None:
            told = Told(*(new or old for old, new in zip(earlier, told, strict=True)))
        merged[told.recipient.lower()] = told
    return list(merged.values())


def _is_bounce(parts: Parts) -> bool:
    header = parts.header
    if not header.fields:
        return is_bounce_without_header(parts.text.encode("utf-8", "replace"))
    report = parts.content_type == "multipart/report"
    from_system = _DAEMON.search(header.first("from")) or header.first("return-path").strip() == "<>"
    about = _SUBJECT.search(decode_words(header.first("subject")))
    # fml, a manager of mailing lists, refuses in its own name.
    marked = header.first("x-failed-recipients") or header.first("x-mlserver")
    return report or bool(marked) or bool(from_system) or bool(about)


def _notice(told: Told, error: str) -> Case:
    said = one_line(told.diagnostic)[:MAX_SAID]
    return Case(text=said, error=error, recipient=told.recipient, server=told.remote, seen=said)


def _sender(parts: Parts) -> str:
    """Whose message it was: the bounce goes to them."""
    people = [person for name in ("return-path", "from") for person in read_people(parts.returned.first(name))]
    people += read_people(parts.header.first("to"))
    return next((person.address for person in people if "@" in person.address), "")


def _known(parts: Parts) -> list[str]:
    """Recipients that the header names."""
    failed = parts.header.all("x-failed-recipients")
    return [person.address for value in failed for person in read_people(value) if "@" in person.address]


def _not_recipients(parts: Parts) -> list[str]:
    """Addresses that the text may name, and that are not whom it could not reach."""
    header, returned = parts.header, parts.returned
    named = [value for name in ("from", "to", "reply-to") for value in header.all(name)]
    named += [value for name in ("from", "return-path", "sender") for value in returned.all(name)]
    recipients = {person.address.lower() for value in returned.all("to") for person in read_people(value)}
    addresses = {person.address for value in named for person in read_people(value)}
    return [address for address in addresses if address.lower() not in recipients]


def _from_report(parts: Parts, reported: list[Told]) -> list[Case]:
    addresses = [address for told in reported for address in (told.recipient, told.original) if address]
    said = {block.recipient.lower(): block for block in blocks(parts.text, addresses, _not_recipients(parts))}
    session = exchanges(parts.text)
    failed = _known(parts)
    cases = []
    for told in reported:
        recipient = told.recipient or (_only_recipient(parts, failed, said) if len(reported) == 1 else "")
        block = said.get(recipient.lower()) or said.get(told.original.lower())
        if block is None and len(reported) == 1:
            block = Block(recipient, parts.text)
        cases.append(_case(told._replace(recipient=recipient), block, session, len(reported)))
    return cases


def _only_recipient(parts: Parts, failed: list[str], said: dict[str, Block]) -> str:
    """Whom a report means that gives no address."""
    returned = [person.address for value in parts.returned.all("to") for person in read_people(value)]
    return next((address for address in [*failed, *said, *returned] if "@" in address), "")


def _from_text(parts: Parts) -> list[Case]:
    known, others = _known(parts), _not_recipients(parts)
    said = blocks(parts.text, known, others)
    session = exchanges(parts.text)
    if not said:
        returned = [person.address for value in parts.returned.all("to") for person in read_people(value)]
        about = [address for one in session for address in one.about if one.stage in (None, "rcpt")]
        wanted = known or about or addresses_within(parts.text, others) or [one for one in returned if "@" in one][:1]
        said = [Block(address, parts.text) for address in dict.fromkeys(wanted)]
        if not said and parts.text.strip():
            said = [Block("", parts.text)]
    whole = parts.text if len(said) == 1 else ""
    return [_case(Told(block.recipient), block, session, len(said), whole) for block in said]


def _case(told: Told, block: Block | None, session: list[Exchange], count: int, whole: str = "") -> Case:
    """Put together what a report's fields, the text and a transcript say of a recipient.

    `whole` is the text of the bounce, if it can be about nobody else.
    """
    field = read_diagnostic(told.diagnostic if re.search(r"[^\W\d]{2}", told.diagnostic) else "")
    text = _of_block(block, whole)
    heard = _heard(told, session, count)
    if told.type == "x-unix" and (field.text or not (text.code or heard.code)):
        # A program said it, not a server.
        field = field._replace(text=f"x-unix; {field.text or _exit(told.diagnostic)}")
    cut_short = bool(re.match(r"\d{3}-", told.diagnostic))  # Sendmail reports the first line of a reply
    found = _best(field, text, heard, cut_short)
    status = _status(field.status, told.status, text.status if _same(text, field) else "", heard.status, text.status)
    if told.action in _DELIVERED:
        code = found.code if 200 <= found.code < 300 else 0
        seen = told.diagnostic or told.action
        return Case(
            text=found.text,
            code=code or 250,
            status=status,
            error="delivered",
            recipient=told.recipient,
            server=told.remote,
            seen=seen,
        )
    said = " ".join((found.text or (block.text if block else "")).split())[:MAX_SAID]
    code = found.code if found.code >= 400 else 0
    return Case(
        text=said,
        code=code,
        status=status,
        error="" if code else _told_by_the_system(told, status, said),
        stage=heard.stage if heard.stage and found.code == heard.code else field.stage or text.stage or heard.stage,
        recipient=told.recipient,
        server=told.remote or field.server or heard.server or text.server,
        seen=(told.diagnostic or (block.text if block else "") or said)[:MAX_SAID],
    )


def _told_by_the_system(told: Told, status: str, said: str) -> str:
    """The id of a failure that no server spoke of, but the system that wrote the bounce; empty if there is none."""
    if _NOT_ROUTED.search(said):
        return "not-routed"  # it did not know where to send the message
    if told.action == "delayed" and status in _NO_REASON and not _knows(said):
        return "delayed"  # it goes on trying, and does not say what the trouble is
    return ""


def _knows(said: str) -> bool:
    """Whether a rule knows these words."""
    return bool(said) and load_rules().knows_words(Reply(550, (said,)))


def _exit(said: str) -> str:
    """What a program's exit status means, where a report has nothing but the number."""
    return f"exit status {said}: {_EXITS.get(said, 'its own')}"


def _same(one: Diagnostic, other: Diagnostic) -> bool:
    return not other.code or one.code == other.code


def _best(field: Diagnostic, text: Diagnostic, heard: Diagnostic, cut_short: bool) -> Diagnostic:
    """Of several accounts, the one to go by: that of the report, unless another has the same reply in full."""
    if field.text or field.code:
        for other in (heard, text) if cut_short else ():
            if other.code == field.code and len(other.text) > len(field.text):
                return other
        return field
    for other in (heard, text):
        if other.code:
            return other
    return text if text.text else heard


def _of_block(block: Block | None, whole: str) -> Diagnostic:
    if block is None:
        return Diagnostic()
    told = _meat(block.text) or _meat(block.before)
    found = read_diagnostic(told)
    if _OWN_WORDS.match(block.before):
        return found._replace(text=" ".join(block.before.split()))
    if not found.code and block.text and found.text:
        # Without a reply, the first paragraph says why, and the others what to do.
        paragraphs = re.split(r"(?<!:)\n\s*\n", told, maxsplit=1)
        first = read_diagnostic(paragraphs[0])
        found = first._replace(status=first.status or found.status, server=first.server or found.server)
    if whole and not (found.code or found.status):
        other = read_diagnostic(_meat(whole))
        if other.code or not told or block.text == whole:
            return other
        if not _knows(found.text):
            return next((one for one in (other, read_diagnostic(whole)) if _knows(one.text)), found)
    return found


def _meat(text: str) -> str:
    """A text without what systems say of every failure; all of it if nothing else is in it."""
    paragraphs = [paragraph.strip() for paragraph in re.split(r"\n[ \t]*\n", text)]
    said = "\n\n".join(one for one in paragraphs if not _OPENING.match(one) or _REPLY.search(one))
    for rest in (_PHRASES.sub(" ", said), said, _PHRASES.sub(" ", text)):
        if re.search(r"\w{3}", rest):
            return rest.strip()
    return text.strip()


def _heard(told: Told, session: list[Exchange], count: int) -> Diagnostic:
    """The refusal in a transcript that this recipient got."""
    mine = [one for one in session if told.recipient and told.recipient.lower() in one.about]
    quoted = [one for one in mine if one.command] or [_cause(one, session) for one in mine]
    if not quoted:
        quoted = [one for one in session if count == 1 or not one.about]
    # What was refused after the first refusal was refused because of it.
    found = next(iter(quoted), None)
    if found is None:
        return Diagnostic()
    heard = read_diagnostic(found.text)
    return heard._replace(stage=found.stage or heard.stage, server=found.server or heard.server)


def _cause(said: Exchange, session: list[Exchange]) -> Exchange:
    """What the system says of a recipient after a refusal of the whole transaction: that refusal."""
    before = session[max(session.index(said) - 1, 0)]
    return before if before.command and not before.about else said


def _status(*candidates: str) -> str:
    """Of several enhanced status codes the first that says something; X.0.0 does not."""
    known = [status for status in candidates if status]
    return next((status for status in known if not status.endswith(".0.0")), known[0] if known else "")
