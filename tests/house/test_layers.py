"""Layers point down, vendors stay with their adapters, and nothing imports in a circle."""

import functools
import subprocess
import sys
import tomllib

import grimp

from tests.house.sources import PACKAGES, ROOT

VENDORS = {
    "happybase",
    "redis",
    "confluent_kafka",
    "kazoo",
    "sqlite3",
    "thriftpy2",
    "starlette",
    "uvicorn",
    "click",
    "rich",
    "structlog",
    "prometheus_client",
}


def contracts() -> list[dict[str, object]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return settings["tool"]["importlinter"]["contracts"]


@functools.cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def test_every_contract_on_imports_is_kept():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


def test_layers_are_the_ones_of_the_house():
    layers = [contract for contract in contracts() if contract["type"] == "layers"]
    assert [contract["layers"] for contract in layers] == [
        ["ops", "router", "cell", "firehose", "idgen"]
    ], "keep one layers contract in pyproject.toml, with all five packages"


def test_every_vendor_library_has_a_contract():
    covered = {
        vendor
        for contract in contracts()
        if contract["type"] == "forbidden"
        for vendor in contract["forbidden_modules"]
    }
    assert covered >= VENDORS, f"add a forbidden contract for {VENDORS - covered}"


def test_what_a_contract_excuses_still_imports_the_vendor():
    modules = graph().modules
    stale = []
    for contract in contracts():
        for excuse in contract.get("ignore_imports", []):
            importer, vendor = excuse.split(" -> ")
            exact = "*" not in importer
            if exact and importer in modules and not _imports(importer, vendor):
                stale.append(excuse)
    assert not stale, f"delete from ignore_imports in pyproject.toml what no longer holds: {stale}"


def test_no_module_imports_itself_through_others():
    circles = [circle for circle in _strongly_connected() if len(circle) > 1]
    assert not circles, (
        f"import circles: {circles}; move what both need into a module below them, "
        "or declare a port in the lower one"
    )


def _imports(importer: str, vendor: str) -> bool:
    return vendor in graph_with_vendors().find_modules_directly_imported_by(importer)


@functools.cache
def graph_with_vendors() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)


def _strongly_connected() -> list[list[str]]:
    """Kosaraju's algorithm, without recursion."""
    modules = sorted(graph().modules)
    onward = {m: graph().find_modules_directly_imported_by(m) for m in modules}
    back = {m: graph().find_modules_that_directly_import(m) for m in modules}
    order = _by_finish(modules, onward)
    seen: set[str] = set()
    found = []
    for start in reversed(order):
        circle, waiting = [], [start]
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                circle.append(module)
                waiting.extend(back[module] - seen)
        if circle:
            found.append(sorted(circle))
    return found


def _by_finish(modules: list[str], onward: dict[str, set[str]]) -> list[str]:
    seen: set[str] = set()
    order = []
    for start in modules:
        waiting = [(start, False)]
        while waiting:
            module, finished = waiting.pop()
            if finished:
                order.append(module)
            elif module not in seen:
                seen.add(module)
                waiting.append((module, True))
                waiting.extend((other, False) for other in onward[module] - seen)
    return order
