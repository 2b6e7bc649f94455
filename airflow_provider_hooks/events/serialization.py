# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
From an event to the bytes of its documented payload. Exactly these bytes are signed and sent.

``serialize`` does it for what a builder returned. ``PayloadReader`` does it for the events of a stream: ``msgspec``
decodes and encodes a line that has the documented form already in a tenth of the builders' time. Any other event goes
to the builders: they accept every form, and their errors name what is wrong. The fast path accepts nothing that they
refuse, and gives the same bytes; a test checks both.
"""

from __future__ import annotations

import enum
import math
import re
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import msgspec
import orjson

from airflow_provider_hooks.events.builders import build_event_alert, build_event_created
from airflow_provider_hooks.events.format_base import DEFAULT_MAX_PAYLOAD_BYTES, NO_HEADERS
from airflow_provider_hooks.events.schema import AlertSchema, CreatedSchema, is_documented
from airflow_provider_hooks.events.types import EVENT_CREATED
from airflow_provider_hooks.exceptions import InvalidEventError, PayloadError, ValidationError
from airflow_provider_hooks.sanitize import escape, safe_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow_provider_hooks.events.types import Payload

MAX_DEPTH = 254
"""Levels of nesting that a payload may have: the encoder's own limit."""

_MAX_PROBLEMS = 10
_MAX_VALUES = 200_000
"""How many values are searched for a problem; more do not fit a payload of the usual size."""
_CONTAINERS = frozenset({dict, list, tuple})
_MAX_INTEGER, _MIN_INTEGER = 2**64 - 1, -(2**63)
_has_null = re.compile(rb"null").search
"""Takes half the time of the operator ``in``."""
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def serialize(event: Payload, *, max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES) -> bytes:
    """
    Return an event as compact UTF-8 JSON, keys in the order given; a UUID as text, an enum's member as its value.

    Example:

    ```python
    from airflow_provider_hooks.events import serialize

    assert serialize({"id": "orders-7", "rows": 1204}) == b'{"id":"orders-7","rows":1204}'
    ```

    :param event: what a builder returned
    :param max_payload_bytes: the largest body allowed, in bytes
    :raises PayloadError: naming the fields that hold NaN, Infinity, a lone surrogate, an integer beyond 64 bits,
        something that JSON cannot represent, or a cycle, or that are nested too deep; or naming the limit if the body
        is too large
    """
    if not isinstance(event, dict):
        raise PayloadError("payload", {"event": f"must be a dict, not a {type(event).__name__}"})
    return encode_json(event, max_payload_bytes=max_payload_bytes)


def encode_json(event: object, *, max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES) -> bytes:
    """
    Return anything that JSON can represent, as ``serialize`` does.

    :raises PayloadError: as ``serialize``
    """
    try:
        body = orjson.dumps(event, option=_OPTIONS)
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise PayloadError("payload", _find_problems(event) or {"event": escape(str(error))}) from None
    # The encoder writes NaN and Infinity as null without an error, so a body that holds a null is searched.
    if _has_null(body):
        problems = _find_problems(event)
        if problems:
            raise PayloadError("payload", problems)
    if len(body) > max_payload_bytes:
        problem = f"the payload has {len(body)} bytes, over max_payload_bytes={max_payload_bytes}; its largest field"
        raise PayloadError("payload", {_find_largest(event): problem})
    return body


