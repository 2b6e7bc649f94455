# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The base of every format. It imports nothing heavy: the connection form lists the formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_hooks.events.event import Event

__all__ = ["DEFAULT_MAX_PAYLOAD_BYTES", "Format", "FormatSettings", "Message", "encode", "find_time"]

JSON = "application/json"
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
DEFAULT_MAX_PAYLOAD_BYTES = 1_048_576
KeyUse = Literal["none", "optional", "required"]


class Message(NamedTuple):
    """
    The body of a request, and the headers that the event adds to it.

    Example:

    ```python
    from airflow_provider_hooks.events.format_base import Message

    message = Message(b"order 7 is late", {"X-Priority": "high"})
    ```
    """

    body: bytes
    headers: Mapping[str, str] = NO_HEADERS


@dataclass(frozen=True, kw_only=True)
class FormatSettings:
    """
    What the connection of an endpoint defines of the format of its events.

    Example:

    ```python
    from airflow_provider_hooks.events.format_base import FormatSettings

    settings = FormatSettings(name="pagerduty", key="an-integration-key")
    ```
    """

    name: str | None = None
    """``None``: the default of the event type."""
    key: str | None = field(default=None, repr=False)
    """The receiver's key, which the body holds. A secret."""
    template: str = field(default="", repr=False)
    content_type: str = JSON
    """Of the result of the template."""


NO_SETTINGS = FormatSettings()


class Format(ABC):
    """
    One format. It has no state, except what ``bind`` gives it of an endpoint.

    Register a subclass, which is instantiated without arguments, under the entry point group
    ``airflow_provider_hooks.formats``.

    Example:

    ```python
    from airflow_provider_hooks.events.format_base import DEFAULT_MAX_PAYLOAD_BYTES, Format, Message, encode


    class ShortFormat(Format):
        name = "short"
        description = "A JSON object with the type and the id of the event"

        def encode(self, event, *, max_payload_bytes=DEFAULT_MAX_PAYLOAD_BYTES):
            return Message(encode({"type": event.type, "id": event.id}, max_payload_bytes=max_payload_bytes))
    ```
    """

    name: str
    """Its name in a connection: lower-case letters, digits and underscores."""
    title: str = ""
    """What the connection form shows for it; by default its name."""
    description: str
    """One line for the docs."""
    source: str = ""
    """The page that documents the format."""
    content_type: str = JSON
    has_secret_url: bool = False
    """Whether the path of the URL is a token, as that of chat receivers is. The connection must then set the format."""
    key_use: KeyUse = "none"
    """Whether the body holds a key of the receiver: the connection's password, where its scheme is ``none``."""
    uses_template: bool = False
    """Whether the connection must have a template."""
    header_names: tuple[str, ...] = ()
    """Every header that ``encode`` returns. A connection cannot set them."""
    copies_data: bool = False
    """
    Whether ``encode`` only puts the data of an event of the user's own type into the body, and looks at nothing in it.

    The data of a line of a stream is then its text, as an ``orjson.Fragment``, which is faster than its objects.
    """

    def bind(self, settings: FormatSettings) -> Format:  # noqa: ARG002  (most formats use none of it)
        """Return the format of one endpoint, in which ``find_problems`` finds nothing."""
        return self

    def find_problems(self, settings: FormatSettings) -> Mapping[str, str]:  # noqa: ARG002
        """Return what is wrong with the settings, by the name of the field of the connection. Quote no secret."""
        return NO_HEADERS

    @property
    def connection_reason(self) -> str | None:
        """Why only a connection can set the format, or ``None`` if an operator can too."""
        if self.has_secret_url:
            return "so that its URL, which is a secret, is masked"
        if self.key_use == "required":
            return "which holds its key"
        return "which holds its template" if self.uses_template else None

    @abstractmethod
    def encode(self, event: Event, *, max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES) -> Message:
        """
        Return the body of the request for an event, and the headers that the event adds.

        :param event: the event; its data is not checked yet
        :param max_payload_bytes: the largest body allowed, in bytes
        :raises ValidationError: if this format cannot represent the event
        :raises PayloadError: if the data is not JSON, or the body is larger than allowed
        """


def find_time(event: Event) -> str:
    """
    Return when an event occurred; an ``event.alert`` has no time, so that is the time of sending.

    Example:

    ```python
    from airflow_provider_hooks.events import Event
    from airflow_provider_hooks.events.format_base import find_time

    event = Event(type="orders.late", id="orders-7", occurred_at="2026-01-01T12:00:00.000Z", source="", data=None)
    assert find_time(event) == "2026-01-01T12:00:00.000Z"
    ```

    :param event: the event
    :returns: ISO 8601 in UTC, with milliseconds
    """
    if event.occurred_at is not None:
        return event.occurred_at
    from airflow_provider_hooks.events.schema import format_time

    return format_time(datetime.now(timezone.utc))


def encode(value: object, *, max_payload_bytes: int) -> bytes:
    """
    Return any value as compact UTF-8 JSON, as ``serialize`` does with a payload.

    Example:

    ```python
    from airflow_provider_hooks.events.format_base import encode

    assert encode([{"id": "orders-7"}], max_payload_bytes=1_000) == b'[{"id":"orders-7"}]'
    ```

    :param value: what JSON can represent
    :param max_payload_bytes: the largest result allowed, in bytes
    :raises PayloadError: if it is not JSON, or larger than allowed
    """
    return _load_encoder()(value, max_payload_bytes=max_payload_bytes)


@cache
def _load_encoder() -> Callable[..., bytes]:
    """Import it when it is first used: Airflow reads the metadata of providers, with the choices of forms, often."""
    from airflow_provider_hooks.events.serialization import encode_json

    return encode_json
