# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The platforms whose hooks can be managed, as data: what reaches each of them, and what each of them can do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Operation(str, Enum):
    """What can be asked of a platform; the value says it in words."""

    CREATE = "register a service hook"
    LIST = "list service hooks"
    GET = "get a service hook"
    UPDATE = "update a service hook"
    DELETE = "delete a service hook"
    STATS = "get the statistics of a service hook"
    ROTATE = "rotate the secret of a service hook"
    SECURITY = "get how deliveries are signed"


@dataclass(frozen=True, kw_only=True)
class Platform:
    """One platform."""

    name: str
    """Its name in a connection."""
    title: str
    """Its name for people."""
    base_url: str | None
    """Where its API is; ``None`` where every customer has a host of their own."""
    required: Mapping[str, str]
    """The fields of the connection that it needs besides the token, each with the pattern it must follow."""
    operations: frozenset[Operation]
    """What it documents."""
    instead: Mapping[Operation, str] = field(default_factory=dict)
    """For what it does not document: what to do instead."""
    signing: str
    """When it shows a hook's secret."""
    source: str


_SLUG = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
_AKINON_ID = r"[0-9a-fA-F]{24}"
_CRUD = (Operation.CREATE, Operation.GET, Operation.DELETE)
_NO_STATS = {Operation.STATS: "look at the records of deliveries"}
_NO_SECURITY = {Operation.SECURITY: "see the table of signing schemes in docs/signing.md"}

_ROWS = (
    Platform(
        name="sentry",
        title="Sentry",
        base_url="https://sentry.io/api/0",
        required={"organization": _SLUG, "project": _SLUG},
        operations=frozenset((*_CRUD, Operation.LIST, Operation.UPDATE, Operation.STATS)),
        instead={
            Operation.ROTATE: "register a new hook beside the old, deliver with its secret, then delete the old",
            **_NO_SECURITY,
        },
        signing="is shown on every read, so one that was lost is read back",
        source="https://docs.sentry.io/api/projects/register-a-new-service-hook/",
    ),
    Platform(
        name="akinon",
        title="Akinon AppMaker",
        base_url="https://abp-api.akinon.net/api/v1",
        required={"organization": _AKINON_ID, "project": _AKINON_ID},
        operations=frozenset((*_CRUD, Operation.LIST, Operation.UPDATE)),
        instead={
            **_NO_STATS,
            Operation.ROTATE: "nothing is signed: change the secret header by an update of headers",
            Operation.SECURITY: "nothing is signed: receivers know a delivery by a secret header of their own",
        },
        signing="is none: nothing is signed",
        source="Akinon AppMaker API: organizations, projects, settings, webhooks",
    ),
    Platform(
        name="zstack",
        title="ZStack",
        base_url=None,
        required={},
        operations=frozenset((*_CRUD, Operation.ROTATE, Operation.SECURITY)),
        instead={
            **_NO_STATS,
            Operation.LIST: "keep the id that registration returned",
            Operation.UPDATE: "delete the hook and register it anew",
        },
        signing="is shown once, when it is made or rotated; ours is taken when it is registered",
        source="ZStack API: CreateAlertWebhookEndpoint",
    ),
    Platform(
        name="smartsheet_rm",
        title="Smartsheet Resource Management",
        base_url="https://api.rm.smartsheet.com/api/v1",
        required={},
        operations=frozenset((*_CRUD, Operation.LIST)),
        instead={
            **_NO_STATS,
            Operation.UPDATE: "delete the hook and register it anew",
            Operation.ROTATE: "nothing is signed, so there is no secret",
            Operation.SECURITY: "nothing is signed, so there is nothing to verify",
        },
        signing="is none: nothing is signed",
        source="Smartsheet Resource Management API: webhooks",
    ),
)

PLATFORMS: Mapping[str, Platform] = MappingProxyType({platform.name: platform for platform in _ROWS})
"""Every platform by its name."""
