# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import pytest

from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.registries.connection import read_registry

TOKEN = "t0ken-of-ours"


def read(host="", password=TOKEN, **extra):
    extra = {"organization": "org", "project": "pump-station", **extra}
    return read_registry(ConnectionFields(conn_id="c", host=host, password=password, extra=extra), default_timeout=10)


def test_default_host_is_that_of_the_platform():
    registry = read()
    assert (registry.platform.name, registry.base_url) == ("sentry", "https://sentry.io/api/0")
    assert (dict(registry.coordinates), registry.timeout) == ({"organization": "org", "project": "pump-station"}, 10)
    assert TOKEN not in repr(registry)


def test_trailing_slash_of_the_host_is_removed():
    assert read(host="https://sentry.example/api/0/").base_url == "https://sentry.example/api/0"


def test_all_invalid_fields_are_named_in_one_error_without_the_token():
    with pytest.raises(ValidationError) as caught:
        read(host="ftp://x", password=f"{TOKEN}\n", platform="x", organization="../x", project=None, timeout="-1", a=1)
    extra = {f"extra.{name}" for name in ("platform", "organization", "project", "timeout", "a")}
    assert set(caught.value.problems) == {"host (base URL)", "password (API token)", *extra}
    assert TOKEN not in str(caught.value)


def test_platform_without_a_default_host_requires_one_and_no_project():
    with pytest.raises(ValidationError) as caught:
        read(platform="zstack", organization="", project="")
    assert set(caught.value.problems) == {"host (base URL)"}
    assert read(host="https://zstack.example", platform="zstack", organization="", project="").coordinates == {}


def test_ids_are_checked_by_the_patterns_of_the_platform():
    with pytest.raises(ValidationError) as caught:
        read(platform="akinon", organization="org", project="5f1a" * 6)
    assert set(caught.value.problems) == {"extra.organization"}


@pytest.mark.parametrize("token", [None, "", " ", "a b", "ä", "a\x00"])
def test_token_that_is_not_a_valid_header_is_refused(token):
    with pytest.raises(ValidationError, match="API token"):
        read(password=token)
