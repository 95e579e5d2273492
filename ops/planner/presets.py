"""Loads to begin with: a site of some size, and the load that Dashcell is designed for.

The design's load (Tumblr, 2012): 1 M inbox writes/s, 50 K dashboard reads/s, posts of 50 GB/day,
inboxes of 2.7 TB/day, 45 M users, 22 billion posts; an average post reaches hundreds of readers.
Its rates are taken for those of the whole day, since that is how its bytes a day come about.
"""

from dataclasses import dataclass

from ops.planner.amounts import amount
from ops.planner.load import DAY_S, PAGE_POSTS, Load

FAN_OUT = 300.0
"""Hundreds; as many followers as the bench's average posts have."""
FOLLOWS = 100.0
ACTIVE = 0.2
LARGEST_AUTHOR = 1e6

SITE_USERS = 1e6
SITE_POSTS_PER_USER = 1.0
SITE_VIEWS_PER_USER = 10.0
SITE_PEAK = 2.0
SITE_POST_BYTES = 600.0
"""As the bench's pages show."""

DESIGN_USERS = 45e6
DESIGN_WRITES_PER_S = 1e6
DESIGN_READS_PER_S = 50e3
DESIGN_POSTS_BYTES_PER_DAY = 50e9
DESIGN_INBOX_BYTES_PER_DAY = 2.7e12
DESIGN_POSTS = 22e9
ROW_KEY_BYTES = 24


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for; None is left to the preset. The names are those of `Load`."""

    users: float | None = None
    posts_per_day: float | None = None
    fan_out: float | None = None
    views_per_day: float | None = None
    peak: float | None = None
    post_bytes: float | None = None
    follows: float | None = None
    active: float | None = None
    largest_author: float | None = None


def site(wanted: Wanted) -> Load:
    """A site: a post and ten views by each user a day, twice as many in the busiest second."""
    users = _or(wanted.users, SITE_USERS)
    fan_out = _fan_out(wanted, users)
    return Load(
        users=users,
        posts_per_day=_or(wanted.posts_per_day, SITE_POSTS_PER_USER * users),
        views_per_day=_or(wanted.views_per_day, SITE_VIEWS_PER_USER * users),
        peak=_or(wanted.peak, SITE_PEAK),
        post_bytes=_or(wanted.post_bytes, SITE_POST_BYTES),
        fan_out=fan_out,
        follows=_or(wanted.follows, min(FOLLOWS, users)),
        active=_or(wanted.active, ACTIVE),
        largest_author=_largest_author(wanted, users, fan_out),
    )


def design(wanted: Wanted) -> Load:
    """The design's load; posts a day follow from its writes and the fan-out, unless given."""
    users = _or(wanted.users, DESIGN_USERS)
    fan_out = _fan_out(wanted, users)
    posts = _or(wanted.posts_per_day, DESIGN_WRITES_PER_S * DAY_S / (fan_out + 1))
    return Load(
        users=users,
        posts_per_day=posts,
        views_per_day=_or(wanted.views_per_day, DESIGN_READS_PER_S * DAY_S),
        peak=_or(wanted.peak, 1.0),
        post_bytes=_or(wanted.post_bytes, DESIGN_POSTS_BYTES_PER_DAY / posts),
        fan_out=fan_out,
        follows=_or(wanted.follows, min(FOLLOWS, users)),
        active=_or(wanted.active, ACTIVE),
        largest_author=_largest_author(wanted, users, fan_out),
    )


def _fan_out(wanted: Wanted, users: float) -> float:
    """As given, else no more than there are users and than the largest author has."""
    return _or(wanted.fan_out, min(FAN_OUT, users, _or(wanted.largest_author, users)))


def _largest_author(wanted: Wanted, users: float, fan_out: float) -> float:
    """As given, else no fewer than authors have on average, nor more than there are users."""
    return _or(wanted.largest_author, min(max(LARGEST_AUTHOR, fan_out), users))


PRESETS = {"site": site, "design": design}


def design_notes() -> tuple[str, ...]:
    """Where the design's own numbers do not fit each other; of its load as it is."""
    load = design(Wanted())
    rows = DESIGN_WRITES_PER_S * DAY_S
    key_bytes = amount(rows * ROW_KEY_BYTES, "B")
    said = amount(DESIGN_INBOX_BYTES_PER_DAY, "B")
    writes = DESIGN_INBOX_BYTES_PER_DAY / (ROW_KEY_BYTES * DAY_S) / 1e6
    each = load.deliveries_per_day / load.users
    seen = load.views_per_day * PAGE_POSTS / load.users
    bytes_note = (
        f"{ROW_KEY_BYTES} B x 1 M writes/s x {DAY_S:,} s are {key_bytes}/day, where the design "
        f"says {said}/day: that would be {DESIGN_INBOX_BYTES_PER_DAY / rows:.0f} B a row, or "
        f"{writes:.1f} M writes/s"
    )
    posts_note = (
        f"1 M writes/s x {DAY_S:,} s / {load.readers_per_post:,.0f} readers are "
        f"{amount(load.posts_per_day)} posts/day: {amount(DESIGN_POSTS_BYTES_PER_DAY, 'B')}/day "
        f"are then {load.post_bytes:.0f} B a post, and its 22 billion posts those of "
        f"{DESIGN_POSTS / load.posts_per_day:.0f} days"
    )
    users_note = (
        f"a user is sent {each:,.0f} entries a day, and the pages of 50 K reads/s hold "
        f"{seen:,.0f} for each"
    )
    return bytes_note, posts_note, users_note


def _or(given: float | None, preset: float) -> float:
    return preset if given is None else given
