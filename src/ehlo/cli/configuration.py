"""Runs a command with what the configuration says for what the command line leaves open.

In order of weight: the command line, the environment (`EHLO_FROM` for `--from`), the profile (`@work`), the
command's table in the file, its table `[defaults]`, what is built in. Most who use ehlo have no configuration, so
without one nothing is read or imported here.
"""

from __future__ import annotations

import argparse
import os

from ehlo.cli.commands import Command, UsageError

#: The environment variable that names another file; empty: none is read.
FILE_VARIABLE = "EHLO_CONFIG"
PREFIX = "EHLO_"
#: Variables that are no option's value: where the file is, the secret itself, for developers.
NO_OPTIONS = frozenset({FILE_VARIABLE, "EHLO_PASSWORD", "EHLO_TRACEBACK"})
#: What `ehlo lab --exec` tells its command begins like this.
_OF_LAB = "EHLO_LAB_"


def run_configured(command: Command, parser: argparse.ArgumentParser, words: list[str]) -> int:
    """Run a command. Raises `UsageError`, which names the file or the variable if the fault is there."""
    module = command.load()
    args = parser.parse_args(words) if not any(word.startswith("@") for word in words) else None
    # `ehlo config` explains the configuration, so it must also run with one that is wrong.
    if command.name == "config" or (args is not None and not variables() and file_in_use() is None):
        return module.run(parser.parse_args(words) if args is None else args)
    from ehlo.cli.config_layers import Configuration, explained

    args, settings = Configuration.read().apply(command.name, parser, words)
    try:
        return module.run(args)
    except UsageError as error:
        raise UsageError(explained(str(error), settings)) from None


def variables() -> list[str]:
    """The environment variables that may be options."""
    return [
        name
        for name, text in os.environ.items()
        if name.startswith(PREFIX) and not name.startswith(_OF_LAB) and name not in NO_OPTIONS and text
    ]


def default_file() -> str:
    """Where the file is if nobody says otherwise."""
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    # XDG Base Directory Specification: a path that is not absolute is to be ignored.
    if not os.path.isabs(folder):
        folder = os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(folder, "ehlo", "config.toml")


def file_in_use() -> str | None:
    """The file to read, or None. A file that was named is read even if it is not there: that is a mistake to report."""
    named = os.environ.get(FILE_VARIABLE)
    if named is not None:
        return named or None
    name = default_file()
    try:
        os.stat(name)
    except OSError:
        return None
    return name
