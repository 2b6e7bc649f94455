# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The data of each built-in platform for the tests, in one table, and registries and responses for tests.

A new platform is a new entry of ``PLATFORM_DATA``, which the tests of every platform use. The rules, requests and
responses of a platform have separate tests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_hooks.json_types import JsonObject
from airflow_provider_hooks.registries.connection import Registry
from airflow_provider_hooks.registries.model import HookSpec, Operation, Response
from airflow_provider_hooks.registries.platforms import load_platforms, open_api

TOKEN = "t0ken-of-ours"
SECRET = "Zq7-private-9Xw"
"""The secret in responses of platforms that return one; no message or ``repr`` may show it."""
ID_1, ID_2 = "5f1a" * 6, "6b2c" * 6
URL = "https://hooks.example.com/a"


@dataclass(frozen=True, kw_only=True)
class PlatformData:
    """The data of one platform."""

    coordinates: Mapping[str, str] = field(default_factory=dict)
    """A valid value of each coordinate of its connection."""
    spec: HookSpec
    """A declaration with every field that the platform takes, except the secret."""
    events: tuple[tuple[str, ...], ...]
    """
    Sets of events that a hook can have, one with several events if the platform allows it.

    The last one, if there are several, differs from that of ``spec``.
    """
    refused: tuple[tuple[HookSpec, set[str]], ...]
    """Declarations that it would refuse, each with the names of the fields that are wrong."""
    unknown_id: str
    """An id of the documented form that no hook of the sandbox has."""
    hook: JsonObject
    """A hook as the platform documents it in a response, with ``SECRET`` if it returns one."""
    more_hooks: tuple[JsonObject, ...] = ()
    """The other forms that a response with one hook can have."""
    page: object = None
    """A response to the request for a list of hooks; ``None`` if the platform has no list."""
    first_calls: Mapping[str, int]
    """The calls that create the hooks of ``spec``, by the names of the mock's routes."""
    later_calls: Mapping[str, int]
    """The calls that find the hooks of ``spec`` unchanged."""
    moved_calls: Mapping[str, int]
    """The calls that change the URL of the hooks of ``spec``."""


_SENTRY_HOOK: JsonObject = {
    "dateCreated": "2020-03-22T20:58:21.343662Z",
    "events": ["event.alert", "event.created"],
    "id": "7c9b9e54c6b84b32bdc1b39643812466",
    "secret": SECRET,
    "status": "active",
    "url": URL,
}
_AKINON_HOOK: JsonObject = {
    "_id": ID_1,
    "name": "n",
    "url": URL,
    "events": ["deployment.build.created"],
    "headers": {"X-Key": SECRET},
    "active": True,
    "createdAt": "2026-01-01T00:00:00.000Z",
}
_ZSTACK_HOOK: JsonObject = {
    "id": "wh-001",
    "name": "Slack",
    "url": URL,
    "signingEnabled": True,
    "createdAt": "2026-01-15T08:00:00Z",
}
_SMARTSHEET_HOOK: JsonObject = {"id": 123456, "url": URL, "status": "active", "event_type": "project.created"}

PLATFORM_DATA: dict[str, PlatformData] = {
    "sentry": PlatformData(
        coordinates={"organization": "the-interstellar-jurisdiction", "project": "pump-station"},
        spec=HookSpec(url=URL, events=("event.alert",), name="orders", is_active=True),
        events=(("event.alert",), ("event.created", "event.alert")),
        refused=((HookSpec(url="nope", events=("event.x",), headers={"a": "b"}), {"url", "events", "headers"}),),
        unknown_id="nope",
        hook=_SENTRY_HOOK,
        page=[_SENTRY_HOOK],
        first_calls={"list": 1, "create": 1},
        later_calls={"list": 1},
        moved_calls={"list": 1, "update": 1},
    ),
    "akinon": PlatformData(
        coordinates={"organization": ID_1, "project": ID_2},
        spec=HookSpec(
            url=URL,
            events=("deployment.build.created",),
            name="orders",
            headers={"X-Key": "s3cret-key"},
            is_active=True,
        ),
        events=(("deployment.build.created",), ("a.b",), ("a.b", "deployment.build.created")),
        refused=((HookSpec(url="nope", events=(), name=" "), {"url", "events", "name"}),),
        unknown_id="0" * 24,
        hook=_AKINON_HOOK,
        page=[_AKINON_HOOK],
        first_calls={
            "list": 2,
            "create": 1,
        },  # its 201 has the project only, so the new webhook is looked up in the list
        later_calls={"list": 1},
        moved_calls={"list": 1, "update": 1},
    ),
    "zstack": PlatformData(
        spec=HookSpec(url=URL, name="orders", is_active=True),
        events=((),),
        refused=((HookSpec(url="nope", events=("a.b",), name=None), {"url", "events", "name"}),),
        unknown_id="nope",
        hook=_ZSTACK_HOOK,
        more_hooks=({"endpoint": _ZSTACK_HOOK, "signingSecretPlaintext": SECRET},),
        first_calls={"create": 1},
        later_calls={"get": 1},
        moved_calls={"get": 1, "create": 1, "delete": 1},
    ),
    "smartsheet_rm": PlatformData(
        spec=HookSpec(url=URL, events=("project.created", "user.created"), name="orders", is_active=True),
        events=(("project.created",), ("user.created",), ("user.updated",)),
        refused=(
            (HookSpec(url="http://x.example/", events=("a.b",)), {"url", "events"}),
            (HookSpec(url=URL, events=None, headers={"a": "b"}), {"events", "headers"}),
        ),
        unknown_id="999",
        hook=_SMARTSHEET_HOOK,
        page={"paging": {"page": 1, "per_page": 1000, "next": "/x"}, "data": [_SMARTSHEET_HOOK]},
        first_calls={"list": 1, "create": 2},
        later_calls={"list": 1},
        moved_calls={"list": 1, "create": 2, "delete": 2},
    ),
}
"""Every built-in platform by its name in a connection; ``test_platform_data.py`` checks that none is missing."""


def list_supporting(operation: Operation) -> list[str]:
    """Return the names of the built-in platforms that have an operation."""
    return [name for name in PLATFORM_DATA if operation in load_platforms()[name].platform.operations]


def list_lacking(operation: Operation) -> list[str]:
    """Return the names of the built-in platforms that do not have an operation."""
    return [name for name in PLATFORM_DATA if name not in list_supporting(operation)]


def list_with_field(name: str) -> list[str]:
    """Return the names of the built-in platforms that take a field of ``HookSpec``."""
    return [platform for platform in PLATFORM_DATA if name in load_platforms()[platform].fields]


def name_connection(platform: str) -> str:
    """Return the id of the sandbox's connection to a platform."""
    return "service_hook_registry_default" if platform == "sentry" else f"{platform}_registry"


def make_registry(platform: str, *, base_url: str = "https://api.example.com", timeout: float = 2) -> Registry:
    return Registry(
        conn_id="c",
        platform=load_platforms()[platform].platform,
        base_url=base_url,
        token=TOKEN,
        coordinates=PLATFORM_DATA[platform].coordinates,
        timeout=timeout,
        max_wait=0,
    )


def make_api(platform: str, **options):
    return open_api(make_registry(platform, **options))


def make_response(content: object, status: int = 200, **headers: str) -> Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Response(status_code=status, headers=headers, body=body)
