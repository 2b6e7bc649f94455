# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import importlib
import json
from importlib.metadata import entry_points, metadata
from pathlib import Path

import airflow
import jsonschema
import pytest
from airflow.sdk import BaseNotifier, BaseOperatorLink, task

from airflow_provider_hooks.decorators.service_hook import service_hook_task
from airflow_provider_hooks.get_provider_info import get_provider_info

INFO = get_provider_info()


def test_provider_info_is_valid_by_airflows_schema():
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(INFO, schema)


def test_provider_info_has_the_package_name_and_an_entry_point():
    assert INFO["package-name"] == metadata("airflow-provider-hooks")["Name"]
    found = entry_points(group="apache_airflow_provider")
    assert any(entry.value == "airflow_provider_hooks.get_provider_info:get_provider_info" for entry in found)


@pytest.mark.parametrize("form", INFO["connection-types"], ids=lambda form: form["connection-type"])
def test_connection_type_and_name_are_those_of_the_hook_class(form):
    module, _, name = form["hook-class-name"].rpartition(".")
    hook_class = getattr(importlib.import_module(module), name)
    assert hook_class.conn_type == form["connection-type"]
    assert hook_class.hook_name == form["hook-name"]


@pytest.mark.parametrize("form", INFO["connection-types"], ids=lambda form: form["connection-type"])
def test_connection_form_shows_used_fields_and_hides_the_others(form):
    behaviour = form["ui-field-behaviour"]
    assert set(behaviour["hidden-fields"]) == {"schema", "login", "port", "extra"}
    assert set(behaviour["relabeling"]) == set(behaviour["placeholders"]) == {"host", "password"}
    assert any("(required)" in label for label in behaviour["relabeling"].values())
    assert "webhook" in form["hook-name"], "users search for it by this word"
    for field in form["conn-fields"].values():
        schema = field["schema"]
        assert ("null" in schema["type"]) is ("default" not in schema), "the form marks a field as required without it"
        assert "minimum" not in schema, "the form would change a number that is too small"
        if "enum" in schema:
            assert schema.get("default", schema["enum"][0]) in schema["enum"]
            assert schema["values_display"].keys() == set(schema["enum"])


def test_every_listed_module_can_be_imported():
    for kind in ("operators", "hooks"):
        for entry in INFO[kind]:
            for module in entry["python-modules"]:
                importlib.import_module(module)


def test_every_listed_class_exists_and_has_the_expected_base():
    decorators = [entry["class-name"] for entry in INFO["task-decorators"]]
    found = {}
    for path in (*INFO["notifications"], *INFO["extra-links"], *decorators):
        module, _, name = path.rpartition(".")
        found[name] = getattr(importlib.import_module(module), name)
    assert issubclass(found["ServiceHookNotifier"], BaseNotifier)
    assert issubclass(found["EventLink"], BaseOperatorLink)
    assert issubclass(found["DeliveryRecordLink"], BaseOperatorLink)


def test_decorator_is_registered_as_service_hook():
    assert task.service_hook is service_hook_task
