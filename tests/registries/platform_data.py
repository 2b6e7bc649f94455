# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Registries and answers for the tests of the platforms' modules."""

from __future__ import annotations

import json

from airflow_provider_hooks.registries.apis import open_api
from airflow_provider_hooks.registries.model import Answer
from airflow_provider_hooks.registries.platform_table import PLATFORMS
from airflow_provider_hooks.registries.registry import Registry

TOKEN = "t0ken-of-ours"
ID_1, ID_2 = "5f1a" * 6, "6b2c" * 6
PLACES = {
    "sentry": ("the-interstellar-jurisdiction", "pump-station"),
    "akinon": (ID_1, ID_2),
    "zstack": ("", ""),
    "smartsheet_rm": ("", ""),
}


def make_registry(platform: str, *, base_url: str = "https://api.example.com", timeout: float = 2) -> Registry:
    organization, project = PLACES[platform]
    return Registry(
        conn_id="c",
        platform=PLATFORMS[platform],
        base_url=base_url,
        token=TOKEN,
        organization=organization,
        project=project,
        timeout=timeout,
        max_wait=0,
    )


def make_api(platform: str, **options):
    return open_api(make_registry(platform, **options))


def answer(content: object, status: int = 200, **headers: str) -> Answer:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Answer(status_code=status, headers=headers, body=body)
