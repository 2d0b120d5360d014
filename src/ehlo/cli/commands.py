"""The table of commands. A command is a module with `EPILOG`, `configure(parser)` and `run(args)`."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import NamedTuple, Protocol, cast


class UsageError(Exception):
    """The command line asks for something that cannot be done. The message is one sentence."""


class CommandModule(Protocol):
    """What a command's module has."""

    EPILOG: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; gives the exit status. Raises `UsageError`."""


class Command(NamedTuple):
    """A command: its name, what it does, and the module that does it, imported when it is called."""

    name: str
    summary: str
    module: str

    def load(self) -> CommandModule:
        """The command's module."""
        return cast(CommandModule, import_module(self.module))


COMMANDS = (
    Command("demo", "see a whole session explained, against a server of ehlo's own", "ehlo.cli.demo"),
    Command("check", "walk through a session step by step and explain it; nothing is delivered", "ehlo.cli.check"),
    Command("send", "the same, and deliver a message", "ehlo.cli.send"),
    Command("shell", "talk to a server yourself, with completion, explanations and helpers", "ehlo.cli.shell"),
    Command("show", "look at a recorded session", "ehlo.cli.show"),
    Command("explain", "explain a reply, a session, an exception, a bounce, a log", "ehlo.cli.explain"),
    Command("rule", "the catalogue: what each rule means, why it happens, what to do", "ehlo.cli.rule"),
    Command("lab", "a mail server to practise and to test against", "ehlo.cli.lab"),
    Command("config", "show what the configuration file and the environment say", "ehlo.cli.config"),
    Command("completion", "print a completion script for a shell", "ehlo.cli.completion"),
)
