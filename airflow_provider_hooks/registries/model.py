# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The data that all platforms share: a platform and its operations, a request, a response, a service hook. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Literal

from airflow_provider_hooks.http.urls import strip_sensitive_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_hooks.json_types import JsonObject

__all__ = [
    "Coordinate",
    "HookChanges",
    "HookSpec",
    "Operation",
    "Page",
    "Platform",
    "Request",
    "Response",
    "Security",
    "ServiceHook",
    "Stat",
]

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
SecretOrigin = Literal["platform", "client", "none"]
"""
Where the signing secret of a hook comes from.

``platform``: the platform generates it and returns it. ``client``: this package generates it and sends it along when
the hook is created; the platform need not return it. ``none``: deliveries are not signed.
"""


class Operation(str, Enum):
    """
    What a platform's API can do; the value names it in messages.

    Example:

    ```python
    from airflow_provider_hooks.registries.model import Operation

    assert Operation.LIST.value == "list service hooks"
    ```
    """

    CREATE = "register a service hook"
    LIST = "list service hooks"
    GET = "get a service hook"
    UPDATE = "update a service hook"
    DELETE = "delete a service hook"
    STATS = "get the statistics of a service hook"
    ROTATE = "rotate the secret of a service hook"
    SECURITY = "get how deliveries are signed"


@dataclass(frozen=True, kw_only=True)
class Coordinate:
    """
    A field of the connection that says which of the platform's hooks are meant, such as an organization.

    Example:

    ```python
    from airflow_provider_hooks.registries.model import Coordinate

    team = Coordinate(name="team", label="Team", description="the team's key", pattern="[a-z]{1,20}")
    ```
    """

    name: str
    """The name in the connection's ``extra``; platforms may share a name."""
    label: str
    """The label in the connection form."""
    description: str
    """What it is on this platform, such as ``the organization's slug``."""
    pattern: str
    """The regular expression that the whole value must match, so that it can stand in a path."""


@dataclass(frozen=True, kw_only=True)
class Platform:
    """
    A platform: how it is reached, what its API documents, and where secrets come from.

    Example:

    ```python
    from airflow_provider_hooks.registries.model import Operation, Platform

    HELPDESK = Platform(
        name="helpdesk",
        title="Acme Helpdesk",
        base_url="https://helpdesk.example.com/api",
        operations=frozenset({Operation.CREATE, Operation.LIST, Operation.GET, Operation.DELETE}),
        secret_origin="platform",
        secret_visibility="is in every response",
        source="Acme Helpdesk API: webhooks",
    )
    assert HELPDESK.signs
    ```
    """

    name: str
    """The name in a connection."""
    title: str
    """The name in messages and docs."""
    base_url: str | None
    """The base URL of its API; ``None`` if each customer has another host."""
    coordinates: tuple[Coordinate, ...] = ()
    """The fields that a connection must have, in addition to the token."""
    operations: frozenset[Operation]
    """What it documents."""
    alternatives: Mapping[Operation, str] = field(default_factory=dict)
    """For operations that it does not document: what to do instead."""
    secret_origin: SecretOrigin
    """Where the secret of a hook comes from."""
    secret_visibility: str
    """When it shows a hook's secret; the end of the sentence "Its secret ..."."""
    source: str
    """The documentation that the module follows."""

    @property
    def signs(self) -> bool:
        """Whether deliveries of a hook are signed."""
        return self.secret_origin != "none"

    @property
    def takes_secret(self) -> bool:
        """Whether this package generates the secret of a hook and sends it along."""
        return self.secret_origin == "client"

    def find_alternative(self, operation: Operation) -> str:
        """Return what to do instead of an operation that is not documented."""
        return self.alternatives.get(operation, "do it in the platform's own interface")


@dataclass(frozen=True, kw_only=True)
class Request:
    """
    One HTTP request to a platform, without its base URL and token.

    Example:

    ```python
    from airflow_provider_hooks.registries.model import Operation, Request

    request = Request(operation=Operation.LIST, method="GET", path="/webhooks", query={"page": "2"})
    ```
    """

    operation: Operation
    method: Method
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: JsonObject | None = field(default=None, repr=False)
    """May hold a secret, so it has no ``repr``."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """
    The response of a platform; it may hold secrets, so it is never shown unchanged.

    Example:

    ```python
    from airflow_provider_hooks.registries.model import Response

    response = Response(status_code=200, headers={"content-type": "application/json"}, body=b"[]")
    ```
    """

    status_code: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Names in lower case."""
    body: bytes = field(default=b"", repr=False)
    received_at: float = 0.0
    """Unix seconds."""


