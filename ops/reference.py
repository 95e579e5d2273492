"""The generated pages of docs/: configuration, metrics, errors.

`python -m ops.reference` writes them; `python -m ops.reference --check` tells which are stale and
fails if any is.
"""

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from idgen import errors
from idgen.idl import load
from ops import config
from ops.config_allowed import allowed
from ops.config_settings import CellServers
from ops.metrics import DECLARED
from router import bootstraps, cells, moves

_STAGES: Final = (
    "\nWhat a mover does with {what} in each state, each recorded before the next:\n\n"
)
_MADE: Final = "<!-- Made by `python -m ops.reference`; edit the code instead. -->\n"

_TYPES: Final = {8: "i32", 10: "i64", 11: "string", 18: "binary"}


def configuration() -> str:
    """docs/configuration.md: every setting, its variable, default, bounds and meaning."""
    parts = [_CONFIGURATION]
    for section, kind in config.sections().items():
        rows = [
            (
                f"`{setting.key}`",
                f"`{setting.variable}`",
                _default(setting.default),
                allowed(setting.info.type),
                setting.meaning,
            )
            for setting in config.settings()
            if setting.section == section
        ]
        head = ("key", "variable", "default", "allowed", "meaning")
        parts.append(f"## [{section}]\n{_prose(kind)}\n\n{_table(head, rows)}")
        if section == "servers":
            parts.append(_cell_servers())
    return _MADE + "\n".join(parts)


def metrics() -> str:
    """docs/metrics.md: every metric, its kind, labels and meaning."""
    rows = [
        (
            f"`{metric.name}`",
            metric.kind.value,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.meaning,
        )
        for metric in DECLARED
    ]
    return _MADE + _METRICS + _table(("name", "kind", "labels", "meaning"), rows)


def error_names() -> str:
    """docs/errors.md: every error, its reason, fields and meaning."""
    wire = load("errors")
    parts = [_ERRORS]
    inner: list[tuple[str, ...]] = []
    for kind in _error_types():
        thrown = getattr(wire, kind.__name__, None)
        if thrown is None:
            inner.append((f"`{kind.__name__}`", f"`{kind.reason}`", _prose(kind)))
            continue
        fields = ", ".join(
            f"{number}: `{spec[1]}` ({_TYPES[spec[0]]})"
            for number, spec in sorted(thrown.thrift_spec.items())
        )
        parts.append(f"## {kind.__name__}\nReason `{kind.reason}`. {_prose(kind)}\n\n{fields}\n")
    parts.append(f"## Errors that stay inside\n{_table(('name', 'reason', 'meaning'), inner)}")
    return _MADE + "\n".join(parts)


def states() -> str:
    """docs/states.md: diagrams of the states of cells and moves."""
    return "".join(
        (
            _MADE,
            "# States\n## Moves\n",
            _diagram(moves.TRANSITIONS),
            _STAGES.format(what="a move"),
            _stages(moves.STAGES),
            "\n## Cells\n",
            _diagram(cells.TRANSITIONS),
            _STAGES.format(what="a cell that is being added"),
            _stages(bootstraps.STAGES),
        )
    )


def _stages(stages: Mapping[Any, Sequence[Any]]) -> str:
    rows = [
        (f"`{state}`", ", ".join(f"`{stage}`" for stage in found))
        for state, found in stages.items()
    ]
    return _table(("state", "stages"), rows)


def _diagram(transitions: Mapping[Any, Mapping[str, Any]]) -> str:
    """A table of transitions as a Mermaid diagram; the first state is where it begins."""
    lines = [f"[*] --> {next(iter(transitions))}"]
    for state, following in transitions.items():
        lines += [f"{state} --> {other}: {what}" for what, other in following.items()]
        lines += [] if following else [f"{state} --> [*]"]
    return "".join(("```mermaid\nstateDiagram-v2\n", *(f"    {x}\n" for x in lines), "```\n"))


PAGES: Final[dict[str, Callable[[], str]]] = {
    "configuration.md": configuration,
    "metrics.md": metrics,
    "errors.md": error_names,
    "states.md": states,
}


def stale(folder: Path) -> list[str]:
    """The pages in `folder` that are not what the code says."""
    return [
        name
        for name, make in PAGES.items()
        if not (folder / name).is_file() or (folder / name).read_text() != make()
    ]


def write(folder: Path) -> None:
    """Write all pages."""
    folder.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        (folder / name).write_text(make())


def _error_types() -> list[type[errors.DashcellError]]:
    """All errors in the order in which they stand in idgen/errors.py."""
    return [
        kind
        for kind in vars(errors).values()
        if inspect.isclass(kind)
        and issubclass(kind, errors.DashcellError)
        and kind is not errors.DashcellError
    ]


def _cell_servers() -> str:
    rows = [
        (f"`{info.name}`", allowed(info.type), config.describe(info))
        for info in msgspec.structs.fields(CellServers)
    ]
    return f"Of each `[servers.cells.NAME]`:\n\n{_table(('key', 'allowed', 'meaning'), rows)}"


def _prose(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())


def _default(value: Any) -> str:
    if isinstance(value, config.Secret) or value in ("", {}):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(head)
    lines = [head, ("---",) * len(head), *rows]
    # A bar within a cell would end it.
    return "".join(f"| {' | '.join(each.replace('|', '/') for each in row)} |\n" for row in lines)


_CONFIGURATION: Final = """# Configuration
Settings are read from a TOML file, `dashcell.toml` in the platform's folder or the one that
`--config` or `DASHCELL_CONFIG` names; then from the environment; then from command line options.
What is read later wins. An unknown key, and a value that is not allowed, is an error that names
the file, the key and what is allowed.

In variables lists are written with commas and tables as JSON. `DASHCELL_DATA` is short for
`DASHCELL_PLATFORM_DATA`. `XDG_CACHE_HOME` and `JAVA_HOME` are read where the settings `stack.jars`
and `stack.java_home` are empty. Passwords are never shown: not by `/admin/config`, nor in logs.
"""

_METRICS: Final = """# Metrics
Every service answers `/metrics` on its admin port in Prometheus' text format, beside the usual
`process_*` of its process. No label holds a user's or a post's id.

"""

_ERRORS: Final = """# Errors
The same names in Python (`idgen/errors.py`) and on the wire (`thrift/errors.thrift`). Branch on
the type or on `reason`, which never changes; `message` is for people.

A method that a server does not know is answered by `TApplicationException` UNKNOWN_METHOD, a
failure of the server itself by INTERNAL_ERROR without details (the server's log has them, with
the call's request id). What is no call at all (another protocol, a frame that is cut, too large
or malformed) is answered by closing the connection and counted in `dashcell_wire_faults_total`.
"""


def main(arguments: list[str]) -> int:
    """Write the pages, or check them; the exit code."""
    folder = Path("docs")
    if arguments != ["--check"]:
        write(folder)
        return 0
    found = stale(folder)
    for name in found:
        sys.stderr.write(f"{folder / name} is stale: run python -m ops.reference\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
