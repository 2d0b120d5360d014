"""`ehlo completion`."""

from __future__ import annotations

import argparse

EPILOG = """\
examples:
  ehlo completion bash > ~/.local/share/bash-completion/completions/ehlo
  ehlo completion zsh > ~/.zfunc/_ehlo
"""

#: The names of the profiles, read by the shell itself: starting ehlo for each Tab would take too long.
_LIST = r"""sed -n 's/^ *\[profile\.\([A-Za-z0-9_-]*\)\].*/@\1/p' """
_FILE = '"${EHLO_CONFIG-${XDG_CONFIG_HOME:-$HOME/.config}/ehlo/config.toml}" 2>/dev/null'
_TARGET = {
    "bash": "_ehlo_profiles",
    "zsh": "_ehlo_profiles",
    "preamble": {
        "bash": f'_ehlo_profiles() {{\n  compgen -W "$({_LIST}{_FILE})" -- "$1"\n}}\n',
        "zsh": f"_ehlo_profiles() {{\n  compadd -- $({_LIST}{_FILE})\n}}\n",
    },
}

#: For bash, @ separates words; here a profile is one word, and an address as well.
_BASH = r"""
_ehlo() {
  local rest=$COMP_LINE word words=() last=-1 at=0 number=0
  for word in "${COMP_WORDS[@]}"; do
    if [[ $number -gt 0 && $rest != [[:space:]]* && ( $word == @* || ${words[last]} == *@ ) ]]; then
      words[last]+=$word
    else
      words+=("$word")
      last=$((${#words[@]} - 1))
    fi
    [[ $number -eq $COMP_CWORD ]] && at=$last
    rest=${rest#*"$word"}
    number=$((number + 1))
  done
  local COMP_WORDS=("${words[@]}") COMP_CWORD=$at
  _shtab_ehlo
}

complete -o bashdefault -F _ehlo ehlo
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from ehlo.cli.main import full_parser

    parser = full_parser()
    for action in _targets(parser):
        action.complete = _TARGET  # type: ignore[attr-defined]
    print(shtab.complete(parser, shell=args.shell) + (_BASH if args.shell == "bash" else ""))
    return 0


def _targets(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    from ehlo.cli.config_options import target_of

    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return [target for parser in commands.choices.values() if (target := target_of(parser)) is not None]
