"""The client that Apache's compiler generates for Python drives the platform over the wire."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport import TSocket, TTransport

from ops.config_settings import Config, Platform
from ops.running_embedded import RunningEmbedded

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
    subprocess.run(
        [compiler, "-r", "--gen", "py", "-out", str(folder), str(IDL / "dashboard.thrift")],
        check=True,
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


@pytest.fixture
def client(generated: ModuleType, platform: RunningEmbedded) -> Iterator[Any]:
    (router,) = [s for s in platform.platform.status().services if s.name == "router"]
    host, _, port = router.address.rpartition(":")
    transport = TTransport.TFramedTransport(TSocket.TSocket(host, int(port)))
    transport.open()
    yield generated.Client(TBinaryProtocol(transport))
    transport.close()


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
