"""What every registry adapter must do. Subclass it and override `open_registry`."""

import threading
from collections.abc import Callable
from typing import ClassVar

import pytest

from idgen.errors import BadRequest, Conflict, NotFound
from router.registry import VALUE_BYTES_MAX, Check, Create, Delete, Node, Registry, Set
from tests.contract.patience import together, until

OpenRegistry = Callable[[], Registry]
BAD_PATHS = ("", "a", "/a/", "//a", "/a//b", "/a b", "/ä", "/a\x00", "/a/\n", "/a/.", "/../b")


class RegistryContract:
    """The contract of router.registry.Registry."""

    patience_s: ClassVar[float] = 30.0

    @pytest.fixture
    def open_registry(self) -> OpenRegistry:
        """Override: a callable that opens one more client, with a session of its own.

        All see the same tree, empty at the start of each test (a chroot of its own will do).
        The fixture closes the clients.
        """
        raise AssertionError("the subclass gives the fixture open_registry")

    def lose_session(self, registry: Registry) -> None:
        """Override: let the server end this client's session, as if it had been silent."""
        pytest.skip("the adapter's test tells no way to end a session")

    @pytest.fixture
    def registry(self, open_registry: OpenRegistry) -> Registry:
        return open_registry()

    # -- values ------------------------------------------------------------------------------

    def test_a_value_reads_back_with_version_0(self, registry: Registry) -> None:
        for path, value in (("/a", b""), ("/b", bytes(range(256))), ("/c/d", "日本".encode())):
            registry.create(path, value)
            assert registry.get(path) == Node(value, 0)

    def test_parents_are_made_empty(self, registry: Registry) -> None:
        registry.create("/routes/0/a.B_c-d:9", b"v")
        assert registry.get("/routes") == Node(b"", 0)
        assert registry.get("/routes/0") == Node(b"", 0)
        registry.create("/routes/1", b"w")
        assert registry.list("/routes") == ["0", "1"]

    def test_what_exists_cannot_be_created_again(self, registry: Registry) -> None:
        registry.create("/a/b", b"v")
        for path in ("/a/b", "/a"):
            with pytest.raises(Conflict, match=path):
                registry.create(path, b"w")
        assert registry.get("/a/b") == Node(b"v", 0)

    def test_set_changes_a_value_of_the_expected_version(self, registry: Registry) -> None:
        registry.create("/a", b"0")
        assert registry.set("/a", b"1", 0) == 1
        assert registry.set("/a", b"1", 1) == 2
        for wrong in (0, 1, 3):
            with pytest.raises(Conflict, match="/a"):
                registry.set("/a", b"x", wrong)
        assert registry.get("/a") == Node(b"1", 2)

    def test_any_version_is_not_a_version(self, registry: Registry) -> None:
        # ZooKeeper takes -1 for "any"; here it is one that no value has.
        registry.create("/a", b"0")
        with pytest.raises(Conflict):
            registry.set("/a", b"1", -1)
        with pytest.raises(Conflict):
            registry.delete("/a", -1)
        with pytest.raises(Conflict):
            registry.multi([Check("/a", -1)])
        assert registry.get("/a") == Node(b"0", 0)

    def test_what_is_not_there_is_not_found(self, registry: Registry) -> None:
        with pytest.raises(NotFound, match="/none/here"):
            registry.get("/none/here")
        with pytest.raises(NotFound):
            registry.set("/none", b"v", 0)
        with pytest.raises(NotFound):
            registry.delete("/none", 0)
        assert registry.list("/none") == []

    def test_delete_takes_a_leaf_of_the_expected_version(self, registry: Registry) -> None:
        registry.create("/a/b", b"v")
        with pytest.raises(Conflict, match="/a"):
            registry.delete("/a", 0)
        with pytest.raises(Conflict):
            registry.delete("/a/b", 1)
        registry.delete("/a/b", 0)
        registry.delete("/a", 0)
        with pytest.raises(NotFound):
            registry.get("/a")

    def test_versions_are_of_one_life_of_a_path(self, registry: Registry) -> None:
        registry.create("/a", b"0")
        registry.set("/a", b"1", 0)
        registry.delete("/a", 1)
        registry.create("/a", b"new")
        assert registry.get("/a") == Node(b"new", 0)

    def test_children_are_listed_sorted_and_only_the_direct_ones(self, registry: Registry) -> None:
        for name in ("b", "a", "10", "9", "a.b", "A", "a0", "a/below/more"):
            if name == "a":
                continue
            registry.create(f"/top/{name}", b"")
        registry.create("/top2/other", b"")
        assert registry.list("/top") == ["10", "9", "A", "a", "a.b", "a0", "b"]
        assert registry.list("/top/a") == ["below"]
        assert registry.list("/top/b") == []

    def test_every_client_sees_the_same(
        self, registry: Registry, open_registry: OpenRegistry
    ) -> None:
        other = open_registry()
        registry.create("/a", b"0")
        assert other.get("/a") == Node(b"0", 0)
        assert other.set("/a", b"1", 0) == 1
        assert registry.get("/a") == Node(b"1", 1)
        registry.close()
        assert open_registry().get("/a") == Node(b"1", 1)

    # -- bad input ---------------------------------------------------------------------------

    @pytest.mark.parametrize("path", BAD_PATHS)
    def test_a_bad_path_is_refused_by_every_verb(self, registry: Registry, path: str) -> None:
        calls: list[Callable[[], object]] = [
            lambda: registry.get(path),
            lambda: registry.create(path, b""),
            lambda: registry.set(path, b"", 0),
            lambda: registry.delete(path, 0),
            lambda: registry.list(path),
            lambda: registry.watch(path, lambda: None),
            lambda: registry.multi([Create("/fine", b""), Create(path, b"")]),
        ]
        for call in calls:
            with pytest.raises(BadRequest) as caught:
                call()
            assert caught.value.field == "path"
        assert registry.list("/fine") == []
        with pytest.raises(NotFound):
            registry.get("/fine")

    def test_a_value_has_a_largest_size(self, registry: Registry) -> None:
        largest = b"v" * VALUE_BYTES_MAX
        registry.create("/a", largest)
        assert registry.get("/a").value == largest
        calls: list[Callable[[], object]] = [
            lambda: registry.create("/b", largest + b"v"),
            lambda: registry.set("/a", largest + b"v", 0),
            lambda: registry.multi([Set("/a", largest + b"v", 0)]),
            lambda: registry.multi([Create("/b", largest + b"v")]),
        ]
        for call in calls:
            with pytest.raises(BadRequest) as caught:
                call()
            assert caught.value.field == "value"
        assert registry.get("/a").version == 0

    # -- many changes as one -----------------------------------------------------------------

    def test_a_multi_does_all_of_its_changes(self, registry: Registry) -> None:
        for name in "abc":
            registry.create(f"/r/{name}", b"old")
        registry.multi(
            [
                Check("/r/a", 0),
                Set("/r/b", b"new", 0),
                Delete("/r/c", 0),
                Create("/r/d", b"made"),
                Create("/r/d/e", b"below what this made"),
                Set("/r/d", b"made and set", 0),
            ]
        )
        assert registry.list("/r") == ["a", "b", "d"]
        assert registry.get("/r/a") == Node(b"old", 0)
        assert registry.get("/r/b") == Node(b"new", 1)
        assert registry.get("/r/d") == Node(b"made and set", 1)
        assert registry.get("/r/d/e") == Node(b"below what this made", 0)
        registry.multi([])

    def test_a_multi_that_fails_changes_nothing_and_names_the_first(
        self, registry: Registry
    ) -> None:
        registry.create("/r/a", b"old")
        good = Set("/r/a", b"new", 0)
        cases = [
            (Conflict, Check("/r/a", 5), "/r/a"),
            (Conflict, Create("/r/a", b""), "/r/a"),
            (Conflict, Delete("/r", 0), "/r"),
            (NotFound, Check("/r/none", 0), "/r/none"),
            (NotFound, Set("/r/none", b"", 0), "/r/none"),
            (NotFound, Delete("/r/none", 0), "/r/none"),
            (NotFound, Create("/no/parent", b""), "/no"),
        ]
        for error, bad, named in cases:
            with pytest.raises(error, match=named):
                registry.multi([Create("/r/made", b""), good, bad, Check("/r/never/reached", 0)])
            assert registry.get("/r/a") == Node(b"old", 0)
            assert registry.list("/r") == ["a"]

    def test_counting_by_versions_loses_no_step(
        self, registry: Registry, open_registry: OpenRegistry
    ) -> None:
        registry.create("/n", b"0")
        clients = [registry, registry, open_registry(), open_registry()]

        def count(client: Registry) -> None:
            done = 0
            while done < 10:
                value, version = client.get("/n")
                try:
                    client.set("/n", b"%d" % (int(value) + 1), version)
                except Conflict:
                    continue
                done += 1

        together([lambda c=c: count(c) for c in clients])
        assert registry.get("/n") == Node(b"40", 40)

    def test_of_many_who_create_one_wins(
        self, registry: Registry, open_registry: OpenRegistry
    ) -> None:
        clients = [registry, open_registry(), registry, open_registry()]

        def create(client: Registry, i: int) -> bool:
            try:
                client.create("/deep/er/one", b"%d" % i)
            except Conflict:
                return False
            return True

        won = together([lambda c=c, i=i: create(c, i) for i, c in enumerate(clients)])
        assert won.count(True) == 1
        assert registry.get("/deep/er/one") == Node(b"%d" % won.index(True), 0)

    # -- watches -----------------------------------------------------------------------------

    def test_a_watch_tells_of_the_path_and_its_children(
        self, registry: Registry, open_registry: OpenRegistry
    ) -> None:
        other = open_registry()
        told = threading.Event()
        registry.watch("/w", told.set)
        changes: list[Callable[[], object]] = [
            lambda: other.create("/w", b"0"),
            lambda: other.set("/w", b"1", 0),
            lambda: other.create("/w/child", b"0"),
            lambda: other.set("/w/child", b"1", 0),
            lambda: other.delete("/w/child", 1),
            lambda: other.multi([Set("/w", b"2", 1), Create("/w/second", b"")]),
            lambda: other.delete("/w/second", 0),
            lambda: other.delete("/w", 2),
            lambda: other.create("/w/again", b"and its parent"),
            lambda: registry.set("/w/again", b"by the watcher itself", 0),
        ]
        for number, change in enumerate(changes):
            told.clear()
            change()
            assert told.wait(self.patience_s), f"change {number} was not told"

    def test_after_the_last_change_a_watcher_is_told_once_more(
        self, registry: Registry, open_registry: OpenRegistry
    ) -> None:
        other = open_registry()
        registry.create("/w", b"-1")
        told = threading.Event()
        registry.watch("/w", told.set)
        for i in range(50):
            other.set("/w", b"%d" % i, i)
        # Whoever re-reads each time it is told sees the last value without asking otherwise.
        seen = b""
        while seen != b"49":
            assert told.wait(self.patience_s), f"after {seen!r} nothing was told"
            told.clear()
            seen = registry.get("/w").value

    def test_every_watch_is_told_and_a_cancelled_one_is_not(self, registry: Registry) -> None:
        calls: list[str] = []
        kept, also = threading.Event(), threading.Event()
        watch = registry.watch("/w", lambda: calls.append("cancelled"))
        registry.watch("/w", kept.set)
        registry.watch("/v", also.set)
        watch.cancel()
        watch.cancel()
        begun = len(calls)
        registry.create("/w", b"")
        registry.create("/v", b"")
        assert kept.wait(self.patience_s)
        assert also.wait(self.patience_s)
        assert len(calls) == begun

    def test_one_watch_that_fails_does_not_silence_the_others(self, registry: Registry) -> None:
        told = threading.Event()

        def fail() -> None:
            raise RuntimeError("a watcher's own mistake")

        registry.watch("/w", fail)
        registry.watch("/w", told.set)
        registry.create("/w", b"")
        assert told.wait(self.patience_s)
        told.clear()
        registry.set("/w", b"1", 0)
        assert told.wait(self.patience_s)

    def test_a_watcher_and_a_writer_may_share_a_lock(self, registry: Registry) -> None:
        # The callback waits for a lock whose holder writes to the registry: no deadlock.
        lock, told = threading.Lock(), threading.Event()

        def changed() -> None:
            with lock:
                told.set()

        registry.create("/w", b"", ephemeral=True)
        registry.watch("/w", changed)
        for version in range(10):
            with lock:
                registry.set("/w", b"v", version)
                registry.create(f"/v/{version}", b"", ephemeral=True)
        assert told.wait(self.patience_s)

    # -- sessions ----------------------------------------------------------------------------

    def test_ephemeral_paths_go_with_their_client_and_others_stay(
        self, registry: Registry, open_registry: OpenRegistry
    ) -> None:
        other = open_registry()
        told = threading.Event()
        registry.create("/services/kept", b"")
        registry.watch("/services", told.set)
        other.create("/services/one", b"address", ephemeral=True)
        other.create("/services/lasting", b"")
        assert registry.get("/services/one") == Node(b"address", 0)
        assert other.set("/services/one", b"changed", 0) == 1
        assert told.wait(self.patience_s)
        until("the first changes are told", lambda: "one" in registry.list("/services"), 1.0)
        told.clear()
        other.close()
        until(
            "the ephemeral path is gone",
            lambda: registry.list("/services") == ["kept", "lasting"],
            self.patience_s,
        )
        assert told.wait(self.patience_s)

    def test_an_ephemeral_path_conflicts_like_any_other(
        self, registry: Registry, open_registry: OpenRegistry
    ) -> None:
        other = open_registry()
        registry.create("/leader", b"one", ephemeral=True)
        with pytest.raises(Conflict):
            other.create("/leader", b"two", ephemeral=True)
        registry.delete("/leader", 0)
        other.create("/leader", b"two", ephemeral=True)
        assert registry.get("/leader").value == b"two"

    def test_after_a_lost_session_ephemeral_paths_are_made_again(
        self, registry: Registry, open_registry: OpenRegistry
    ) -> None:
        other = open_registry()
        registry.create("/services/one", b"0", ephemeral=True)
        registry.create("/services/ended", b"", ephemeral=True)
        registry.delete("/services/ended", 0)
        registry.set("/services/one", b"address", 0)
        gone, told = threading.Event(), threading.Event()
        other.watch("/services/one", gone.set)
        registry.watch("/anything", told.set)
        self.lose_session(registry)
        assert told.wait(self.patience_s), "a watcher is told after a lost session"
        assert gone.wait(self.patience_s)

        def back() -> bool:
            try:
                return other.get("/services/one").value == b"address"
            except NotFound:
                return False

        until("the path was made again", back, self.patience_s)
        assert other.list("/services") == ["one"]
        registry.close()
        until("and is still ephemeral", lambda: not other.list("/services"), self.patience_s)
