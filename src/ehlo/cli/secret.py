"""Where the password, or an OAuth token, comes from: a file, the environment, a program, a keyring, a terminal.

Never the command line, which everybody on the machine can read, and never the configuration file.
"""

from __future__ import annotations

import argparse
import os
import re
import sys

from ehlo.cli.commands import UsageError
from ehlo.cli.files import read_file

#: Environment variable with the password for --user.
PASSWORD_VARIABLE = "EHLO_PASSWORD"  # noqa: S105 - the variable's name
#: Time to unlock a password store by hand; longer than that, nobody is there.
_COMMAND_SECONDS = 60.0
_SERVICE = "ehlo"
#: The options of which one at most says where the password is, as attributes of the parsed arguments.
SOURCES = ("password_file", "password_env", "password_command", "password_keyring")
#: For those who put it on the command line all the same.
WHERE_SECRETS_ARE = (
    "--user names who logs in; where the password is say --password-file, --password-command, --password-keyring, "
    f"--password-env or ${PASSWORD_VARIABLE}, or ehlo asks for it."
)
#: What other programs call the option that has it: --password, --pass, --passwd, -p, swaks' --auth-password and -ap.
_OPTION_OF_OTHERS = re.compile(
    r"--?(?:auth-?)?(?:p|ap|pw|pwd|pass|passw|passwd|passwo|passwor|password)(?:=.*)?", re.I | re.S
)


def refuse_secrets(words: list[str]) -> None:
    """Raises `UsageError`, which does not repeat it, when a command line has a password."""
    for word in words:
        if word == "--":
            return
        if _OPTION_OF_OTHERS.fullmatch(word):
            raise UsageError(
                f"{word.partition('=')[0]}: a password does not belong on the command line, where all users of this "
                f"machine can read it. {WHERE_SECRETS_ARE}"
            )


def add_secret_options(parser: argparse._ActionsContainer) -> None:
    """Where the password, or an OAuth token, comes from."""
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        help="file with the password, or the OAuth token, in its first line; - is standard input "
        f"(without any of these options: ${PASSWORD_VARIABLE}, else a prompt)",
    )
    parser.add_argument("--password-env", metavar="VARIABLE", help="environment variable with the password")
    parser.add_argument(
        "--password-command", metavar="COMMAND", help="program that prints the password, e.g. 'pass show mail/work'"
    )
    parser.add_argument(
        "--password-keyring",
        metavar="SERVICE",
        nargs="?",
        const=_SERVICE,
        help=f"the system's keyring, where it is under SERVICE (default: {_SERVICE}) and the --user",
    )


def names_secret(args: argparse.Namespace) -> bool:
    """Whether the command line says where a password is."""
    return _source(args) is not None


def read_secret(args: argparse.Namespace) -> str:
    """The password. Raises `UsageError`."""
    source = _source(args)
    if source == "password_file":
        where, password = _from_file(args)
    elif source == "password_env":
        where, password = _from_environment(args.password_env)
    elif source == "password_command":
        where, password = _from_command(args.password_command)
    elif source == "password_keyring":
        where, password = _from_keyring(args.password_keyring, args.user or "")
    elif PASSWORD_VARIABLE in os.environ:
        where, password = _from_environment(PASSWORD_VARIABLE)
    else:
        where, password = _from_terminal(args.user or "")
    if not password:
        raise UsageError(f"{where} is empty.")
    # Bytes that are not UTF-8 come out of the environment and the terminal as surrogates.
    if "\0" in password or any("\ud800" <= character <= "\udfff" for character in password):
        raise UsageError(f"{where} is not text in UTF-8, or contains a NUL character.")
    return password


def _source(args: argparse.Namespace) -> str | None:
    """The option that says where the password is. Raises `UsageError` if there are several."""
    named = [name for name in SOURCES if getattr(args, name) is not None]
    if len(named) > 1:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in named)
        raise UsageError(f"{options}: each says where the password is, and only one may.")
    return named[0] if named else None


def _from_file(args: argparse.Namespace) -> tuple[str, str]:
    name: str = args.password_file
    if name == "-" and getattr(args, "data", None) == "-":
        raise UsageError("Standard input cannot be both the password and the message.")
    data = read_file(name, "password file")
    try:
        return f"The first line of the password file '{name}'", _first_line(data)
    except UnicodeDecodeError:
        raise UsageError(f"The password file '{name}' is not UTF-8.") from None


def _from_environment(variable: str) -> tuple[str, str]:
    try:
        return f"The password in ${variable}", os.environ[variable]
    except KeyError:
        raise UsageError(f"--password-env {variable}: there is no such variable in the environment.") from None


def _from_command(command: str) -> tuple[str, str]:
    """The first line that a program prints. What it says on standard error goes to the user, as does its prompt."""
    import shlex
    import subprocess

    try:
        words = shlex.split(command)
    except ValueError:
        raise UsageError("--password-command: the quotes of the command do not match.") from None
    if not words:
        raise UsageError("--password-command: the command is empty.")
    program = words[0]
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, timeout=_COMMAND_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"--password-command: '{program}' has printed no password within {_COMMAND_SECONDS:g} seconds, "
            "and was ended. Does it wait for somebody to unlock something?"
        ) from None
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UsageError(f"--password-command: '{program}' cannot be run: {why}.") from None
    if done.returncode < 0:
        raise UsageError(f"--password-command: '{program}' was ended by signal {-done.returncode}.")
    if done.returncode:
        raise UsageError(f"--password-command: '{program}' failed with exit status {done.returncode}.")
    try:
        return f"The first line that '{program}' (--password-command) printed", _first_line(done.stdout)
    except UnicodeDecodeError:
        raise UsageError(f"--password-command: what '{program}' printed is not UTF-8.") from None


def _from_keyring(service: str, user: str) -> tuple[str, str]:
    try:
        import keyring
        import keyring.errors
    except ImportError:
        raise UsageError("--password-keyring needs the library keyring: pip install 'ehlo[keyring]'") from None
    try:
        password = keyring.get_password(service, user)
    except keyring.errors.NoKeyringError:
        raise UsageError("--password-keyring: this system has no keyring that can be used.") from None
    except Exception as error:
        # Each backend has errors of its own, such as those of D-Bus; none of them is a fault of ehlo.
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise UsageError(f"--password-keyring: the keyring cannot be read: {reason}.") from None
    if password is None:
        raise UsageError(
            f"--password-keyring: the keyring has no password of '{user}' under '{service}'; "
            f"it is put there by: keyring set {service} {user}"
        )
    return f"The password of '{user}' in the keyring", password


def _from_terminal(user: str) -> tuple[str, str]:
    if not sys.stdin.isatty():
        raise UsageError(
            "--user needs a password: --password-file, --password-command, --password-keyring, --password-env, "
            f"${PASSWORD_VARIABLE}, or a terminal to ask at."
        )
    import getpass

    try:
        return "The password", getpass.getpass(f"Password of {user}: ")
    except EOFError:
        raise UsageError("No password was given.") from None


def _first_line(data: bytes) -> str:
    lines = data.splitlines()
    return lines[0].decode() if lines else ""
