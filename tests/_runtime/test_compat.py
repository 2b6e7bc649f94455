# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The differences between versions of Airflow: for the installed version, and for other version numbers."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import airflow.sdk
import pytest
from airflow.providers_manager import ProvidersManager

import airflow_provider_hooks
from airflow_provider_hooks._runtime import compat
from airflow_provider_hooks._runtime.airflow import open_claim_store
from airflow_provider_hooks._runtime.variable_lock import VariableLock
from airflow_provider_hooks._runtime.variable_store import VariableHookStore
from airflow_provider_hooks.cli.hooks import StoredVariables
from airflow_provider_hooks.delivery.claims import SLOTS_KEY, TaskSlots
from airflow_provider_hooks.exceptions import ServiceHookError

PACKAGE = Path(airflow_provider_hooks.__file__).parent
FEATURES = (
    "has_provider_commands",
    "has_threads_in_triggers",
    "has_retry_policy",
    "has_task_state_store",
    "clear_deletes_claims",
)


@pytest.mark.parametrize(
    ("sdk", "features"),
    [
        ("1.1.8", []),
        ("1.2.2", FEATURES[:2]),
        ("1.3.0", FEATURES[:4]),
        ("1.3.2", FEATURES[:4]),
        ("1.4.0b2", FEATURES),
        ("2.0.0", FEATURES),
    ],
)
def test_features_depend_on_the_sdk_version(monkeypatch, sdk, features):
    monkeypatch.setattr(compat, "version", lambda _name: sdk)
    monkeypatch.setattr(compat, "read_sdk_version", compat.read_sdk_version.__wrapped__)
    assert [name for name in FEATURES if getattr(compat, name)()] == list(features)


def test_features_match_the_installed_airflow():
    assert compat.has_provider_commands() == hasattr(ProvidersManager, "initialize_providers_cli_command")
    assert compat.has_retry_policy() == hasattr(airflow.sdk, "RetryPolicy")
    assert compat.has_task_state_store() == hasattr(airflow.sdk, "NEVER_EXPIRE")


@pytest.mark.parametrize("name", compat.__all__)
def test_every_exported_name_can_be_imported(name):
    if name == "RetryDecision" and not compat.has_retry_policy():
        with pytest.raises(ImportError, match="this Airflow has no RetryDecision"):
            getattr(compat, name)
    else:
        assert getattr(compat, name) is not None or not compat.has_task_state_store()


def test_stats_has_the_methods_that_are_called():
    assert callable(compat.stats.incr)
    assert callable(compat.stats.timing)


def test_unknown_name_raises_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        compat.nothing  # noqa: B018


def test_no_other_module_imports_a_version_dependent_name():
    version_dependent = {*compat._PLACES, "stats"}
    found = [
        f"{path.relative_to(PACKAGE)}: {name.name}"
        for path in PACKAGE.rglob("*.py")
        if path != Path(compat.__file__)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "airflow"
        for name in node.names
        if name.name in version_dependent
    ]
    assert found == []


@pytest.mark.parametrize(
    ("has_store", "error"),
    [(True, "no task_state_store"), (False, r"\[service_hooks\] ledger_conn_id")],
)
def test_error_for_a_missing_state_store_names_the_remedy(monkeypatch, has_store, error):
    monkeypatch.setattr(compat, "has_task_state_store", lambda: has_store)
    with pytest.raises(ServiceHookError, match=f"{error}.*nothing was sent"):
        open_claim_store({}, SLOTS_KEY, TaskSlots)


@pytest.mark.parametrize("make", [VariableLock, VariableHookStore])
def test_hooks_are_not_changed_if_a_task_cannot_list_variables(monkeypatch, make):
    class VariableWithoutKeys:
        """Like ``airflow.sdk.Variable`` before 3.3: it has no method that lists keys."""

    monkeypatch.setattr(import_module(make.__module__), "Variable", VariableWithoutKeys)
    with pytest.raises(ServiceHookError, match=r"'service-hooks hooks ensure'.*nothing was changed"):
        make("hooks")


def test_commands_list_variables_on_every_version():
    assert VariableHookStore("hooks", store=StoredVariables()).name == "hooks"