@dataclass(frozen=True, kw_only=True)
class HookSpec:
    """
    A service hook as requested.

    Example:

    ```python
    from airflow_provider_hooks.registries.model import HookSpec

    spec = HookSpec(url="https://hooks.example.com/airflow", events=("event.alert",), name="orders")
    ```
    """

    url: str = field(repr=False)
    events: tuple[str, ...] | None = None
    """The subscribed events; ``None``: all events, if the platform documents which those are."""
    name: str | None = None
    """Required by some platforms, such as ZStack."""
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    """Sent with each delivery, on platforms that can do so, such as Akinon; may hold a secret."""
    is_active: bool | None = None
    """Whether the hook is active, on platforms with inactive hooks; ``None`` leaves it to the platform."""
    secret: str | None = field(default=None, repr=False)
    """The signing secret, on platforms whose ``secret_origin`` is ``client``."""


@dataclass(frozen=True, kw_only=True)
class HookChanges:
    """
    Changes of a service hook; ``None`` leaves a field unchanged.

    Example:

    ```python
    from airflow_provider_hooks.registries.model import HookChanges

    changes = HookChanges(is_active=False)
    assert changes.list_given() == {"is_active": False}
    ```
    """

    url: str | None = field(default=None, repr=False)
    events: tuple[str, ...] | None = None
    name: str | None = None
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    is_active: bool | None = None

    def list_given(self) -> dict[str, object]:
        """Return the fields that change."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def __bool__(self) -> bool:
        """Return whether any field changes."""
        return bool(self.list_given())


@dataclass(frozen=True, kw_only=True)
class ServiceHook:
    """
    A subscription on a platform: these events are sent to this URL, signed with this secret.

    Example:

    ```python
    from airflow_provider_hooks.registries.model import ServiceHook

    hook = ServiceHook(hook_id="w1", url="https://hooks.example.com/airflow?token=x", events=("event.alert",))
    assert hook.as_json()["url"] == "https://hooks.example.com/airflow"
    ```
    """

    hook_id: str
    url: str = field(repr=False)
    events: tuple[str, ...] = ()
    status: str = "active"
    name: str = ""
    created_at: str = ""
    updated_at: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret: str | None = field(default=None, repr=False)

    def as_json(self) -> JsonObject:
        """Return what XComs and logs may show: no secret, no header, and the URL without its query."""
        return {
            "hook_id": self.hook_id,
            "url": strip_sensitive_parts(self.url),
            "events": list(self.events),
            "status": self.status,
            "name": self.name,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


@dataclass(frozen=True, kw_only=True)
class Page:
    """
    One page of hooks, and the cursor of the next page.

    Example:

    ```python
    from airflow_provider_hooks.registries.model import Page

    last = Page(hooks=(), next_cursor=None)
    ```
    """

    hooks: tuple[ServiceHook, ...]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True)
class Stat:
    """
    The number of deliveries to a hook in one time step.

    Example:

    ```python
    from airflow_provider_hooks.registries.model import Stat

    stat = Stat(timestamp=1_700_000_000, total=12)
    ```
    """

    timestamp: int
    """Start of the step, unix seconds."""
    total: int


@dataclass(frozen=True, kw_only=True)
class Security:
    """
    How a platform signs its deliveries, as its API describes it.

    Example:

    ```python
    from airflow_provider_hooks.registries.model import Security

    security = Security(
        algorithm="HMAC-SHA256",
        signature_format="v1=<hex-digest>",
        timestamp_header="X-Webhook-Timestamp",
        signature_header="X-Webhook-Signature",
        payload_format="timestamp.body",
        replay_window=300,
    )
    ```
    """

    algorithm: str
    signature_format: str
    timestamp_header: str
    signature_header: str
    payload_format: str
    replay_window: int
    """Seconds."""
