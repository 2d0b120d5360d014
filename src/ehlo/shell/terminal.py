"""The shell on a terminal: a prompt that completes, history, lines shown as they come (prompt_toolkit)."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys
import termios
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app, get_app_or_none, run_in_terminal
from prompt_toolkit.completion import CompleteEvent, Completer, PathCompleter
from prompt_toolkit.completion import Completion as Offer
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory

from ehlo.report.text import width_of
from ehlo.shell.history import SafeHistory, history_file
from ehlo.shell.shell import CommandFailed, Shell
from ehlo.smtp.states import State

_PROMPT = "» "
_MESSAGE_PROMPT = "│ "
#: A file's name is due behind these.
_BEFORE_FILE = re.compile(r":(?:send |save |chunk (?:last )?@)")
#: What may come next where it is no command.
_NEXT = {
    State.TLS: ":starttls makes it",
    State.AUTH: "base64, or * to give up",
}


class Screen:
    """Writes lines above the prompt while there is one, and in the order in which they come.

    (`patch_stdout` writes from a thread, a fifth of a second late: answers then stand below the next prompt.)
    """

    def __init__(self, put: Callable[[str], None]) -> None:
        self._put = put
        self._waiting: list[str] = []

    def write(self, line: str) -> None:
        """Write a line, now or as soon as the prompt has made room."""
        self._waiting.append(line)
        app = get_app_or_none()
        if app is None or not app.is_running:
            self._print()
        elif len(self._waiting) == 1:
            run_in_terminal(self._print)

    def _print(self) -> None:
        lines, self._waiting = self._waiting, []
        for line in lines:
            self._put(line)


class ShellCompleter(Completer):
    """Asks the shell what may come next."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._files = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Offer]:
        """The ways to go on behind the cursor."""
        text = document.text_before_cursor
        if before_file := _BEFORE_FILE.match(text):
            name = Document(text[before_file.end() :])
            yield from self._files.get_completions(name, complete_event)
            return
        for completion in self._shell.completions(text):
            yield Offer(completion.text, -completion.replaces, display_meta=completion.meaning)


class TerminalQuestions:
    """Asks at the terminal; nothing of the answers is kept."""

    async def ask(self, what: str, *, secret: bool = False) -> str:
        """The answer. Raises `CommandFailed` when the question is turned away."""
        session: PromptSession[str] = PromptSession(history=InMemoryHistory())
        try:
            return await session.prompt_async(f"{what}: ", is_password=secret, handle_sigint=False)
        except (EOFError, KeyboardInterrupt):
            raise CommandFailed(f"no {what}", shown=True) from None


async def run_terminal(shell: Shell) -> int:
    """Talk to a person until the session is left; gives the exit status."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, shell.interrupt)
    with _without_echo(sys.stdin):
        connected = await shell.open()
        if not connected and shell.verdict().outcome == "interrupted":
            return shell.exit_status()
        if connected and shell.conversation.talk.conn.awaiting:
            shell.view.note("no greeting yet; the session is still there (:wait goes on waiting, :close ends it)")
        shell.on_over = _wake
        await _Typist(shell).talk()
        shell.on_over = None
        await shell.close()
    # Whoever talks by hand tries things out; that some of them were refused is no failure of the shell.
    return 0 if connected else shell.exit_status()


@contextlib.contextmanager
def _without_echo(terminal: TextIO) -> Iterator[None]:
    """Keys that are pressed while there is no prompt wait for it. They must not appear among the server's lines."""
    before = termios.tcgetattr(terminal)
    flags = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(terminal, termios.TCSADRAIN, flags)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _wake() -> None:
    """The session ended while somebody types: draw the prompt anew, which says so."""
    app = get_app_or_none()
    if app is not None and app.is_running:
        app.invalidate()


class _Typist:
    """What somebody types, line by line.

    `_doubted` is a line that a hint was given for: it is at the prompt again, and Enter sends it. `_waiting` are
    the lines behind it, where several were pasted.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._history = SafeHistory(history_file())
        self._session: PromptSession[str] = PromptSession(
            history=self._history, completer=ShellCompleter(shell), complete_while_typing=False
        )
        self._doubted = ""
        self._waiting: list[str] = []

    async def talk(self) -> None:
        """Take lines and do what they say, until somebody leaves."""
        shell = self._shell
        while not shell.left:
            in_message = shell.state is State.CONTENT and not shell.over
            try:
                typed = await self._session.prompt_async(
                    _MESSAGE_PROMPT if in_message else _PROMPT,
                    default=self._doubted,
                    bottom_toolbar=lambda: toolbar(shell, get_app().output.get_size().columns),
                    handle_sigint=False,
                )
            except KeyboardInterrupt:
                self._doubted, self._waiting = "", []
                continue
            except EOFError:
                return
            await self._lines([*typed.removesuffix("\n").split("\n"), *self._waiting])

    async def _lines(self, lines: list[str]) -> None:
        """Handle what was entered: one line, or several that were pasted."""
        shell = self._shell
        # A line at the prompt is on the screen already; of several it is to be seen which one is answered.
        shell.view.echo = len(lines) > 1
        confirmed, self._doubted, self._waiting = self._doubted, "", []
        for number, line in enumerate(lines, start=1):
            hint = "" if line and line == confirmed else shell.hint(line)
            confirmed = ""
            if hint:
                shell.view.hint(f"{hint} Enter sends it all the same.")
                self._doubted, self._waiting = line, lines[number:]
                return
            self._history.keep(line, shell.state)
            over = shell.over
            try:
                await shell.handle(line)
            except CommandFailed as failed:
                if not failed.shown:
                    shell.view.problem(str(failed))
            if shell.left or (shell.over and not over):
                return


def toolbar(shell: Shell, columns: int) -> str:
    """Where the session stands, and what may come next, in so many columns."""
    if shell.over:
        return _fitting("the session is over · :again begins another like it · :quit leaves", columns)
    talk, state = shell.conversation.talk, shell.state
    parts = ["encrypted" if talk.tls is not None else "in clear", state.value]
    if talk.conn.awaiting:
        parts.append("an answer is due, :wait")
    elif state in _NEXT:
        parts.append(_NEXT[state])
    else:
        parts.append(" ".join(way.text.strip(" <").split(" ")[0] for way in shell.completions("")))
    return _fitting(" · ".join(filter(None, parts)), columns)


def _fitting(text: str, columns: int) -> str:
    """A text behind a space, shortened between its words where it is too long. The last column stays free."""
    if width_of(text) <= columns - 2:
        return f" {text}"
    line = ""
    for word in text.split(" "):
        if width_of(f" {line} {word} …") >= columns:
            break
        line = f"{line} {word}".strip()
    return f" {line.rstrip(' ·')} …"
