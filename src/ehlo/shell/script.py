"""A shell without a terminal: lines from standard input, what came of them on standard output.

A line `< 250` is an expectation: the last reply must have this code, and contain what stands behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import AsyncIterator
from typing import TextIO

from ehlo.shell.shell import Shell
from ehlo.smtp.reply import Reply
from ehlo.smtp.states import State

#: "250", "25", "2", "5yz", with or without text behind it.
_EXPECTATION = re.compile(r"<\s*([2-5][0-9]{0,2}|[2-5]yz)(?:[ -](.*))?$")


class NoQuestions:
    """There is nobody to ask."""

    async def ask(self, what: str, *, secret: bool = False) -> str:  # noqa: ARG002
        """Nothing."""
        return ""


async def run_script(shell: Shell, stream: TextIO, errors: TextIO) -> int:
    """Run the lines of a stream; gives the exit status.

    That is 0 when all expectations were met, the stage's when one was not; without expectations, the
    verdict's.
    """
    expected = 0
    number = 0
    if not await shell.open():
        return shell.exit_status()
    async for line in _lines(stream):
        number += 1
        in_message = shell.state is State.CONTENT and not shell.over
        if not in_message and (not line.strip() or line.startswith("#")):
            continue
        if not in_message and line.startswith("<"):
            expected += 1
            if problem := unmet(line, shell.last_reply):
                errors.write(f"ehlo shell: line {number}: {problem}\n")
                status = shell.status_at(shell.last_stage)
                await shell.close()
                return status
            continue
        if shell.over and not line.startswith(":"):
            errors.write(f"ehlo shell: line {number}: the session is over, so this was not sent: {line}\n")
            return shell.exit_status() or shell.status_at(shell.last_stage)
        if problem := shell.hint(line):
            shell.view.hint(problem)
        await shell.handle(line)
        if shell.left:
            break
    await shell.close()
    return 0 if expected else shell.exit_status()


def unmet(line: str, reply: Reply | None) -> str:
    """What is wrong when an expectation is not met; empty when it is."""
    found = _EXPECTATION.match(line)
    if found is None:
        return f"'{line}' is no expectation; the form is < CODE or < CODE TEXT, for example < 250 or < 5yz."
    code, text = found[1].removesuffix("yz"), (found[2] or "").strip()
    if reply is None:
        return f"expected {found[1]}, but the server has said nothing."
    if str(reply.code).startswith(code) and text in " ".join(reply.lines):
        return ""
    wanted = f"{found[1]} {text}".strip()
    return f"expected {wanted}, got {str(reply)[:300]}"


async def _lines(stream: TextIO) -> AsyncIterator[str]:
    """The lines of a stream as they come, read beside the session."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        # The loop may be gone when the next line comes, after Ctrl-C.
        with contextlib.suppress(RuntimeError):
            for line in stream:
                loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, "")

    # A thread of the loop's own executor would keep the program from ending while it waits for a line.
    threading.Thread(target=read, daemon=True).start()
    while line := await lines.get():
        yield line.rstrip("\r\n")
