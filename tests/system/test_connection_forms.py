# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What Airflow's user interface does with the connections of this provider, by the calls that its pages make."""

from __future__ import annotations

import json

import pytest

from airflow_provider_hooks.get_provider_info import get_provider_info
from tests.versions import needs_form_fields

SHOWN = ("conn_type", "connection_id", "description", "extra", "host", "login", "password", "port", "schema")


def add_as_the_form_does(deployment, **fields: str) -> None:
    """Fields that are left empty, and hidden ones, are not sent."""
    deployment.call("DELETE", f"/api/v2/connections/{fields['connection_id']}")
    answer = deployment.call("POST", "/api/v2/connections", json=fields)
    assert answer.status_code == 201, answer.text


def press_test(deployment, conn_id: str) -> dict:
    """The list of connections sends what it shows: a masked password, empty texts, and 0 for a port that is not set."""
    shown = deployment.call("GET", f"/api/v2/connections/{conn_id}").json()
    body = {name: shown[name] for name in SHOWN}
    body = {name: "" if text is None else text for name, text in body.items()} | {"port": shown["port"] or 0}
    answer = deployment.call("POST", "/api/v2/connections/test", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def endpoint(deployment, sandbox):
    fields = {"connection_id": "made_in_the_form", "conn_type": "service_hook", "host": sandbox.receiver_url}

    def add(**options: str) -> dict:
        add_as_the_form_does(deployment, **{**fields, "password": "a-typed-secret", **options})
        return press_test(deployment, fields["connection_id"])

    return add


def test_a_connection_made_in_the_form_can_be_tested(endpoint, sandbox):
    result = endpoint(extra=json.dumps({"scheme": "sentry", "events": None, "timeout": None}))
    assert result == {
        "status": True,
        "message": f"Connected to {sandbox.address.partition(':')[0]}; deliveries are signed with the scheme sentry. "
        "Nothing was sent.",
    }
    assert sandbox.state.list_deliveries() == []


def test_an_impossible_timeout_is_refused_by_the_test_and_not_changed(endpoint):
    result = endpoint(extra=json.dumps({"timeout": -5}))
    assert result["status"] is False
    assert "extra.timeout: must be a number of seconds above 0 and up to 3600, not '-5'" in result["message"]


def test_a_registry_made_in_the_form_can_be_tested(deployment, sandbox):
    described = sandbox.describe_connections()["service_hook_registry_default"]
    extra = json.dumps(described.pop("extra"))
    add_as_the_form_does(deployment, connection_id="registry_made_in_the_form", extra=extra, **described)
    result = press_test(deployment, "registry_made_in_the_form")
    assert result == {"status": True, "message": "Sentry lists 0 service hook(s)."}


@needs_form_fields
def test_the_form_gets_both_types_with_their_required_fields_and_readable_choices(deployment):
    shown = deployment.call("GET", "/ui/connections/hook_meta").json()
    types = {one["connection_type"]: one for one in shown if "webhook" in one["hook_name"].lower()}
    expected = {form["connection-type"] for form in get_provider_info()["connection-types"]}
    assert expected <= types.keys()
    schema = types["service_hook"]["extra_fields"]["scheme"]["schema"]
    assert schema["type"] == "string", "marked as required"
    assert schema["values_display"]["standard_webhooks"] == "Standard Webhooks (standard_webhooks)"
