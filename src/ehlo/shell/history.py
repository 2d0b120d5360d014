"""The history of the lines that were typed, which stays on the disk: so it keeps nothing that may be a secret.

Rule 1: a line is kept only for what it is known to be: a command of SMTP, or a helper. All else may be the answer to a
        challenge, or a password typed in the wrong place, also long after an AUTH was refused.
Rule 2: what belongs to an AUTH exchange or to a message is not kept, whatever it looks like.
Rule 3: of AUTH only the mechanism is kept, and that only if it is one; of helpers nothing that may be a secret.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from prompt_toolkit.history import FileHistory

from ehlo.shell.commands import COMMANDS
from ehlo.smtp.sasl import MECHANISMS
from ehlo.smtp.states import VERBS, State

#: What is turned into base64 or sent raw is mostly what AUTH needs.
_SECRET = frozenset({"b64", "unb64", "raw"})
_KEYWORDS = frozenset(mechanism.keyword for mechanism in MECHANISMS.values()) | MECHANISMS.keys()


class SafeHistory(FileHistory):
    """The history of the prompt, in a file where there is one."""

    def __init__(self, file: Path | None) -> None:
        super().__init__(os.devnull if file is None else str(file))

    def append_string(self, string: str) -> None:
        """The prompt calls this when a line is entered. It is kept later, by `keep`."""

    def keep(self, line: str, state: State) -> None:
        """Keep of a line what may be kept. `state` is the session's when the line is acted upon: what it was when the
        line was typed says less."""
        kept = keepable(line, state)
        if kept and kept != next(iter(self.get_strings()[-1:]), None):
            # Neither a disk that is full nor a line that is no text is a reason to stop.
            with contextlib.suppress(OSError, UnicodeError):
                super().append_string(kept)


def keepable(line: str, state: State) -> str:
    """What of a line may be kept; empty when that is nothing."""
    if line.startswith(":"):
        return _of_helper(line)
    words = line.split()
    if state in (State.AUTH, State.CONTENT) or not words or words[0].upper() not in VERBS:
        return ""
    return line if words[0].upper() != "AUTH" else " ".join([words[0], *_mechanism(words[1:])])


def _of_helper(line: str) -> str:
    name, _, rest = line[1:].strip().partition(" ")
    if name.lower() not in COMMANDS or name.lower() in _SECRET:
        return ""
    words = rest.split()
    if name.lower() == "auth":
        return " ".join([f":{name}", *_mechanism(words)])
    if name.lower() == "chunk" and not any(word.startswith("@") for word in words[:2]):
        return ""
    return line


def _mechanism(words: list[str]) -> list[str]:
    return words[:1] if words and words[0].upper() in _KEYWORDS else []


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
