# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import json
import re
import time
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_hooks._runtime.compat import AirflowException, AirflowFailException
from airflow_provider_hooks.operators.registration import (
    DeleteServiceHookOperator,
    EnsureServiceHookOperator,
    ListServiceHooksOperator,
    RotateServiceHookSecretOperator,
    UpdateServiceHookOperator,
)
from airflow_provider_hooks.registries.model import Operation
from airflow_provider_hooks.registries.platforms import load_platforms
from airflow_provider_hooks.signing.secrets import parse_secrets
from tests.airflow_context import make_context
from tests.registries.platform_data import PLATFORM_DATA, list_lacking, list_supporting, name_connection
from tests.versions import TaskDeferred

URL = "https://example.com/hook"


def run(operator_class, **options):
    return operator_class(task_id="manage", **options).execute(make_context())


@pytest.fixture
def ensure_hook(connected, variables):
    def ensure_on(platform):
        options = {"service_hook_registry_conn_id": name_connection(platform), "hook_name": "orders"}
        run(EnsureServiceHookOperator, **options, url=URL, events=PLATFORM_DATA[platform].spec.events)
        connected.state.platforms[platform].forget_calls()
        return connected.state.platforms[platform], options

    return ensure_on


class TestList:
    @pytest.mark.parametrize("platform", list_supporting(Operation.LIST))
    def test_every_hook_is_listed_without_its_secret(self, ensure_hook, platform):
        sandbox_platform, _ = ensure_hook(platform)
        result = run(ListServiceHooksOperator, service_hook_registry_conn_id=name_connection(platform))
        assert {hook["hook_id"] for hook in result} == {hook.hook_id for hook in sandbox_platform.list_hooks()}
        assert not any(hook.secret and hook.secret in json.dumps(result) for hook in sandbox_platform.list_hooks())

    def test_a_platform_without_a_list_call_is_refused_with_advice(self, ensure_hook):
        ensure_hook("zstack")
        with pytest.raises(AirflowFailException, match="documents no call to list service hooks: store the id"):
            run(ListServiceHooksOperator, service_hook_registry_conn_id="zstack_registry")

    def test_a_server_error_of_the_platform_is_retried_by_airflow(self, ensure_hook):
        sandbox_platform, _ = ensure_hook("sentry")
        sandbox_platform.misbehave("list", "error")
        with pytest.raises(AirflowException, match="HTTP 500") as caught:
            run(ListServiceHooksOperator)
        assert not isinstance(caught.value, AirflowFailException)


class TestUpdate:
    @pytest.mark.parametrize("platform", ["sentry", "akinon"])
    @pytest.mark.parametrize("by", ["hook_id", "hook_name"])
    def test_only_the_given_fields_are_changed(self, ensure_hook, platform, by):
        sandbox_platform, options = ensure_hook(platform)
        (before,) = sandbox_platform.list_hooks()
        if by == "hook_id":
            options = {
                "service_hook_registry_conn_id": options["service_hook_registry_conn_id"],
                "hook_id": before.hook_id,
            }
        result = run(UpdateServiceHookOperator, **options, url="https://example.com/new", is_active="False")
        (after,) = sandbox_platform.list_hooks()
        assert (after.url, after.is_active, after.events) == ("https://example.com/new", False, before.events)
        assert (result["url"], result["status"]) == ("https://example.com/new", "disabled")
        assert sandbox_platform.forget_calls() == {"update": 1}

    @pytest.mark.parametrize("platform", list_supporting(Operation.UPDATE))
    def test_the_url_of_a_hook_is_changed_on_every_platform_with_updates(self, ensure_hook, platform):
        sandbox_platform, options = ensure_hook(platform)
        (before,) = sandbox_platform.list_hooks()
        assert run(UpdateServiceHookOperator, **options, url="https://example.com/new")["hook_id"] == before.hook_id
        (after,) = sandbox_platform.list_hooks()
        assert (after.hook_id, after.url) == (before.hook_id, "https://example.com/new")
        assert (after.is_active, after.events, after.secret) == (before.is_active, before.events, before.secret)
        calls = {name: count for name, count in PLATFORM_DATA[platform].moved_calls.items() if name != "list"}
        assert sandbox_platform.forget_calls() == calls

    @pytest.mark.parametrize("platform", list_lacking(Operation.UPDATE))
    def test_a_platform_without_updates_is_refused_with_advice(self, ensure_hook, platform):
        sandbox_platform, _ = ensure_hook(platform)
        alternative = load_platforms()[platform].platform.alternatives[Operation.UPDATE]
        with pytest.raises(AirflowFailException, match=re.escape(alternative)):
            run(
                UpdateServiceHookOperator,
                service_hook_registry_conn_id=name_connection(platform),
                hook_id=sandbox_platform.list_hooks()[0].hook_id,
                url=URL,
            )

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({"hook_id": "a"}, "url: give at least one of"),
            ({"hook_id": "a", "url": URL, "is_active": 7}, "is_active: must be true or false, not 7"),
            ({"url": URL}, "hook_id: give hook_id or hook_name"),
            ({"hook_id": "a", "hook_name": "b", "url": URL}, "hook_id: give hook_id or hook_name, and not both"),
            ({"hook_name": "never", "url": URL}, "hook_name: 'never' is not stored in the Variable"),
            ({"url": "nope", "events": "x", "is_active": 7}, "hook_id: .*events: .*is_active: .*url: "),
            ({"hook_id": "a", "events": 5}, "events: must be a list, not 5"),
            ({"hook_id": "a", "headers": {"A": "b"}}, "headers: are not supported by Sentry"),
            ({"hook_id": "a", "new_name": "b"}, "name: is not stored by Sentry"),
            (
                {"hook_id": "a", "headers": ["x"], "service_hook_registry_conn_id": "akinon_registry"},
                "headers: must be a mapping",
            ),
        ],
    )
    def test_an_invalid_argument_is_reported_before_any_call(self, connected, variables, options, problem):
        with pytest.raises(AirflowFailException, match=problem):
            run(UpdateServiceHookOperator, **options)
        assert connected.state.sentry.forget_calls() == {}


