"""What every request can reach: the lab, the feed, what was read of sessions, and where messages may be released to."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from starlette.requests import Request
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from ehlo.client import Client, Reply
    from ehlo.lab.lab import Lab
    from ehlo.web.feed import Feed
    from ehlo.web.readings import Readings


#: A request is small; what is larger is not meant for us.
MAX_BODY = 1_000_000
_BEYOND_ASCII = re.compile(r"[^\0-\x7f]+")
#: What stands for octets that are no characters (PEP 383). What readers make of it in JSON is open (RFC 8259 §8.2).
_SURROGATE = re.compile("[\ud800-\udfff]")


def to_json(content: Any) -> str:
    """JSON in ASCII and on one line. What came over the wire and is no character becomes U+FFFD."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text if text.isascii() else _BEYOND_ASCII.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(_SURROGATE.sub("\ufffd", found[0]))[1:-1]


class Json(JSONResponse):
    """JSON that every reader can read."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return to_json(content).encode("ascii")


class Context:
    """The lab behind the page. `release` is the target of released messages, empty for none."""

    def __init__(self, lab: Lab, feed: Feed, readings: Readings, release: str = "") -> None:
        self.lab = lab
        self.feed = feed
        self.readings = readings
        self.release = release

    async def send_on(self, sender: str, recipients: list[str], content: bytes) -> Released:
        """Send a message to the target of releases."""
        return await asyncio.to_thread(_send, self.release, sender, recipients, content)


class Released(NamedTuple):
    """What became of a release: whom the server took the message for, its replies to those for whom it did not, and
    what went wrong in one sentence, if anything did."""

    accepted: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    problem: str = ""


def _send(target: str, sender: str, recipients: list[str], content: bytes) -> Released:
    from ehlo.client import AddressError, LocalProtocolError, NotDone, SessionError, TargetError, connect

    try:
        with connect(target) as smtp:
            smtp.ehlo()
            if "STARTTLS" in smtp.capabilities:
                smtp.starttls()
                smtp.ehlo()
            replies = _hand_over(smtp, sender, recipients, content)
    except (AddressError, LocalProtocolError, NotDone, SessionError, TargetError) as error:
        return Released(problem=f"{target} did not take the message: {error}")
    accepted = tuple(recipient for recipient, reply in replies if reply.ok)
    refused = tuple((recipient, str(reply)) for recipient, reply in replies if not reply.ok)
    return Released(accepted, refused, _problem(target, accepted, refused))


def _hand_over(smtp: Client, sender: str, recipients: list[str], content: bytes) -> list[tuple[str, Reply]]:
    """The reply that decided on each recipient."""
    from ehlo.transcript.exchanges import exchanges

    replies = smtp.send(sender, recipients, content)
    asked = [step.reply for step in exchanges(smtp.transcript.events) if step.verb == "RCPT" and step.reply is not None]
    if not asked:
        # The sender was refused.
        return [(recipient, replies[0]) for recipient in recipients]
    # RFC 2033 §4.2: in LMTP the message gets a reply for each recipient, else one for all.
    ends = replies[sum(not reply.ok for reply in asked) :]
    last = iter(ends if len(ends) > 1 else ends * len(asked))
    return [(recipient, next(last) if reply.ok else reply) for recipient, reply in zip(recipients, asked, strict=True)]


def _problem(target: str, accepted: tuple[str, ...], refused: tuple[tuple[str, str], ...]) -> str:
    if not refused:
        return ""
    replies = dict.fromkeys(reply for _, reply in refused)
    if not accepted and len(replies) == 1:
        return f"{target} refused the message: {next(iter(replies))}"
    told = f"{target} took the message for {', '.join(accepted)}, and" if accepted else f"{target}"
    return f"{told} refused it for {'; '.join(f'{recipient}: {reply}' for recipient, reply in refused)}"


def context_of(request: Request) -> Context:
    """The context of a request."""
    return cast("Context", request.app.state.context)
