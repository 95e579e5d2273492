"""Memory: the RSS of one ingest worker, with a million edges in use, while the week is replayed.

The week's own edges are 461,192; authors with a thousand followers each make them a million. The
worker is started with nothing in its memory and has before it a post of each of those authors and
then the whole week's posts: so all of these sets are loaded and used. The figure is the most that
its RSS has ever been in this life (VmHWM), the garbage of its largest batch included; what is left
at the end is told beside it.
"""

from ops.bench.bench import Bench
from ops.bench.load import crowd
from ops.bench.measure import PRODUCT, Figure, Goal, Measure, Trials, figures_of
from ops.bench.measures.size import with_week
from ops.bench.measures.week import from_the_beginning
from ops.bench.processes import peak_mib, resident_mib
from ops.bench.stage import INGEST

NAME = "memory"
EDGES = 1_000_000
EACH = 1_000
MIB_MAX = 400
PLACE = 9


def run(bench: Bench) -> list[Figure]:
    """The peak of one replay."""
    stage = with_week(bench)
    week = bench.week()
    more = crowd(max(1, (EDGES - len(week.edges)) // EACH), EACH, 100_000, PLACE)
    stage.stop_ingest()
    bench.tell(f"planting {more.followers.size:,} follows")
    stage.plant_follows(more.authors, list(more.followers))
    stage.append(stage.posts(more.authors, "a post"))
    stage.append([stage.record(post) for post in week.posts(stage.ids)])
    seconds = from_the_beginning(stage)
    pid = stage.pid(INGEST)
    peak, left = peak_mib(pid), resident_mib(pid)
    bench.tell(f"peak {peak} MiB, {left} MiB at the end of {seconds:.0f} s")
    edges = len(week.edges) + more.followers.size
    measure = Measure(
        NAME,
        f"most RSS of an ingest worker, {edges:,} edges, the week replayed",
        "MiB",
        higher_is_better=False,
        goals=(Goal(MIB_MAX),),
        count=edges,
    )
    return figures_of(measure, Trials({PRODUCT: [float(peak)]}), f"{left} MiB at the end")
