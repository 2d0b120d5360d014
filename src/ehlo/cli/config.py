"""`ehlo config`."""

from __future__ import annotations

import argparse
import os
import sys
from typing import NamedTuple

from ehlo.cli.commands import COMMANDS, UsageError
from ehlo.cli.config_file import SAMPLE
from ehlo.cli.config_layers import Configuration, Setting, explained
from ehlo.cli.config_options import parser_of, target_of
from ehlo.cli.configuration import FILE_VARIABLE, default_file
from ehlo.cli.secret import PASSWORD_VARIABLE
from ehlo.report.text import safe
from ehlo.transcript.event import JsonValue

EPILOG = """\
examples:
  ehlo config                what holds for ehlo check mail.example.com
  ehlo config @work          what holds for ehlo check @work
  ehlo config --example      a file to begin with

The file is ~/.config/ehlo/config.toml, or what EHLO_CONFIG names. Each long option may stand in it, or in a
variable of the environment: EHLO_TIMEOUT=20 for --timeout 20. exit status: 0, or 2 if something in it is wrong.
"""


class _Row(NamedTuple):
    """A value in effect, as people and as programs read it, and the commands for which it is."""

    option: str
    text: str
    value: JsonValue
    set_in: str
    commands: list[str]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("profile", metavar="@PROFILE", nargs="?", help="a profile of the file")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else")
    parser.add_argument("--example", action="store_true", help="print a sample file, with comments")


def run(args: argparse.Namespace) -> int:
    """Show the configuration."""
    if args.example:
        sys.stdout.write(SAMPLE)
        return 0
    configuration = Configuration.read()
    configuration.check()
    _try_values(configuration)
    profile = args.profile.removeprefix("@") if args.profile else None
    rows = _rows(configuration, profile)
    if args.json:
        from ehlo.cli.json_output import print_document

        print_document(
            {
                "command": "config",
                "file": configuration.file.name,
                "profiles": list(configuration.file.profiles),
                "profile": profile,
                "values": [_document(row) for row in rows],
            }
        )
    else:
        _show(configuration.file.name, list(configuration.file.profiles), rows)
    return 0


def _try_values(configuration: Configuration) -> None:
    """Make of all values what the commands make of them, which looks at more than their form. Raises `UsageError`."""
    if configuration.file.name is None and not configuration.environment:
        return
    from ehlo.cli.investigation import check_wishes
    from ehlo.cli.network import nameserver_from, with_network
    from ehlo.cli.options import base_plan, plan_from, target_from
    from ehlo.cli.security import kinds_of_secret, with_security

    for profile in (None, *configuration.file.profiles):
        for command in ("check", "send", "shell"):
            args, settings = configuration.tried(command, profile)
            try:
                kinds_of_secret(args.auth)
                args.auth = []
                nameserver_from(args.dns_server)
                if command == "shell":
                    with_security(args, with_network(args, base_plan(args)))
                else:
                    check_wishes(args)
                    plan_from(args, last="message" if command == "send" else "rcpt")
            except UsageError as error:
                raise UsageError(explained(str(error), settings)) from None
        target = None if profile is None else configuration.target(profile)
        if target is not None:
            try:
                target_from(target)
            except UsageError as error:
                raise UsageError(f"{configuration.file.name}: [profile.{profile}] target: {error}") from None


def _rows(configuration: Configuration, profile: str | None) -> list[_Row]:
    rows: dict[tuple[str, str, str], _Row] = {}

    def add(option: str, text: str, value: JsonValue, place: str, command: str) -> None:
        rows.setdefault((option, text, place), _Row(option, text, value, place, [])).commands.append(command)

    for command in (command.name for command in COMMANDS):
        parser = parser_of(command)
        talks = target_of(parser) is not None
        if talks and profile is not None and (target := configuration.target(profile)):
            add("target", target, target, f"[profile.{profile}]", command)
        if talks and PASSWORD_VARIABLE in os.environ:
            add("password", "…", "…", PASSWORD_VARIABLE, command)
        for setting in configuration.settings(command, parser, profile):
            place = setting.place.removeprefix(f"{configuration.file.name}: ")
            text = setting.option.shown(setting.said)
            add(setting.option.name, text, text if setting.option.is_secret else _plain(setting), place, command)
    return [rows[key] for key in sorted(rows, key=lambda key: (key[0] != "target", key))]


def _document(row: _Row) -> JsonValue:
    return {"option": row.option, "value": row.value, "set_in": row.set_in, "commands": list(row.commands)}


def _plain(setting: Setting) -> JsonValue:
    said = setting.said
    if isinstance(said, bool):
        return said
    return said[0] if setting.option.is_single else list(said)


def _show(file: str | None, profiles: list[str], rows: list[_Row]) -> None:
    if file is not None:
        known = f"profiles: {' '.join(f'@{name}' for name in profiles)}" if profiles else "no profiles"
        print(safe(f"{file}, {known}"))
    elif FILE_VARIABLE in os.environ:
        print(f"No configuration file is read: {FILE_VARIABLE} is empty.")
    else:
        print(safe(f"There is no configuration file; it would be {default_file()}"))
        print("ehlo config --example shows what it may contain.")
    if not rows:
        return
    print()
    cells = [(row.option, row.text, row.set_in, " ".join(row.commands)) for row in rows]
    table = [tuple(map(safe, row)) for row in (("option", "value", "set in", "for"), *cells)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print(f"  {'  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))}".rstrip())
