# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A registry: a platform's management API, read from a connection and checked field by field."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_hooks.connection_form import (
    ConnectionType,
    ExtraField,
    StandardField,
    read_extra,
    read_seconds,
)
from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.http.urls import parse_url
from airflow_provider_hooks.registries.platform_table import PLATFORMS, Platform
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    from airflow_provider_hooks.connection_form import ConnectionFields

_TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)

SERVICE_HOOK_REGISTRY = ConnectionType(
    name="service_hook_registry",
    label="Service Hook Registry",
    hook_class="airflow_provider_hooks.hooks.registry.RegistryHook",
    standard=(
        StandardField(
            name="host",
            label="Base URL",
            description="Where the platform's API is, such as `https://sentry.example.com/api/0`. "
            "Empty: the platform's own; ZStack has none.",
            placeholder="empty: the platform's own",
        ),
        StandardField(
            name="password",
            label="API token",
            description="A token that may manage the project's hooks.",
            placeholder="a token that may manage hooks",
        ),
    ),
    extra=(
        ExtraField(
            name="platform",
            label="Platform",
            description="Whose API manages the hooks.",
            choices=tuple(PLATFORMS),
            default=next(iter(PLATFORMS)),
        ),
        ExtraField(
            name="organization", label="Organization", description="The organization's slug (Sentry) or id (Akinon)."
        ),
        ExtraField(name="project", label="Project", description="The project's slug (Sentry) or id (Akinon)."),
        ExtraField(
            name="timeout",
            label="Timeout",
            description="Seconds that one call may take. Empty: [service_hooks] timeout.",
            type="number",
            minimum=0.1,
        ),
        ExtraField(
            name="max_wait",
            label="Longest wait",
            description="Seconds that a task may wait in all where the platform says that there were too many calls. "
            "Empty: it does not wait.",
            type="number",
            minimum=0.1,
        ),
    ),
)
"""The connection type of a registry."""


@dataclass(frozen=True, kw_only=True)
class Registry:
    """Where hooks are managed, and with which token."""

    conn_id: str
    platform: Platform
    base_url: str
    token: str = field(repr=False)
    organization: str
    project: str
    timeout: float
    """Seconds for one call."""
    max_wait: float
    """Seconds that may be waited in all where the platform says that there were too many calls."""


def read_registry(fields: ConnectionFields, *, default_timeout: float) -> Registry:
    """
    Read a registry from what somebody typed into a connection.

    :param default_timeout: seconds for one call where the connection says none
    :raises ValidationError: naming each field that cannot be used, without quoting the token
    """
    problems = ValidationErrors(f"connection '{fields.conn_id}'")
    extra = read_extra(SERVICE_HOOK_REGISTRY, fields, problems)
    platform = PLATFORMS.get(extra.get("platform", next(iter(PLATFORMS)))) or next(iter(PLATFORMS.values()))
    base_url = (fields.host.strip() or platform.base_url or "").rstrip("/")
    try:
        parse_url(base_url)
    except ValueError as error:
        told = str(error) if base_url else f"is missing; every customer of {platform.title} has a host of their own"
        problems.add("host (base URL)", told)
    token = fields.password or ""
    if not _TOKEN.fullmatch(token):
        problems.add("password (API token)", "is empty or has blanks, control or non-ASCII characters")
    for name, pattern in platform.required.items():
        value = extra.get(name, "")
        if not re.fullmatch(pattern, value, re.ASCII):
            problems.add(
                f"extra.{name}", f"must look like {pattern}, not {safe_repr(value)}" if value else "is missing"
            )
    timeout = read_seconds("timeout", extra.get("timeout"), default_timeout, problems)
    max_wait = read_seconds("max_wait", extra.get("max_wait"), 0.0, problems)
    problems.raise_if_any()
    return Registry(
        conn_id=fields.conn_id,
        platform=platform,
        base_url=base_url,
        token=token,
        organization=extra.get("organization", ""),
        project=extra.get("project", ""),
        timeout=timeout,
        max_wait=max_wait,
    )
