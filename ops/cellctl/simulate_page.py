"""`python -m ops.cellctl.simulate_page DOCS`: the simulator's figures in DOCS/materialization.md.

The page is written by people, but for what stands between two marks: what
`cellctl simulate feeding-frenzy` prints, and a digest of the code that worked it out, which tells
in no time whether these are its figures.
"""

import hashlib
import re
import sys
from pathlib import Path

from cell import materialization
from ops import simulate as simulated
from ops.cellctl import simulate_text
from ops.simulate.feeding_frenzy import simulate

PAGE = "materialization.md"
_BEGIN = "<!-- what `cellctl simulate feeding-frenzy` prints, by `make docs`; code "
_END = "<!-- the end of what it prints -->\n"
_SEED = 1


def digest() -> str:
    """A digest of all the code that has a part in the figures."""
    own = Path(simulate_text.__file__)
    sources = [own, Path(materialization.__file__), *Path(simulated.__file__).parent.glob("*.py")]
    whole = b"".join(path.read_bytes() for path in sorted(sources, key=lambda path: path.name))
    return hashlib.sha256(whole).hexdigest()[:16]


def page(docs: Path) -> str:
    """The page as it should be. Raises ValueError where its marks are gone."""
    text = (docs / PAGE).read_text()
    printed = "\n".join(simulate_text.lines(simulate(_SEED, 1.0)))
    made = f"{digest()} -->\n```\n{printed}\n```\n"
    between = re.compile(f"(?<={re.escape(_BEGIN)}).*(?={re.escape(_END)})", re.DOTALL)
    found, count = between.subn(lambda _: made, text)
    if count != 1:
        raise ValueError(f"{docs / PAGE} has not once {_BEGIN!r} and {_END!r}")
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / PAGE).write_text(page(folder))
