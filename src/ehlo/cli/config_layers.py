"""What is in effect: the layers of a configuration, one over the other, and the command line over all of them."""

from __future__ import annotations

import argparse
import os
import re
from typing import NamedTuple

from ehlo.cli.commands import COMMANDS, UsageError
from ehlo.cli.config_file import CLOSE, DEFAULTS, TABLES, ConfigurationFile, Table, did_you_mean, read_file
from ehlo.cli.config_options import (
    Option,
    Said,
    ValueFault,
    all_shared_options,
    is_shared,
    options_of,
    parser_of,
    rivals,
    shared_options,
    target_of,
)
from ehlo.cli.configuration import FILE_VARIABLE, PREFIX, default_file, file_in_use, variables
from ehlo.cli.secret import PASSWORD_VARIABLE, SOURCES

#: A variable of another program may begin with EHLO_ as well. Only one as close as this is taken for a mistake.
_TYPING_ERROR = 0.75


class Setting(NamedTuple):
    """A value in effect: for which option, what was said, what it means, and where that stands."""

    option: Option
    said: Said
    value: object
    place: str


class Configuration(NamedTuple):
    """A file and the environment."""

    file: ConfigurationFile
    environment: dict[str, str]

    @classmethod
    def read(cls) -> Configuration:
        """The configuration of this process. Raises `UsageError`."""
        return cls(read_file(file_in_use()), {name: os.environ[name] for name in variables()})

    def apply(
        self, command: str, parser: argparse.ArgumentParser, words: list[str]
    ) -> tuple[argparse.Namespace, list[Setting]]:
        """Parse a command line with this configuration: the arguments, and what they have from it."""
        target = target_of(parser)
        if target is None:
            # Help and mistakes on the command line come before mistakes in a file.
            parser.parse_args(words)
            return self._filled(parser, words, self.settings(command, parser, None))
        several, target.nargs = target.nargs, "*" if target.nargs in ("?", "*") else "+"
        given: list[str] = parser.parse_args(words).target or []
        profile = given.pop(0)[1:] if given and given[0].startswith("@") else None
        settings = self.settings(command, parser, profile)
        args, settings = self._filled(parser, words, settings)
        if profile is not None and not given:
            given = self._target(profile, required=several is None)
            settings.append(Setting(Option("target", target), given, given, self._place(profile)))
        if several in ("*", "+"):
            args.target = given
        elif len(given) > 1:
            parser.error(f"unrecognized arguments: {' '.join(given[1:])}")
        else:
            args.target = given[0] if given else target.default
        return args, settings

    def settings(self, command: str, parser: argparse.ArgumentParser, profile: str | None) -> list[Setting]:
        """What the layers below the command line say to a command, each option once. Raises `UsageError`."""
        out: list[Setting] = []
        taken: set[str] = set()
        shared, own = shared_options(parser), options_of(parser)
        layers = [self._environment(parser, shared)]
        if profile is not None:
            table = {key: value for key, value in self.profile(profile).items() if key != "target"}
            layers.append(self._table(parser, shared, f"[profile.{profile}]", table))
        layers.append(self._table(parser, own, f"[{command}]", self.file.tables.get(command, {}), command))
        layers.append(self._table(parser, shared, f"[{DEFAULTS}]", self.file.tables.get(DEFAULTS, {})))
        if PASSWORD_VARIABLE in os.environ:
            taken.update(SOURCES)
        for layer in layers:
            out += [setting for setting in layer if setting.option.dest not in taken]
            for setting in layer:
                taken |= rivals(setting.option, setting.said)
        return out

    def profile(self, name: str) -> Table:
        """A profile of the file. Raises `UsageError`."""
        if self.file.name is None:
            why = f"{FILE_VARIABLE} is empty" if FILE_VARIABLE in os.environ else f"there is no {default_file()}"
            raise UsageError(f"There is no profile @{name}: {why}. ehlo config --example shows what it may contain.")
        if name not in self.file.profiles:
            hint = did_you_mean(name, list(self.file.profiles), "@")
            if hint == "." and self.file.profiles:
                hint = f"; there is {' '.join(f'@{known}' for known in self.file.profiles)}."
            raise UsageError(f"{self.file.name} has no profile @{name}{hint}")
        return self.file.profiles[name]

    def target(self, profile: str) -> str | None:
        """The target of a profile, if it has one. Raises `UsageError`."""
        target = self.profile(profile).get("target")
        if target is None or isinstance(target, str):
            return target
        raise UsageError(f"{self._place(profile)} target: a text in quotes is wanted.")

    def check(self) -> None:
        """Look at every table and every variable, also those that no command has asked for. Raises `UsageError`."""
        for command in COMMANDS:
            parser = parser_of(command.name)
            for profile in (None, *self.file.profiles):
                self.settings(command.name, parser, profile)
        for profile in self.file.profiles:
            self.target(profile)

    def tried(self, command: str, profile: str | None) -> tuple[argparse.Namespace, list[Setting]]:
        """The arguments of a command that is given nothing but a host, or a profile and a host; without a login, which
        would ask for a password. Raises `UsageError`."""
        words = [*([] if profile is None else [f"@{profile}"]), "localhost"]
        args, settings = self.apply(command, parser_of(command), words)
        for dest in ("user", *SOURCES):
            setattr(args, dest, None)
        return args, settings

    def _place(self, profile: str) -> str:
        return f"{self.file.name}: [profile.{profile}]"

    def _target(self, profile: str, *, required: bool) -> list[str]:
        target = self.target(profile)
        if target is None and required:
            raise UsageError(f"{self._place(profile)} has no target; put one there, or behind @{profile}.")
        return [] if target is None else [target]

    def _filled(
        self, parser: argparse.ArgumentParser, words: list[str], settings: list[Setting]
    ) -> tuple[argparse.Namespace, list[Setting]]:
        """The arguments, with settings for what the command line does not say; and those that were needed."""
        watched = frozenset[str]().union(*(rivals(setting.option) for setting in settings))
        # What is None after the parsing was not on the command line: no option makes None of a word.
        args = parser.parse_args(words, argparse.Namespace(**dict.fromkeys(watched)))
        said = {dest for dest in watched if getattr(args, dest) is not None}
        for dest in watched - said:
            setattr(args, dest, parser.get_default(dest))
        used = [setting for setting in settings if not said & rivals(setting.option, setting.said)]
        for setting in used:
            setattr(args, setting.option.dest, setting.value)
        if getattr(args, "user", None) is None:
            # Where a password is may be said once for all servers; only who logs in needs it.
            for setting in used:
                if setting.option.dest in SOURCES:
                    setattr(args, setting.option.dest, None)
        return args, used

    def _environment(self, parser: argparse.ArgumentParser, options: dict[str, Option]) -> list[Setting]:
        layer: list[Setting] = []
        for variable, text in self.environment.items():
            name = variable.removeprefix(PREFIX).lower().replace("_", "-")
            option = options.get(name)
            if option is None:
                # The others have to import what they do not need to know it; a mistake shows at the next check.
                if target_of(parser) is not None and not is_shared(name):
                    _check_variable(variable, name)
                continue
            try:
                said = option.said_in_environment(text)
                layer.append(Setting(option, said, option.value(parser, said), variable))
            except ValueFault as fault:
                raise UsageError(f"{variable} (--{name}): {fault}") from None
        _refuse_rivals(layer, "The environment")
        for setting in layer:
            if PASSWORD_VARIABLE in os.environ and setting.option.dest in SOURCES:
                raise UsageError(f"The environment has {PASSWORD_VARIABLE} and {setting.place}; only one may be set.")
        return layer

    def _table(
        self,
        parser: argparse.ArgumentParser,
        options: dict[str, Option],
        place: str,
        table: Table,
        command: str = "",
    ) -> list[Setting]:
        """What a table says. `command`: it is that command's alone, and each key must be an option of it."""
        layer = []
        where = f"{self.file.name}: {place}"
        for key, raw in table.items():
            option = options.get(key)
            if option is None:
                if command:
                    raise UsageError(f"{where} {key}: {_unknown(key, command, options)}")
                if target_of(parser) is not None and not is_shared(key):
                    raise UsageError(f"{where} {key}: {_unknown(key)}")
                continue
            try:
                said = option.said_in_file(raw)
                layer.append(Setting(option, said, option.value(parser, said), where))
            except ValueFault as fault:
                raise UsageError(f"{where} {key}: {fault}") from None
        _refuse_rivals(layer, where)
        return layer


