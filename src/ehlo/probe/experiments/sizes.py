"""Does the way let large packets through? A ladder of sizes, without a message and without a long line.

What is sent must be large on the wire, must be answered, must not be delivered, and no line of it may be longer than
any server takes: else one that hangs up on a long line (RFC 5321 §4.5.3.1.4: 512 octets) looks like a way that loses
large packets. Two things are all that:

* Where PIPELINING is offered: MAIL, the same RCPT again and again, and RSET, in one write. RFC 2920 §3.1 lets these
  three stand anywhere in a group (NOOP may only end one, which Exim enforces); RSET takes back what was begun (RFC 5321
  §4.1.1.5), and nobody has made a mistake. A server takes at least 100 recipients (RFC 5321 §4.5.3.1.8), so this ends
  at some 3,000 octets, which is more than a packet of Ethernet.
* For more than that, and without PIPELINING, where CHUNKING is offered: BDAT outside a transaction. RFC 3030 §2 has the
  server take and discard the octets before it refuses them, and a chunk has no lines. There is no sender and no
  recipient, so there is nothing to deliver. But it is a mistake, and servers hang up after some: Exim after three.

Any reply shows that the octets arrived. Without one, how it ends tells what can be told: octets that the other end's
TCP never acknowledged were lost on the way; an end of the connection means that somebody got them and did not like it;
silence after they were acknowledged means no more than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from ehlo.net.errors import SessionError
from ehlo.probe.experiments.bench import Bench, Trial
from ehlo.probe.talk import Asking, NotDone, Talk
from ehlo.probe.walk import client_session
from ehlo.smtp.command import Command

#: Octets in one write: what fits every network, one packet of Ethernet, several, many.
_SIZES = (500, 1_000, 1_400, 1_500, 4_096, 16_384, 65_536)
#: From here on a write has a packet as large as Ethernet takes, whatever the headers are.
_FULL_PACKET = 4_096
#: RFC 5321 §4.5.3.1.8: so many recipients in one transaction every server takes.
_MAX_RECIPIENTS = 100
#: So many chunks that are refused every server forgives in one session.
_MAX_REFUSALS = 3
#: Octets of a chunk look like this, so that a server that takes them for commands after all answers and does no harm.
_LINE = b"NOOP " + b"x" * 505 + b"\r\n"

End = Literal["answered", "lost", "silent", "cut", "over", "misread"]
_ENDS: dict[End, str] = {
    "answered": "answered",
    "lost": "no answer, and the other end has not acknowledged it",
    "silent": "it arrived, and there was no answer",
    "cut": "the connection was closed",
    "over": "the server ended the session in order",
    "misread": "the server took the octets for commands",
}


class _Rung(NamedTuple):
    """One size, and how it ended."""

    size: int
    end: End
    said: str = ""


class _Step(NamedTuple):
    """One size that is to be tried, in a chunk or in a group of commands."""

    size: int
    in_chunk: bool


class _Ladder:
    """One session that sends more and more at a time, until something is not answered."""

    def __init__(self, steps: Sequence[_Step]) -> None:
        self.rungs: list[_Rung] = []
        self._steps = steps

    def climb(self, talk: Talk) -> Asking[None]:
        """What stands in place of the session's transaction."""
        for size, in_chunk in self._steps:
            try:
                end, said = yield from (self._chunk(talk, size) if in_chunk else self._group(talk, size))
            except NotDone as error:
                self.rungs.append(_Rung(size, "over", error.message))
                raise
            except SessionError as error:
                end = "cut" if error.error in ("closed", "reset") else "silent"
                self.rungs.append(_Rung(size, end, error.message))
                raise
            self.rungs.append(_Rung(size, end, said))
            if end != "answered":
                return

    def _chunk(self, talk: Talk, size: int) -> Asking[tuple[End, str]]:
        octets = (_LINE * (size // len(_LINE) + 1))[: size - 2] + b"\r\n"
        reply = yield from talk.discarded_chunk(octets)
        # Who agrees has taken the chunk for something else.
        return ("misread" if reply.ok else "answered"), str(reply)

    def _group(self, talk: Talk, size: int) -> Asking[tuple[End, str]]:
        first, last = talk.mail(b""), Command("RSET")
        rcpt = talk.rcpts()[0]
        room = size - len(first.encode()) - len(last.encode())
        yield from talk.ask_ahead([first, *[rcpt] * max(1, room // len(rcpt.encode())), last])
        reply = yield from talk.reply("mail")
        while talk.conn.awaiting:
            reply = yield from talk.reply("rcpt")
        return "answered", str(reply)


def trials(bench: Bench) -> Iterator[Trial]:
    """Up the ladder; and if a rung breaks, that rung and the one below once more, in a new session."""
    steps = _steps(bench)
    below: list[_Step] = []
    for number, flight in enumerate(_flights(steps)):
        rungs = _climb(bench, flight)
        yield from (_trial(rung, "") for rung in rungs)
        if any(rung.end in ("lost", "silent", "cut") for rung in rungs):
            broken = len(rungs) - 1
            below = [*below, *flight[: broken + 1]][-2:]
            if number or broken:
                yield from (_trial(rung, "again: ") for rung in _climb(bench, below))
        if len(rungs) < len(flight) or rungs[-1].end != "answered":
            return
        below = [flight[-1]]


def _steps(bench: Bench) -> list[_Step]:
    """What is tried, the smallest first."""
    in_group = 0
    if "PIPELINING" in bench.offered and bench.recipient is not None:
        recipients = min(bench.offered.limits.get("RCPTMAX", _MAX_RECIPIENTS), _MAX_RECIPIENTS)
        in_group = recipients * len(f"RCPT TO:<{bench.recipient.address}>\r\n".encode())
    steps = [_Step(size, size > in_group) for size in _SIZES]
    return [step for step in steps if not step.in_chunk or "CHUNKING" in bench.offered]


def _flights(steps: Sequence[_Step]) -> Iterator[list[_Step]]:
    """The steps of each session."""
    flight: list[_Step] = []
    for step in steps:
        if step.in_chunk and sum(each.in_chunk for each in flight) == _MAX_REFUSALS:
            yield flight
            flight = []
        flight.append(step)
    yield flight


def _climb(bench: Bench, steps: Sequence[_Step]) -> Sequence[_Rung]:
    ladder = _Ladder(steps)
    session = client_session(bench.plan._replace(stop_after="rcpt"), transaction=ladder.climb)
    bench.perform(session)
    lost = any(event.facts.get("unacknowledged") for event in session.recorder.events)
    return [rung._replace(end="lost") if rung.end == "silent" and lost else rung for rung in ladder.rungs]


def _trial(rung: _Rung, before: str) -> Trial:
    detail = rung.said if rung.end == "answered" else _ENDS[rung.end]
    return Trial(f"{before}{rung.size:,} octets at once", rung.end == "answered", detail, rung.end)


def hindrance(bench: Bench) -> str:
    """Why nothing large can be sent."""
    if _steps(bench):
        return ""
    return "the server offers neither CHUNKING nor PIPELINING: without them, only a message is large"


def conclude(_: Bench, trials: Sequence[Trial]) -> str:
    """What becomes of large packets, as far as it shows."""
    if all(trial.worked for trial in trials):
        return "size-does-not-matter"
    climbed = [trial for trial in trials if not trial.what.startswith("again")]
    again = trials[len(climbed) :]
    if len(climbed) < 2 or not again:
        return ""
    if again[-1].worked:
        return "works-now"
    if len(again) < 2 or climbed[-1].seen != again[-1].seen:
        return ""
    end = climbed[-1].seen
    full_packets_pass = f"{_FULL_PACKET:,} octets at once" in [trial.what for trial in climbed[:-1]]
    if end == "lost" and not full_packets_pass:
        return "path-mtu"
    return {"cut": "large-cut", "lost": "large-unanswered", "silent": "large-unanswered"}[end]
