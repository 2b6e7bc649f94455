# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Another package can add a platform, with its own coordinates, and secrets that the client generates."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from importlib import metadata

import pytest
from airflow.sdk.log import redact

from airflow_provider_hooks._runtime.compat import AirflowException, AirflowFailException
from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.exceptions import HookConflictError, RegistryError, ValidationError
from airflow_provider_hooks.get_provider_info import get_provider_info
from airflow_provider_hooks.hooks.registry import RegistryHook
from airflow_provider_hooks.operators.registration import (
    DeleteServiceHookOperator,
    EnsureServiceHookOperator,
    ListServiceHooksOperator,
    RegisterServiceHookOperator,
    RotateServiceHookSecretOperator,
    UpdateServiceHookOperator,
)
from airflow_provider_hooks.registries import platforms
from airflow_provider_hooks.registries.connection import describe_connection_type, read_registry
from airflow_provider_hooks.registries.model import Coordinate, HookSpec, Operation
from airflow_provider_hooks.registries.platforms import ENTRY_POINT_GROUP, load_platforms, register_platform
from airflow_provider_hooks.registries.store import parse_state
from airflow_provider_hooks.signing.secrets import parse_secrets
from tests.airflow_context import make_context
from tests.registries.forge import ForgeApi, serve_forge
from tests.versions import TaskDeferred

URL, OTHER_URL = "https://hooks.example.com/a", "https://hooks.example.com/b"
VARIABLE = "service_hook_secret_forge:orders"


@pytest.fixture
def platform_table(monkeypatch):
    """The table of platforms, restored after the test."""
    load_platforms()
    monkeypatch.setattr(platforms, "_registered", dict(load_platforms()))


@pytest.fixture
def forge(platform_table, allow_loopback, variables, monkeypatch):
    register_platform(ForgeApi)
    with serve_forge() as served:
        connection = {
            "conn_type": "service_hook_registry",
            "host": served.url,
            "password": "t0ken-of-ours",
            "extra": {"platform": "forge", "owner": "octo", "repository": "pump.station"},
        }
        monkeypatch.setenv("AIRFLOW_CONN_FORGE", json.dumps(connection))
        yield served


def run(kind, **options):
    return kind(task_id="t", service_hook_registry_conn_id="forge", **options).execute(make_context())


def ensure(**options):
    return run(EnsureServiceHookOperator, **{"hook_name": "orders", "url": URL, **options})


class TestEntryPoint:
    @pytest.fixture
    def install(self, platform_table, monkeypatch):
        """Simulate installed entry points in a process that has loaded none."""

        def install(*values):
            made = [metadata.EntryPoint(name="x", value=value, group=ENTRY_POINT_GROUP) for value in values]
            monkeypatch.setattr(metadata, "entry_points", lambda *, group: made if group == ENTRY_POINT_GROUP else [])
            platforms._load_entry_points.cache_clear()

        yield install
        monkeypatch.undo()
        platforms._load_entry_points.cache_clear()

    def test_an_installed_platform_is_in_the_table_and_in_the_form(self, install):
        assert "forge" not in load_platforms()
        install("tests.registries.forge:ForgeApi")
        assert load_platforms()["forge"] is ForgeApi
        forms = {form["connection-type"]: form for form in get_provider_info()["connection-types"]}
        fields = forms["service_hook_registry"]["conn-fields"]
        assert "forge" in fields["platform"]["schema"]["enum"]
        assert "Acme Forge: the owner of the repository." in fields["owner"]["description"]

    def test_platform_that_cannot_be_loaded_is_logged_and_the_others_are_available(self, install, caplog):
        install("tests.registries.nothing_there:Api", "json:dumps", "tests.registries.forge:ForgeApi")
        assert {"sentry", "forge"} <= set(load_platforms())
        assert "tests.registries.nothing_there:Api" in caplog.text
        assert "not a subclass of PlatformApi" in caplog.text

    def test_entry_points_are_loaded_once(self, install, caplog):
        install("tests.registries.forge:ForgeApi")
        load_platforms()
        load_platforms()
        assert caplog.text == ""


class TestRegisterPlatform:
    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"name": "sentry"}, "another platform named 'sentry'"),
            ({"coordinates": (Coordinate(name="timeout", label="", description="", pattern=""),)}, "reserved names"),
            ({"operations": frozenset({Operation.LIST})}, "must support creating"),
        ],
    )
    def test_invalid_description_is_refused(self, platform_table, changes, problem):
        api = type("Api", (ForgeApi,), {"platform": replace(ForgeApi.platform, **changes)})
        with pytest.raises(ValueError, match=problem):
            register_platform(api)

    def test_client_secrets_require_a_secret_field(self, platform_table):
        api = type("Api", (ForgeApi,), {"fields": frozenset({"url", "events"})})
        with pytest.raises(ValueError, match="fields do not include 'secret'"):
            register_platform(api)


