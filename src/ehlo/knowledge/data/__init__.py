"""The data files themselves. (They are found by plain path: `importlib.resources` costs 20 ms of start-up,
`pathlib` five.)"""

import os

_FOLDER = os.path.dirname(__file__)


def read_data(name: str) -> str:
    """The text of a data file."""
    with open(os.path.join(_FOLDER, name), encoding="utf-8") as stream:
        return stream.read()


def rule_files() -> list[str]:
    """The names of the rule files, for `read_data`."""
    return sorted(f"rules/{name}" for name in os.listdir(os.path.join(_FOLDER, "rules")) if name.endswith(".toml"))
