"""What every request can reach: the lab, the feed, and where messages may be released to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from starlette.requests import Request

if TYPE_CHECKING:
    from ehlo.lab.lab import Lab
    from ehlo.web.feed import Feed


class Context:
    """The lab behind the page. `release` is the target of released messages, empty for none."""

    def __init__(self, lab: Lab, feed: Feed, release: str = "") -> None:
        self.lab = lab
        self.feed = feed
        self.release = release

    async def send_on(self, sender: str, recipients: list[str], content: bytes) -> str:
        """Send a message to the target of releases; what went wrong in one sentence, or nothing."""
        return await asyncio.to_thread(_send, self.release, sender, recipients, content)


def _send(target: str, sender: str, recipients: list[str], content: bytes) -> str:
    from ehlo.client import NotDone, SessionError, TargetError, connect

    try:
        with connect(target) as smtp:
            refusals = [reply for reply in smtp.send(sender, recipients, content) if not reply.ok]
    except (SessionError, NotDone, TargetError) as error:
        return f"{target} did not take the message: {error}"
    return f"{target} refused the message: {refusals[0]}" if refusals else ""


def context_of(request: Request) -> Context:
    """The context of a request."""
    return cast("Context", request.app.state.context)
