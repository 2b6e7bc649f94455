# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The connection of type ``service_hook_registry``: its form, made from the platforms' descriptions, and its checks."""

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
from airflow_provider_hooks.registries.platforms import DEFAULT_PLATFORM, load_platforms
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_hooks.connection_form import ConnectionFields
    from airflow_provider_hooks.registries.model import Platform

__all__ = ["Registry"]

CONNECTION_TYPE = "service_hook_registry"
CONNECTION_LABEL = "Service Hook Registry: webhook platform"

_TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Registry:
    """
    A platform's API and the token to use it with, as a connection describes them.

    Example:

    ```python
    from airflow_provider_hooks.registries.connection import Registry
    from airflow_provider_hooks.registries.platforms import load_platforms

    registry = Registry(
        conn_id="zstack_registry",
        platform=load_platforms()["zstack"].platform,
        base_url="https://zstack.example.com",
        token="a-token",
        timeout=10,
        max_wait=0,
    )
    ```
    """

    conn_id: str
    platform: Platform
    base_url: str
    token: str = field(repr=False)
    coordinates: Mapping[str, str] = field(default_factory=dict)
    """The value of each of the platform's coordinates, by name."""
    timeout: float
    """Seconds for one request."""
    max_wait: float
    """Seconds that all requests together may wait when the platform answers that there were too many."""


def describe_connection_type() -> ConnectionType:
    """Return the connection type, with the platforms that are installed and the coordinates that they declare."""
    platforms = load_platforms()
    return ConnectionType(
        name=CONNECTION_TYPE,
        label=CONNECTION_LABEL,
        hook_class="airflow_provider_hooks.hooks.registry.RegistryHook",
        standard=(
            StandardField(
                name="host",
                label="Base URL (required on ZStack)",
                description="The base URL of the platform's API, such as `https://sentry.example.com/api/0`. "
                "Empty: the platform's own; ZStack has none.",
                placeholder="empty: the platform's own",
            ),
            StandardField(
                name="password",
                label="API token (required)",
                description="A token with the permission to manage hooks.",
                placeholder="a token with the permission to manage hooks",
            ),
        ),
        extra=(
            ExtraField(
                name="platform",
                label="Platform",
                description="The platform whose hooks are managed.",
                choices={name: api.platform.title for name, api in platforms.items()},
                default=DEFAULT_PLATFORM,
                is_required=True,
            ),
            *_describe_coordinates([api.platform for api in platforms.values()]),
            ExtraField(
                name="timeout",
                label="Timeout",
                description="Seconds for one request. Empty: [service_hooks] timeout.",
                type="number",
            ),
            ExtraField(
                name="max_wait",
                label="Longest wait",
                description="Seconds that a task may wait in total when the platform answers that there were too many "
                "requests. Empty: it does not wait.",
                type="number",
            ),
        ),
    )


def read_registry(fields: ConnectionFields, *, default_timeout: float) -> Registry:
    """
    Check the fields of a connection.

    :param default_timeout: seconds for one request if the connection sets none
    :raises ValidationError: naming each field that is not valid, without the token
    """
    problems = ValidationErrors(f"connection '{fields.conn_id}'")
    extra = read_extra(describe_connection_type(), fields, problems)
    platforms = load_platforms()
    # An unknown name is a problem already; the default platform then checks the other fields.
    platform = platforms.get(extra.get("platform", DEFAULT_PLATFORM), platforms[DEFAULT_PLATFORM]).platform
    base_url = (fields.host.strip() or platform.base_url or "").rstrip("/")
    try:
        parse_url(base_url)
    except ValueError as error:
        missing = f"is missing; each customer of {platform.title} has another host"
        problems.add("host (base URL)", str(error) if base_url else missing)
    token = fields.password or ""
    if not _TOKEN.fullmatch(token):
        problems.add("password (API token)", "is empty or has blanks, control or non-ASCII characters")
    for coordinate in platform.coordinates:
        value = extra.get(coordinate.name, "")
        if not re.fullmatch(coordinate.pattern, value, re.ASCII):
            wrong = f"must match {coordinate.pattern}, not {safe_repr(value)}" if value else "is missing"
            problems.add(f"extra.{coordinate.name}", f"{wrong}; it is {coordinate.description} on {platform.title}")
    timeout = read_seconds("timeout", extra.get("timeout"), default_timeout, problems)
    max_wait = read_seconds("max_wait", extra.get("max_wait"), 0.0, problems)
    problems.raise_if_any()
    return Registry(
        conn_id=fields.conn_id,
        platform=platform,
        base_url=base_url,
        token=token,
        coordinates={one.name: extra[one.name] for one in platform.coordinates},
        timeout=timeout,
        max_wait=max_wait,
    )


def _describe_coordinates(platforms: list[Platform]) -> list[ExtraField]:
    """Return one field per name; its description says what it is on each platform that declares it."""
    labels: dict[str, str] = {}
    titles: dict[str, list[str]] = {}
    descriptions: dict[str, list[str]] = {}
    for platform in platforms:
        for one in platform.coordinates:
            labels.setdefault(one.name, one.label)
            titles.setdefault(one.name, []).append(platform.title)
            descriptions.setdefault(one.name, []).append(f"{platform.title}: {one.description}.")
    return [
        ExtraField(
            name=name,
            label=f"{label} (required on {', '.join(titles[name])})",
            description=" ".join(descriptions[name]),
        )
        for name, label in labels.items()
    ]
