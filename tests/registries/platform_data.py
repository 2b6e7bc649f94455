# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Registries and responses for the tests of the platforms' modules."""

from __future__ import annotations

import json

from airflow_provider_hooks.registries.connection import Registry
from airflow_provider_hooks.registries.model import Response
from airflow_provider_hooks.registries.platforms import load_platforms, open_api

TOKEN = "t0ken-of-ours"
ID_1, ID_2 = "5f1a" * 6, "6b2c" * 6
COORDINATES = {
    "sentry": {"organization": "the-interstellar-jurisdiction", "project": "pump-station"},
    "akinon": {"organization": ID_1, "project": ID_2},
}


def make_registry(platform: str, *, base_url: str = "https://api.example.com", timeout: float = 2) -> Registry:
    description = load_platforms()[platform].platform
    given = COORDINATES.get(platform, {})
    return Registry(
        conn_id="c",
        platform=description,
        base_url=base_url,
        token=TOKEN,
        coordinates={one.name: given.get(one.name, "x") for one in description.coordinates},
        timeout=timeout,
        max_wait=0,
    )


def make_api(platform: str, **options):
    return open_api(make_registry(platform, **options))


def answer(content: object, status: int = 200, **headers: str) -> Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Response(status_code=status, headers=headers, body=body)
