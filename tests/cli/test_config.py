"""Profiles, defaults and variables: what is in effect, and what is said of mistakes."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.cli import check, send
from ehlo.cli.commands import COMMANDS
from ehlo.cli.config_file import SAMPLE, ConfigurationFile
from ehlo.cli.config_layers import Configuration
from ehlo.cli.config_options import parser_of
from ehlo.cli.configuration import variables
from ehlo.cli.main import main

FILE = """\
[defaults]
helo = "defaults.example.org"
timeout = 20
stop-after = "mail"
color = "never"

[check]
stop-after = "ehlo"
explain-tls = true

[lab]
user = ["alice:wonderland-7"]

[profile.work]
target = "mail.example.com:587"
starttls = "require"
verify = true
from = "me@example.com"
to = ["a@example.com", "b@example.com"]
timeout = [10, "banner=90"]
body = "Only send has this."
password-command = "pass show wonderland-7"

[profile.bare]
user = "me"
explain-tls = false
"""

Configure = Callable[[str], Path]
Parsed = Callable[..., argparse.Namespace]


@pytest.fixture(name="configure")
def _configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Configure:
    """Makes a text the configuration file, known as config.toml."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        file = tmp_path / "config.toml"
        file.write_text(text, "utf-8")
        monkeypatch.setenv("EHLO_CONFIG", "config.toml")
        return file

    return write


@pytest.fixture(name="parsed")
def _parsed(monkeypatch: pytest.MonkeyPatch) -> Parsed:
    """Gives the arguments with which a command line runs check or send."""
    seen: list[argparse.Namespace] = []
    for module in (check, send):
        monkeypatch.setattr(module, "run", keeper(seen))

    def parse(*words: str) -> argparse.Namespace:
        assert main(words) == 0
        return seen[-1]

    return parse


