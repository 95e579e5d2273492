"""What goes over the wire arrives as it was: every method, every value, every error."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cell.dashboard import (
    Build,
    Context,
    Count,
    Entry,
    EntryKind,
    Follows,
    Home,
    NewFollow,
    NewPost,
    Page,
    PageQuery,
    PostView,
    Receipt,
    SliceHome,
    Topology,
)
from firehose.event import Draft, Lane, PostKind, PostRef
from idgen import errors
from ops.dashboard_client import DashboardClient
from tests.unit.dashboard_wire import ScriptedDashboard, serving

I32 = st.integers(-(2**31), 2**31 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
OPAQUE = st.binary(max_size=40)
MAYBE_ID = st.none() | I64
LANES = st.sampled_from(Lane)
CONTEXTS = st.builds(
    Context,
    st.integers(1, 60_000),
    st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=64).filter(
        str.isprintable
    ),
)
REFS = st.builds(PostRef, I64, I64)
DRAFTS = st.builds(
    Draft,
    kind=st.sampled_from(PostKind),
    title=TEXT,
    body=TEXT,
    tags=st.lists(TEXT, max_size=4).map(tuple),
    mentions=st.lists(I64, max_size=4).map(tuple),
    reblog_of=st.none() | REFS,
    reply_to=st.none() | REFS,
    at_ms=st.none() | I64,
)
NEW_POSTS = st.builds(NewPost, I64, DRAFTS, MAYBE_ID)
NEW_FOLLOWS = st.builds(NewFollow, I64, I64, MAYBE_ID, st.none() | I32)
RECEIPTS = st.builds(Receipt, I64, OPAQUE)
FLAT_VIEWS = st.builds(PostView, REFS, I64, st.none() | DRAFTS, st.booleans(), st.none())
VIEWS = st.builds(PostView, REFS, I64, st.none() | DRAFTS, st.booleans(), st.none() | FLAT_VIEWS)
ENTRIES = st.builds(
    Entry,
    id=I64,
    lane=LANES,
    kind=st.sampled_from(EntryKind),
    actor=I64,
    at_ms=I64,
    unread=st.booleans(),
    cursor=OPAQUE,
    post=st.none() | VIEWS,
    target=st.none() | REFS,
)
PAGES = st.builds(
    Page,
    entries=st.lists(ENTRIES, max_size=3).map(tuple),
    next_cursor=OPAQUE,
    previous_cursor=OPAQUE,
    end=st.booleans(),
    token=OPAQUE,
    cell=TEXT,
    epoch=I32,
    lag_ms=I64,
)
QUERIES = st.builds(
    PageQuery,
    reader=I64,
    lanes=st.frozensets(LANES, min_size=1),
    kinds=st.frozensets(st.sampled_from(EntryKind)),
    before=OPAQUE,
    after=OPAQUE,
    oldest_first=st.booleans(),
    limit=I32,
    hydrate=st.booleans(),
    at_least=st.lists(OPAQUE, max_size=3).map(tuple),
)
ADDRESSES = st.lists(TEXT, max_size=3).map(tuple)
TOPOLOGIES = st.builds(
    Topology,
    st.lists(st.builds(SliceHome, st.integers(0, 2**64 - 1), TEXT, I32), max_size=3).map(tuple),
    st.dictionaries(TEXT, ADDRESSES, max_size=3),
)
COUNTS = st.builds(Count, I32, st.booleans())

METHODS = {
    "publish": (st.tuples(I64, DRAFTS, MAYBE_ID), RECEIPTS),
    "publish_many": (st.tuples(st.lists(NEW_POSTS, max_size=3)), st.lists(RECEIPTS, max_size=3)),
    "remove_post": (st.tuples(I64, I64, MAYBE_ID), RECEIPTS),
    "follow": (st.tuples(NEW_FOLLOWS), RECEIPTS),
    "follow_many": (st.tuples(st.lists(NEW_FOLLOWS, max_size=3)), st.lists(RECEIPTS, max_size=3)),
    "unfollow": (st.tuples(I64, I64, MAYBE_ID), RECEIPTS),
    "like": (st.tuples(I64, REFS, MAYBE_ID), RECEIPTS),
    "unlike": (st.tuples(I64, REFS, MAYBE_ID), RECEIPTS),
    "mark_read": (st.tuples(I64, LANES, I64), RECEIPTS),
    "page": (st.tuples(QUERIES), PAGES),
    "author_posts": (st.tuples(I64, OPAQUE, OPAQUE, I32), PAGES),
    "posts": (st.tuples(st.lists(REFS, max_size=3)), st.lists(VIEWS, max_size=3)),
    "count_newer": (st.tuples(I64, LANES, OPAQUE, I32), COUNTS),
    "unread": (st.tuples(I64, LANES, I32), COUNTS),
    "following": (
        st.tuples(I64, I64, I32),
        st.builds(Follows, st.lists(I64, max_size=4).map(tuple), I64),
    ),
    "is_following": (
        st.tuples(I64, st.lists(I64, max_size=4).map(tuple)),
        st.lists(I64, max_size=4).map(tuple),
    ),
    "route": (st.tuples(I64), st.builds(Home, TEXT, I32, ADDRESSES)),
    "topology": (st.tuples(), TOPOLOGIES),
    "version": (st.tuples(), st.builds(Build, TEXT, TEXT, TEXT)),
}
ERRORS = st.one_of(
    st.builds(errors.BadRequest, TEXT, TEXT),
    *(
        st.builds(plain, TEXT)
        for plain in (
            errors.NotFound,
            errors.Conflict,
            errors.Unauthenticated,
            errors.PermissionDenied,
            errors.DeadlineExceeded,
        )
    ),
    st.builds(errors.Throttled, TEXT, st.integers(0, 2**63 - 1)),
    st.builds(errors.Behind, TEXT, OPAQUE),
    st.builds(errors.Moved, TEXT, I32),
    st.builds(errors.Unavailable, TEXT, st.integers(0, 2**63 - 1)),
    st.builds(errors.CursorTooOld, TEXT, OPAQUE),
)


@pytest.fixture(scope="module")
def scripted() -> Iterator[tuple[ScriptedDashboard, DashboardClient]]:
    dashboard = ScriptedDashboard()
    with serving(dashboard) as (_, client):
        yield dashboard, client


def test_every_method_of_the_service_is_covered(scripted):
    assert set(METHODS) == set(DashboardClient.__dict__) - {"close", "point_at"} - {
        name for name in DashboardClient.__dict__ if name.startswith("_")
    }


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_arguments_and_answers_arrive_as_they_were(scripted, method, data):
    dashboard, client = scripted
    arguments, answers = METHODS[method]
    ctx, sent = data.draw(CONTEXTS), data.draw(arguments)
    dashboard.answer = data.draw(answers)
    dashboard.asked.clear()

    answered = getattr(client, method)(ctx, *sent)

    assert answered == dashboard.answer
    assert type(answered) is type(dashboard.answer)
    assert dashboard.asked == [(method, (ctx, *sent))]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(error=ERRORS)
def test_errors_arrive_as_they_were_raised(scripted, error):
    dashboard, client = scripted
    dashboard.answer = error

    with pytest.raises(type(error)) as caught:
        client.route(Context(), 1)

    assert str(caught.value) == str(error)
    assert vars(caught.value) == vars(error)


def test_a_number_too_large_for_its_field_is_refused_by_the_client(scripted):
    _, client = scripted
    with pytest.raises(errors.BadRequest) as caught:
        client.page(Context(), PageQuery(1, limit=2**31))
    assert caught.value.field == "limit"


def test_text_that_utf8_cannot_express_is_refused_by_the_client(scripted):
    _, client = scripted
    with pytest.raises(errors.BadRequest):
        client.publish(Context(), 1, Draft(body="\ud800"), None)


def test_a_query_of_no_lane_is_refused_by_the_client(scripted):
    _, client = scripted
    with pytest.raises(errors.BadRequest) as caught:
        client.page(Context(), PageQuery(1, lanes=frozenset()))
    assert caught.value.field == "lane"
