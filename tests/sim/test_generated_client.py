"""The client that Apache's compiler generates for Python drives the platform over the wire."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport import TSocket, TTransport

from firehose.access import Role
from ops.config_settings import Config, Platform
from ops.running_embedded import RunningEmbedded
from router.tokens import Wanted
from tests.contract.patience import until

IDL = Path(__file__).parents[2] / "thrift"
CALL_MS = 10_000


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    compiler = shutil.which("thrift")
    if compiler is None:
        missing = "THRIFT COMPILER MISSING, CLIENT NOT TESTED: apt-get install thrift-compiler"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("generated")
    for idl in ("dashboard.thrift", "firehose.thrift"):
        subprocess.run(
            [compiler, "-r", "--gen", "py", "-out", str(folder), str(IDL / idl)], check=True
        )
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("dashcell.dashboard.Dashboard")
    finally:
        sys.path.remove(str(folder))
        for name in [n for n in sys.modules if n == "dashcell" or n.startswith("dashcell.")]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmbedded]:
    folder = tmp_path_factory.mktemp("platform")
    config = Config(platform=Platform(data=str(folder), cells=2))
    running = RunningEmbedded(config, lambda _: None)
    yield running
    running.stop()


@contextmanager
def connected(service: ModuleType, platform: RunningEmbedded, role: str) -> Iterator[Any]:
    (found,) = [s for s in platform.platform.status().services if s.name == role]
    host, _, port = found.address.rpartition(":")
    transport = TTransport.TFramedTransport(TSocket.TSocket(host, int(port)))
    transport.open()
    yield service.Client(TBinaryProtocol(transport))
    transport.close()


@pytest.fixture
def client(generated: ModuleType, platform: RunningEmbedded) -> Iterator[Any]:
    with connected(generated, platform, "router") as found:
        yield found


@pytest.fixture(scope="module")
def types(generated: ModuleType) -> ModuleType:
    return importlib.import_module("dashcell.dashboard.ttypes")


def test_a_post_reaches_its_follower(client: Any, types: ModuleType) -> None:
    context = types.Context(deadline_ms=CALL_MS, request_id="generated-client")
    followed = client.follow(types.FollowRequest(follower=2, author=1, context=context))
    draft = types.Draft(kind=types.PostKind.QUOTE, title="Ω", body="a body\u2014", tags=["a", "b"])
    published = client.publish(types.PublishRequest(author=1, draft=draft, context=context))

    page = client.page(
        types.PageRequest(
            reader=2, at_least=[followed.token, published.token], limit=5, context=context
        )
    )

    (entry,) = page.entries
    assert (entry.id, entry.actor, entry.unread) == (published.id, 1, True)
    assert (entry.lane, entry.kind) == (types.Lane.POSTS, types.EntryKind.QUOTE)
    assert (entry.post.draft.title, entry.post.draft.body) == ("Ω", "a body\u2014")
    assert entry.post.draft.tags == ["a", "b"]
    assert page.at_end


def test_notices_marks_and_counts(client: Any, types: ModuleType) -> None:
    context = types.Context(deadline_ms=CALL_MS)
    post = client.publish(types.PublishRequest(author=11, draft=types.Draft(body="x")))
    like = client.like(types.LikeRequest(actor=12, author=11, post_id=post.id))
    tokens = [post.token, like.token]
    page = client.page(
        types.PageRequest(reader=11, lane=types.Lane.NOTICES, at_least=tokens, context=context)
    )
    assert [(e.kind, e.actor, e.target.id) for e in page.entries] == [
        (types.EntryKind.LIKE, 12, post.id)
    ]
    unread = types.UnreadRequest(reader=11, lane=types.Lane.NOTICES)
    assert client.unread(unread).count == 1
    marked = client.mark_read(
        types.MarkReadRequest(reader=11, lane=types.Lane.NOTICES, event_id=like.id)
    )
    client.page(types.PageRequest(reader=11, at_least=[marked.token], context=context))
    assert client.unread(unread).count == 0


def test_errors_come_by_name(client: Any, types: ModuleType, generated: ModuleType) -> None:
    errors = importlib.import_module("dashcell.errors.ttypes")
    with pytest.raises(errors.BadRequest) as refused:
        client.page(types.PageRequest(reader=2, limit=101))
    assert refused.value.field == "limit"
    with pytest.raises(errors.BadRequest) as refused:
        client.follow(types.FollowRequest(follower=5, author=5))
    assert refused.value.field in ("author", "follower")


def test_everything_that_is_not_known_ends(client: Any, types: ModuleType) -> None:
    page = client.page(types.PageRequest(reader=999_999))
    assert page.entries == []
    assert page.at_end
    assert client.route(types.RouteRequest(reader=7)).cell in ("a", "b")
    assert set(client.topology(types.TopologyRequest()).cells) == {"a", "b"}
    assert client.version(types.VersionRequest()).role == "router"


def test_a_program_without_cells_appends_and_reads(
    generated: ModuleType, platform: RunningEmbedded, client: Any, types: ModuleType
) -> None:
    service = importlib.import_module("dashcell.firehose.Firehose")
    firehose = importlib.import_module("dashcell.firehose.ttypes")
    errors = importlib.import_module("dashcell.errors.ttypes")
    token = platform.platform.tokens.create(Wanted("search", {Role.READ, Role.APPEND}))

    def window() -> Any:
        try:
            return reader.window(firehose.WindowRequest(token=token))
        except errors.Unauthenticated:
            return None

    with connected(service, platform, "firehose") as reader:
        begin = until("the new token is known", window, 10.0).newest_cursor
        (brought,) = platform.platform.take_ids(1)
        draft = types.Draft(body="from outside", tags=["a"])
        events = [
            firehose.NewEvent(followed=firehose.Followed(follower=902, author=901)),
            firehose.NewEvent(
                post_created=firehose.PostCreated(author=901, draft=draft), brought_id=brought
            ),
        ]
        request = firehose.AppendManyRequest(token=token, events=events)
        receipts = reader.append_many(request)
        assert receipts[1].id == brought
        page = client.page(
            types.PageRequest(
                reader=902,
                at_least=[receipt.token for receipt in receipts],
                context=types.Context(deadline_ms=CALL_MS),
            )
        )
        assert [(entry.id, entry.actor) for entry in page.entries] == [(brought, 901)]
        answer = reader.read(
            firehose.ReadRequest(token=token, start=begin, authors=[901], wait_ms=500)
        )
        assert [(event.partition, event.offset) for event in answer.events] == [
            (receipt.partition, receipt.offset) for receipt in receipts
        ]
        assert answer.events[1].post_created.draft.body == "from outside"
        assert answer.at_end
        with pytest.raises(errors.BadRequest) as refused:
            reader.read(firehose.ReadRequest(token=token, start="2012-07-04T12:00:00"))
        assert refused.value.field == "start"
        with pytest.raises(errors.Unauthenticated):
            reader.append_many(firehose.AppendManyRequest(token=token + "x", events=events))