class TestConnection:
    def test_the_form_has_the_coordinates_of_all_platforms_once(self, forge):
        names = [one.name for one in describe_connection_type().extra]
        assert names[:3] == ["platform", "organization", "project"]
        assert {"owner", "repository"} <= set(names)
        assert names[-2:] == ["timeout", "max_wait"]
        assert len(set(names)) == len(names)
        described = {one.name: one.description for one in describe_connection_type().extra}
        assert described["project"].startswith("Sentry: the project's slug. Akinon AppMaker: the project's id.")

    def read(self, **extra):
        fields = ConnectionFields(conn_id="c", host="", password="t0ken", extra={"platform": "forge", **extra})
        return read_registry(fields, default_timeout=10)

    def test_coordinates_are_checked_by_the_patterns_of_the_platform(self, forge):
        assert self.read(owner="octo", repository="a.b").coordinates == {"owner": "octo", "repository": "a.b"}
        with pytest.raises(ValidationError) as caught:
            self.read(owner="../x", organization="ignored")
        assert set(caught.value.problems) == {"extra.owner", "extra.repository"}

    def test_connection_test_lists_the_hooks(self, forge):
        assert RegistryHook("forge").test_connection() == (True, "Acme Forge lists 0 service hook(s).")


class TestClientSecret:
    def test_hook_is_registered_with_a_generated_secret_that_is_stored(self, forge, variables):
        assert ensure()["change"] == "created"
        (secret,) = parse_secrets(variables.stored[VARIABLE])
        assert forge.secrets == {"1": secret}
        assert len(secret) >= 32
        assert redact(f"it is {secret}") == "it is ***"
        assert ensure()["change"] == "unchanged"
        assert forge.take_requests() == ["GET", "POST", "GET"]

    def test_the_secret_is_stored_before_the_platform_is_called(self, forge, variables):
        stored = []
        forge.before_create = lambda body: stored.append((variables.stored[VARIABLE], body["config"]["secret"]))
        ensure()
        ((text, sent),) = stored
        (pending,) = parse_state(text)
        assert (pending.secret, pending.is_pending) == (sent, True)
        assert parse_secrets(text) == (), "it must not sign before the platform has it"

    @pytest.mark.parametrize("operator", [EnsureServiceHookOperator, RegisterServiceHookOperator])
    def test_hook_whose_creation_response_is_lost_is_found_in_the_list(self, forge, variables, operator):
        forge.faults = ["lost"]
        run(operator, hook_name="orders", url=URL, secret_variable="hooks")
        assert parse_secrets(variables.stored["hooks"]) == (forge.secrets["1"],)
        assert len(forge.hooks) == 1

    @pytest.mark.parametrize("operator", [EnsureServiceHookOperator, RegisterServiceHookOperator])
    def test_interruption_after_the_creation_loses_no_secret(self, forge, variables, monkeypatch, operator):
        options = {"hook_name": "orders", "url": URL, "secret_variable": "hooks"}

        def interrupt(*_arguments):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(ForgeApi, "read_created", interrupt)
            with pytest.raises(KeyboardInterrupt):
                run(operator, **options)
        assert parse_secrets(variables.stored["hooks"]) == ()
        run(operator, **options)
        assert parse_secrets(variables.stored["hooks"]) == (forge.secrets["1"],)
        assert len(forge.hooks) == 1

    def test_hook_created_by_an_earlier_run_is_used_with_the_stored_secret(self, forge, variables):
        hook = RegistryHook("forge")
        forge.faults = ["ignored"]
        with pytest.raises(AirflowException, match="no complete response"):
            ensure()
        (pending,) = parse_state(variables.stored[VARIABLE])
        created = forge.add(URL, secret=pending.secret)  # the request arrived late
        forge.take_requests()
        assert ensure()["change"] == "unchanged"
        assert forge.take_requests() == ["GET"]
        (stored,) = parse_state(variables.stored[VARIABLE])
        assert (stored.hook_id, stored.secret, stored.name, stored.is_pending) == (
            created,
            pending.secret,
            "orders",
            False,
        )
        assert hook.find_declared_ids("orders", variable=VARIABLE) == [created]

    def test_hook_that_was_not_created_is_created_with_the_stored_secret(self, forge, variables):
        forge.faults = ["ignored"]
        with pytest.raises(AirflowException, match="no complete response"):
            ensure()
        (pending,) = parse_state(variables.stored[VARIABLE])
        assert ensure()["change"] == "created"
        assert forge.secrets == {"1": pending.secret}

    def test_existing_hook_is_not_mistaken_for_the_requested_one(self, forge, variables, monkeypatch):
        monkeypatch.setattr(ForgeApi, "single_event", True)
        forge.add(URL, events=["issues"])
        forge.faults = ["ignored"]
        with pytest.raises(AirflowException, match="no complete response"):
            ensure(events=["push"])
        (pending,) = parse_state(variables.stored[VARIABLE])
        assert ensure(events=["push"])["change"] == "created"
        assert forge.secrets == {"1": "of-the-user", "2": pending.secret}

    def test_differing_hook_that_is_not_stored_stays_unchanged(self, forge, variables):
        forge.add(URL, events=["issues"])
        with pytest.raises(AirflowFailException, match="differs and is not stored"):
            ensure()
        assert forge.take_requests() == ["GET"]

    def test_refused_creation_leaves_no_pending_entry_and_shows_no_secret(self, forge, variables):
        forge.faults = [422]
        with pytest.raises(AirflowFailException, match=r"rejected \*\*\*"):
            ensure()
        assert parse_state(variables.stored[VARIABLE]) == ()

    @pytest.mark.parametrize("operator", [EnsureServiceHookOperator, RegisterServiceHookOperator])
    def test_hook_with_an_unknown_secret_is_a_conflict(self, forge, variables, operator):
        forge.add(URL)
        with pytest.raises(AirflowFailException, match="its secret is not stored, and Acme Forge does not return it"):
            run(operator, hook_name="orders", url=URL, secret_variable="hooks")
        assert "hooks" not in variables.stored
        assert forge.take_requests() == ["GET"]

    def test_hook_with_an_unknown_secret_can_be_adopted_with_a_warning(self, forge, variables, caplog):
        hook_id = forge.add(URL)
        assert ensure(hook_id=hook_id)["change"] == "unchanged"
        assert f"The secret of hook {hook_id} on Acme Forge is not known: rotate it" in caplog.text
        assert ensure()["change"] == "unchanged"

    def test_secret_typed_by_the_user_is_used_for_an_existing_hook(self, forge, variables):
        forge.add(URL)
        variables.stored["hooks"] = "typed-by-the-user"
        result = run(RegisterServiceHookOperator, url=URL, secret_variable="hooks")
        assert result["created"] is False
        assert parse_secrets(variables.stored["hooks"]) == ("typed-by-the-user",)

    def test_missing_secret_variable_is_refused_before_any_request(self, forge):
        with pytest.raises(
            AirflowFailException, match="secret_variable: is needed on Acme Forge, which does not return"
        ):
            run(RegisterServiceHookOperator, url=URL)
        assert forge.take_requests() == []

    def test_declarations_of_one_variable_have_separate_secrets(self, forge, variables):
        ensure(secret_variable="hooks")
        ensure(secret_variable="hooks", hook_name="stock", url=OTHER_URL)
        assert set(parse_secrets(variables.stored["hooks"])) == set(forge.secrets.values())
        assert len(set(forge.secrets.values())) == 2


