"""The configuration file: its tables, read and checked as far as that goes without knowing any option."""

from __future__ import annotations

import tomllib
from typing import NamedTuple

from ehlo.cli.commands import COMMANDS, UsageError

Table = dict[str, object]

DEFAULTS = "defaults"
PROFILE = "profile"
#: Commands that do not run differently by configuration.
_WITHOUT_TABLE = ("config", "completion")
TABLES = tuple(command.name for command in COMMANDS if command.name not in _WITHOUT_TABLE)
#: How much of a word must be right for the rest to be a typing error.
CLOSE = 0.7
_PASSWORDS = frozenset({"password", "passwd", "passphrase", "pass", "secret", "token"})

SAMPLE = """\
# The configuration of ehlo. It belongs to: ~/.config/ehlo/config.toml
# Each key is a long option without its dashes: `ehlo check --help` lists them.
# What stands on the command line, or in a variable like EHLO_FROM, outweighs all of this.

# For all commands.
[defaults]
# helo = "laptop.example.org"
# timeout = 20

# For one command.
[check]
# explain-tls = true

[send]
# header = ["Subject: A test", "X-Test: yes"]

# A profile is a server and all that belongs to it:  ehlo check @work
[profile.work]
# target = "mail.example.com:587"
# starttls = "require"
# from = "me@example.com"
# to = ["postmaster@example.com"]

# Logging in. No password stands in this file; these options say where it is:
# user = "me"
# password-command = "pass show mail/work"
# password-keyring = "work"               # put there by:  keyring set work me
# password-file = "~/.secrets/work"
# password-env = "WORK_PASSWORD"
"""


class ConfigurationFile(NamedTuple):
    """The tables of a file; all are empty if there is no file."""

    name: str | None
    tables: dict[str, Table]
    profiles: dict[str, Table]


def read_file(name: str | None) -> ConfigurationFile:
    """Read and check a file. Raises `UsageError`."""
    if name is None:
        return ConfigurationFile(None, {}, {})
    try:
        with open(name, "rb") as stream:
            content: dict[str, object] = tomllib.load(stream)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is not TOML: {error}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not TOML: it is not text in UTF-8.") from None
    except OSError as error:
        raise UsageError(
            f"The configuration file {name} cannot be read: {error.strerror}. (EHLO_CONFIG= goes without one.)"
        ) from None
    _refuse_passwords(name, content)
    tables: dict[str, Table] = {}
    profiles: dict[str, Table] = {}
    for key, table in content.items():
        _check_name(name, key, table)
        if isinstance(table, dict):
            tables[key] = table
    for key, profile in tables.pop(PROFILE, {}).items():
        if not isinstance(profile, dict):
            raise UsageError(f"{name}: [profile] {key}: a profile has a name, as in [profile.work].")
        profiles[key] = profile
    return ConfigurationFile(name, tables, profiles)


def did_you_mean(wrong: str, known: list[str], before: str, behind: str = "") -> str:
    """The end of a sentence about a name that is not known."""
    from difflib import get_close_matches

    close = get_close_matches(wrong, known, 1, CLOSE)
    return f"; did you mean {before}{close[0]}{behind}?" if close else "."


def _check_name(name: str, key: str, table: object) -> None:
    if not isinstance(table, dict):
        raise UsageError(f"{name}: '{key}' stands in no table; for all commands it belongs under [defaults].")
    known = [DEFAULTS, PROFILE, *TABLES]
    if key not in known:
        raise UsageError(f"{name}: [{key}] is neither a command nor [defaults]{did_you_mean(key, known, '[', ']')}")


def _refuse_passwords(name: str, table: Table, path: str = "") -> None:
    """No password in clear, whoever can read the file: such files are copied, backed up, shown and shared."""
    for key, value in table.items():
        if isinstance(value, dict):
            _refuse_passwords(name, value, f"{path}.{key}" if path else key)
        # A profile may be called [profile.secret]; a table is no password.
        elif key.lower() in _PASSWORDS:
            where = f"[{path}] {key}" if path else key
            raise UsageError(
                f"{name}: {where}: no password may stand in this file; "
                "say where it is by password-command, password-keyring, password-file or password-env."
            )
