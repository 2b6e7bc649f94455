# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The platforms whose hooks can be managed: those of this package, and those that other packages add.

Another package adds a platform with an entry point of the group ``airflow_provider_hooks.platforms`` that names a
subclass of ``PlatformApi``.
"""

from __future__ import annotations

import functools
import logging
from importlib import metadata
from types import MappingProxyType
from typing import TYPE_CHECKING

from airflow_provider_hooks.registries.base import PlatformApi
from airflow_provider_hooks.registries.model import Operation
from airflow_provider_hooks.registries.platforms.akinon import AkinonApi
from airflow_provider_hooks.registries.platforms.sentry import SentryApi
from airflow_provider_hooks.registries.platforms.smartsheet_rm import SmartsheetRmApi
from airflow_provider_hooks.registries.platforms.zstack import ZStackApi

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_hooks.registries.connection import Registry

ENTRY_POINT_GROUP = "airflow_provider_hooks.platforms"
DEFAULT_PLATFORM = SentryApi.platform.name
"""The platform of a connection that names none."""
RESERVED_FIELDS = frozenset({"platform", "timeout", "max_wait"})
"""The fields of the connection that every platform has; no coordinate may have such a name."""

_log = logging.getLogger(__name__)
_registered: dict[str, type[PlatformApi]] = {}


def register_platform(api: type[PlatformApi]) -> None:
    """
    Add a platform, under the name of its description.

    :raises ValueError: if the name is taken, or the class contradicts its description
    """
    if not (isinstance(api, type) and issubclass(api, PlatformApi)):
        raise ValueError("not a subclass of PlatformApi")  # noqa: TRY004  (one kind of error for each defect)
    platform = api.platform
    if platform.name in _registered:
        raise ValueError(f"there is another platform named {platform.name!r}")
    reserved = sorted(RESERVED_FIELDS.intersection(one.name for one in platform.coordinates))
    if reserved:
        raise ValueError(f"its coordinates use the reserved names {', '.join(reserved)}")
    if platform.takes_secret and "secret" not in api.fields:
        raise ValueError("its secrets come from the client, but its fields do not include 'secret'")
    if not {Operation.CREATE, Operation.GET, Operation.DELETE} <= platform.operations:
        raise ValueError("it must support creating, getting and deleting a hook")
    _registered[platform.name] = api


def load_platforms() -> Mapping[str, type[PlatformApi]]:
    """Return the API class of each platform by name, with those of installed entry points."""
    _load_entry_points()
    return MappingProxyType(_registered)


def open_api(registry: Registry) -> PlatformApi:
    """Return the API of a connection's platform."""
    return load_platforms()[registry.platform.name](registry)


@functools.cache
def _load_entry_points() -> None:
    """Register the platforms of other packages, once per process; one that fails must not disable the others."""
    for entry_point in metadata.entry_points(group=ENTRY_POINT_GROUP):
        try:
            register_platform(entry_point.load())
        except Exception:  # noqa: BLE001  (whatever the other package raises)
            _log.exception("The platform of entry point %s (%s) is not available", entry_point.name, entry_point.value)


for _api in (
    SentryApi,
    AkinonApi,
    ZStackApi,
    SmartsheetRmApi,
):
    register_platform(_api)
