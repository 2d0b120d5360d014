"""A lab in a thread of its own, for tests and other ordinary code."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ehlo.lab.lab import Door, Lab
from ehlo.lab.policy import Message
from ehlo.lab.tables import ScenarioError
from ehlo.smtp.stages import Stage
from ehlo.transcript.transcript import Transcript

if TYPE_CHECKING:
    from ehlo.lab.faults import Switch


class RunningLab:
    """A lab in a thread, as a context manager. `host` and `port` are where it listens, `lab` is the lab itself."""

    def __init__(self, lab: Lab, host: str, port: int, doors: Mapping[Door, int] | None = None) -> None:
        self.lab = lab
        self.host = host
        self.port = port
        self._doors = doors
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="ehlo lab", daemon=True)
        self._started = threading.Event()
        self._error: OSError | ScenarioError | None = None
        self._stop = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        try:
            self.port = await self.lab.start(self.host, self.port, self._doors)
        except (OSError, ScenarioError) as error:
            self._error = error
            return
        finally:
            self._started.set()
        await self._stop.wait()
        await self.lab.stop()

    # What came in.

    @property
    def ports(self) -> Mapping[str, int]:
        """The port of each door."""
        return self.lab.ports

    @property
    def messages(self) -> list[Message]:
        """The messages that came in, the newest last."""
        return self.lab.messages

    @property
    def sessions(self) -> list[Transcript]:
        """The transcripts of the sessions, the newest last."""
        return self.lab.sessions

    def reset(self) -> None:
        """Behave as in the beginning, without a fault, and forget what came in."""
        self.lab.reset()

    def environment(self, authority: Path, url: str = "") -> dict[str, str]:
        """Variables that tell programs where the lab is; `authority` is a file with its certificate."""
        return self.lab.environment(authority, url)

    def wait_for(
        self,
        *,
        to: str = "",
        sender: str = "",
        subject: str = "",
        count: int = 1,
        timeout: float = 10.0,
    ) -> Message:
        """Wait for a message, and give it: the `count`th of those to this recipient, from this sender, with this
        text in the subject; whatever is left out may be anything, and letters are alike in either case. One that has
        come already counts.

        Raises `TimeoutError` after so many seconds; its text says what came instead. Raises `ValueError` for a count
        below 1.
        """
        if count < 1:
            raise ValueError(f"count is a number from 1 on, not {count}.")

        fitting: list[Message] = []

        def has_come() -> bool:
            fitting[:] = [
                message
                for message in self.messages
                if (not to or to.lower() in [path.address.lower() for path in message.recipients])
                and (not sender or sender.lower() == message.sender.address.lower())
                and (not subject or subject.lower() in message.subject.lower())
            ]
            return len(fitting) >= count

        # What was found then: it may be gone by now.
        if self.lab.wait_until(has_come, timeout):
            return fitting[count - 1]
        came = ", ".join(f"<{path.address}>" for message in self.messages for path in message.recipients) or "none"
        said = (("to", to), ("from", sender), ("subject", subject))
        wanted = ", ".join(f"{name} {value}" for name, value in said if value)
        what = f"{count} messages {wanted}".rstrip()
        raise TimeoutError(f"After {timeout:g} s there were {len(fitting)} of {what}; messages came for: {came}.")

    async def arrival(
        self,
        *,
        to: str = "",
        sender: str = "",
        subject: str = "",
        count: int = 1,
        timeout: float = 10.0,  # noqa: ASYNC109 - it is handed on to a thread
    ) -> Message:
        """`wait_for`, for code on an event loop."""
        wait_for = partial(self.wait_for, to=to, sender=sender, subject=subject, count=count, timeout=timeout)
        return await asyncio.to_thread(wait_for)

    # How it behaves.

    def fault(self, stage: Stage, *, title: str = "", **words: object) -> Switch:
        """Add a fault: `lab.fault("rcpt", reply="450 4.2.0 Greylisted", times=1)`.

        The words are those of a scenario's `when` and `do`, with `sender`, `recipient` and `within` for `from`, `to`
        and `for`, and `times` for `first`; `sender=""` is the null sender. Gives the switch, which can remove it again,
        or as a context manager does.
        Raises `ehlo.lab.scenario.ScenarioError`.
        """
        from ehlo.lab.scenario import make_fault

        return self.lab.faults.add(make_fault(stage, title, words))

    def scenario(self, name: str | Path) -> None:
        """Behave like a scenario that comes with ehlo, or of a file, which is read anew each time.

        Raises `ehlo.lab.scenario.ScenarioError`.
        """
        from ehlo.lab.scenario import load_scenario

        self.lab.use(load_scenario(name))

    def ssl_context(self) -> ssl.SSLContext:
        """A context for clients, that trusts the lab's authority and no other."""
        context = ssl.create_default_context()
        context.load_verify_locations(cadata=self.lab.identity.authority.decode("ascii"))
        return context
