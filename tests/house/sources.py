"""The files of the repository that house rules are about."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("cell", "firehose", "router", "idgen", "ops")
FOLDERS = (*PACKAGES, "thrift", "tests", "docs", ".ci")
TEXTS = (".py", ".md", ".thrift", ".toml", ".sh", ".service", ".target", ".conf", ".env", ".yaml")
GENERATED = re.compile(r"/(__pycache__|\.hypothesis)/")


def product() -> list[Path]:
    """Every module of the packages that are shipped."""
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def tests() -> list[Path]:
    """Every module below tests/."""
    return sorted((ROOT / "tests").rglob("*.py"))


def texts() -> list[Path]:
    """Every file that people write: code, IDL, documents, settings."""
    found = [path for path in sorted(ROOT.iterdir()) if path.is_file() and _is_text(path)]
    for folder in FOLDERS:
        found += [p for p in sorted((ROOT / folder).rglob("*")) if p.is_file() and _is_text(p)]
    return [path for path in found if not GENERATED.search(str(path))]


def documents() -> list[Path]:
    """Every Markdown file."""
    return [path for path in texts() if path.suffix == ".md"]


def named(path: Path) -> str:
    """The path as it is written in a message."""
    return str(path.relative_to(ROOT))


def _is_text(path: Path) -> bool:
    return path.suffix in TEXTS or path.name in ("Makefile", "run", "Dockerfile")
