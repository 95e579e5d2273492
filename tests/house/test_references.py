"""Every setting, metric, error and command is documented, by pages made from the code."""

import re

import pytest

from ops import config, reference
from ops.cellctl import plan_page, simulate_page
from ops.cellctl.main import COMMANDS
from ops.cellctl.reference import reference as cellctl_reference
from ops.config_settings import Config
from tests.house.sources import PACKAGES, ROOT

METRIC = re.compile(r'"(dashcell_[a-z_]+(?:_total|_seconds|_bytes))"')
MAKE = "`make docs` writes it anew"


@pytest.mark.parametrize("page", sorted(reference.PAGES))
def test_a_page_is_what_the_code_says(page):
    assert (ROOT / "docs" / page).read_text() == reference.PAGES[page](), f"{page}: {MAKE}"


def test_the_page_of_cellctl_is_what_the_commands_say():
    page = (ROOT / "docs" / "cellctl.md").read_text()
    assert page == cellctl_reference(), f"docs/cellctl.md: {MAKE}"
    missing = [name for name in COMMANDS if f"\n## {name}\n" not in page]
    assert not missing, f"{missing}: {MAKE}"


def test_the_page_of_planning_has_the_plan_of_the_figures():
    docs = ROOT / "docs"
    assert (docs / plan_page.PAGE).read_text() == plan_page.page(docs), f"planning.md: {MAKE}"


def test_the_page_of_materialization_has_the_figures_of_the_simulator():
    page = (ROOT / "docs" / simulate_page.PAGE).read_text()
    assert f"code {simulate_page.digest()} -->" in page, f"materialization.md: {MAKE}"


def test_every_setting_has_a_meaning():
    silent = [setting.name for setting in config.settings() if not setting.meaning]
    assert not silent, f"give these a Meta(description=...) in ops/config_settings.py: {silent}"


def test_every_setting_is_read_by_somebody():
    code = "\n".join(
        path.read_text()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name not in ("config_settings.py", "reference.py")
    )
    unread = [s.name for s in config.settings() if not re.search(rf"\.{s.key}\b", code)]
    assert not unread, f"delete settings that change nothing, or use them: {unread}"


def test_every_metric_is_declared_once_and_documented():
    page = (ROOT / "docs" / "metrics.md").read_text()
    named = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            named |= set(METRIC.findall(path.read_text()))
    undocumented = {name for name in named if f"`{name}`" not in page}
    assert not undocumented, f"declare in ops/metrics.py, then {MAKE}: {undocumented}"


def test_the_defaults_are_a_configuration():
    assert config.load_config(env={}) == Config()
