"""What clients owe to servers, judged from a server's transcript.

    events ──> each duty: was it kept? ──> evidence ──> a rule of `data/rules/client.toml` ──> finding

A duty is a function that yields `Evidence` with the id of what was wrong as its `error`; a rule with that id in its
`errors` has the words. To add one, write the function, enter it in `_DUTIES`, and write the rule.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ehlo.diagnosis.evidence import Evidence
from ehlo.diagnosis.verdict import Finding
from ehlo.smtp.command import Command, CommandError, parse_command
from ehlo.smtp.states import CONNECT, CONTENT
from ehlo.transcript.event import Event
from ehlo.transcript.exchanges import Exchange, exchanges
from ehlo.transcript.transcript import Transcript

#: RFC 2920 §3.1: what may only be the last of a group, since what follows depends on the reply.
_ENDS_A_GROUP = frozenset({"EHLO", "HELO", "LHLO", "DATA", "VRFY", "EXPN", "TURN", "QUIT", "NOOP", "AUTH", "STARTTLS"})
#: RFC 5321 §4.5.3.2: the shortest that a client should be ready to wait, in seconds.
_PATIENCE = {"DATA": 120.0, CONTENT: 600.0}
_OTHER_PATIENCE = 300.0
#: RFC 5321 §4.5.4.1: between two attempts, in seconds. Tests have less time, so only a stampede is spoken of.
_STAMPEDE = 1.0
#: Before that, nobody can say that a client has not tried again, in seconds.
_SOON = 10.0
#: So many attempts with less than that between them make one.
_MANY = 3


class ServerSide(NamedTuple):
    """A session as its server saw it. `over` says whether it has ended.

    What duties ask of the whole session is found out once, in `server_side`, so that a session ten times as long takes
    ten times as long to judge, and no more. `answered` has for each event when the server's last line before it came,
    `offered` the keywords of all EHLO replies.
    """

    events: list[Event]
    steps: list[Exchange]
    over: bool
    answered: list[float]
    offered: frozenset[str]

    def command(self, step: Exchange) -> Command | None:
        """The command of an exchange, taken apart; None when it is none."""
        if step.command is None or step.command.kind != "line":
            return None
        try:
            return parse_command(step.command.data or b"")
        except CommandError:
            return None

    def ahead(self, step: Exchange) -> bool:
        """Whether the client said this before the reply to what came before it."""
        # The first event of an exchange with a command is that command.
        return step.command is not None and step.command.began < self.answered[step.numbers[0]]


def server_side(transcript: Transcript, *, over: bool) -> ServerSide:
    """A server's transcript, read once."""
    # The transcript of a session that runs grows meanwhile.
    events = list(transcript.events)
    steps = exchanges(events)
    answered: list[float] = []
    last = float("-inf")
    for event in events:
        answered.append(last)
        if event.who == "server" and event.kind == "line":
            last = event.t
    offered = frozenset(
        line.split(" ")[0].upper()
        for step in steps
        if step.verb in ("EHLO", "LHLO") and step.reply is not None and step.reply.ok
        for line in step.reply.lines[1:]
    )
    return ServerSide(events, steps, over, answered, offered)


def judge_client(
    transcript: Transcript, later: Iterable[Transcript] = (), *, over: bool = True, now: float = 0.0
) -> tuple[Finding, ...]:
    """What the client of a server's transcript did not do as it should; the weightiest first.

    `over` says whether the session has ended. `later` are the transcripts of the sessions after it, up to `now`
    (seconds since 1970), which show whether the client came back after a 4yz; at 0 nothing is said about that.
    """
    from ehlo.diagnosis.judge import findings_of

    session = server_side(transcript, over=over)
    evidence = [found for duty in _DUTIES for found in duty(session)]
    if over and now:
        evidence += _retries(transcript, later, now)
    return findings_of(_once_each(evidence))


def _once_each(evidence: Iterable[Evidence]) -> list[Evidence]:
    """One piece for each kind of mistake, with all events that show it."""
    kinds: dict[str, Evidence] = {}
    numbers: dict[str, dict[int, None]] = {}
    for piece in evidence:
        kinds.setdefault(piece.error, piece)
        numbers.setdefault(piece.error, {}).update(dict.fromkeys(piece.numbers))
    return [piece._replace(numbers=tuple(numbers[error])) for error, piece in kinds.items()]