class TestOtherOperators:
    def test_a_hook_is_listed_updated_and_deleted(self, forge, variables):
        ensure()
        assert [one["url"] for one in run(ListServiceHooksOperator)] == [URL]
        assert run(UpdateServiceHookOperator, hook_name="orders", url=OTHER_URL)["url"] == OTHER_URL
        assert ensure(is_active=False)["change"] == "updated"
        assert (forge.hooks[1]["config"]["url"], forge.hooks[1]["active"]) == (URL, False)
        assert parse_secrets(variables.stored[VARIABLE]) == (forge.secrets["1"],)
        assert run(DeleteServiceHookOperator, hook_name="orders") == {"deleted": ["1"], "gone": []}
        assert parse_state(variables.stored[VARIABLE]) == ()

    def test_rotation_stores_the_new_secret_before_it_is_sent(self, forge, variables):
        ensure()
        stored = []
        forge.before_create = lambda body: stored.append((variables.stored[VARIABLE], body["config"]["secret"]))
        with pytest.raises(TaskDeferred):
            run(RotateServiceHookSecretOperator, hook_name="orders", overlap=timedelta(hours=1))
        ((text, sent),) = stored
        assert sent in [one.secret for one in parse_state(text) if one.is_pending]
        assert parse_secrets(variables.stored[VARIABLE]) == (forge.secrets["2"], forge.secrets["1"])
        assert forge.secrets["2"] == sent

    def test_uncertain_rotation_continues_with_the_stored_secret(self, forge, variables):
        ensure()
        forge.faults = ["ignored"]
        with pytest.raises(AirflowException, match="no complete response"):
            run(RotateServiceHookSecretOperator, hook_name="orders", overlap=timedelta(0))
        (pending,) = [one for one in parse_state(variables.stored[VARIABLE]) if one.is_pending]
        forge.add(URL, secret=pending.secret)  # the request arrived late
        result = run(RotateServiceHookSecretOperator, hook_id="1", secret_variable=VARIABLE, overlap=timedelta(0))
        assert (result["hook_id"], result["deleted"]) == ("2", "1")
        assert parse_secrets(variables.stored[VARIABLE]) == (pending.secret,)


def test_no_error_shows_the_secret_of_a_request(forge):
    forge.faults = [422]
    hook = RegistryHook("forge")
    with pytest.raises(RegistryError, match=r"rejected \*\*\*"):
        hook._open_manager().create(HookSpec(url=URL, events=("push",), secret="a-secret-of-ours"))


def test_unknown_secret_is_reported_as_hook_conflict_error(forge):
    forge.add(URL)
    with pytest.raises(HookConflictError, match="delete the hook, or set hook_id to it and rotate its secret"):
        RegistryHook("forge").register_hook(HookSpec(url=URL), variable="hooks")