def keeper(seen: list[argparse.Namespace]) -> Callable[[argparse.Namespace], int]:
    """A command that keeps its arguments and does nothing."""

    def run(args: argparse.Namespace) -> int:
        seen.append(args)
        return 0

    return run


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The complaint of a command line that is wrong."""
    try:
        status = main(words)
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    return err


# What is in effect.


def test_without_configuration(parsed: Parsed) -> None:
    args = parsed("check", "mail.example.com")
    assert (args.target, args.helo, args.timeout) == ("mail.example.com", "", [])


def test_profile(configure: Configure, parsed: Parsed) -> None:
    configure(FILE)
    args = parsed("check", "@work")
    assert args.target == "mail.example.com:587"
    assert args.starttls == "require"
    assert args.verify == "both"
    assert args.sender == "me@example.com"
    assert args.recipients == ["a@example.com", "b@example.com"]
    assert args.timeout == ["10", "banner=90"]
    assert args.helo == "defaults.example.org"
    assert args.stop_after == "ehlo"
    assert args.explain_tls is True
    assert args.ca_file == ""
    assert not hasattr(args, "body")
    args = parsed("send", "@work")
    assert (args.body, args.stop_after, args.explain_tls) == ("Only send has this.", "mail", False)


def test_profile_stands_anywhere_among_the_options(configure: Configure, parsed: Parsed) -> None:
    configure(FILE)
    for words in (["-v", "@work"], ["-t", "@x", "@work"], ["--helo", "h", "@work", "-q"], ["--", "@work"]):
        assert parsed("check", *words).target == "mail.example.com:587"
    assert parsed("check", "-f", "@work", "host").target == "host"


def test_target_behind_a_profile(configure: Configure, parsed: Parsed, capsys: pytest.CaptureFixture[str]) -> None:
    configure(FILE)
    args = parsed("check", "@work", "other.example.com")
    assert (args.target, args.sender) == ("other.example.com", "me@example.com")
    assert parsed("check", "@bare", "host").user == "me"
    assert said(["check", "@bare"], capsys) == (
        "ehlo check: config.toml: [profile.bare] has no target; put one there, or behind @bare.\n"
    )
    assert "unrecognized arguments: c" in said(["check", "@work", "b", "c"], capsys)
    assert "unrecognized arguments: @work" in said(["check", "host", "@work"], capsys)


def test_false_switches_off_what_a_table_below_switches_on(configure: Configure, parsed: Parsed) -> None:
    configure(FILE)
    assert parsed("check", "host").explain_tls is True
    assert parsed("check", "@bare", "host").explain_tls is False


def test_list_of_the_command_line_replaces(configure: Configure, parsed: Parsed) -> None:
    configure(FILE)
    assert parsed("check", "@work", "-t", "c@example.com").recipients == ["c@example.com"]
    assert parsed("check", "@work", "--timeout", "5", "--timeout", "rcpt=6").timeout == ["5", "rcpt=6"]


def test_short_options_outweigh_as_well(configure: Configure, parsed: Parsed) -> None:
    configure(FILE)
    assert parsed("check", "@work", "-f", "<>").sender == "<>"


@pytest.mark.parametrize(
    ("file", "words", "shown"),
    [
        ("[defaults]\nquiet = true", [], (False, True)),
        ("[defaults]\nquiet = true", ["--json"], (True, False)),
        ("[defaults]\njson = true", ["-q"], (False, True)),
        ("[defaults]\nquiet = true\n[check]\njson = true", [], (True, False)),
        ("[defaults]\njson = true\n[check]\nquiet = true", [], (False, True)),
        # What is switched off takes nothing from the other.
        ("[defaults]\nquiet = true\n[check]\njson = false", [], (False, True)),
        ("[defaults]\nquiet = false\njson = true", [], (True, False)),
    ],
)
def test_json_and_quiet_are_never_both_in_effect(
    configure: Configure, parsed: Parsed, file: str, words: list[str], shown: tuple[bool, bool]
) -> None:
    configure(file)
    args = parsed("check", "host", *words)
    assert (args.json, args.quiet) == shown


def test_home_folder_is_filled_in(configure: Configure, parsed: Parsed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    configure('[defaults]\nca-file = "~/ca.pem"\nhelo = "~/x"\n')
    args = parsed("check", "host")
    assert (args.ca_file, args.helo) == ("/home/me/ca.pem", "~/x")


def test_environment(configure: Configure, parsed: Parsed, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(FILE)
    variables = {
        "EHLO_FROM": "env@example.com",
        "EHLO_TO": "c@example.com\nd@example.com\n",
        "EHLO_EXPLAIN_TLS": "off",
        "EHLO_VERBOSE": "1",
        "EHLO_VERIFY": "chain",
        "EHLO_USER": "",
        "EHLO_BODY": "Only send has this.",
        "EHLO_HOME": "/of/another/program",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    args = parsed("check", "@work")
    assert args.sender == "env@example.com"
    assert args.recipients == ["c@example.com", "d@example.com"]
    assert (args.explain_tls, args.verbose, args.verify, args.user) == (False, True, "chain", None)
    assert parsed("check", "@work", "--verify", "name", "-f", "x@y.z").verify == "name"
    monkeypatch.setenv("EHLO_VERIFY", "yes")
    assert parsed("check", "host").verify == "both"


def test_where_the_file_is(parsed: Parsed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for folder, name in ((".config", "home"), ("xdg", "xdg")):
        (tmp_path / folder / "ehlo").mkdir(parents=True)
        (tmp_path / folder / "ehlo" / "config.toml").write_text(f'[defaults]\nhelo = "{name}"\n')
    (tmp_path / "other.toml").write_text('[defaults]\nhelo = "other"\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("EHLO_CONFIG")
    assert parsed("check", "host").helo == "home"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert parsed("check", "host").helo == "home"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert parsed("check", "host").helo == "xdg"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nowhere"))
    assert parsed("check", "host").helo == ""
    monkeypatch.setenv("EHLO_CONFIG", str(tmp_path / "other.toml"))
    assert parsed("check", "host").helo == "other"
    monkeypatch.setenv("EHLO_CONFIG", "")
    assert parsed("check", "host").helo == ""


SOURCES = ("environment", "profile", "command", "defaults")
_VALUES = st.fixed_dictionaries({}, optional=dict.fromkeys(("line", *SOURCES), st.integers(1, 86400)))


@given(_VALUES)
def test_the_strongest_source_wins(values: dict[str, int]) -> None:
    def table(source: str) -> dict[str, object]:
        return {"timeout": values[source]} if source in values else {}

    tables = {"check": table("command"), "defaults": table("defaults")}
    file = ConfigurationFile("config.toml", tables, {"work": {"target": "host", **table("profile")}})
    environment = {"EHLO_TIMEOUT": str(values["environment"])} if "environment" in values else {}
    line = ["--timeout", str(values["line"])] if "line" in values else []
    args, settings = Configuration(file, environment).apply("check", parser_of("check"), ["@work", *line])
    strongest = next((source for source in ("line", *SOURCES) if source in values), None)
    assert args.timeout == ([] if strongest is None else [str(values[strongest])])
    places = dict(zip(SOURCES, ("EHLO_TIMEOUT", "[profile.work]", "[check]", "[defaults]"), strict=True))
    named = [setting.place.removeprefix("config.toml: ") for setting in settings if setting.option.name == "timeout"]
    assert named == ([] if strongest in (None, "line") else [places[str(strongest)]])


def test_sources_of_the_password_are_one_setting(
    configure: Configure, parsed: Parsed, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure('[defaults]\npassword-keyring = "k"\n[profile.w]\ntarget = "h"\nuser = "u"\npassword-file = "f"\n')
    args = parsed("check", "@w")
    assert (args.password_file, args.password_keyring) == ("f", None)
    args = parsed("check", "@w", "--password-env", "V")
    assert (args.password_file, args.password_env, args.password_keyring) == (None, "V", None)
    monkeypatch.setenv("EHLO_PASSWORD", "x")
    assert parsed("check", "@w").password_file is None
    monkeypatch.delenv("EHLO_PASSWORD")
    # Without a name to log in as, it stays where it is.
    assert parsed("check", "host").password_keyring is None
    assert parsed("check", "host", "--user", "u").password_keyring == "k"


def test_the_lab_has_a_table_of_its_own(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    configure('[defaults]\ncolor = "never"\n[profile.work]\nuser = "me"\n[lab]\nuser = ["a:b"]\n')
    monkeypatch.setenv("EHLO_USER", "me")
    monkeypatch.setenv("EHLO_CERT", "client.pem")
    from ehlo.cli import lab

    seen: list[argparse.Namespace] = []
    monkeypatch.setattr(lab, "run", keeper(seen))
    assert main(["lab"]) == 0
    assert (seen[0].user, seen[0].cert, seen[0].color) == (["a:b"], None, "never")


def test_numbers_without_quotes(configure: Configure, parsed: Parsed) -> None:
    configure(
        "[check]\ntimeout = [20, 'banner=5']\npause = 1\nrate = 500\nwrite-size = 10\npriority = -3\n"
        "hold-for = 60\nwait = 2.5\nchunking = 1000\ntls-min = 1.2\n"
    )
    args = parsed("check", "h")
    assert (args.timeout, args.pause, args.rate, args.write_size) == (["20", "banner=5"], ["1"], 500.0, 10)
    assert (args.priority, args.hold_for, args.wait) == ("-3", "60", 2.5)
    assert (args.chunking, args.tls_min) == ("1000", "1.2")


# Mistakes.


@pytest.mark.parametrize(
    ("file", "words", "sentence"),
    [
        (
            '[profile.w]\nstarttls = "always"',
            ["@w"],
            "[profile.w] starttls: 'always' is not one of auto, require, never.",
        ),
        ("[profile.w]\nstarttls = true", ["@w"], "[profile.w] starttls: a value is needed, not true."),
        ('[defaults]\nverbose = "yes"', ["h"], '[defaults] verbose: this is true or false, not "yes".'),
        ("[defaults]\nhelo = 5", ["h"], "[defaults] helo: a text in quotes is wanted, not the number 5."),
        ("[check]\nto = ['a@b.org', 5.5]", ["h"], "[check] to: a text in quotes is wanted, not the number 5.5."),
        ("[profile.w]\nuser = 1000", ["@w"], "[profile.w] user: a text in quotes is wanted, not the number 1000."),
        ("[check]\ntls-min = 1.4", ["h"], "[check] tls-min: a text in quotes is wanted, not the number 1.4."),
        ("[defaults]\nverbose = 1", ["h"], "[defaults] verbose: this is true or false, not 1."),
        ('[check]\nhelo = ["a"]', ["h"], "[check] helo: one value is wanted, not a list."),
        ("[check]\nto = [true]", ["h"], "[check] to: a value is a text in quotes, a number, or a list of those."),
        (
            "[check]\nhelo = 1979-05-27",
            ["h"],
            "[check] helo: a value is a text in quotes, a number, or a list of those.",
        ),
        ('[check]\nrate = "fast"', ["h"], "[check] rate: invalid float value: 'fast'."),
        ('[defaults]\nrecipient = "a"', ["h"], "[defaults] recipient: no command has this option; did you mean 'to'?"),
        (
            '[defaults]\nrecipients = "a"',
            ["h"],
            "[defaults] recipients: no command has this option; did you mean 'to'?",
        ),
        ('[defaults]\nca_file = "a"', ["h"], "[defaults] ca_file: no command has this option; did you mean 'ca-file'?"),
        ("[defaults]\ntimout = 5", ["h"], "[defaults] timout: no command has this option; did you mean 'timeout'?"),
        (
            "[defaults]\nport = 5",
            ["h"],
            "[defaults] port: this is an option of lab alone, and belongs under [lab].",
        ),
        ("[check]\ndata = 'x'", ["h"], "[check] data: this is an option of send alone, and belongs under [send]."),
        ("[defaults]\ncolour_of_the_wind = 'x'", ["h"], "[defaults] colour_of_the_wind: no command has this option."),
        ("[check]\ntarget = 'x'", ["h"], "[check] target: a target belongs into a profile, as under [profile.work]."),
        ("[profile.w]\ntarget = 25", ["@w"], "[profile.w] target: a text in quotes is wanted."),
        ("[chek]\nhelo = 'x'", ["h"], "[chek] is neither a command nor [defaults]; did you mean [check]?"),
        ("[config]\njson = true", ["h"], "[config] is neither a command nor [defaults]."),
        ("timeout = 5", ["h"], "'timeout' stands in no table; for all commands it belongs under [defaults]."),
        ("[profile]\ntarget = 'h'", ["h"], "[profile] target: a profile has a name, as in [profile.work]."),
        (
            "[check]\nuser = 'u'\npassword-file = 'f'\npassword-env = 'v'",
            ["h"],
            "[check] has password-file and password-env, of which only one may be given.",
        ),
        (
            "[defaults]\nquiet = true\njson = true",
            ["h"],
            "[defaults] has quiet and json, of which only one may be given.",
        ),
    ],
)
def test_mistakes_in_the_file(
    configure: Configure, capsys: pytest.CaptureFixture[str], file: str, words: list[str], sentence: str
) -> None:
    configure(file)
    assert said(["check", *words], capsys) == f"ehlo check: config.toml: {sentence}\n"


@pytest.mark.parametrize(
    ("variable", "text", "sentence"),
    [
        ("EHLO_STARTTLS", "always", "EHLO_STARTTLS (--starttls): 'always' is not one of auto, require, never."),
        ("EHLO_VERBOSE", "very", "EHLO_VERBOSE (--verbose): this is 1 or 0, not 'very'."),
        ("EHLO_RATE", "fast", "EHLO_RATE (--rate): invalid float value: 'fast'."),
        (
            "EHLO_TIMEOUT",
            "soon",
            "--timeout soon: a time is a number of seconds above 0, at most 86400. (--timeout is from EHLO_TIMEOUT)",
        ),
        (
            "EHLO_FORM",
            "me@example.com",
            "The environment variable EHLO_FORM belongs to no option; did you mean EHLO_FROM?",
        ),
        (
            "EHLO_CONFIG",
            "/",
            "The configuration file / cannot be read: Is a directory. (EHLO_CONFIG= goes without one.)",
        ),
    ],
)
def test_mistakes_in_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, variable: str, text: str, sentence: str
) -> None:
    monkeypatch.setenv(variable, text)
    assert said(["check", "host"], capsys) == f"ehlo check: {sentence}\n"


def test_two_passwords_in_the_environment(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHLO_PASSWORD", "wonderland-7")
    monkeypatch.setenv("EHLO_PASSWORD_FILE", "secret")
    assert said(["check", "host"], capsys) == (
        "ehlo check: The environment has EHLO_PASSWORD and EHLO_PASSWORD_FILE; only one may be set.\n"
    )


@pytest.mark.parametrize("file", [b"a = = 1", b"\xff\xfe", b"[a]\n[a]\n"])
def test_files_that_are_not_toml(configure: Configure, capsys: pytest.CaptureFixture[str], file: bytes) -> None:
    configure("").write_bytes(file)
    assert said(["check", "host"], capsys).startswith("ehlo check: config.toml is not TOML: ")


def test_complaints_of_a_command_name_the_place(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    configure("[profile.w]\ntarget = 'h:99999'\nfrom = 'nobody'\n[defaults]\ntimeout = 0\n")
    place = "config.toml: [profile.w]"
    assert said(["check", "@w"], capsys).endswith(f"not '99999'. (target is from {place})\n")
    assert said(["check", "@w", "h"], capsys).endswith(f"behind it. (--from is from {place})\n")
    assert said(["check", "h"], capsys).endswith("(--timeout is from config.toml: [defaults])\n")
    # What is on the command line is not from the file.
    assert said(["check", "h", "--timeout", "x"], capsys).endswith("at most 86400.\n")


@pytest.mark.parametrize("key", ["password", "Password", "passwd", "token"])
@pytest.mark.parametrize("table", ["defaults", "check", "profile.other"])
def test_passwords_in_the_file_are_refused(
    configure: Configure, capsys: pytest.CaptureFixture[str], table: str, key: str
) -> None:
    configure(f'[{table}]\n{key} = "wonderland-7"\n')
    assert said(["check", "host"], capsys) == (
        f"ehlo check: config.toml: [{table}] {key}: no password may stand in this file; "
        "say where it is by password-command, password-keyring, password-file or password-env.\n"
    )


def test_profiles_that_are_not_there(
    configure: Configure, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hint = "ehlo config --example shows what it may contain."
    assert said(["check", "@w"], capsys) == f"ehlo check: There is no profile @w: EHLO_CONFIG is empty. {hint}\n"
    monkeypatch.delenv("EHLO_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    missing = "/nonexistent/ehlo/config.toml"
    assert said(["check", "@w"], capsys) == f"ehlo check: There is no profile @w: there is no {missing}. {hint}\n"
    configure("[profile.work]\n[profile.home]\n")
    assert said(["check", "@wrok"], capsys) == "ehlo check: config.toml has no profile @wrok; did you mean @work?\n"
    assert said(["check", "@x"], capsys) == "ehlo check: config.toml has no profile @x; there is @work @home.\n"
    configure("")
    assert said(["check", "@x"], capsys) == "ehlo check: config.toml has no profile @x.\n"


def test_help_and_the_command_line_come_first(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    configure("nonsense")
    with pytest.raises(SystemExit) as exit_:
        main(["check", "--help"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith("usage: ehlo check")
    assert "unrecognized arguments: --nonsense" in said(["check", "h", "--nonsense"], capsys)


# ehlo config


def test_config(configure: Configure, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    configure(FILE)
    monkeypatch.setenv("EHLO_PASSWORD", "wonderland-7")
    monkeypatch.setenv("EHLO_TIMEOUT", "5")
    assert main(["config", "@bare"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "config.toml, profiles: @work @bare",
        "",
        "  option       value                 set in          for",
        "  color        never                 [defaults]      demo check send shell show explain rule lab",
        "  explain-tls  false                 [profile.bare]  check send",
        "  helo         defaults.example.org  [defaults]      check send shell",
        "  password     …                     EHLO_PASSWORD   check send shell",
        "  stop-after   ehlo                  [check]         check",
        "  stop-after   mail                  [defaults]      send",
        "  timeout      5                     EHLO_TIMEOUT    check send shell",
        "  user         alice:…               [lab]           lab",
        "  user         me                    [profile.bare]  check send shell",
    ]


def test_config_as_json(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    configure(FILE)
    assert main(["config", "@work", "--json"]) == 0
    out = capsys.readouterr().out
    document = json.loads(out)
    values = {row["option"]: row["value"] for row in document.pop("values")}
    assert document == {"command": "config", "file": "config.toml", "profiles": ["work", "bare"], "profile": "work"}
    assert values["target"] == "mail.example.com:587"
    assert values["to"] == ["a@example.com", "b@example.com"]
    assert (values["verify"], values["explain-tls"], values["starttls"]) == (True, True, "require")
    assert values["password-command"] == "pass …"
    assert "wonderland-7" not in out


def test_config_looks_at_everything(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    configure("[profile.never-used]\ntimout = 5\n")
    assert "did you mean 'timeout'?" in said(["config"], capsys)
    configure("[send]\nbdy = 'x'\n")
    assert "[send] bdy: send has no such option; did you mean 'body'?" in said(["config"], capsys)


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("[defaults]\ntimeout = 'abc'\n", "--timeout abc: a time is a number of seconds above 0"),
        ("[profile.never-used]\nauth = 'MAGIC'\n", "there is no mechanism MAGIC"),
        ("[check]\nwait = -1\n", "--wait -1: a time is a number of seconds"),
        ("[send]\nfrom = 'nobody'\n", "The sender 'nobody' is not a mail address"),
        ("[defaults]\nsource = 'eth0'\n", "--source eth0: this is not an IP address"),
    ],
)
def test_config_refuses_what_the_commands_refuse(
    configure: Configure, capsys: pytest.CaptureFixture[str], file: str, sentence: str
) -> None:
    configure(file)
    text = said(["config"], capsys)
    assert sentence in text
    assert "is from config.toml: [" in text or "MAGIC" in text


def test_config_refuses_a_variable_that_the_commands_refuse(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EHLO_TIMEOUT", "abc")
    assert "(--timeout is from EHLO_TIMEOUT)" in said(["config"], capsys)


def test_config_shows_no_password_of_a_target(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    configure("[profile.work]\ntarget = 'smtp://me:Sup3rPw@mail.example.com'\n")
    text = said(["config", "@work"], capsys)
    assert "config.toml: [profile.work] target: The target has a password in it" in text
    assert "Sup3r" not in text


def test_config_asks_for_no_password(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    configure("[defaults]\nuser = 'me'\nauth = 'LOGIN'\npassword-file = '/nonexistent'\n")
    assert main(["config"]) == 0
    assert capsys.readouterr().err == ""


def test_config_without_a_file(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["config"]) == 0
    assert capsys.readouterr().out == "No configuration file is read: EHLO_CONFIG is empty.\n"
    monkeypatch.delenv("EHLO_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    assert main(["config"]) == 0
    assert capsys.readouterr().out == (
        "There is no configuration file; it would be /nonexistent/ehlo/config.toml\n"
        "ehlo config --example shows what it may contain.\n"
    )


def test_the_example_is_valid(configure: Configure, parsed: Parsed, capsys: pytest.CaptureFixture[str]) -> None:
    configure("this is wrong, and does not keep the example from being shown")
    assert main(["config", "--example"]) == 0
    example = capsys.readouterr().out
    assert example == SAMPLE
    # As it is, it says nothing; with the comments taken away from the keys, each is valid.
    assert all(not table for name, table in tomllib.loads(example).items() if name != "profile")
    keys = [line.removeprefix("# ") if " = " in line else line for line in example.splitlines()]
    one_password = [line for line in keys if not line.startswith(("password-keyring", "password-file", "password-env"))]
    configure("\n".join(one_password))
    args = parsed("check", "@work")
    assert (args.target, args.user, args.helo) == ("mail.example.com:587", "me", "laptop.example.org")
    assert main(["config", "@work"]) == 0
    capsys.readouterr()
    configure("\n".join(keys))
    assert "of which only one may be given" in said(["config", "@work"], capsys)


# What all of this must not cost, and must not touch.


def test_nothing_is_imported_without_a_configuration() -> None:
    program = (
        "import sys; from ehlo.cli import check; from ehlo.cli.main import main; "
        "check.run = lambda args: 0; main(['check', 'host']); "
        "print([name for name in sys.modules if name.startswith(('tomllib', 'ehlo.cli.config_', 'keyring'))])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EHLO_")}
    environment |= {"EHLO_CONFIG": "", "EHLO_PASSWORD": "x"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout == "[]\n"


def test_no_option_takes_a_password() -> None:
    """The lab's --user has one for its own server. `ps` shows all others' words."""
    for command in COMMANDS:
        names = {string for action in parser_of(command.name)._actions for string in action.option_strings}
        assert not names & {"--password", "--pass", "--token", "--secret", "-p"}
        assert {name for name in names if "password" in name} <= {
            "--password-file",
            "--password-env",
            "--password-command",
            "--password-keyring",
        }


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("line", "words", "completed"),
    [
        ("ehlo check @w", "ehlo check @ w", "@work"),
        ("ehlo check @", "ehlo check @", "@work @bare"),
        ("ehlo send -f a@b.c @b", "ehlo send -f a @ b.c @ b", "@bare"),
        ("ehlo check host@w", "ehlo check host @ w", ""),
        ("ehlo lab @w", "ehlo lab @ w", ""),
    ],
)
def test_bash_completes_profiles(
    configure: Configure, capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, words: str, completed: str
) -> None:
    configure(FILE)
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    # Bash takes an @ for a word of its own.
    program = f'COMP_LINE="{line}"; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _ehlo'
    done = subprocess.run(
        ["bash", "-c", f'source {script}; {program}; echo "${{COMPREPLY[@]}}"'],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout.strip(), done.stderr) == (completed, "")


def test_what_a_lab_tells_its_command_is_no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within `ehlo lab --exec`, nothing has to be read or imported for it."""
    for name in [name for name in os.environ if name.startswith("EHLO_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("EHLO_LAB_HOST", "127.0.0.1")
    assert variables() == []
    monkeypatch.setenv("EHLO_FROM", "a@b.org")
    assert variables() == ["EHLO_FROM"]
