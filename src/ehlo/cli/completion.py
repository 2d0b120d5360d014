"""`ehlo completion`."""

from __future__ import annotations

import argparse

EPILOG = """\
examples:
  ehlo completion bash > ~/.local/share/bash-completion/completions/ehlo
  ehlo completion zsh > ~/.zfunc/_ehlo
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from ehlo.cli.main import full_parser

    print(shtab.complete(full_parser(), shell=args.shell))
    return 0
