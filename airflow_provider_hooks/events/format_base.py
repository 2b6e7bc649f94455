# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The base of every format. It imports nothing heavy: the connection form lists the formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_hooks.events.event import Event

JSON = "application/json"
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
DEFAULT_MAX_PAYLOAD_BYTES = 1_048_576


class Message(NamedTuple):
    """The body of a request, and the headers that the event adds to it."""

    body: bytes
    headers: Mapping[str, str] = NO_HEADERS


class Format(ABC):
    """
    One format. It has no state.

    Register a subclass, which is instantiated without arguments, under the entry point group
    ``airflow_provider_hooks.formats``.
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
    header_names: tuple[str, ...] = ()
    """Every header that ``encode`` returns. A connection cannot set them."""

    @abstractmethod
    def encode(self, event: Event, *, max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES) -> Message:
        """
        Return the body of the request for an event, and the headers that the event adds.

        :raises ValidationError: if this format cannot represent the event
        :raises PayloadError: if the data is not JSON, or the body is larger than allowed
        """


def encode(value: object, *, max_payload_bytes: int) -> bytes:
    """Return JSON, as ``serialize`` does."""
    # Imported here: Airflow reads the metadata of providers, with the choices of forms, in every process.
    from airflow_provider_hooks.events.serialization import encode_json

    return encode_json(value, max_payload_bytes=max_payload_bytes)
