"""Calls and their answers: order, bounds, contexts, errors by the name of the field."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cell.dashboard import Context, Home
from idgen.errors import BadRequest, DashcellError, Throttled, Unavailable
from ops import thrift_values as values
from ops.metrics import CALL_ERRORS, CALLS
from ops.template.server import ServerLimits, ThriftServer
from ops.thrift_calls import decode_answer, encode_call
from tests.unit.dashboard_wire import ScriptedDashboard, framed, serving

HOME = Home("a", 1, ())
DASHBOARD = values.wire.Dashboard
CONTEXT = values.wire.Context(1000, "abc")
ROUTE = encode_call(DASHBOARD, "route", values.wire.RouteRequest(1, CONTEXT))
UNKNOWN = ROUTE.replace(b"route", b"raute")


def test_calls_sent_ahead_are_answered_in_order():
    dashboard = ScriptedDashboard(lambda _method, _ctx, reader: Home(str(reader), 1, ()))
    with (
        serving(dashboard) as (server, _),
        socket.create_connection(("127.0.0.1", server.port), 10) as sock,
    ):
        calls = [
            framed(encode_call(DASHBOARD, "route", values.wire.RouteRequest(reader)))
            for reader in range(500)
        ]
        sock.sendall(b"".join(calls))
        stream = sock.makefile("rb")
        for reader in range(500):
            reply = stream.read(int.from_bytes(stream.read(4)))
            assert decode_answer(DASHBOARD, "route", reply).cell == str(reader)


def test_a_call_too_many_is_throttled_and_says_when_to_come_back():
    entered, release = threading.Semaphore(0), threading.Event()

    def answer(*_: object) -> Home:
        entered.release()
        assert release.wait(20)
        return HOME

    limits = ServerLimits(in_flight=3)
    with serving(ScriptedDashboard(answer), limits) as (server, client):
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(client.route, Context(deadline_ms=20_000), 1) for _ in range(3)]
            assert all(entered.acquire(timeout=10) for _ in range(3))
            with pytest.raises(Throttled) as caught:
                client.route(Context(), 1)
            assert caught.value.retry_after_ms > 0
            release.set()
            assert [each.result() for each in waiting] == [HOME] * 3
        assert client.route(Context(), 1) == HOME
        assert server.metrics.value(CALL_ERRORS, "route", "throttled") == 1


def exchange(server: ThriftServer, message: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), 10) as sock:
        sock.sendall(framed(message))
        stream = sock.makefile("rb")
        return stream.read(int.from_bytes(stream.read(4)))


def test_an_unknown_method_is_answered_as_such_and_the_connection_goes_on():
    with serving(ScriptedDashboard(HOME)) as (server, _):
        with socket.create_connection(("127.0.0.1", server.port), 10) as sock:
            sock.sendall(framed(UNKNOWN) + framed(ROUTE))
            stream = sock.makefile("rb")
            with pytest.raises(BadRequest, match="raute is unknown"):
                decode_answer(DASHBOARD, "raute", stream.read(int.from_bytes(stream.read(4))))
            reply = stream.read(int.from_bytes(stream.read(4)))
            assert decode_answer(DASHBOARD, "route", reply).cell == "a"
        assert server.metrics.value(CALL_ERRORS, "unknown", "unknown_method") == 1


def test_an_unknown_field_is_ignored():
    extra = ROUTE[:-2] + b"\x0b\x03\xe7\x00\x00\x00\x02hi" + ROUTE[-2:]
    with serving(ScriptedDashboard(HOME)) as (server, _):
        assert decode_answer(DASHBOARD, "route", exchange(server, extra)).cell == "a"


def test_a_bug_is_an_internal_error_that_tells_no_details(caplog):
    with serving(ScriptedDashboard(ValueError("planted detail"))) as (server, client):
        with pytest.raises(DashcellError) as caught:
            client.route(Context(), 1)
        assert "planted" not in str(caught.value)
        assert server.metrics.value(CALL_ERRORS, "route", "internal_error") == 1
        assert server.metrics.value(CALLS, "route") == 1
    assert "planted detail" in caplog.text


def test_an_answer_that_does_not_fit_the_idl_is_an_internal_error():
    with serving(ScriptedDashboard(Home("a", 2**40, ()))) as (server, client):
        with pytest.raises(DashcellError):
            client.route(Context(), 1)
        assert server.metrics.value(CALL_ERRORS, "route", "internal_error") == 1


@pytest.mark.parametrize("deadline_ms", [0, -1, 60_001, -(2**31)])
def test_a_deadline_out_of_range_is_refused_by_name(deadline_ms):
    with serving(ScriptedDashboard(HOME)) as (server, _):
        request = values.wire.RouteRequest(1, values.wire.Context(deadline_ms, None))
        with pytest.raises(BadRequest) as caught:
            decode_answer(
                DASHBOARD, "route", exchange(server, encode_call(DASHBOARD, "route", request))
            )
    assert caught.value.field == "context.deadline_ms"


@pytest.mark.parametrize("request_id", ["x" * 65, "a\nb", "\x00", "tab\t"])
def test_a_request_id_that_cannot_be_logged_is_refused_by_name(request_id):
    with serving(ScriptedDashboard(HOME)) as (_, client), pytest.raises(BadRequest) as caught:
        client.route(Context(1000, request_id), 1)
    assert caught.value.field == "context.request_id"


def test_a_call_without_a_context_has_the_default_deadline_and_a_request_id_of_its_own():
    dashboard = ScriptedDashboard(HOME)
    with serving(dashboard, ServerLimits(deadline_default_ms=777)) as (server, _):
        for _ in range(2):
            exchange(server, encode_call(DASHBOARD, "route", values.wire.RouteRequest(1)))
    contexts = [arguments[0] for _, arguments in dashboard.asked]
    assert {ctx.deadline_ms for ctx in contexts} == {777}
    assert len({ctx.request_id for ctx in contexts}) == 2


def draft(**fields: object) -> object:
    return values.wire.PublishRequest(1, values.wire.Draft(**fields))


BAD_FIELDS = [
    ("publish", draft(kind=8), "draft.kind"),
    ("publish", draft(kind=0), "draft.kind"),
    ("publish", draft(title=b"\xff"), "draft.title"),
    ("publish", draft(body=b"ok\xc3"), "draft.body"),
    ("publish", draft(tags=["a", b"\x80"]), "draft.tags[1]"),
    ("publish", draft(reblog_of=values.wire.PostRef(1, None)), "draft.reblog_of.id"),
    ("publish", draft(reply_to=values.wire.PostRef(None, 1)), "draft.reply_to.author"),
    ("publish", values.wire.PublishRequest(None, values.wire.Draft()), "author"),
    ("publish", values.wire.PublishRequest(1, None), "draft"),
    ("publish_many", values.wire.PublishManyRequest(None), "posts"),
    (
        "publish_many",
        values.wire.PublishManyRequest([draft(), draft(kind=9)]),
        "posts[1].draft.kind",
    ),
    ("remove_post", values.wire.RemovePostRequest(1, None), "post_id"),
    ("follow", values.wire.FollowRequest(None, 1), "follower"),
    ("follow_many", values.wire.FollowManyRequest(None), "follows"),
    (
        "follow_many",
        values.wire.FollowManyRequest([values.wire.FollowRequest(1, None)]),
        "follows[0].author",
    ),
    ("unfollow", values.wire.UnfollowRequest(1, None), "author"),
    ("like", values.wire.LikeRequest(1, 2, None), "post_id"),
    ("unlike", values.wire.UnlikeRequest(None, 2, 3), "actor"),
    ("mark_read", values.wire.MarkReadRequest(1, 3, 4), "lane"),
    ("mark_read", values.wire.MarkReadRequest(1, 1, None), "event_id"),
    ("page", values.wire.PageRequest(None), "reader"),
    ("page", values.wire.PageRequest(1, 0), "lane"),
    ("page", values.wire.PageRequest(1, 4), "lane"),
    ("page", values.wire.PageRequest(1, kinds=[1, 99]), "kinds[1]"),
    ("author_posts", values.wire.AuthorPostsRequest(None), "author"),
    ("posts", values.wire.PostsRequest(None), "refs"),
    ("posts", values.wire.PostsRequest([values.wire.PostRef(1, None)]), "refs[0].id"),
    ("count_newer", values.wire.CountNewerRequest(1, 3, b"c"), "lane"),
    ("unread", values.wire.UnreadRequest(1, 9), "lane"),
    ("following", values.wire.FollowingRequest(None), "reader"),
    ("is_following", values.wire.IsFollowingRequest(1, None), "authors"),
    ("route", values.wire.RouteRequest(None), "reader"),
    ("route", values.wire.RouteRequest(1, values.wire.Context(1, b"\xff")), "context.request_id"),
    ("route", None, "request"),
]


@pytest.fixture(scope="module")
def answering() -> Iterator[tuple[ThriftServer, ScriptedDashboard]]:
    dashboard = ScriptedDashboard(HOME)
    with serving(dashboard) as (server, _):
        yield server, dashboard


@pytest.mark.parametrize(("method", "request_struct", "field"), BAD_FIELDS)
def test_a_bad_value_is_refused_by_the_name_that_the_client_knows(
    answering, method, request_struct, field
):
    server, dashboard = answering
    with pytest.raises(BadRequest) as caught:
        decode_answer(
            DASHBOARD, method, exchange(server, encode_call(DASHBOARD, method, request_struct))
        )
    assert caught.value.field == field
    assert not dashboard.asked, "what is refused does not reach the handler"


def test_errors_that_the_idl_does_not_declare_say_their_reason_as_an_internal_error():
    with serving(ScriptedDashboard(DashcellError("planted"))) as (server, _):
        message = exchange(server, ROUTE)
        with pytest.raises(DashcellError, match="error: planted"):
            decode_answer(DASHBOARD, "route", message)


def test_a_stopped_server_is_unavailable():
    with serving(ScriptedDashboard(HOME)) as (server, client):
        assert client.route(Context(), 1) == HOME
        server.stop()
        with pytest.raises(Unavailable):
            client.route(Context(), 1)
