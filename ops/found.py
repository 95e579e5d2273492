"""A running platform, found by its folder or by its registry's address."""

import ssl
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cell.commands import LetterRetried
from cell.commands import encode as encode_command
from cell.dashboard import Dashboard
from cell.explain import Explanation, explain
from cell.materialization import Pin
from cell.stores import CellStores
from cell.verify_reader import ReaderVerifier
from firehose import dead_letters as letters
from firehose.codec import Poison, UnknownKind, decode
from firehose.event import PostRef
from firehose.groups import look_at
from firehose.log import Log, Span
from firehose.position import Applied
from firehose.relay import group_of as group_of_relay
from idgen.client import IdGenClient
from idgen.errors import Conflict, Corrupt, DashcellError, DeadlineExceeded, Unavailable
from idgen.ids import spread
from ops.backup_desk import BackupDesk
from ops.cell_desk import CellDesk
from ops.check_desk import CheckDesk
from ops.checks_port import Checks
from ops.config import Config
from ops.dashboard_client import DashboardClient
from ops.firehose_desk import FirehoseDesk
from ops.group_desk import GroupDesk
from ops.groups_port import Groups
from ops.move_desk import MoveDesk
from ops.pins_port import Pins
from ops.platform_port import (
    Backups,
    Cells,
    CellStatus,
    DeadLetter,
    DeadLetters,
    Firehose,
    Flag,
    Flags,
    GroupStatus,
    IdServer,
    Moves,
    PartitionStatus,
    ProcessStatus,
    ReaderCheck,
    Status,
)
from ops.reader_check import checked_reader
from ops.readyz import not_ready_because
from ops.stack.process import is_running
from ops.stack.state import RecordedChild, read_state
from ops.template.tls import peer_context
from ops.token_desk import TokenDesk
from ops.tokens_port import Tokens
from ops.wiring.seams import Seams
from router.cells import APPLYING, RUNNING, CellInfo, groups_of, read_cell, read_cells
from router.flags import read_flags, set_flag
from router.pins import read_pins, set_pin
from router.routes import read_routes
from router.services import ServiceInfo, read_roles, read_services

HEAD_BYTES = 64
RETRY_LOOKS = 100
RETRY_LOOK_S = 0.1
READYZ_TIMEOUT_S = 1.0


