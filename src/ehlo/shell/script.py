"""A shell without a terminal: lines from standard input, what came of them on standard output.

A line `< 250` is an expectation: the last reply must have this code, and contain what stands behind it.
What cannot be done ends the script, and says at which line.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import AsyncIterator
from typing import TextIO

from ehlo.diagnosis.verdict import EXIT_STATUS
from ehlo.shell.shell import CommandFailed, Shell
from ehlo.smtp.reply import Reply
from ehlo.smtp.stages import Stage
from ehlo.smtp.states import VERBS, State

#: "250", "25", "2", "5yz", with or without text behind it.
_EXPECTATION = re.compile(r"<\s*([2-5][0-9]{0,2}|[2-5]yz)(?:[ -](.*))?$")
#: What a script must not leave unfinished.
_INSIDE: dict[State, tuple[str, Stage]] = {
    State.CONTENT: ("inside the message", "message"),
    State.CHUNKING: ("inside the message", "message"),
    State.AUTH: ("inside the AUTH exchange", "auth"),
    State.TLS: ("before the TLS handshake", "starttls"),
}


class NoQuestions:
    """There is nobody to ask."""

    async def ask(self, what: str, *, secret: bool = False) -> str:  # noqa: ARG002
        """Raises `CommandFailed`."""
        text = f"There is nobody to ask for the {what}; the command line must have it (--user, --password-file …)."
        raise CommandFailed(text, EXIT_STATUS["auth"])


async def run_script(shell: Shell, stream: TextIO, errors: TextIO) -> int:
    """Run the lines of a stream; gives the exit status.

    That is 0 when all expectations were met, the stage's when one was not or something could not be done, 2 when
    a line is wrong; without expectations, the verdict's.
    """
    number = expected = 0
    if not await shell.open():
        return shell.exit_status()
    try:
        async for line in _lines(stream):
            number += 1
            expected += await _run(shell, line)
            if shell.left:
                break
        if shell.state in _INSIDE and not shell.over and not shell.left:
            where, stage = _INSIDE[shell.state]
            raise CommandFailed(f"the script ended {where}", EXIT_STATUS[stage])
    except CommandFailed as failed:
        errors.write(f"ehlo shell: line {number}: {failed}\n")
        await shell.close(f"the script ended at line {number}")
        return failed.status
    await shell.close()
    return 0 if expected else shell.exit_status()


async def _run(shell: Shell, line: str) -> bool:
    """Run one line; whether it was an expectation. Raises `CommandFailed`."""
    in_message = shell.state is State.CONTENT and not shell.over
    if not in_message and (not line.strip() or line.startswith("#")):
        return False
    if not in_message and line.startswith("<"):
        _expect(shell, line)
        return True
    if shell.over and not line.startswith(":"):
        status = shell.exit_status() or shell.status_here()
        # What is no command, or is AUTH, may be a password.
        shown = line if line.split(None, 1)[0].upper() in VERBS - {"AUTH"} else "a line that may be a secret"
        raise CommandFailed(f"the session is over, so this was not sent: {shown}", status)
    if problem := shell.hint(line):
        shell.view.hint(problem)
    await shell.handle(line)
    return False


def _expect(shell: Shell, line: str) -> None:
    if problem := shell.view.without_secrets(unmet(line, shell.answer)):
        status = EXIT_STATUS[shell.last_stage] if shell.answer is not None else shell.status_here()
        raise CommandFailed(problem, status) if _EXPECTATION.match(line) else CommandFailed(problem)


def unmet(line: str, reply: Reply | None) -> str:
    """What is wrong when an expectation is not met; empty when it is. `reply` None: there was no answer."""
    found = _EXPECTATION.match(line)
    if found is None:
        return f"'{line}' is no expectation; the form is < CODE or < CODE TEXT, for example < 250 or < 5yz."
    code, text = found[1].removesuffix("yz"), (found[2] or "").strip()
    if reply is None:
        return f"expected {found[1]}, but the server has not answered."
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
