"""What all of the firehose's clients of Kafka share: settings, errors, and offsets by leader."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures import wait as wait_for
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from firehose.log import Span
from idgen.errors import (
    BadRequest,
    CursorTooOld,
    DashcellError,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)

LOG = logging.getLogger(__name__)
"""Where librdkafka's own words go."""

_LEADER_MOVED = frozenset(
    {
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError._NOENT,  # noqa: SLF001 - what librdkafka says when it knows no leader
    }
)

_DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
_UNKNOWN_WHO = frozenset({KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._AUTHENTICATION})  # noqa: SLF001
_NO_TOPIC = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})  # noqa: SLF001
OUT_OF_RANGE = frozenset({KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET})  # noqa: SLF001


def kafka_error(what: str, error: KafkaError) -> DashcellError:
    """Kafka's error as one of ours: what a client can do about it decides, not where it arose."""
    code = error.code()
    text = f"{what}: Kafka says {error.name()} ({error.str()})"
    ours: DashcellError = Unavailable(text)
    if code in _DENIED:
        ours = PermissionDenied(f"{text}; grant it with kafka-acls")
    elif code in _UNKNOWN_WHO:
        ours = Unauthenticated(f"{text}; check kafka.user, kafka.password and kafka.mechanism")
    elif _untrusted(error):
        ours = Unauthenticated(f"{text}; check kafka.ca, kafka.cert and kafka.key")
    elif code in _NO_TOPIC:
        ours = NotFound(f"{text}; it is made when the log is opened")
    ours.__cause__ = KafkaException(error)
    return ours


def _untrusted(error: KafkaError) -> bool:
    """Whether one side does not accept the other's certificate.

    A broker that does not accept ours says so after the handshake (TLS 1.3), when to librdkafka it
    is a failed receive with OpenSSL's words.
    """
    return error.code() == KafkaError._SSL or "SSL alert" in error.str()  # noqa: SLF001


def kafka_code(error: DashcellError) -> int | None:
    """The code of the KafkaError that `error` stands for, if it stands for one."""
    cause = error.__cause__
    return cause.args[0].code() if isinstance(cause, KafkaException) else None


def raise_placed(what: str, places: Iterable[Any]) -> None:
    """Raise the first error that Kafka has put beside one of `places`."""
    for place in places:
        if place.error is not None:
            raise kafka_error(what, place.error)


class Heard:
    """What librdkafka says of its brokers, as its `error_cb`.

    Requests know only that no broker answered in time; why is said here, while something polls.
    """

    def __init__(self) -> None:
        self.down = False
        self._refusal: KafkaError | None = None
        self._last = ""

    def __call__(self, error: KafkaError) -> None:
        """Called by librdkafka within a poll."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self.down = True
        else:
            self._last = str(error.str())
            if error.code() in _UNKNOWN_WHO or _untrusted(error):
                self._refusal = error

    def answered(self) -> None:
        """Forget it all: a broker has answered."""
        self.down, self._refusal, self._last = False, None, ""

    def refusal(self, what: str) -> DashcellError | None:
        """Why no broker lets us in, once all of them are away and one of them said so."""
        refused = self._refusal if self.down else None
        return kafka_error(what, refused) if refused is not None else None

    def check_server(self, consumer: Any, topic: str, what: str) -> None:
        """An idle poll of a log that is away would look like one of a log without news: where all
        brokers were down, ask one. Raises why none answers."""
        if self.down:
            try:
                consumer.list_topics(topic, timeout=1.0)
            except KafkaException as error:
                raise self.explained(what, error.args[0]) from error
            self.answered()

    def explained(self, what: str, error: KafkaError) -> DashcellError:
        """A request's failure, with the reason where there is one."""
        ours = self.refusal(what) or kafka_error(what, error)
        if self._last and type(ours) is Unavailable:
            cause = ours.__cause__
            ours = Unavailable(f"{ours}; last heard: {self._last}")
            ours.__cause__ = cause
        return ours


def gap(topic: str, partition: int, offset: int, start: int) -> CursorTooOld:
    """What is raised when `offset` is wanted and the log begins later, at `start`."""
    return CursorTooOld(
        f"{topic}/{partition} begins at {start}, {offset} is gone", start.to_bytes(8)
    )


def settled(what: str, future: "Future[Any]", timeout_ms: int) -> Any:
    """The result of an AdminClient call. Raises Unavailable when it does not come in time."""
    try:
        # librdkafka ends the request itself after its own time-out; the margin lets it say why.
        return future.result(timeout_ms / 1000 + 1)
    except KafkaException as error:
        raise kafka_error(what, error.args[0]) from error
    except FutureTimeoutError as error:
        raise Unavailable(f"{what}: no answer from Kafka in {timeout_ms} ms") from error