class TestDelete:
    def test_an_unknown_hook_name_is_logged_and_deletes_nothing(self, ensure_hook, caplog, capsys):
        ensure_hook("sentry")
        assert run(DeleteServiceHookOperator, hook_name="no_such_hook") == {"deleted": [], "gone": []}
        assert "'no_such_hook' is not stored" in caplog.text + capsys.readouterr().out

    def test_an_html_response_fails_and_changes_no_variable(self, ensure_hook, variables):
        sandbox_platform, options = ensure_hook("sentry")
        sandbox_platform.misbehave("delete", "html")
        before = dict(variables.stored)
        with pytest.raises(AirflowFailException, match="not JSON"):
            run(DeleteServiceHookOperator, **options)
        assert variables.stored == before

    @pytest.mark.parametrize("platform", PLATFORM_DATA)
    def test_the_hooks_of_a_name_are_deleted_and_removed_from_the_variable(self, ensure_hook, variables, platform):
        sandbox_platform, options = ensure_hook(platform)
        ids = {hook.hook_id for hook in sandbox_platform.list_hooks()}
        result = run(DeleteServiceHookOperator, **options)
        assert (set(result["deleted"]), result["gone"], sandbox_platform.list_hooks()) == (ids, [], [])
        assert json.loads(variables.stored[f"service_hook_secret_{name_connection(platform)}:orders"]) == {
            "secrets": []
        }
        assert run(DeleteServiceHookOperator, **options) == {"deleted": [], "gone": []}

    def test_a_hook_that_is_already_deleted_is_a_success(self, ensure_hook):
        sandbox_platform, options = ensure_hook("sentry")
        (hook,) = sandbox_platform.list_hooks()
        sandbox_platform.remove_hook(hook)
        assert run(DeleteServiceHookOperator, **options) == {"deleted": [], "gone": [hook.hook_id]}

    def test_an_id_that_changes_the_path_is_refused_before_any_call(self, connected, variables):
        with pytest.raises(AirflowFailException, match="hook_id: must be the id"):
            run(DeleteServiceHookOperator, hook_id="../../other")
        assert connected.state.sentry.forget_calls() == {}


