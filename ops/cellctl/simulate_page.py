"""`python -m ops.cellctl.simulate_page DOCS`: the simulator's figures in DOCS/materialization.md.

The page is written by people, but for what stands between two marks: what
`cellctl simulate feeding-frenzy` prints.
"""

import re
import sys
from pathlib import Path

from ops.cellctl.simulate_text import lines
from ops.simulate.feeding_frenzy import simulate

PAGE = "materialization.md"
_BEGIN = "<!-- what `cellctl simulate feeding-frenzy` prints, by `make docs` -->\n"
_END = "<!-- the end of what it prints -->\n"
_SEED = 1


def page(docs: Path) -> str:
    """The page as it should be. Raises ValueError where its marks are gone."""
    text = (docs / PAGE).read_text()
    printed = "\n".join(lines(simulate(_SEED, 1.0)))
    made = f"```\n{printed}\n```\n"
    between = re.compile(f"(?<={re.escape(_BEGIN)}).*(?={re.escape(_END)})", re.DOTALL)
    found, count = between.subn(lambda _: made, text)
    if count != 1:
        raise ValueError(f"{docs / PAGE} has not once {_BEGIN!r} and {_END!r}")
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / PAGE).write_text(page(folder))