def explained(message: str, settings: list[Setting]) -> str:
    """A complaint about options, with the places of those that were not on the command line."""
    places = [f"{_called(setting)} is from {setting.place}" for setting in settings if _is_about(message, setting)]
    return f"{message} ({'; '.join(places)})" if places else message


def _called(setting: Setting) -> str:
    return f"--{setting.option.name}" if setting.option.action.option_strings else setting.option.name


def _is_about(message: str, setting: Setting) -> bool:
    if re.search(rf"--{re.escape(setting.option.name)}(?![\w-])", message):
        return True
    return not isinstance(setting.said, bool) and any(f"'{word}'" in message for word in setting.said)


def _check_variable(variable: str, name: str) -> None:
    from difflib import get_close_matches

    if close := get_close_matches(name, all_shared_options(), 1, _TYPING_ERROR):
        meant = PREFIX + close[0].upper().replace("-", "_")
        raise UsageError(f"The environment variable {variable} belongs to no option; did you mean {meant}?")


def _refuse_rivals(layer: list[Setting], where: str) -> None:
    for number, setting in enumerate(layer):
        for other in layer[:number]:
            if setting.said is not False and setting.option.dest in rivals(other.option, other.said):
                names = f"{other.option.name} and {setting.option.name}"
                raise UsageError(f"{where} has {names}, of which only one may be given.")


def _unknown(key: str, command: str = "", options: dict[str, Option] | None = None) -> str:
    """What is wrong with a key that is no option: of the command, or of any."""
    if key == "target":
        return "a target belongs into a profile, as under [profile.work]."
    owners = [name for name in TABLES if key in options_of(parser_of(name))]
    if owners:
        tables = " or ".join(f"[{name}]" for name in owners)
        return f"this is an option of {' and '.join(owners)} alone, and belongs under {tables}."
    who = f"{command} has no such option" if command else "no command has this option"
    return f"{who}{_meant(key, all_shared_options() if options is None else options)}"


def _meant(key: str, options: dict[str, Option]) -> str:
    """The option that was meant, by its name or by what it is called within: sender for --from."""
    names = {option.dest.replace("_", "-"): option.name for option in options.values()}
    names |= {name: name for name in options}
    wrong = key.lower().replace("_", "-")
    if wrong in names:
        return f"; did you mean '{names[wrong]}'?"
    from difflib import get_close_matches

    close = get_close_matches(wrong, names, 1, CLOSE)
    return f"; did you mean '{names[close[0]]}'?" if close else "."
