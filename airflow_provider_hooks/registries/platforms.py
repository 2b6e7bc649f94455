# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The platforms whose hooks can be managed, as data: what a connection must say to reach each of them."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Platform:
    """One platform."""

    name: str
    """Its name in a connection."""
    title: str
    """Its name for people."""
    base_url: str | None
    """Where its API is; ``None`` where every customer has an own host."""
    required: tuple[str, ...]
    """The fields of the connection that it needs besides the token."""
    source: str


_ROWS = (
    Platform(
        name="sentry",
        title="Sentry",
        base_url="https://sentry.io/api/0",
        required=("organization", "project"),
        source="https://docs.sentry.io/api/projects/register-a-new-service-hook/",
    ),
)

PLATFORMS: Mapping[str, Platform] = MappingProxyType({platform.name: platform for platform in _ROWS})
"""Every platform by its name."""
