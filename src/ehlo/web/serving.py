"""Serves the application on the event loop of a lab."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from ehlo.lab.lab import Lab

if TYPE_CHECKING:
    import uvicorn

    from ehlo.web.feed import Feed

#: How long open pages have to finish when the lab stops, in seconds.
_GRACE = 2


class WebServer:
    """The page and the API of a lab. `release` is where messages may be released to, `names` are host names that
    pages may call it by, beyond this machine's own."""

    def __init__(self, lab: Lab, port: int = 0, *, release: str = "", names: frozenset[str] = frozenset()) -> None:
        self._lab = lab
        self._release = release
        self._names = names
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._feed: Feed | None = None
        self.port = port

    async def start(self, host: str) -> None:
        """Listen; `port` is where. Raises `OSError` when that is not possible."""
        # These take a third of a second to load, which a lab without a page does not pay.
        import uvicorn

        from ehlo.web.app import make_app
        from ehlo.web.context import Context
        from ehlo.web.feed import Feed
        from ehlo.web.readings import Readings

        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, self.port), family=family)
        self.port = int(listener.getsockname()[1])
        self._feed = Feed(self._lab)
        self._lab.watch(self._feed)
        app = make_app(Context(self._lab, self._feed, Readings(self._lab), self._release), self._names | {host})
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
        )
        self._server = uvicorn.Server(config)
        # The signals belong to whoever runs the loop.
        self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        self._task = asyncio.create_task(self._server.serve([listener]))

    async def stop(self) -> None:
        """Stop listening, and let open pages go."""
        if self._server is None or self._task is None:
            return
        if self._feed is not None:
            self._feed.close()
        self._server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
