# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The provider in the output of Airflow's own commands."""

from __future__ import annotations

import json


def test_airflow_lists_the_provider_and_its_connection_types(airflow):
    providers = airflow.run("providers", "list", "--output", "json")
    assert {"package_name": "airflow-provider-hooks"}.items() <= next(
        row.items() for row in json.loads(providers.stdout) if row["package_name"] == "airflow-provider-hooks"
    )
    hooks = airflow.run("providers", "hooks", "--output", "json")
    found = {row["connection_type"]: row["hook_name"] for row in json.loads(hooks.stdout)}
    assert found["service_hook"] == "Service Hook: webhook endpoint"
    assert found["service_hook_registry"] == "Service Hook Registry: webhook platform"


def test_airflow_config_command_reads_the_settings_of_the_provider(airflow):
    assert airflow.run("config", "get-value", "service_hooks", "allowed_networks").stdout.strip() == ""
    assert airflow.run("config", "get-value", "service_hooks", "max_payload_bytes").stdout.strip() == "1048576"
    changed = {"AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS": "127.0.0.1:8099"}
    configured = airflow.run("config", "get-value", "service_hooks", "allowed_networks", **changed)
    assert configured.stdout.strip() == "127.0.0.1:8099"


def test_airflow_connections_test_checks_both_types_and_sends_no_event(sandboxed, sandbox):
    good = sandboxed.run("connections", "test", "service_hook_registry_default")
    assert "Connection success!" in good.stdout
    unregistered = sandboxed.run("connections", "test", "service_hook_default")
    assert "register the hook first" in " ".join(unregistered.stdout.split())
    secret = {"AIRFLOW_VAR_SERVICE_HOOK_SECRET_SANDBOX": "a-secret-of-ours"}
    assert "Connection success!" in sandboxed.run("connections", "test", "service_hook_default", **secret).stdout
    assert sandbox.state.list_deliveries() == []
