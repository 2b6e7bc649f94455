# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``hooks list``, ``ensure`` and ``delete`` on the platforms of the sandbox."""

from __future__ import annotations

import json

import pytest
from sqlalchemy.exc import OperationalError

from airflow_provider_hooks._runtime import variable_lock as lock
from airflow_provider_hooks._runtime import variable_store as hook_variables
from airflow_provider_hooks.cli import hooks as commands
from airflow_provider_hooks.cli import hooks as stored
from airflow_provider_hooks.exceptions import ServiceHookError

REGISTRY = "service_hook_registry_default"
URL = "https://hooks.example.com/airflow"


@pytest.fixture
def sentry(connected, variables, monkeypatch):
    monkeypatch.setattr(commands, "StoredVariables", lambda: variables)
    for module in (lock, hook_variables):  # no task runs that could write
        monkeypatch.setattr(module, "Variable", None)
    return connected.state.sentry


def ensure(run, *arguments, registry=REGISTRY, name="orders"):
    return run("hooks", "ensure", registry, "--name", name, "-o", "json", *arguments)


def test_hook_is_created_left_unchanged_updated_listed_and_deleted(run, sentry, variables):
    done = ensure(run, "--url", URL, "--event", "event.alert", "--variable", "ours")
    (hook,) = done.json["hooks"]
    assert (done.code, done.json["change"], done.json["secret_variable"]) == (0, "created", "ours")
    assert (hook["url"], hook["events"]) == (URL, ["event.alert"])
    (kept,) = json.loads(variables.stored["ours"])["secrets"]
    assert (kept["hook_id"], kept["secret"]) == (hook["hook_id"], sentry.list_hooks()[0].secret)
    again = ensure(run, "--url", URL, "--event", "event.alert", "--variable", "ours")
    assert again.json == {**done.json, "change": "unchanged"}
    moved = ensure(run, "--url", f"{URL}/2", "--event", "event.alert", "--event", "event.created", "--variable", "ours")
    assert (moved.json["change"], moved.json["hooks"][0]["hook_id"]) == ("updated", hook["hook_id"])
    assert sorted(moved.json["hooks"][0]["events"]) == ["event.alert", "event.created"]
    inactive = ensure(run, "--url", f"{URL}/2", "--variable", "ours", "--inactive")
    assert inactive.json["hooks"][0]["status"] == "disabled"
    listed = run("hooks", "list", REGISTRY, "-o", "json")
    assert [one["hook_id"] for one in listed.json] == [hook["hook_id"]]
    deleted = run("hooks", "delete", REGISTRY, hook["hook_id"], "--variable", "ours", "-o", "json")
    assert (deleted.code, deleted.json) == (0, {"deleted": [hook["hook_id"]], "gone": []})
    assert json.loads(variables.stored["ours"])["secrets"] == []
    gone = run("hooks", "delete", REGISTRY, hook["hook_id"])
    assert gone.code == 0
    assert "gone" in gone.out
    assert not [name for name in variables.stored if "__lock__" in name], "the lock is deleted too"
    for one in (done, again, moved, inactive, listed, deleted, gone):
        assert kept["secret"] not in one.out + one.err
        assert sentry.token not in one.out + one.err


def test_an_endpoint_sets_the_url_and_the_variable(run, sentry, connected, variables):
    done = ensure(run, "--endpoint", "service_hook_default")
    assert done.json["hooks"][0]["url"] == connected.receiver_url
    assert done.json["secret_variable"] == "service_hook_secret_sandbox"
    assert set(variables.stored) == {"service_hook_secret_sandbox"}


def test_the_default_variable_is_that_of_the_operators(run, sentry, variables):
    assert ensure(run, "--url", URL).json["secret_variable"] == f"service_hook_secret_{REGISTRY}:orders"
    assert set(variables.stored) == {f"service_hook_secret_{REGISTRY}:orders"}


def test_an_existing_hook_can_be_adopted_by_its_id(run, sentry):
    hook = sentry.add_hook(("sandbox", "pump-station"), url="https://example.com/other", events=["event.alert"])
    done = ensure(run, "--url", URL, "--hook-id", hook.hook_id)
    assert (done.json["change"], done.json["hooks"][0]["hook_id"]) == ("updated", hook.hook_id)
    assert len(sentry.list_hooks()) == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "--url: give --url or --endpoint"),
        (["--url", URL, "--endpoint", "service_hook_default"], "and not both"),
        (["--url", "nope"], "url: "),
        (["--url", f"{URL}?token=abc123"], "--url: has a query or a user"),
        (["--url", "https://me:abc123@hooks.example.com/"], "--url: has a query or a user"),
        (["--url", URL, "--event", "event.deleted"], "events: "),
        (["--url", URL, "--variable", "a/b"], "secret_variable: must be 1 to 200"),
        (["--url", URL, "--hook-id", "../x"], "hook_id: "),
        (["--endpoint", "nowhere"], "isn't defined"),
        (["--endpoint", REGISTRY], "must be service_hook "),
    ],
)
def test_an_invalid_declaration_is_one_line_and_nothing_is_sent(run, sentry, arguments, error):
    done = ensure(run, *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert error in done.err
    assert "abc123" not in done.err
    assert sentry.count_calls() == {}


def test_refusal_by_the_platform_exits_with_6(run, sentry):
    sentry.token = "another-token"
    for arguments in (("list",), ("delete", "f" * 32), ("ensure", "--name", "x", "--url", URL)):
        done = run("hooks", arguments[0], REGISTRY, *arguments[1:])
        assert (done.code, done.out, done.err.count("\n")) == (6, "", 1)
        assert "HTTP 401" in done.err


def test_ambiguous_declaration_exits_with_6(run, sentry):
    for _ in range(2):
        sentry.add_hook(("sandbox", "pump-station"), url=URL, events=["event.alert"])
    done = ensure(run, "--url", URL)
    assert (done.code, done.out) == (6, "")
    assert "may be the declared one" in done.err


def test_undocumented_operation_exits_with_1(run, sentry):
    done = run("hooks", "list", "zstack_registry")
    assert (done.code, done.out) == (1, "")
    assert "documents no call" in done.err


def test_no_hooks_are_an_empty_list(run, sentry):
    assert "No data found" in run("hooks", "list", REGISTRY).out
    assert run("hooks", "list", REGISTRY, "-o", "json").json == []


def test_a_database_error_does_not_quote_the_value(monkeypatch):
    def fail(*_arguments, **_named):
        raise OperationalError("INSERT …", {"val": "a-secret-of-ours"}, Exception("no such table: variable"))

    monkeypatch.setattr(stored.Variable, "set", fail)
    with pytest.raises(ServiceHookError) as caught:
        stored.StoredVariables().set("ours", "a-secret-of-ours")
    assert str(caught.value) == "Airflow's database cannot be used: no such table: variable"
