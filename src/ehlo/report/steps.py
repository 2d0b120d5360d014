"""Steps: the exchanges of a session as the lines of a report, one a stage or more, in words.

    exchanges ──> StepReader ──> steps: what was said, how it went, how long this side waited for it

Every second of waiting belongs to just one step: an exchange without a line of its own (STARTTLS, whose handshake has
the line; a challenge within AUTH) leaves its time to the next, and of commands sent ahead each is charged with what it
took beyond the reply before it. So the steps add up to the session, without what this side took between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from ehlo.net.intents import endpoint
from ehlo.report.text import size
from ehlo.smtp.capabilities import Capabilities, parse_capabilities
from ehlo.smtp.command import CommandError, parse_command
from ehlo.smtp.reply import Reply
from ehlo.smtp.stages import Stage
from ehlo.smtp.states import CONTENT, LAST_CHUNK, VERBS
from ehlo.transcript.event import Event
from ehlo.transcript.exchanges import Exchange, Outcome

if TYPE_CHECKING:
    from ehlo.report.encryption import Detail


#: From when to when, in seconds since the session began.
Span = tuple[float, float]


class Step(NamedTuple):
    """One line of a report. `spans` are the times that this side waited for it, in order; `keep` is how many
    characters at the summary's start must not be cut, `shorter` what stands for the summary where there is less room,
    the longest first; `details` are further lines, `notes` oddities of the server that were forgiven."""

    stage: Stage
    outcome: Outcome
    spans: tuple[Span, ...]
    summary: str
    keep: int = 0
    notes: tuple[str, ...] = ()
    details: tuple[Detail, ...] = ()
    shorter: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it took."""
        return sum(end - begin for begin, end in self.spans)


class StepReader:
    """Turns exchanges into steps as they come. Some exchanges are not worth a line."""

    def __init__(self) -> None:
        self._capabilities: Capabilities | None = None
        self._mechanism = ""
        self._in_auth = False
        self._encrypted = False
        self._spans: list[Span] = []
        self._until = 0.0

    def feed(self, exchange: Exchange) -> Step | None:
        """The line for an exchange, or None."""
        if exchange.step is not None and exchange.step.kind == "note":
            # A stage that was left out took no time.
            return Step(exchange.stage, exchange.outcome, (), exchange.step.fact("message"))
        self._count(exchange)
        step = self._step(exchange)
        if step is None:
            return None
        self._spans = []
        if exchange.reply is None or not exchange.reply.deviations:
            return step
        return step._replace(notes=tuple(deviation.meaning for deviation in exchange.reply.deviations))

    def _count(self, exchange: Exchange) -> None:
        """Keep the time that an exchange took. What was sent ahead (RFC 2920) is waited for one after the other."""
        begin = max(exchange.began, self._until)
        end = max(exchange.ended, begin)
        if self._spans and exchange.step is not None:
            # What this side does between the reply to STARTTLS and its first octet of TLS belongs to the handshake.
            begin = self._spans.pop()[0]
        self._spans.append((begin, end))
        self._until = end

    def _step(self, exchange: Exchange) -> Step | None:
        stage, spans = exchange.stage, tuple(self._spans)
        if exchange.problem is not None:
            self._in_auth = False
            return Step(stage, "failed", spans, _problem_summary(exchange, exchange.problem))
        if exchange.step is not None:
            self._encrypted |= exchange.step.kind == "tls"
            return _network_step(exchange.step, exchange.outcome, spans)
        reply = exchange.reply
        if reply is None:
            return Step(stage, "failed", spans, "no answer")
        before = _before_reply(exchange)
        if exchange.verb == "AUTH":
            if not self._in_auth:
                self._mechanism = _mechanism(exchange)
            self._in_auth = reply.category == 3
            before = self._mechanism
        if stage == "auth" and reply.category == 3:
            return None
        if exchange.verb == "STARTTLS" and reply.category == 2:
            # The handshake that follows has the line.
            return None
        if exchange.verb in ("EHLO", "HELO", "LHLO") and reply.category == 2:
            return self._ehlo_step(reply, spans)
        text = before + str(reply)
        status = reply.enhanced
        keep = len(before) + (len(f"{reply.code} {status}") if status else len(str(reply.code)))
        return Step(stage, exchange.outcome, spans, text, keep)

    def _ehlo_step(self, reply: Reply, spans: tuple[Span, ...]) -> Step:
        before, now = self._capabilities, parse_capabilities(reply)
        self._capabilities = now
        if not now.keywords:
            return Step("ehlo", "ok", spans, f"{reply} (no extensions)", keep=3)
        if before is None:
            return Step("ehlo", "ok", spans, "  ".join(map(_keyword, now.lines())))
        added = [line for line in now.lines() if line not in tuple(before.lines())]
        # After STARTTLS the same list comes again; what is new in it is AUTH, if anything.
        where = "under TLS" if self._encrypted else "again"
        new = f"{where} also:  " + "  ".join(map(_keyword, added)) if added else f"{where}: the same"
        return Step("ehlo", "ok", spans, new)