def _found(error: str, step: Exchange, **subject: str) -> Evidence:
    seen = step.command.text if step.command is not None and step.command.kind == "line" else ""
    return Evidence(step.stage, step.numbers, error=error, seen=seen[:200], subject=subject)


# The duties, in the order of a session.


def _waits_for_the_greeting(session: ServerSide) -> Iterator[Evidence]:
    """RFC 5321 §3.1, §4.3.1: the server speaks first."""
    first = next((step for step in session.steps if step.command is not None), None)
    if first is not None and first.stage == "ehlo" and session.ahead(first):
        yield _found("early-talker", first)


def _leaves_when_turned_away(session: ServerSide) -> Iterator[Evidence]:
    """RFC 5321 §3.1: after 554 nothing but QUIT follows, and after 421 nothing at all."""
    closing = False
    for step in session.steps:
        if closing and step.verb not in ("QUIT", "") and step.command is not None and not session.ahead(step):
            yield _found("talks-on", step)
        refused = step.reply is not None and not step.reply.ok
        closing |= refused and (step.verb == CONNECT or (step.reply is not None and step.reply.code == 421))


def _names_itself(session: ServerSide) -> Iterator[Evidence]:
    """RFC 5321 §4.1.1.1, §4.1.4: a host name with its domain, or an address in brackets."""
    for step in session.steps:
        if step.verb in ("EHLO", "HELO", "LHLO") and step.command is not None:
            name = step.command.text.partition(" ")[2].strip()
            dotted = "." in name.strip(".") or (name.startswith("[") and name.endswith("]"))
            address = name.replace(".", "").isdecimal()
            if not dotted or address or "_" in name:
                yield _found("helo-name", step, helo=name or "(none)")
                return


def _pipelines_properly(session: ServerSide) -> Iterator[Evidence]:
    """RFC 2920 §3.1: only where it is offered, and nothing behind what has to end a group."""
    previous: Exchange | None = None
    for step in session.steps:
        if previous is not None and step.command is not None and session.ahead(step):
            if previous.verb == "DATA" and step.verb == CONTENT:
                yield _found("content-unasked", step)
            elif previous.verb in _ENDS_A_GROUP and previous.verb != "QUIT":
                yield _found("group-not-ended", step, command=previous.verb)
            elif previous.stage != "banner" and "PIPELINING" not in session.offered and previous.verb != CONTENT:
                yield _found("pipelined-unoffered", step)
        if step.command is not None:
            previous = step


def _encrypts(session: ServerSide) -> Iterator[Evidence]:
    """RFC 8314 §3, RFC 3207: what is offered for protection is used."""
    encrypted = False
    for step in session.steps:
        encrypted |= step.step is not None and step.step.kind == "tls" and step.outcome == "ok"
        if encrypted or step.command is None:
            continue
        if step.verb == "AUTH" and step.command.text.upper().startswith(("AUTH PLAIN", "AUTH LOGIN", "AUTH XOAUTH2")):
            yield _found("password-in-clear", step)
        elif step.verb == "MAIL" and "STARTTLS" in session.offered:
            yield _found("starttls-unused", step)


def _verifies(session: ServerSide) -> Iterator[Evidence]:
    """RFC 8314 §4.1, RFC 6125: a certificate in which something is wrong ends a session that needs security."""
    bad = next((event.fact("certificate") for event in session.events if event.fact("certificate")), "")
    relied = max((place for place, step in enumerate(session.steps) if step.verb in ("AUTH", "MAIL")), default=-1)
    for place, step in enumerate(session.steps):
        shaken = step.step is not None and step.step.kind == "tls" and step.outcome == "ok"
        if bad and shaken and place < relied:
            yield _found("certificate-not-checked", step, certificate=bad.replace("-", " "))
        if (failed := _failed_handshake(step)) and not bad:
            yield _found(_mistake_in_handshake(failed), step)._replace(seen=failed.fact("message"))


def _mistake_in_handshake(failed: Event) -> str:
    """What the client did wrong in a handshake that failed, as far as that can be told."""
    if " is not TLS but " in failed.fact("message"):
        return "no-tls"
    # RFC 8314 §3: with TLS from the start there is no greeting in clear; who waits for it says nothing.
    return "handshake-awaited" if (failed.fact("error"), failed.stage) == ("tls-cut", "tls") else "handshake-given-up"


