# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Which module speaks to which platform."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from airflow_provider_hooks.registries.platforms.akinon import AkinonApi
from airflow_provider_hooks.registries.platforms.sentry import SentryApi
from airflow_provider_hooks.registries.platforms.smartsheet_rm import SmartsheetRmApi
from airflow_provider_hooks.registries.platforms.zstack import ZStackApi

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_hooks.registries.api import PlatformApi
    from airflow_provider_hooks.registries.registry import Registry

APIS: Mapping[str, type[PlatformApi]] = MappingProxyType(
    {"sentry": SentryApi, "akinon": AkinonApi, "zstack": ZStackApi, "smartsheet_rm": SmartsheetRmApi}
)
"""The API of every platform, by the platform's name."""


def open_api(registry: Registry) -> PlatformApi:
    """Return the API of a registry's platform."""
    return APIS[registry.platform.name](registry)
