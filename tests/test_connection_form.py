# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_provider_hooks.connection_form import read_fields
from airflow_provider_hooks.delivery.connection import SERVICE_HOOK
from airflow_provider_hooks.exceptions import ValidationError


def make_connection(**fields):
    """Return a connection as Airflow stores it."""
    defaults = {"conn_id": "c", "conn_type": "service_hook", "host": "https://example.com/", "password": "s3cret"}
    return SimpleNamespace(**{**defaults, "schema": None, "login": None, "port": None, "extra": None, **fields})


@pytest.mark.parametrize("conn_type", ["http", "", None, "service_hook_registry"])
def test_connection_of_another_type_is_refused(conn_type):
    with pytest.raises(ValidationError) as caught:
        read_fields(SERVICE_HOOK, make_connection(conn_type=conn_type))
    assert "connection 'c': conn_type: must be service_hook (Service Hook: webhook endpoint)" in str(caught.value)


def test_fields_of_a_connection_are_read_and_unused_fields_are_listed():
    fields = read_fields(SERVICE_HOOK, make_connection(extra='{"scheme": "sentry"}', login="me", port=1))
    assert (fields.conn_id, fields.host, fields.password) == ("c", "https://example.com/", "s3cret")
    assert (fields.extra, fields.unused) == ({"scheme": "sentry"}, ("login", "port"))


@pytest.mark.parametrize("extra", ["{", "[]", "7", '"x"', "null"])
def test_extra_that_is_not_an_object_is_refused_without_its_text(extra):
    with pytest.raises(ValidationError, match=r"^connection 'c': extra: must be a JSON object$"):
        read_fields(SERVICE_HOOK, make_connection(extra=extra))
