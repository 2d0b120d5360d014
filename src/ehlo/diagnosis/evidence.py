"""Evidence: what rules are held against, taken from exchanges and events."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from ehlo.smtp.command import CommandError, parse_command
from ehlo.smtp.reply import Reply
from ehlo.smtp.stages import Stage
from ehlo.smtp.states import CONTENT, LAST_CHUNK
from ehlo.transcript.event import Event, Facts
from ehlo.transcript.exchanges import Exchange
from ehlo.transcript.transcript import Transcript

#: The errors that stand for a refusal of which nobody knows the stage and no rule the words, by its first digit.
UNEXPLAINED = {4: "postponed-unexplained", 5: "refused-unexplained"}
#: The same for a connection that was lost, or on which nothing came any more, by what happened.
SOMEWHERE = {"closed": "lost-somewhere", "reset": "lost-somewhere", "timed-out": "silent-somewhere"}
#: The connection was lost, or nothing came, after a whole message: the server may have it (RFC 1047).
UNANSWERED_MESSAGE = "unanswered-message"
#: A reply began and did not end: its last line says that more follows (RFC 5321 §4.2.1).
NOT_ENDED = "reply-not-ended"
#: A record of TLS came where a greeting was due (RFC 8446 §5.1): its type, and the version.
TLS_RECORD = "tls-record"
_TLS_RECORD = re.compile(rb"[\x14-\x17]\x03[\x00-\x04]")
#: DATA was refused, and no RCPT had been sent: that refusals of RCPT went before, as servers say, is not so.
NO_RECIPIENT_NAMED = "no-recipient-named"
#: No login was offered, but STARTTLS, and nobody encrypted.
AUTH_NOT_OFFERED, AUTH_NOT_OFFERED_IN_CLEAR = "auth-not-offered", "auth-not-offered-in-clear"
#: A login by a token was refused, whatever the words: they are mostly those for a password.
TOKEN_REFUSED = "token-refused"  # noqa: S105 - an error
#: The mechanisms of AUTH that take a token (RFC 7628).
TOKEN_MECHANISMS = frozenset({"XOAUTH2", "OAUTHBEARER"})
#: EHLO was not known, and HELO was taken: that is how a client finds out, and no failure.
HELO_ALONE = "helo-alone"
#: Of a line that is no reply, as many characters are shown.
_SEEN = 200
#: Commands that belong to no stage: what they are answered says nothing of the stage at which they were given.
_ASIDE = frozenset({"VRFY", "EXPN", "HELP", "NOOP", "ETRN"})


class Evidence(NamedTuple):
    """One thing that went wrong, or is noteworthy: a refusal, an error, or a certificate's problem.

    Just one of `reply`, `error` and `certificate` is set, unless a reply is evidence of an error, or of what its words
    and codes do not say, such as `UNEXPLAINED`: then rules about that hold, and `seen` is the reply. `seen` is what
    came over the wire or from the system; `subject` what the rule's texts may name.
    """

    stage: Stage
    numbers: tuple[int, ...]
    reply: Reply | None = None
    error: str = ""
    certificate: str = ""
    seen: str = ""
    subject: Mapping[str, str] = MappingProxyType({})


def evidence_of(exchange: Exchange, events: Sequence[Event], subject: dict[str, str]) -> Evidence:
    """The evidence in an exchange that did not go well, of a session with these events."""
    subject = {**subject, **_subject_of(exchange), "stage": exchange.stage}
    if exchange.problem is not None:
        problem = exchange.problem
        return Evidence(
            exchange.stage,
            exchange.numbers,
            error=_error_of(exchange, problem, events),
            seen=_unfinished_reply(exchange, events) or problem.fact("message"),
            subject=subject,
        )
    evidence = Evidence(
        exchange.stage, exchange.numbers, exchange.reply, seen=str(exchange.reply or ""), subject=subject
    )
    if exchange.command is not None and (exchange.question or exchange.verb in _ASIDE):
        command = exchange.command.text[:_SEEN]
        return evidence._replace(error="question-refused", subject={**subject, "command": command})
    if _answers_proxy_header(exchange, events):
        return evidence._replace(error="proxy-header-refused")
    return evidence


def _error_of(exchange: Exchange, problem: Event, events: Sequence[Event]) -> str:
    """The error that rules know: what happened, in the light of what had come by then."""
    error = problem.fact("error")
    if error in SOMEWHERE and _sent_a_message(exchange, events):
        return UNANSWERED_MESSAGE
    said = [event.data or b"" for event in map(events.__getitem__, exchange.numbers) if event.who == "server"]
    if exchange.stage == "banner" and said and _TLS_RECORD.match(said[0]):
        return TLS_RECORD
    # Of a message it matters more that nobody knows whether it was taken, of QUIT that all was done.
    return NOT_ENDED if error == "timed-out" and said and exchange.stage not in ("message", "quit") else error


def _sent_a_message(exchange: Exchange, events: Sequence[Event]) -> bool:
    """Whether a message was sent up to its end before the problem, and nothing says that it has not arrived."""
    sent = [events[number] for number in exchange.numbers if events[number].kind == "data"]
    whole = exchange.verb in (CONTENT, LAST_CHUNK) and bool(sent) and not sent[-1].facts.get("partial")
    return whole and exchange.problem is not None and not exchange.problem.facts.get("unacknowledged")


def _answers_proxy_header(exchange: Exchange, events: Sequence[Event]) -> bool:
    """Whether it may be the client's header of the PROXY protocol that is refused, not the greeting or EHLO: it was
    sent before them, and no EHLO went well since."""
    before = events[: exchange.numbers[0]]
    sent = any(event.kind == "note" and event.facts.get("proxy") is True for event in before)
    greeted = any(event.who == "server" and event.stage == "ehlo" for event in before)
    return sent and not greeted and exchange.stage in ("banner", "ehlo", "quit")


def _unfinished_reply(exchange: Exchange, events: Sequence[Event]) -> str:
    """The last line that the server sent instead of a proper reply; empty if it sent none."""
    lines = [events[number] for number in exchange.numbers if events[number].who == "server"]
    return f"S: {lines[-1].text[:_SEEN]}" if lines and lines[-1].kind == "line" else ""


def certificate_evidence(exchange: Exchange, subject: dict[str, str]) -> list[Evidence]:
    """The evidence in a handshake whose certificate does not verify, for each thing that is wrong with it."""
    step = exchange.step
    if step is None or step.kind != "tls":
        return []
    return [
        Evidence(
            exchange.stage,
            exchange.numbers,
            certificate=problem,
            seen=words,
            subject={**subject, "stage": exchange.stage, "host": step.fact("name") or subject.get("host", "")},
        )
        for problem, words in certificate_problems(step.facts).items()
    ]


def certificate_problems(facts: Facts) -> dict[str, str]:
    """The ids of all that is wrong with the certificate of a handshake, each in the TLS library's words."""
    problems = facts.get("problems")
    if isinstance(problems, dict):
        return {problem: str(words) for problem, words in problems.items()}
    # Records of older versions have the first alone.
    problem = facts.get("problem")
    return {str(problem): str(facts.get("detail") or "")} if problem else {}


