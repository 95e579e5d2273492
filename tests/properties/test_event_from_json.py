"""What was exported is the same event when it is appended, and what was not is refused by name."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from firehose.event import Event, PostCreated
from firehose.event_from_json import name_of, new_event
from firehose.event_json import document
from firehose.log import Record
from firehose.new_events import event_of
from idgen.errors import BadRequest
from idgen.ids import at_ms
from tests.properties.event_strategies import events

POST = {
    "kind": "post_created", "id": 2124655395627597824, "author": 88, "post_kind": "text",
    "tags": ["a"], "mentions": [5], "reblog_of": {"author": 1, "id": 2},
}  # fmt: skip


def exported(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(document(Record(3, 4, 5, b""), event)))
    return found


def as_kept(event: Event) -> Event:
    """As it comes back: its id is brought, and a time that the id tells is not told twice."""
    if not isinstance(event, PostCreated):
        return event
    if event.draft.at_ms == at_ms(event.id):
        event = replace(event, draft=replace(event.draft, at_ms=None))
    return replace(event, brought=True)


@given(events)
def test_an_event_survives_being_exported(event: Event) -> None:
    new = new_event(exported(event))
    assert new.brought_id == event.id
    assert event_of(new, event.id, 0) == as_kept(event)


@given(events)
def test_texts_alone_are_enough(event: Event) -> None:
    """As of a program whose numbers lose digits, and that knows it."""

    def without_numbers(of: dict[str, Any]) -> dict[str, Any]:
        kept = {k: v for k, v in of.items() if f"{k}_str" not in of}
        return {k: without_numbers(v) if isinstance(v, dict) else v for k, v in kept.items()}

    assert new_event(without_numbers(exported(event))) == new_event(exported(event))


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("event", None),
        ("kind", {"kind": "unknown", "bytes": "3A4="}),
        ("kind", {"kind": "damaged"}),
        ("kind", {"kind": 1}),
        ("kind", {"kind": None}),
        ("id", {"id": 2124655395627597800, "id_str": "2124655395627597824"}),
        ("id", {"id": 2.5}),
        ("id", {"id": True}),
        ("id", {"id": "2124655395627597824 "}),
        ("author", {"author": None}),
        ("author", {"author": "-5"}),
        ("post_kind", {"post_kind": "poem"}),
        ("post_kind", {"post_kind": 1}),
        ("body", {"body": 5}),
        ("tags", {"tags": "a"}),
        ("tags", {"tags": [1]}),
        ("mentions", {"mentions": [1.5]}),
        ("mentions", {"mentions": [1, 2], "mentions_str": ["1", "3"]}),
        ("reblog_of", {"reblog_of": 7}),
        ("reblog_of.id", {"reblog_of": {"author": 1}}),
        ("reblog_of.body", {"reblog_of": {"author": 1, "id": 2, "body": ""}}),
        ("authored_ms", {"authored_ms": "soon"}),
        ("boddy", {"boddy": "x"}),
        ("backfill", {"backfill": 3}),
        ("post_id", {"kind": "liked", "actor": 1}),
        ("lane", {"kind": "marked_read", "reader": 1, "lane": "both", "event_id": 4}),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(field: str, changed: dict[str, Any] | None) -> None:
    with pytest.raises(BadRequest) as refused:
        new_event(None if changed is None else POST | changed)
    assert refused.value.field == field


def test_refusals_of_writes_are_named_as_in_json() -> None:
    assert name_of("brought_id") == "id"
    assert name_of("draft.kind") == "post_kind"
    assert name_of("draft.at_ms") == "authored_ms"
    assert name_of("draft.tags[3]") == "tags[3]"
    assert name_of("post_id") == "post_id"
