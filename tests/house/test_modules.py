"""The shape of modules: sizes, names, `__init__` files, and where the environment is read."""

import ast
from pathlib import Path

import pytest

from tests.house import sources
from tests.house.sources import named, product

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500
TO_COPY = "firehose/stream_client.py"
"""A program of its own, for projects that have nothing else of this one."""
NO_NAMES = {"common", "utils", "util", "helpers", "helper", "manager", "misc", "shared"}


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def test_an_init_file_holds_a_docstring_and_nothing_else():
    full = []
    for path in product():
        if path.name == "__init__.py":
            body = parsed(path).body
            if len(body) != 1 or ast.get_docstring(parsed(path)) is None:
                full.append(named(path))
    assert not full, f"move the code of {full} into modules with names; keep one docstring"


@pytest.mark.parametrize("path", [*product(), *sources.tests()], ids=named)
def test_a_module_can_be_read_at_one_sitting(path):
    lines = len(path.read_text().splitlines())
    assert lines <= MODULE_LINES_MAX, (
        f"{named(path)} has {lines} lines, more than {MODULE_LINES_MAX}: split it by noun"
    )
    long = [
        f"{node.name} (line {node.lineno}): {length} lines"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert not long, f"{named(path)}: take a step out of each of {long}; {FUNCTION_LINES_MAX} max"


def test_modules_are_named_after_what_they_are():
    vague = [
        named(path)
        for path in (*product(), *sources.tests())
        if NO_NAMES & {path.stem, *(part.lower() for part in path.parent.parts[-2:])}
    ]
    assert not vague, f"name {vague} after the thing inside: {sorted(NO_NAMES)} say nothing"


def test_only_the_configuration_reads_the_environment():
    readers = []
    for path in product():
        if named(path) in ("ops/config.py", TO_COPY):
            continue
        for node in ast.walk(parsed(path)):
            reads_environ = isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
            if reads_environ and isinstance(node.value, ast.Name) and node.value.id == "os":
                readers.append(f"{named(path)}:{node.lineno}")
    assert not readers, f"{readers}: make it a setting of ops/config.py and pass the value in"


def test_every_public_name_of_the_product_is_described():
    silent = []
    for path in product():
        tree = parsed(path)
        if ast.get_docstring(tree) is None:
            silent.append(named(path))
        silent += [
            f"{named(path)}:{node.lineno} {node.name}"
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and ast.get_docstring(node) is None
        ]
    assert not silent, f"say what these take, give and raise: {silent}"


def test_every_test_waits_for_a_thing_and_not_for_time():
    sleepers = []
    for path in sources.tests():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and _is_sleep(node.func):
                sleepers.append(f"{named(path)}:{node.lineno}")
    assert not sleepers, f"{sleepers}: wait with tests.contract.patience.until for the thing itself"


def _is_sleep(function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute):
        return function.attr == "sleep"
    return isinstance(function, ast.Name) and function.id == "sleep"


def test_test_modules_have_names_of_their_own():
    paths: dict[str, list[str]] = {}
    for path in sources.tests():
        if path.name.startswith("test_"):
            paths.setdefault(path.name, []).append(named(path))
    twice = [group for group in paths.values() if len(group) > 1]
    assert not twice, f"rename one of each: {twice}"