def masked_evidence(exchange: Exchange, subject: dict[str, str]) -> Evidence | None:
    """The evidence in a greeting that a device on the way has overwritten; such a server otherwise does well."""
    if exchange.stage not in ("banner", "ehlo") or exchange.reply is None:
        return None
    masked = next((line for line in exchange.reply.lines if "*****" in line or "XXXXXXX" in line), None)
    if masked is None:
        return None
    seen = f"S: {exchange.reply.code} {masked}"[:_SEEN]
    return Evidence(exchange.stage, exchange.numbers, error=f"masked-{exchange.stage}", seen=seen, subject=subject)


def session_subject(transcript: Transcript) -> dict[str, str]:
    """What a whole session is about: its host and its address."""
    subject = {"host": transcript.header.target, "address": transcript.header.target}
    for event in transcript.events:
        if event.kind == "dns" and event.fact("name"):
            subject["host"] = event.fact("name")
        elif event.kind == "connect":
            subject["address"] = _address(event)
    return subject


def _subject_of(exchange: Exchange) -> dict[str, str]:
    if exchange.step is not None and exchange.step.kind == "connect":
        return {"address": _address(exchange.step)}
    if exchange.command is None or exchange.command.kind != "line":
        return {}
    try:
        command = parse_command(exchange.command.data or b"")
    except CommandError:
        return {}
    if command.path is not None:
        name = "sender" if command.verb == "MAIL" else "recipient"
        return {name: command.path.address or "<>"}
    return {"helo": command.argument} if command.verb in ("EHLO", "HELO") else {}


def _address(event: Event) -> str:
    host, port = event.fact("address"), event.fact("port")
    if not host or port == "0":
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
