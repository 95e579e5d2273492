"""Pages that are passed on as bytes are those that were sent, at every step of the way."""

import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cell.dashboard import Context, KeptEntries, Page, PageQuery
from firehose.event import Lane
from idgen.errors import BadRequest, Moved, Unavailable
from ops.dashboard_client import DashboardClient, RelayedDashboards
from ops.thrift_encoded import Encoded, reply_of, result_in
from tests.unit.dashboard_wire import ScriptedDashboard, serving
from tests.unit.test_thrift_values import PAGES

pytestmark = pytest.mark.slow

QUERY = PageQuery(7, limit=3)


@pytest.fixture(scope="module")
def relayed() -> Iterator[tuple[ScriptedDashboard, DashboardClient]]:
    """A cell's dashboard, and a client of a router that relays to it."""
    cell = ScriptedDashboard()
    with serving(cell) as (at_cell, _):
        relay = RelayedDashboards([f"127.0.0.1:{at_cell.port}"])
        with serving(relay) as (_, client):
            yield cell, client
        relay.close()


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(page=PAGES, kept=st.booleans())
def test_a_relayed_page_is_the_page(relayed, page: Page, kept: bool) -> None:
    cell, client = relayed
    entries = KeptEntries(page.entries) if kept else page.entries
    cell.answer = Page(entries, *(getattr(page, name) for name in Page.__slots__[1:]))
    for _ in range(2):  # the second time of what was kept from the first
        assert client.page(Context(), QUERY) == page
        assert client.author_posts(Context(), 7, b"", b"", 3) == page
    assert not kept or entries.wire


@pytest.mark.parametrize(
    "error", [Moved("b", 3), Unavailable("away", 5), BadRequest("limit", "is too much")]
)
def test_an_error_is_raised_at_every_step(relayed, error: Exception) -> None:
    cell, client = relayed
    cell.answer = error
    with pytest.raises(type(error)) as caught:
        client.page(Context(), QUERY)
    assert vars(caught.value) == vars(error)


@pytest.mark.parametrize(
    "read",
    [
        lambda client, ctx: client.page(ctx, QUERY),
        lambda client, ctx: client.unread(ctx, 7, Lane.POSTS, 10),
    ],
    ids=["page", "unread"],
)
def test_a_cell_that_hangs_is_unavailable_with_a_hint_before_the_deadline(
    read: Callable[[DashboardClient, Context], object],
) -> None:
    """To be heard at all it has to come before the deadline: this client waits no longer."""
    told: list[int] = []
    over = threading.Event()

    def hang(_: str, ctx: Context, *__: object) -> None:
        told.append(ctx.deadline_ms)
        over.wait(10)

    with serving(ScriptedDashboard(hang)) as (at_cell, _):
        relay = RelayedDashboards([f"127.0.0.1:{at_cell.port}"])
        with (
            serving(relay) as (at_router, _),
            DashboardClient([f"127.0.0.1:{at_router.port}"], grace_s=0.0) as client,
        ):
            with pytest.raises(Unavailable, match="hangs or is slow") as caught:
                read(client, Context(2_000))
            over.set()
        relay.close()
    assert caught.value.retry_after_ms > 0
    assert told == [1_700]


def test_calls_of_one_reader_go_to_one_dashboard_while_it_answers() -> None:
    page = Page((), b"", b"", True, b"t", "a", 1, 0)
    one, two = ScriptedDashboard(page), ScriptedDashboard(page)
    with serving(one) as (first, _), serving(two) as (second, _):
        relay = RelayedDashboards([f"127.0.0.1:{each.port}" for each in (first, second)])
        for reader in range(1, 41):
            for _ in range(3):
                relay.page(Context(), PageQuery(reader))
        readers = [{query.reader for _, (_, query) in each.asked} for each in (one, two)]
        assert not readers[0] & readers[1]
        assert all(len(each) > 5 for each in readers)
        first.stop()
        relay.page(Context(), PageQuery(min(readers[0])))
        assert two.asked[-1][1][1].reader == min(readers[0])
        relay.close()


@given(st.binary(max_size=40))
def test_what_is_no_result_of_the_method_is_left_to_the_decoder(garbage: bytes) -> None:
    reply = reply_of("page", 5, Encoded(b"\x00"))
    assert result_in(reply, "page") == Encoded(b"\x00")
    assert result_in(reply, "posts") is None
    assert result_in(garbage, "page") is None or garbage.startswith(b"\x80\x01\x00\x02")