class PayloadReader:
    """
    Reads the events of a stream, all of one type.

    :param event_type: ``event.created`` or ``event.alert``
    :param max_payload_bytes: the largest body allowed, in bytes
    """

    def __init__(self, event_type: str, *, max_payload_bytes: int) -> None:
        created = event_type == EVENT_CREATED
        self._build_payload: Callable[..., Payload] = build_event_created if created else build_event_alert
        self._max_payload_bytes = max_payload_bytes
        schema: type[AlertSchema | CreatedSchema] = CreatedSchema if created else AlertSchema
        self._decode: Callable[[bytes], AlertSchema | CreatedSchema] = msgspec.json.Decoder(schema).decode
        self._encode = msgspec.json.Encoder().encode

    def read(self, event: bytes | Mapping[str, object]) -> tuple[str, bytes, Mapping[str, str]]:
        """
        Return an event's id, the bytes of its body, and the headers that it adds, which are none.

        :param event: a line of JSON or a mapping: the payload as documented, or its fields by name
        :raises InvalidEventError: with what is wrong with it
        """
        if not isinstance(event, bytes):
            return self._build(event)
        try:
            decoded = self._decode(event)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return self._build(parse_line(event))
        if is_documented(decoded):
            body = self._encode(decoded)
            if len(body) <= self._max_payload_bytes:
                return decoded.id, body, NO_HEADERS
        return self._build(parse_line(event))

    def _build(self, event: object) -> tuple[str, bytes, Mapping[str, str]]:
        with one_event():
            payload = self._build_payload(event)
            return cast("str", payload["id"]), serialize(payload, max_payload_bytes=self._max_payload_bytes), NO_HEADERS


@contextmanager
def one_event() -> Iterator[None]:
    """
    Read one event of a stream, which it must not end, whatever is in it.

    :raises InvalidEventError: if anything else is raised
    """
    try:
        yield
    except ValidationError as error:
        raise InvalidEventError(str(error)) from None
    except InvalidEventError:
        raise
    except Exception as error:  # noqa: BLE001
        raise InvalidEventError(f"the event cannot be read: {type(error).__name__}") from None


def parse_line(line: bytes) -> object:
    """
    Return what a line of JSON represents.

    :raises InvalidEventError: if it is not JSON
    """
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidEventError(f"the line is not JSON: {error}") from None


def _find_largest(event: object) -> str:
    if not isinstance(event, dict):
        return "event"
    return escape(max(event, key=lambda name: len(orjson.dumps(event[name], option=_OPTIONS)), default="event"))


def _find_problems(event: object) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, problem in _walk(event):
        found.setdefault(escape(path) or "event", problem)
        if len(found) == _MAX_PROBLEMS:
            break
    return found


def _walk(event: object) -> Iterator[tuple[str, str]]:
    """Visit every value without recursion, so that no nesting can exhaust the stack."""
    ancestors: set[int] = set()
    visited = 0
    stack: list[tuple[object, str, bool]] = [(event, "", False)]
    while stack:
        entry, path, leaving = stack.pop()
        value = entry.value if isinstance(entry, enum.Enum) else entry
        if leaving:
            ancestors.discard(id(value))
            continue
        visited += 1
        if visited > _MAX_VALUES:
            yield "event", f"has over {_MAX_VALUES} values"
            return
        if type(value) not in _CONTAINERS:
            problem = _find_scalar_problem(value)
            if problem:
                yield path, problem
        elif id(value) in ancestors:
            yield path, "contains itself"
        elif len(ancestors) >= MAX_DEPTH:
            yield path, f"is nested over {MAX_DEPTH} levels deep"
        else:
            ancestors.add(id(value))
            stack.append((value, path, True))
            if isinstance(value, dict):
                yield from ((path or "event", "has a key that is not text") for key in value if not _is_key(key))
            stack.extend(
                (child, name, False)
                for name, child in _children(cast("dict[object, object] | Sequence[object]", value), path)
            )


def _children(value: dict[object, object] | Sequence[object], path: str) -> list[tuple[str, object]]:
    if isinstance(value, dict):
        names = ((key if isinstance(key, str) else safe_repr(key), child) for key, child in value.items())
        named = [(f"{path}.{escape(name, limit=40)}" if path else name, child) for name, child in names]
    else:
        named = [(f"{path}[{index}]", child) for index, child in enumerate(value)]
    return named[::-1]


def _is_key(key: object) -> bool:
    return type(key) is str and _find_scalar_problem(key) is None


_PLAIN = frozenset({str, int, float, bool, type(None), uuid.UUID, orjson.Fragment})


def _find_scalar_problem(value: object) -> str | None:
    if type(value) not in _PLAIN:
        return f"is a {type(value).__name__}, which JSON cannot represent"
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value}, which JSON cannot represent"
    if isinstance(value, int) and not _MIN_INTEGER <= value <= _MAX_INTEGER:
        return "is an integer beyond 64 bits; send it as text"
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return "has a lone surrogate, which UTF-8 cannot represent"
    return None
