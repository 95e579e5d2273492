"""`python -m ops.cellctl.plan_page DOCS`: the design's plan in DOCS/planning.md, made anew.

The page is written by people, but for what stands between two marks: what `cellctl plan` prints
with the figures in DOCS/performance.json.
"""

import io
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path

from ops.cellctl.plan import command

PAGE = "planning.md"
FIGURES = "performance.json"
_WORDS = ("--load", "design")
_BEGIN = "<!-- what `cellctl plan --load design` prints, by `make docs` -->\n"
_END = "<!-- the end of what it prints -->\n"
_NOTHING = (
    "No figures have been taken yet: `make bench` takes them, and writes the plan here as well.\n"
)


def page(docs: Path) -> str:
    """The page as it should be. Raises ValueError where its marks are gone."""
    text = (docs / PAGE).read_text()
    figures = docs / FIGURES
    made = f"```\n{printed(figures)}```\n" if figures.is_file() else _NOTHING
    between = re.compile(f"(?<={re.escape(_BEGIN)}).*(?={re.escape(_END)})", re.DOTALL)
    found, count = between.subn(lambda _: made, text)
    if count != 1:
        raise ValueError(f"{docs / PAGE} has not once {_BEGIN!r} and {_END!r}")
    return found


def printed(figures: Path) -> str:
    """What the command prints for the design's load."""
    out = io.StringIO()
    with redirect_stdout(out):
        command.main([*_WORDS, "--figures", str(figures)], "cellctl plan", standalone_mode=False)
    return out.getvalue()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / PAGE).write_text(page(folder))