def client_config(settings: Mapping[str, str]) -> dict[str, Any]:
    """What every client of librdkafka is given.

    A server that came back is found within a second (librdkafka's own default is ten).
    """
    return {
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        "socket.keepalive.enable": True,
        **settings,
    }


def reader_config(settings: Mapping[str, str], topic: str) -> dict[str, Any]:
    """What every consumer without a group is given. librdkafka asks for a group's name; without
    subscription and commit nobody sees it but Kafka's ACLs, of which it needs Describe."""
    return {
        **client_config(settings),
        "group.id": f"{topic}-readers",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "fetch.message.max.bytes": 1_048_576,
        "queued.max.messages.kbytes": 8_192,
    }


def admin_client(
    settings: Mapping[str, str], timeout_ms: int, heard: Heard | None = None
) -> AdminClient:
    """An AdminClient with these librdkafka settings whose requests end in `timeout_ms`.

    Raises BadRequest for settings that librdkafka refuses.
    """
    config: dict[str, Any] = {
        **client_config(settings),
        "socket.timeout.ms": timeout_ms,
        "socket.connection.setup.timeout.ms": timeout_ms,
    }
    if heard is not None:
        config["error_cb"] = heard
    try:
        return AdminClient(config, logger=LOG)
    except KafkaException as error:
        raise BadRequest("kafka", f"librdkafka refuses the settings: {error}") from error


def admitted(settings: Mapping[str, str], what: str, timeout_ms: int) -> AdminClient:
    """An AdminClient that a broker has answered.

    Raises Unauthenticated as soon as all brokers have refused user, password or certificate, or
    are away; Unavailable after `timeout_ms`; BadRequest for settings that librdkafka refuses.
    """
    heard = Heard()
    admin = admin_client(settings, timeout_ms, heard)
    asked = admin.describe_cluster(request_timeout=timeout_ms / 1000)
    while not wait_for([asked], 0.05).done:
        admin.poll(0)
        refusal = heard.refusal(what)
        if refusal is not None:
            raise refusal
    try:
        asked.result(0)
    except KafkaException as error:
        admin.poll(0)
        ours = heard.explained(what, error.args[0])
        if type(ours) is Unavailable:
            # A listener that wants TLS or a user, and is spoken to without, just hangs up.
            raise Unavailable(
                f"{ours}; check the addresses, {settings.get('bootstrap.servers')}, and that "
                "kafka.tls and kafka.user are as that listener asks for"
            ) from error
        raise ours from error
    return admin


def retained(admin: AdminClient, topic: str, partitions: int, timeout_ms: int) -> list[Span]:
    """The offsets that the topic holds now: two requests to each leader, side by side."""
    starts, ends = list_offsets(
        admin, topic, partitions, [OffsetSpec.earliest(), OffsetSpec.latest()], timeout_ms
    )
    return [Span(start, end) for start, end in zip(starts, ends, strict=True)]


def list_offsets(
    admin: AdminClient, topic: str, partitions: int, specs: Sequence[Any], timeout_ms: int
) -> list[list[int]]:
    """For each of `specs` the offset in each partition; -1 where there is none.

    An AdminClient keeps what it knows of leaders for minutes and does not learn from a refusal:
    after a restart of the broker it has to be told to look again.
    """
    deadline = time.monotonic() + timeout_ms / 1000
    while True:
        try:
            return _list_offsets(admin, topic, partitions, specs, timeout_ms)
        except DashcellError as error:
            code = kafka_code(error)
            if code not in _LEADER_MOVED or time.monotonic() > deadline:
                raise
        try:
            admin.list_topics(topic, timeout=max(0.1, deadline - time.monotonic()))
        except KafkaException as error:
            raise kafka_error(f"leaders of {topic}", error.args[0]) from error
        time.sleep(0.05)


def _list_offsets(
    admin: AdminClient, topic: str, partitions: int, specs: Sequence[Any], timeout_ms: int
) -> list[list[int]]:
    places = [TopicPartition(topic, partition) for partition in range(partitions)]
    timeout_s = timeout_ms / 1000
    # What it says is kept until somebody polls, and would pile up.
    admin.poll(0)
    asked = [
        admin.list_offsets(dict.fromkeys(places, spec), request_timeout=timeout_s) for spec in specs
    ]
    what = f"offsets of {topic}"
    return [
        [settled(what, futures[place], timeout_ms).offset for place in places] for futures in asked
    ]
