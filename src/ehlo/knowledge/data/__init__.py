"""The data files themselves. (They are read by path: `importlib.resources` costs 20 ms of start-up.)"""

from pathlib import Path

_FOLDER = Path(__file__).parent


def read_data(name: str) -> str:
    """The text of a data file."""
    return (_FOLDER / name).read_text("utf-8")


def rule_files() -> list[str]:
    """The names of the rule files, for `read_data`."""
    return sorted(f"rules/{path.name}" for path in (_FOLDER / "rules").glob("*.toml"))