def _failed_handshake(step: Exchange) -> Event | None:
    return step.problem if step.problem is not None and step.problem.kind == "tls" else None


def _heeds_replies(session: ServerSide) -> Iterator[Evidence]:
    """RFC 5321 §3.3, §4.1.4: what was refused cannot be built upon."""
    refused = ""
    for step in session.steps:
        if step.verb in ("RCPT", "DATA") and step.in_vain and not session.ahead(step):
            yield _found("refusal-ignored", step, command=refused)
        if step.verb in ("MAIL", "RCPT"):
            refused = step.verb


def _asks_once(session: ServerSide) -> Iterator[Evidence]:
    """RFC 5321 §4.2.1: a 5yz is an answer, and the same command will get it again."""
    refused: dict[str, Exchange] = {}
    for step in session.steps:
        if step.command is None or step.command.kind != "line" or step.verb not in ("MAIL", "RCPT", "AUTH"):
            continue
        text = step.command.text.lower()
        if text in refused and step.verb != "AUTH":
            yield _found("asked-again", step)
        if step.outcome == "refused" and not step.temporary:
            refused[text] = step


def _ends_lines(session: ServerSide) -> Iterator[Evidence]:
    """RFC 5321 §2.3.8: CRLF, and nothing else."""
    for step in session.steps:
        data = (step.command.data if step.command is not None else None) or b""
        if step.command is None:
            continue
        if (step.command.kind == "line" and data.endswith(b"\n") and not data.endswith(b"\r\n")) or (
            step.command.kind == "data" and data.count(b"\n") != data.count(b"\r\n")
        ):
            yield _found("bare-lf", step)


def _keeps_to_the_protocol(session: ServerSide) -> Iterator[Evidence]:
    """RFC 5321 §4.1: commands that exist, in their syntax, in their order."""
    for step in session.steps:
        if step.command is None or step.reply is None or step.command.kind != "line" or step.in_vain:
            continue
        if step.reply.code == 503:
            yield _found("wrong-order-by-client", step)
        elif step.reply.code == 501 and step.verb in ("MAIL", "RCPT", "EHLO", "HELO"):
            yield _found("wrong-syntax-by-client", step)


def _waits_and_says_goodbye(session: ServerSide) -> Iterator[Evidence]:
    """RFC 5321 §4.5.3.2, §4.1.1.10: patience, and QUIT."""
    if not session.over or not session.events:
        return
    if session.steps and _failed_handshake(session.steps[-1]):
        # Nobody owes a word any more, and nobody would understand QUIT.
        return
    last = session.events[-1]
    hung_up = last.kind == "close" and last.who == "client"
    if not hung_up or any(event.kind == "error" and event.fact("error") == "interrupted" for event in session.events):
        return
    if (place := _silent_since_handshake(session.events)) is not None:
        yield Evidence(session.events[place].stage, (place, len(session.events) - 1), error="left-after-handshake")
        return
    said = [event for event in session.events if event.kind in ("line", "data")]
    if said and said[-1].facts.get("partial"):
        # It broke off in its message: no answer was due, and that is told as what it is.
        return
    if not said or (said[-1].who == "client" and said[-1].kind in ("line", "data")):
        # The server owed an answer when the client left: the greeting, or a reply.
        began = said[-1].t if said else 0.0
        seconds = last.began - began
        step = session.steps[-1] if session.steps else None
        verb = step.verb if step is not None else ""
        numbers = (len(session.events) - 1,)
        if seconds < _PATIENCE.get(verb, _OTHER_PATIENCE):
            waited = f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}"
            yield Evidence(said[-1].stage if said else "banner", numbers, error="gave-up", subject={"seconds": waited})
        return
    if not any(step.verb == "QUIT" for step in session.steps):
        yield Evidence(last.stage, (len(session.events) - 1,), error="no-quit")