class FoundPlatform:
    """`ops.platform_port.Platform` over the registry, the seams and the services' own ports."""

    def __init__(self, config: Config, seams: Seams, profile: str, registry: str) -> None:
        self._config = config
        self._seams = seams
        self._profile = profile
        self._registry = registry
        self._tls: ssl.SSLContext | None = peer_context(config.listen_tls)
        self._clients: list[DashboardClient] = []

    @property
    def folder(self) -> Path | None:
        """The platform's folder, where it was found by it."""
        folder = Path(self._config.platform.data)
        return folder if folder.is_dir() else None

    @property
    def flags(self) -> Flags:
        """The flags in the registry."""
        return _Flags(self._seams)

    @property
    def pins(self) -> Pins:
        """The pins in the registry."""
        return _Pins(self._seams)

    def dashboard(self, cell: str | None = None) -> Dashboard:
        """The API at the routers, or at the dashboards of one cell."""
        if cell is not None:
            read_cell(self._seams.registry, cell)
        role = "router" if cell is None else "dashboard"
        found = read_services(self._seams.registry, role)
        addresses = [s.address for s in found if s.cell == (cell or "")]
        if not addresses:
            what = "router" if cell is None else f"dashboard of cell {cell}"
            raise Unavailable(f"no {what} is registered: see `cellctl status`")
        client = DashboardClient(addresses, tls=self._tls)
        self._clients.append(client)
        return client

    def take_ids(self, count: int) -> list[int]:
        """New ids from a registered id server."""
        addresses = [s.address for s in read_services(self._seams.registry, "idgen")]
        if not addresses:
            raise Unavailable("no id server is registered: see `cellctl status`")
        client = IdGenClient(addresses, tls=self._tls)
        try:
            return client.next_ids(count)
        finally:
            client.close()

    def id_servers(self) -> list[IdServer]:
        """Every registered id server and what it says of itself."""
        return [
            _id_server(info, self._tls) for info in read_services(self._seams.registry, "idgen")
        ]

    def status(self) -> Status:
        """What runs, and how far the cells are."""
        registry = self._seams.registry
        infos = read_cells(registry)
        children = _children(self.folder)
        services = [
            _service(info, _restarts(info, children))
            for role in read_roles(registry)
            for info in read_services(registry, role)
        ]
        return Status(
            profile=self._profile,
            folder=str(self.folder or ""),
            registry=self._registry,
            servers=tuple(_servers(children)),
            services=tuple(services),
            cells=tuple(self._cell(info) for info in infos),
            groups=tuple(self._group(name, cells) for name, cells in groups_of(infos).items()),
        )

    def dead_letters(self, cell: str) -> DeadLetters:
        """The dead letters of a cell."""
        return _DeadLetters(self._seams.cell(cell))

    @property
    def cells(self) -> Cells:
        """The cells in the registry."""
        return CellDesk(self._seams, self._cell, self.folder, self._profile)

    @property
    def moves(self) -> Moves:
        """The moves in the registry."""
        return MoveDesk(self._seams, self._cell, self.folder)

    @property
    def checks(self) -> Checks:
        """Checks of the cells in the registry."""
        return CheckDesk(self._seams)

    @property
    def backups(self) -> Backups:
        """Backups, read and written by this process."""
        return BackupDesk(self._seams)

    @property
    def firehose(self) -> Firehose:
        """The firehose, read and appended to by this process."""
        return FirehoseDesk(self._seams, self.take_ids, self._config.ingest.backfill)

    @property
    def groups(self) -> Groups:
        """The consumer groups of the firehose."""
        return GroupDesk(self._seams)

    @property
    def tokens(self) -> Tokens:
        """The clients of the firehose, in the registry."""
        return TokenDesk(self._seams)

    def verify_reader(self, reader: int) -> ReaderCheck:
        """The reader's inbox and pages in its home cell beside what they have to hold."""
        cell = read_routes(self._seams.registry).slices.at(spread(reader)).cell
        found = checked_reader(ReaderVerifier(self._seams.cell(cell)), reader)
        return ReaderCheck(
            reader,
            cell,
            found.authors,
            found.entries,
            found.pulled,
            _in_order(found.missing),
            _in_order(found.extra),
        )

    def explain(self, reader: int, author: int | None, post_id: int) -> Explanation:
        """The facts about one entry, read from the tables of the reader's home cell."""
        home = read_routes(self._seams.registry).slices.at(spread(reader))
        return explain(self._seams.cell(home.cell), home.epoch, reader, author, post_id)

    def close(self) -> None:
        """Let go of all connections."""
        for client in self._clients:
            client.close()
        self._seams.close()

    def _group(self, name: str, cells: Sequence[str]) -> GroupStatus:
        """By the relay's own group at the root."""
        seams = self._seams
        now_ms, relay = seams.clock.now_ms(), group_of_relay(name)
        try:
            found = look_at(seams.firehose(), seams.checkpoints(), relay, now_ms)
        except DashcellError:  # NotFound: it has never begun
            return GroupStatus(name, tuple(cells), 0)
        return GroupStatus(
            name, tuple(cells), len(found.members), found.events + found.gone, found.seconds
        )

    def _cell(self, info: CellInfo) -> CellStatus:
        if info.state not in RUNNING:
            return CellStatus(info.name, info.state.value, None)
        try:
            stores = self._seams.cell(info.name)
            firehose = stores.root
            states = stores.state().read()
            applied = {p: s.applied for p, s in states.items()}
            spans = firehose.spans()
            return CellStatus(
                info.name,
                info.state.value,
                _lag_s(firehose, spans, applied, self._seams.clock.now_ms()),
                tuple(
                    PartitionStatus(p, applied[p].low, applied[p].high, span.end)
                    for p, span in enumerate(spans)
                ),
                stores.dead_letters.counts().open,
            )
        except DashcellError:
            silent = "unreachable" if info.state in APPLYING else info.state.value
            return CellStatus(info.name, silent, None)


def _in_order(refs: Iterable[PostRef]) -> tuple[PostRef, ...]:
    """Newest first."""
    return tuple(sorted(refs, key=lambda ref: (-ref.id, ref.author)))


def _lag_s(firehose: Log, spans: Sequence[Span], applied: dict[int, Applied], now_ms: int) -> float:
    """The age of the oldest event that is not applied."""
    oldest = now_ms
    for partition, span in enumerate(spans):
        low = applied[partition].low
        if low < span.end:
            for record in firehose.read(partition, max(low, span.start), 1, timeout_ms=1000):
                oldest = min(oldest, record.at_ms)
    return max(0, now_ms - oldest) / 1000


def _service(info: ServiceInfo, restarts: int) -> ProcessStatus:
    state, detail = "ready", ""
    try:
        detail = not_ready_because(info.admin, READYZ_TIMEOUT_S) if info.admin else ""
        if detail:
            state = "draining" if "stopping" in detail else "starting"
    except OSError as error:
        state, detail = "down", str(error)
    name = f"{info.role}-{info.of}" if info.of else info.role
    return ProcessStatus(
        name,
        state,
        info.address,
        info.cell,
        info.pid,
        restarts,
        detail=detail,
        admin=info.admin,
        beside=info.beside or {},
    )


