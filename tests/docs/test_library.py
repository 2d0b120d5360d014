"""docs/library.md leaves nothing out: each argument of `ehlo.connect()` with its default, each method of a session."""

from __future__ import annotations

import argparse
import inspect
import re

import pytest

import ehlo
from docs.examples import ROOT
from ehlo.cli.network import add_network_options
from ehlo.cli.security import add_login_options, add_tls_options
from ehlo.client import AsyncClient, Client

PAGE = (ROOT / "docs" / "library.md").read_text("utf-8")
PARAMETERS = inspect.signature(ehlo.connect).parameters


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under that heading row."""
    table = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def test_each_argument_is_there_with_its_default() -> None:
    documented = {row[0].strip("`"): row[1].strip("`") for row in rows("argument | default |")}
    actual = {
        name: "TLSSettings()" if name == "tls" else repr(parameter.default).replace("'", '"')
        for name, parameter in PARAMETERS.items()
        if name != "target"
    }
    assert documented == actual
    assert ehlo.TLSSettings() == PARAMETERS["tls"].default


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_each_method_is_there(client: type[Client] | type[AsyncClient]) -> None:
    documented = {row[0].strip("`").partition("(")[0] for row in rows("method | says")}
    public = {name for name, _ in inspect.getmembers(client, inspect.isfunction) if not name.startswith("_")}
    assert documented == public - {"open", "close", "verdict"}
    for name in documented:
        ours, theirs = (inspect.signature(getattr(each, name)) for each in (Client, AsyncClient))
        assert str(ours.parameters) == str(theirs.parameters)
    properties = {name for name, _ in inspect.getmembers(client, lambda member: isinstance(member, property))}
    assert [name for name in (*properties, "verdict") if f"`{name}" not in PAGE] == []


def test_each_exception_and_setting_is_there() -> None:
    assert [name for name in ehlo.__all__ if name.endswith("Error") and f"`ehlo.{name}`" not in PAGE] == []
    settings = PAGE.partition("`ehlo.TLSSettings`")[2].partition("\n\n")[0]
    assert re.findall(r"`([a-z]+)`", settings) == list(ehlo.TLSSettings._fields)


#: How a program says what these options say; each of the others is an argument of the same name.
ELSEWHERE = {
    "--timeout": "timeout timeouts",
    "-4": "family",
    "-6": "family",
    "--tls-min": "tls",
    "--tls-max": "tls",
    "--ciphers": "tls",
    "--cert": "tls",
    "--key": "tls",
    # What a session does is a method each.
    "--xclient": "xclient()",
    "--xclient-optional": "xclient()",
    "--xclient-before-tls": "xclient()",
    "--starttls": "starttls()",
    "--user": "login()",
    "--auth": "login()",
    "--authzid": "login()",
    "--realm": "login()",
    "--auth-optional": "login()",
    # A part of the target.
    "--tls-on-connect": "target",
}
#: A program has the password, and the certificates in `tls`.
OF_THE_COMMAND_LINE = {"-h", "--help", "--save-cert", "--save-chain", "--explain-tls"}


def test_a_program_reaches_what_the_command_line_does() -> None:
    """Of the options of `ehlo check` for the network, TLS and login."""
    parser = argparse.ArgumentParser()
    for add in (add_network_options, add_tls_options, add_login_options):
        add(parser)
    options = {option for action in parser._actions for option in action.option_strings} - OF_THE_COMMAND_LINE
    for option in options:
        if option.startswith("--password"):
            continue
        for place in ELSEWHERE.get(option, option.strip("-").replace("-", "_")).split():
            known = hasattr(Client, place[:-2]) if place.endswith("()") else place in PARAMETERS
            assert known, f"{option}: {place}"
