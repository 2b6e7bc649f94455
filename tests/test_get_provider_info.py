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


def test_it_follows_airflows_schema():
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(INFO, schema)


def test_the_package_is_found_under_its_own_name():
    assert INFO["package-name"] == metadata("airflow-provider-hooks")["Name"]
    found = entry_points(group="apache_airflow_provider")
    assert any(entry.value == "airflow_provider_hooks.get_provider_info:get_provider_info" for entry in found)


@pytest.mark.parametrize("form", INFO["connection-types"], ids=lambda form: form["connection-type"])
def test_a_connection_type_is_that_of_its_hook(form):
    module, _, name = form["hook-class-name"].rpartition(".")
    hook_class = getattr(importlib.import_module(module), name)
    assert hook_class.conn_type == form["connection-type"]
    assert hook_class.hook_name == form["hook-name"]


@pytest.mark.parametrize("form", INFO["connection-types"], ids=lambda form: form["connection-type"])
def test_a_form_shows_what_is_used_and_hides_the_rest(form):
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


def test_every_module_named_is_there():
    for kind in ("operators", "hooks"):
        for entry in INFO[kind]:
            for module in entry["python-modules"]:
                importlib.import_module(module)


def test_every_class_named_is_there_and_is_what_it_is_named_for():
    decorators = [entry["class-name"] for entry in INFO["task-decorators"]]
    found = {}
    for path in (*INFO["notifications"], *INFO["extra-links"], *decorators):
        module, _, name = path.rpartition(".")
        found[name] = getattr(importlib.import_module(module), name)
    assert issubclass(found["ServiceHookNotifier"], BaseNotifier)
    assert issubclass(found["EventLink"], BaseOperatorLink)
    assert issubclass(found["DeliveryRecordLink"], BaseOperatorLink)


def test_airflow_knows_the_decorator_by_its_name():
    assert task.service_hook is service_hook_task
