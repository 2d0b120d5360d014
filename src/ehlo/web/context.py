"""What every request can reach: the lab, the feed, what was read of sessions, and where messages may be released to."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse

if TYPE_CHECKING:
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

    async def send_on(self, sender: str, recipients: list[str], content: bytes) -> str:
        """Send a message to the target of releases; what went wrong in one sentence, or nothing."""
        return await asyncio.to_thread(_send, self.release, sender, recipients, content)


def _send(target: str, sender: str, recipients: list[str], content: bytes) -> str:
    from ehlo.client import AddressError, LocalProtocolError, NotDone, SessionError, TargetError, connect

    try:
        with connect(target) as smtp:
            smtp.ehlo()
            if "STARTTLS" in smtp.capabilities:
                smtp.starttls()
                smtp.ehlo()
            refusals = [reply for reply in smtp.send(sender, recipients, content) if not reply.ok]
    except (AddressError, LocalProtocolError, NotDone, SessionError, TargetError) as error:
        return f"{target} did not take the message: {error}"
    return f"{target} refused the message: {refusals[0]}" if refusals else ""


def context_of(request: Request) -> Context:
    """The context of a request."""
    return cast("Context", request.app.state.context)