class TestRotate:
    def test_zstack_replaces_the_secret_once_per_run(self, ensure_hook, variables):
        sandbox_platform, options = ensure_hook("zstack")
        (before,) = sandbox_platform.list_hooks()
        result = [run(RotateServiceHookSecretOperator, **options) for _ in range(2)]
        (after,) = sandbox_platform.list_hooks()
        assert sandbox_platform.forget_calls() == {"rotate": 1}
        assert before.secret != after.secret
        assert parse_secrets(variables.stored["service_hook_secret_zstack_registry:orders"]) == (after.secret,)
        assert result[0]["hook_id"] == after.hook_id
        assert after.secret not in json.dumps(result)

    def test_sentry_has_two_hooks_until_the_overlap_ends(self, ensure_hook, variables):
        sandbox_platform, options = ensure_hook("sentry")
        (old,) = sandbox_platform.list_hooks()
        name = "service_hook_secret_service_hook_registry_default:orders"
        with pytest.raises(TaskDeferred) as deferred:
            run(RotateServiceHookSecretOperator, **options)
        new, _ = sandbox_platform.list_hooks()
        assert parse_secrets(variables.stored[name]) == (new.secret, old.secret)
        assert abs(deferred.value.trigger.moment - datetime.now(timezone.utc) - timedelta(hours=1)) < timedelta(
            minutes=1
        )
        assert not deferred.value.kwargs, "the Variable has all state; some runners of Dags lose arguments"
        with pytest.raises(TaskDeferred):
            run(RotateServiceHookSecretOperator, **options)
        assert len(sandbox_platform.list_hooks()) == 2, "another try before the end of the overlap changes nothing"
        variables.stored[name] = re.sub(
            r'(?<="expires_at": ")[^"]+', "2026-01-01T00:00:00+00:00", variables.stored[name]
        )
        operator = RotateServiceHookSecretOperator(task_id="manage", **options)
        result = getattr(operator, deferred.value.method_name)(make_context(), event=None)
        assert result == {"hook_id": new.hook_id, "deleted": old.hook_id, "secret_variable": name}
        assert sandbox_platform.list_hooks() == [new]
        assert parse_secrets(variables.stored[name]) == (new.secret,)

    def test_the_task_waits_for_the_end_of_a_short_overlap(self, ensure_hook):
        sandbox_platform, options = ensure_hook("sentry")
        started = time.monotonic()
        result = run(RotateServiceHookSecretOperator, **options, overlap=timedelta(seconds=1))
        assert time.monotonic() - started >= 1
        assert [hook.hook_id for hook in sandbox_platform.list_hooks()] == [result["hook_id"]]

    def test_a_delete_within_the_overlap_deletes_both_hooks(self, ensure_hook):
        sandbox_platform, options = ensure_hook("sentry")
        with pytest.raises(TaskDeferred):
            run(RotateServiceHookSecretOperator, **options)
        assert len(run(DeleteServiceHookOperator, **options)["deleted"]) == 2
        assert sandbox_platform.list_hooks() == []

    def test_each_run_or_clear_rotates_once(self, ensure_hook):
        sandbox_platform, options = ensure_hook("zstack")
        cleared, mapped = make_context(max_tries=6), make_context(max_tries=6)
        mapped["ti"].map_index = 4
        contexts = [make_context(max_tries=3), make_context(max_tries=3, try_number=2), cleared, mapped]
        for context in contexts:
            RotateServiceHookSecretOperator(task_id="manage", **options).execute(context)
        assert sandbox_platform.forget_calls() == {"rotate": 3}

    def test_a_server_error_at_the_end_of_the_overlap_is_retried_by_airflow(self, ensure_hook):
        sandbox_platform, options = ensure_hook("sentry")
        sandbox_platform.misbehave("delete", "error")
        with pytest.raises(AirflowException, match="HTTP 500") as caught:
            run(RotateServiceHookSecretOperator, **options, overlap=timedelta(0))
        assert not isinstance(caught.value, AirflowFailException)

    def test_a_rotation_without_an_overlap_deletes_the_old_hook_immediately(self, ensure_hook):
        sandbox_platform, options = ensure_hook("sentry")
        (old,) = sandbox_platform.list_hooks()
        result = run(RotateServiceHookSecretOperator, **options, overlap=timedelta(0))
        assert result["deleted"] == old.hook_id
        assert [hook.hook_id for hook in sandbox_platform.list_hooks()] == [result["hook_id"]]

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({"hook_id": "a"}, "secret_variable: is required for the new secret"),
            ({"hook_name": "orders", "overlap": timedelta(-1)}, "overlap: must be a timedelta of 0 to 366 days"),
            ({"hook_name": "orders", "overlap": timedelta.max}, "overlap: must be a timedelta of 0 to 366 days"),
            ({"hook_name": "orders", "overlap": 3600}, "overlap: must be a timedelta .* not 3600"),
            ({"hook_name": "never"}, "is not stored"),
            ({"overlap": "1:00"}, "hook_id: .*overlap: .*secret_variable: "),
            (
                {"hook_id": "1", "secret_variable": "v", "service_hook_registry_conn_id": "smartsheet_rm_registry"},
                "Smartsheet Resource Management documents no call to rotate",
            ),
        ],
    )
    def test_an_invalid_argument_is_reported_before_any_call(self, connected, variables, options, problem):
        with pytest.raises(AirflowFailException, match=problem):
            run(RotateServiceHookSecretOperator, **options)
        assert all(platform.forget_calls() == {} for platform in connected.state.platforms.values())
