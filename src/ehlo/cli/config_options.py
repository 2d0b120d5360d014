"""The options of a command, as a configuration sees them: a name, and what may be said for it.

The values are made by argparse itself, from words, as on the command line: there is no second idea of what is valid.
"""

from __future__ import annotations

import argparse
from os.path import expanduser
from typing import NamedTuple

from ehlo.cli.commands import COMMANDS
from ehlo.cli.secret import SOURCES

#: What a file or the environment says: on or off, or the words of a value.
Said = bool | list[str]

_ON = ("1", "true", "yes", "on")
_OFF = ("0", "false", "no", "off")
#: How the help calls values that are numbers, or may be.
_NUMBERS = ("SECONDS", "OCTETS", "[STAGE=]SECONDS", "-9..9", "PORT|off")
#: In these commands, options have the name of another command's and mean something else: `lab --user` is one
#: who may log in. They take from what is said to all commands only what means the same everywhere.
_EVERYWHERE = frozenset({"color"})
_SERVERS = ("demo", "lab")
#: Attributes of which one may be given: where the password is, and what is shown.
_ONE_OF = (frozenset(SOURCES), frozenset({"json", "quiet"}))


class ValueFault(Exception):  # noqa: N818 - it says what is wrong with a value, not with the program
    """A value that its option cannot have. The message goes on behind the name of the option."""


class Option(NamedTuple):
    """A long option of a command."""

    name: str
    action: argparse.Action

    @property
    def dest(self) -> str:
        """The attribute of the parsed arguments."""
        return self.action.dest

    @property
    def is_switch(self) -> bool:
        """Whether it has no value."""
        return self.action.nargs == 0

    @property
    def is_single(self) -> bool:
        """Whether it has one value at most."""
        return isinstance(self.action, argparse._StoreAction) and self.action.nargs in (None, argparse.OPTIONAL)

    @property
    def is_secret(self) -> bool:
        """Whether its value is, or may contain, a password."""
        return self.dest == "password_command" or "PASSWORD" in str(self.action.metavar)

    def said_in_file(self, raw: object) -> Said:
        """What a value in the file says. Raises `ValueFault`."""
        if isinstance(raw, bool):
            if not self.is_switch and self.action.nargs != argparse.OPTIONAL:
                raise ValueFault(f"a value is needed, not {str(raw).lower()}.")
            return raw
        if self.is_switch:
            raise ValueFault(f"this is true or false, not {_shown(raw)}.")
        values = raw if isinstance(raw, list) else [raw]
        if any(isinstance(value, bool) or not isinstance(value, str | int | float) for value in values):
            raise ValueFault("a value is a text in quotes, a number, or a list of those.")
        if isinstance(raw, list) and self.is_single:
            raise ValueFault("one value is wanted, not a list.")
        for value in values:
            if isinstance(value, int | float) and not self._takes_number(value):
                raise ValueFault(f"a text in quotes is wanted, not the number {value}.")
        words = [str(value) for value in values]
        # On the command line, the shell does this.
        return list(map(expanduser, words)) if self.action.metavar in ("FILE", "FOLDER") else words

    def _takes_number(self, value: float) -> bool:
        """Whether a number without quotes can be meant for it: where it has a number, or this very choice."""
        of_numbers = self.action.type in (int, float) or self.action.metavar in _NUMBERS
        return of_numbers or (self.action.choices is not None and str(value) in self.action.choices)

    def said_in_environment(self, text: str) -> Said:
        """What the text of a variable says; of an option that may be repeated it has one value in each line."""
        word = text.strip().lower()
        if self.is_switch or (self.action.nargs == argparse.OPTIONAL and word.isalpha()):
            if word in _ON or word in _OFF:
                return word in _ON
            if self.is_switch:
                raise ValueFault(f"this is 1 or 0, not '{text}'.")
        return [text] if self.is_single else [line for line in text.splitlines() if line.strip()]

    def value(self, parser: argparse.ArgumentParser, said: Said) -> object:
        """The value that the option would have if this stood on the command line. Raises `ValueFault`."""
        if said is False:
            return parser.get_default(self.dest)
        words = [] if said is True else said
        for word in words:
            if self.action.choices is not None and word not in self.action.choices:
                raise ValueFault(f"'{word}' is not one of {', '.join(map(str, self.action.choices))}.")
        namespace = argparse.Namespace(**{self.dest: None})
        each = [[word] for word in words] if self.action.nargs in (None, argparse.OPTIONAL) and words else [words]
        try:
            for some in each:
                self.action(parser, namespace, parser._get_values(self.action, some), f"--{self.name}")
        except argparse.ArgumentError as error:
            raise ValueFault(f"{error.message}.") from None
        return getattr(namespace, self.dest)

    def shown(self, said: Said) -> str:
        """What was said, for people, without secrets."""
        if isinstance(said, bool):
            return str(said).lower()
        if self.dest == "password_command":
            # A program's words may be secret as well; which program it is tells what matters.
            return " ".join(f"{command.split()[0]} …" if len(command.split()) > 1 else command for command in said)
        if self.is_secret:
            return ", ".join(f"{word.partition(':')[0]}:…" for word in said)
        return ", ".join(said)


def _shown(raw: object) -> str:
    return f'"{raw}"' if isinstance(raw, str) else str(raw)


def options_of(parser: argparse.ArgumentParser) -> dict[str, Option]:
    """The long options of a command, by their names without the dashes."""
    return {
        string[2:]: Option(string[2:], action)
        for action in parser._actions
        for string in action.option_strings
        if string.startswith("--") and not isinstance(action, argparse._HelpAction | argparse._VersionAction)
    }


def target_of(parser: argparse.ArgumentParser) -> argparse.Action | None:
    """The TARGET of a command that talks to a server."""
    return next((action for action in parser._actions if action.dest == "target" and not action.option_strings), None)


def shared_options(parser: argparse.ArgumentParser) -> dict[str, Option]:
    """The options for which the command takes what is said to all commands."""
    options = options_of(parser)
    if target_of(parser) is not None:
        return options
    return {name: option for name, option in options.items() if name in _EVERYWHERE}


def rivals(option: Option, said: Said = True) -> frozenset[str]:
    """The attributes of which a command has one at most, if this is said of the option: its own, and those that cannot
    be together with it. What is switched off stands in nobody's way."""
    own = frozenset({option.dest})
    return own if said is False else next((one for one in _ONE_OF if option.dest in one), own)


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of a command. This imports the command."""
    command = next(command for command in COMMANDS if command.name == name)
    parser = argparse.ArgumentParser(prog=f"ehlo {name}")
    command.load().configure(parser)
    return parser


def is_shared(name: str) -> bool:
    """Whether there is a command that takes this option from what is said to all commands."""
    # The lab and its demo bring a whole server along, so they are asked last.
    return any(name in shared_options(parser_of(command)) for command in sorted(_names(), key=_SERVERS.__contains__))


def all_shared_options() -> dict[str, Option]:
    """The options that may be said to all commands."""
    return {name: option for command in _names() for name, option in shared_options(parser_of(command)).items()}


def _names() -> list[str]:
    return [command.name for command in COMMANDS]