def _silent_since_handshake(events: list[Event]) -> int | None:
    """Where the last handshake is, if it went well, the client has said nothing since, and it was its turn."""
    place = max((place for place, event in enumerate(events) if event.kind == "tls"), default=None)
    if place is None or "error" in events[place].facts:
        return None
    since = {event.who for event in events[place:] if event.kind in ("line", "data")}
    # With TLS from the start the server greets first.
    return place if "client" not in since and (events[place].stage == "starttls" or "server" in since) else None


_DUTIES: tuple[Callable[[ServerSide], Iterator[Evidence]], ...] = (
    _encrypts,
    _verifies,
    _waits_for_the_greeting,
    _leaves_when_turned_away,
    _heeds_replies,
    _asks_once,
    _pipelines_properly,
    _ends_lines,
    _keeps_to_the_protocol,
    _names_itself,
    _waits_and_says_goodbye,
)


# Across sessions.


class _Attempt(NamedTuple):
    """One recipient in one session: how it went."""

    sender: str
    recipient: str
    at: float
    outcome: str
    numbers: tuple[int, ...]


def _attempts(transcript: Transcript) -> list[_Attempt]:
    out: list[_Attempt] = []
    session = server_side(transcript, over=True)
    started = transcript.header.started
    sender = ""
    open_recipients: dict[str, int] = {}
    for step in session.steps:
        command = session.command(step)
        path = command.path if command is not None else None
        if step.verb == "MAIL" and path is not None:
            sender = path.address.lower()
            open_recipients = {}
            if step.temporary:
                out.append(_Attempt(sender, "", started + step.ended, "postponed", step.numbers))
        elif step.verb == "RCPT" and path is not None:
            recipient = path.address.lower()
            outcome = "ok" if step.outcome == "ok" else "postponed" if step.temporary else "refused"
            open_recipients[recipient] = len(out)
            out.append(_Attempt(sender, recipient, started + step.ended, outcome, step.numbers))
        elif step.verb == CONTENT and step.reply is not None and not step.reply.ok:
            outcome = "postponed" if step.temporary else "refused"
            # RFC 2033 §4.2: in LMTP the reply is about one recipient.
            concerned = [step.recipient.lower()] if step.recipient else list(open_recipients)
            for index in [open_recipients[recipient] for recipient in concerned if recipient in open_recipients]:
                if out[index].outcome == "ok":
                    out[index] = out[index]._replace(outcome=outcome, numbers=step.numbers)
    return out


def _times(later: Iterable[Transcript]) -> dict[tuple[str, str], list[float]]:
    """When each recipient was tried in these sessions, by sender and recipient; with "" any recipient of a sender."""
    times: dict[tuple[str, str], list[float]] = {}
    for transcript in later:
        for attempt in _attempts(transcript):
            for recipient in {attempt.recipient, ""}:
                times.setdefault((attempt.sender, recipient), []).append(attempt.at)
    return {key: sorted(each) for key, each in times.items()}


def _retries(transcript: Transcript, later: Iterable[Transcript], now: float) -> Iterator[Evidence]:
    """RFC 5321 §4.5.4.1: what was put off is tried again, after a while; what was refused for good is not."""
    own = _attempts(transcript)
    if all(attempt.outcome == "ok" for attempt in own):
        # Nobody had to come back, so what came later need not be read.
        return
    times = _times(later)
    last = {attempt.recipient: attempt.at for attempt in sorted(own, key=lambda attempt: attempt.at)}
    for attempt in own:
        known = times.get((attempt.sender, attempt.recipient), [])
        first = bisect_right(known, attempt.at)
        again = len(known) - first
        if attempt.outcome == "postponed":
            came_back = again or last[attempt.recipient] > attempt.at
            if not came_back and now - attempt.at >= _SOON:
                seconds = f"{max(0.0, now - attempt.at):.0f}"
                yield Evidence(
                    "rcpt" if attempt.recipient else "mail",
                    attempt.numbers,
                    error="not-retried",
                    subject={"recipient": attempt.recipient or "the message", "seconds": seconds},
                )
            elif again >= _MANY and known[first + _MANY - 1] - attempt.at < _STAMPEDE:
                yield Evidence(
                    "rcpt", attempt.numbers, error="retried-too-fast", subject={"recipient": attempt.recipient}
                )
        elif attempt.outcome == "refused" and again:
            yield Evidence("rcpt", attempt.numbers, error="retried-in-vain", subject={"recipient": attempt.recipient})
