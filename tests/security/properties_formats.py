# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Events of user-defined types, requests of connection tests, charsets: input is refused or handled correctly."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from airflow_provider_hooks.delivery.record import decode_body
from airflow_provider_hooks.events.event import OwnEventDraft
from airflow_provider_hooks.events.format_base import FormatSettings
from airflow_provider_hooks.events.formats import FORMATS, encode_event
from airflow_provider_hooks.events.reader import EventReader
from airflow_provider_hooks.exceptions import InvalidEventError, ValidationError
from airflow_provider_hooks.plugin import remove_port
from tests.security.properties_data import PropertyTable, json_values, make_property, mutations_of, texts

DEFAULTS = {"id": "made", "datetime": "2026-01-01T00:00:00Z", "source": "https://a.example/"}
LIMIT = 2_000
SCHEMA = {"type": "object", "properties": {"orders": {"type": "integer"}}, "required": ["orders"]}
BODY = {"connection_id": "c", "conn_type": "service_hook", "host": "h", "port": 0, "extra": "{}"}


def make_settings(name: str) -> FormatSettings:
    return FormatSettings(name=name, key="a-key-of-the-receiver", template='{"event": {{ event | tojson }}}')


def check_own_event(*, event_type: str, data: object, event_id: object, schema: object, name: str) -> None:
    """An event is refused with a ``ValidationError``, or becomes a request within the size limit."""
    draft = OwnEventDraft(
        event_type=event_type,
        data=data,
        event_id=event_id,
        schema=schema,
        defaults=DEFAULTS,  # type: ignore[arg-type]
    )
    try:
        event = draft.build()
        encoded = encode_event(
            event_type, event, format_name=name, settings=make_settings(name), max_payload_bytes=LIMIT
        )
    except ValidationError:
        return
    assert len(encoded.body) <= LIMIT
    assert json.loads(encoded.body) is not None or data is None
    for header, text in encoded.headers.items():
        assert header in encoded.header_names
        assert text.isascii()
        assert text.isprintable()


def check_own_line(*, line: bytes, name: str) -> None:
    """Any bytes are an event within the size limit, or are refused with an ``InvalidEventError``."""
    bound = FORMATS[name].bind(make_settings(name))
    reader = EventReader("orders.loaded", format=bound, id_field="id", defaults=DEFAULTS, max_payload_bytes=LIMIT)
    try:
        event_id, body, _ = reader.read(line)
    except InvalidEventError:
        return
    assert event_id
    assert len(body) <= LIMIT
    json.loads(body)


def check_port(*, document: object) -> None:
    """Only port 0 is removed, and only from a request that tests a connection of this provider."""
    body = json.dumps(document).encode()
    changed = remove_port(body)
    if changed != body:
        assert isinstance(document, dict)
        assert document["conn_type"] in {"service_hook", "service_hook_registry"}
        assert {**json.loads(changed), "port": 0} == json.loads(body)


def check_charset(*, content_type: str, body: bytes) -> None:
    """Any body with any charset is decoded to text."""
    assert isinstance(decode_body(body, {"content-type": content_type}), str)


names = st.sampled_from(sorted(FORMATS))
lines = json_values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60)
PROPERTIES: PropertyTable = {
    "own_event": make_property(
        check_own_event,
        event_type=st.sampled_from(["orders.loaded", "a", "event.alert"]) | texts,
        data=json_values | st.dictionaries(st.sampled_from(["orders", "id"]), json_values, max_size=3),
        event_id=st.none() | texts,
        schema=st.sampled_from([None, SCHEMA]) | mutations_of(SCHEMA),
        name=names,
    ),
    "own_line": make_property(
        check_own_line,
        line=lines | st.dictionaries(st.just("id"), texts | st.integers(), min_size=1).map(json.dumps).map(str.encode),
        name=st.sampled_from(sorted(set(FORMATS) - {"sentry"})),
    ),
    "tested_connection": make_property(check_port, document=mutations_of(BODY) | json_values),
    "charset": make_property(
        check_charset,
        content_type=texts
        | st.builds("text/plain; charset={}".format, texts | st.sampled_from(["utf-16", "idna", "hex"])),
        body=st.binary(max_size=60),
    ),
}
