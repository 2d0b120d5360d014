"""The shell on a terminal: a prompt that completes, history, lines shown as they come (prompt_toolkit)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app_or_none
from prompt_toolkit.completion import CompleteEvent, Completer
from prompt_toolkit.completion import Completion as Offer
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import HTML
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.patch_stdout import patch_stdout

from ehlo.shell.shell import Shell
from ehlo.smtp.states import ALLOWED, State

_PROMPT = "» "
_MESSAGE_PROMPT = "│ "


class ShellCompleter(Completer):
    """Asks the shell what may come next."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Offer]:  # noqa: ARG002
        """The ways to go on behind the cursor."""
        for completion in self._shell.completions(document.text_before_cursor):
            yield Offer(completion.text, -completion.replaces, display_meta=completion.meaning)


class SafeHistory(FileHistory):
    """History that keeps no secrets: of AUTH the mechanism alone, and nothing of what answers a challenge or
    belongs to a message. `quiet` says that lines are of that kind now."""

    def __init__(self, file: Path, shell: Shell) -> None:
        super().__init__(str(file))
        self._shell = shell

    def append_string(self, string: str) -> None:
        """Keep a line, as far as it may be kept."""
        if kept := keepable(string, self._shell.state):
            super().append_string(kept)


def keepable(line: str, state: State) -> str:
    """What of a line may be kept."""
    if state in (State.AUTH, State.CONTENT) and not line.startswith(":"):
        return ""
    words = line.split()
    if words and words[0].upper() == "AUTH":
        return " ".join(words[:2])
    # What is turned into base64 or sent raw is mostly what AUTH needs.
    return "" if words and words[0].lower() in (":b64", ":unb64", ":raw") else line


class TerminalQuestions:
    """Asks at the terminal; nothing of the answers is kept."""

    async def ask(self, what: str, *, secret: bool = False) -> str:
        """The answer; empty when the question was turned away."""
        session: PromptSession[str] = PromptSession(history=InMemoryHistory())
        try:
            return await session.prompt_async(f"{what}: ", is_password=secret, handle_sigint=False)
        except (EOFError, KeyboardInterrupt):
            return ""


def history_file() -> Path | None:
    """Where the history lies ($XDG_STATE_HOME); None when no such file can be made."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    folder = Path(base) / "ehlo"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "shell_history"
        file.touch(mode=0o600)
    except OSError:
        return None
    return file


async def run_terminal(shell: Shell) -> int:
    """Talk to a person until the session is left; gives the exit status."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, shell.interrupt)
    with patch_stdout(raw=True):
        connected = await shell.open()
        file = history_file()
        history: History = SafeHistory(file, shell) if file is not None else InMemoryHistory()
        session: PromptSession[str] = PromptSession(
            history=history, completer=ShellCompleter(shell), complete_while_typing=False
        )
        shell.on_over = _wake
        await _talk(shell, session)
        shell.on_over = None
        await shell.close()
    # Whoever talks by hand tries things out; that some of them were refused is no failure of the shell.
    return 0 if connected else shell.exit_status()


def _wake() -> None:
    """The session ended while somebody types: draw the prompt anew, which says so."""
    app = get_app_or_none()
    if app is not None and app.is_running:
        app.invalidate()


async def _talk(shell: Shell, session: PromptSession[str]) -> None:
    unsent = ""
    while not shell.left:
        in_message = shell.state is State.CONTENT and not shell.over
        # What is at the prompt is on the screen already.
        shell.view.echo = False
        try:
            line = await session.prompt_async(
                _MESSAGE_PROMPT if in_message else _PROMPT,
                default=unsent,
                bottom_toolbar=lambda: _toolbar(shell),
                handle_sigint=False,
            )
        except KeyboardInterrupt:
            unsent = ""
            continue
        except EOFError:
            return
        hint = "" if line == unsent and unsent else shell.hint(line)
        if hint:
            shell.view.hint(f"{hint} Enter sends it all the same.")
            unsent = line
            continue
        unsent = ""
        with contextlib.suppress(asyncio.CancelledError):
            await shell.handle(line)


def _toolbar(shell: Shell) -> HTML:
    """Where the session stands, and what may come next."""
    if shell.over:
        return HTML(" the session is over · <b>:again</b> begins another like it · <b>:quit</b> leaves")
    talk, state = shell.conversation.talk, shell.state
    verbs = [completion.text.strip(" <").split(" ")[0] for completion in shell.completions("")]
    following = " ".join(verbs) if ALLOWED[state] else "."
    return HTML(" {} · {} · {}").format(
        "encrypted" if talk.tls is not None else "in clear", state.value, following if verbs or following else ""
    )
