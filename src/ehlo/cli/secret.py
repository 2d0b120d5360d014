"""Where the password comes from: a file, the environment, or a terminal to ask at. Never the command line,
which everybody on the machine can read."""

from __future__ import annotations

import argparse
import os
import sys

from ehlo.cli.commands import UsageError
from ehlo.cli.files import read_file

#: Environment variable with the password for --user.
PASSWORD_VARIABLE = "EHLO_PASSWORD"  # noqa: S105 - the variable's name


def add_secret_options(parser: argparse._ActionsContainer) -> None:
    """Where the password, or an OAuth token, comes from."""
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        help=f"file with the password in its first line (else: ${PASSWORD_VARIABLE}, else a prompt)",
    )


def names_secret(args: argparse.Namespace) -> bool:
    """Whether the command line says where a password is."""
    return bool(args.password_file)


def read_secret(args: argparse.Namespace) -> str:
    """The password. Raises `UsageError`."""
    if args.password_file:
        lines = read_file(args.password_file, "password file").splitlines()
        try:
            password = lines[0].decode() if lines else ""
        except UnicodeDecodeError:
            raise UsageError(f"The password file '{args.password_file}' is not UTF-8.") from None
    elif PASSWORD_VARIABLE in os.environ:
        password = os.environ[PASSWORD_VARIABLE]
    elif sys.stdin.isatty():
        import getpass

        password = getpass.getpass(f"Password of {args.user}: ")
    else:
        raise UsageError(f"--user needs a password: --password-file, ${PASSWORD_VARIABLE}, or a terminal to ask at.")
    if not password or "\0" in password:
        raise UsageError("The password is empty or contains a NUL character.")
    return password