def _id_server(info: ServiceInfo, tls: ssl.SSLContext | None) -> IdServer:
    client = IdGenClient([info.address], tls=tls)
    try:
        return IdServer(info.id, info.address, client.status())
    except DashcellError as error:
        return IdServer(info.id, info.address, None, str(error))
    finally:
        client.close()


def _children(folder: Path | None) -> Sequence[RecordedChild]:
    """What the platform's supervisor has written down, if it has one on this machine."""
    recorded = read_state(folder) if folder is not None else None
    return recorded.children if recorded is not None else ()


def _restarts(info: ServiceInfo, children: Sequence[RecordedChild]) -> int:
    """How often our supervisor has started a service again.

    Its pid alone could be that of a process on another host.
    """
    port = info.admin.rpartition(":")[2]
    for child in children:
        if child.process.pid == info.pid and str(child.ports.get("admin")) == port:
            return child.restarts
    return 0


def _servers(children: Sequence[RecordedChild]) -> list[ProcessStatus]:
    """The children that are servers, and not services of ours."""
    return [
        ProcessStatus(
            child.name,
            "ready" if is_running(child.process) else "down",
            ", ".join(f"{purpose} {port}" for purpose, port in child.ports.items()),
            pid=child.process.pid,
            restarts=child.restarts,
        )
        for child in children
        if "admin" not in child.ports
    ]


class _Flags:
    """`ops.platform_port.Flags` in the registry."""

    def __init__(self, seams: Seams) -> None:
        self._registry = seams.registry

    def list(self) -> Sequence[Flag]:
        return [Flag(name, value) for name, value in sorted(read_flags(self._registry).items())]

    def set(self, name: str, value: int) -> Flag:
        before = read_flags(self._registry).get(name, 0)
        set_flag(self._registry, name, value)
        return Flag(name, before)


class _Pins:
    """`ops.platform_port.Pins` in the registry."""

    def __init__(self, seams: Seams) -> None:
        self._registry = seams.registry

    def all(self) -> Mapping[int, str]:
        return {user: _PIN_NAMES[pin] for user, pin in read_pins(self._registry).items()}

    def set(self, user: int, how: str) -> str:
        (pin,) = (pin for pin, name in _PIN_NAMES.items() if name == how)
        return _PIN_NAMES[set_pin(self._registry, user, pin)]


_PIN_NAMES = {Pin.NONE: "auto", Pin.PUSH: "push", Pin.PULL: "pull"}


class _DeadLetters:
    """`ops.platform_port.DeadLetters` of one cell."""

    def __init__(self, stores: CellStores) -> None:
        self._letters = stores.dead_letters
        self._commands = stores.commands

    def list(self, limit: int) -> Sequence[DeadLetter]:
        return [
            DeadLetter(each.id, each.partition, each.offset, each.at_ms, each.reason, _event(each))
            for each in self._letters.list(limit=limit)
        ]

    def retry(self, ids: Sequence[str]) -> int:
        """Command it, and wait until the workers have settled them.

        Raises DeadlineExceeded when they have not after a while; they go on.
        """
        for letter_id in ids:
            self._command_retry(self._letters.show(letter_id))
        pause = threading.Event()
        for _ in range(RETRY_LOOKS):
            if all(self._letters.show(letter_id).outcome for letter_id in ids):
                return len(ids)
            pause.wait(RETRY_LOOK_S)
        raise DeadlineExceeded(f"{', '.join(ids)}: still being retried; look again with list")

    def discard(self, ids: Sequence[str]) -> int:
        for letter_id in ids:
            self._letters.settle(letter_id, "discarded")
        return len(ids)

    def _command_retry(self, letter: letters.DeadLetter) -> None:
        if letter.outcome is not None:
            raise Conflict(f"dead letter {letter.id} was {letter.outcome} already")
        try:
            decode(letter.value)
        except (Poison, Corrupt) as error:
            raise Conflict(f"dead letter {letter.id} still cannot be applied: {error}") from error
        command = encode_command(LetterRetried(letter.partition, letter.offset))
        self._commands.append([(0, command)])


def _event(letter: letters.DeadLetter) -> str:
    """What of a letter can be shown."""
    try:
        return repr(decode(letter.value))
    except (Poison, Corrupt, UnknownKind):
        return f"{len(letter.value)} bytes, beginning {letter.value[:HEAD_BYTES].hex()}"
