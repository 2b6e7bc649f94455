# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The connection form and its *Test* button, through the REST calls of Airflow's user interface."""

from __future__ import annotations

import json

import pytest

from airflow_provider_hooks.get_provider_info import get_provider_info
from tests.versions import needs_form_fields

LISTED_FIELDS = ("conn_type", "connection_id", "description", "extra", "host", "login", "password", "port", "schema")


def submit_form(deployment, **fields: str) -> None:
    """Add a connection; the form does not send empty and hidden fields."""
    deployment.call("DELETE", f"/api/v2/connections/{fields['connection_id']}")
    response = deployment.call("POST", "/api/v2/connections", json=fields)
    assert response.status_code == 201, response.text


def press_test(deployment, conn_id: str) -> dict:
    """Send what the *Test* button sends: a masked password, empty strings, and 0 for a port that is not set."""
    shown = deployment.call("GET", f"/api/v2/connections/{conn_id}").json()
    body = {name: shown[name] for name in LISTED_FIELDS}
    body = {name: "" if text is None else text for name, text in body.items()} | {"port": shown["port"] or 0}
    response = deployment.call("POST", "/api/v2/connections/test", json=body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.fixture
def endpoint(deployment, sandbox):
    fields = {"connection_id": "added_in_the_form", "conn_type": "service_hook", "host": sandbox.receiver_url}

    def add(**options: str) -> dict:
        submit_form(deployment, **{**fields, "password": "a-typed-secret", **options})
        return press_test(deployment, fields["connection_id"])

    return add


def test_endpoint_added_in_the_form_passes_the_connection_test(endpoint, sandbox):
    result = endpoint(extra=json.dumps({"scheme": "sentry", "events": None, "timeout": None}))
    assert result == {
        "status": True,
        "message": f"Connected to {sandbox.address.partition(':')[0]}; deliveries are signed with the scheme sentry. "
        "Nothing was sent.",
    }
    assert sandbox.state.list_deliveries() == []


def test_invalid_timeout_fails_the_connection_test(endpoint):
    result = endpoint(extra=json.dumps({"timeout": -5}))
    assert result["status"] is False
    assert "extra.timeout: must be a number of seconds above 0 and up to 3600, not '-5'" in result["message"]


def test_registry_added_in_the_form_passes_the_connection_test(deployment, sandbox):
    described = sandbox.describe_connections()["service_hook_registry_default"]
    extra = json.dumps(described.pop("extra"))
    submit_form(deployment, connection_id="registry_added_in_the_form", extra=extra, **described)
    result = press_test(deployment, "registry_added_in_the_form")
    assert result == {"status": True, "message": "Sentry lists 0 service hook(s)."}


@needs_form_fields
def test_form_metadata_has_both_types_with_required_fields_and_readable_choices(deployment):
    shown = deployment.call("GET", "/ui/connections/hook_meta").json()
    types = {one["connection_type"]: one for one in shown if "webhook" in one["hook_name"].lower()}
    expected = {form["connection-type"] for form in get_provider_info()["connection-types"]}
    assert expected <= types.keys()
    schema = types["service_hook"]["extra_fields"]["scheme"]["schema"]
    assert schema["type"] == "string", "marked as required"
    assert schema["values_display"]["standard_webhooks"] == "Standard Webhooks (standard_webhooks)"