def _keyword(line: str) -> str:
    keyword, _, value = line.partition(" ")
    if keyword == "SIZE" and value.isdecimal():
        return f"SIZE {size(int(value))}" if int(value) else "SIZE without limit"
    return line


def _before_reply(exchange: Exchange) -> str:
    """What was asked, where the stage alone does not tell."""
    command = exchange.command
    if command is None:
        return ""
    if exchange.recipient:
        return f"{exchange.recipient}: "
    if exchange.verb == CONTENT:
        return f"{size(len(command.data or b''))}: "
    if exchange.verb in ("BDAT", LAST_CHUNK):
        return f"{command.text}: "
    if exchange.verb == "RCPT":
        try:
            path = parse_command(command.data or b"").path
        except CommandError:
            return ""
        return f"{path.address}: " if path is not None else ""
    if exchange.verb in ("", "MAIL", "DATA", "QUIT", "EHLO", "LHLO", "AUTH"):
        return ""
    # As it was said: it may be no command at all, or a secret that was taken out.
    return f"{exchange.verb if exchange.verb in VERBS else command.text.split()[0]}: "


def _mechanism(exchange: Exchange) -> str:
    """By what somebody logs in, and what is said against that."""
    words = exchange.command.text.split(None, 2) if exchange.command is not None else []
    # Sessions without a login must not pay for importing it.
    from ehlo.smtp.sasl import mechanism_offered

    mechanism = mechanism_offered(words[1]) if len(words) > 1 else None
    if mechanism is None:
        return ""
    standing = f" ({mechanism.standing})" if mechanism.standing else ""
    return f"{mechanism.keyword}{standing}: "


_PROBLEMS = {
    "refused": "connection refused",
    "timed-out": "no answer in time",
    "unreachable": "no route to this address",
    "reset": "connection cut",
    "closed": "connection closed by the other side",
    "no-such-host": "no such host",
    "no-address": "no address of this kind",
    "dns-failed": "the DNS gave no answer",
    "no-mail": "null MX: takes no mail",
    "no-such-socket": "no such socket",
    "not-permitted": "not permitted",
}


def _problem_summary(exchange: Exchange, problem: Event) -> str:
    error = problem.fact("error")
    words = _PROBLEMS.get(error) or problem.fact("message") or error
    if problem.kind == "connect":
        return "  ".join(filter(None, (_address(problem), words)))
    if problem.kind == "dns":
        return "  ".join(filter(None, (problem.fact("name"), words)))
    if error == "timed-out" and len(exchange.numbers) > (2 if exchange.command is not None else 1):
        words = "the reply did not end in time"
    before = _before_reply(exchange)
    return before + words


def _network_step(event: Event, outcome: Outcome, spans: tuple[Span, ...]) -> Step:
    """The line for a step of the network that went well, or was skipped."""
    if event.kind == "tls":
        # Sessions without TLS must not pay for importing it.
        from ehlo.report.encryption import tls_details, tls_summary

        summary, *shorter = tls_summary(event.facts)
        return Step(event.stage, outcome, spans, summary, details=tls_details(event.facts), shorter=tuple(shorter))
    if event.kind == "connect":
        return Step(event.stage, outcome, spans, _address(event))
    if event.kind == "dns":
        return Step(event.stage, outcome, spans, _dns_summary(event))
    return Step(event.stage, outcome, spans, event.fact("message"))


def network_step(event: Event) -> Step:
    """The line for a step of the network by itself."""
    spans = ((event.began, max(event.t, event.began)),)
    if "error" in event.facts:
        exchange = Exchange(event.stage, "", (), event.began, event.t, problem=event)
        return Step(event.stage, "failed", spans, _problem_summary(exchange, event))
    return _network_step(event, "ok", spans)


def _address(step: Event) -> str:
    host, port = step.fact("address"), step.fact("port")
    return endpoint(host, port) if host and port != "0" else host


def _dns_summary(step: Event) -> str:
    answers = [str(answer) for answer in cast("list[object]", step.facts.get("answers") or [])]
    if step.fact("query") == "MX":
        return "MX " + ", ".join(answers)
    ipv4 = [answer for answer in answers if ":" not in answer]
    ipv6 = [answer for answer in answers if ":" in answer]
    return f"A {', '.join(ipv4) or 'none'}, AAAA {', '.join(ipv6) or 'none'}"
