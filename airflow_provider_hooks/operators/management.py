# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Operators that list, update, delete and rotate the service hooks that a platform has."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from airflow_provider_hooks.operators.registry import RegistryOperator, read_events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_hooks.json_types import JsonValue
    from airflow_provider_hooks.registries.rotation import Rotated


class _ManageHookOperator(RegistryOperator):
    """
    What those share that work on hooks that are there.

    :param hook_id: the hook, by the platform's id
    :param hook_name: the hooks of a declaration of ``EnsureServiceHookOperator``, in place of ``hook_id``
    :param service_hook_conn_id: the endpoint whose Variable remembers the hook
    :param secret_variable: the Airflow Variable that remembers the hook, in place of the endpoint's; without any, for a
        ``hook_name``, ``service_hook_secret_<registry_conn_id>_<hook_name>``
    """

    template_fields: Sequence[str] = (
        *RegistryOperator.template_fields,
        "hook_id",
        "hook_name",
        "service_hook_conn_id",
        "secret_variable",
    )

    def __init__(
        self,
        *,
        hook_id: str | None = None,
        hook_name: str | None = None,
        service_hook_conn_id: str | None = None,
        secret_variable: str | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]  # those of the operators above it
        self.hook_id = hook_id
        self.hook_name = hook_name
        self.service_hook_conn_id = service_hook_conn_id
        self.secret_variable = secret_variable

    def _find_variable(self) -> str | None:
        from airflow_provider_hooks.hooks.endpoint import EndpointHook
        from airflow_provider_hooks.hooks.variables import name_variable

        variable = self.secret_variable
        if not variable and self.service_hook_conn_id:
            _, variable = EndpointHook(self.service_hook_conn_id).read_subscription()
        if not variable and self.hook_name:
            variable = name_variable(self.registry_conn_id, self.hook_name)
        return variable or None

    def _find_ids(self, variable: str | None) -> list[str]:
        from airflow_provider_hooks.errors import InvalidFieldsError
        from airflow_provider_hooks.hooks.registry import RegistryHook

        if bool(self.hook_id) == bool(self.hook_name):
            raise InvalidFieldsError(
                f"task '{self.task_id}'", {"hook_id": "give either hook_id or hook_name, and not both"}
            )
        if self.hook_id:
            return [self.hook_id]
        return RegistryHook(self.registry_conn_id).find_declared_ids(str(self.hook_name), variable=str(variable))

    def _find_id(self, variable: str | None) -> str:
        from airflow_provider_hooks.errors import InvalidFieldsError

        ids = self._find_ids(variable)
        if len(ids) != 1:
            told = f"'{self.hook_name}' is remembered for {len(ids)} hooks in '{variable}', not for one; say hook_id"
            raise InvalidFieldsError(f"task '{self.task_id}'", {"hook_name": told})
        return ids[0]


class ListServiceHooksOperator(RegistryOperator):
    """
    List the service hooks that a platform has, reading all pages.

    Returns each hook's id, name, URL without its query, events, status and times; never a secret or a header.
    """

    def _call_platform(self, context: Context) -> JsonValue:  # noqa: ARG002  (Airflow passes it)
        from airflow_provider_hooks.hooks.registry import RegistryHook

        hooks = RegistryHook(self.registry_conn_id).list_hooks()
        self.log.info("%s has %d service hook(s)", self.registry_conn_id, len(hooks))
        return [hook.as_json() for hook in hooks]


class UpdateServiceHookOperator(_ManageHookOperator):
    """
    Change a service hook; what is not given is left as it is. Returns what may be known of it then.

    :param url: where the platform shall send events
    :param events: which events
    :param headers: what Akinon sends along; rendered, and shown nowhere
    :param new_name: the hook's name, on Akinon
    :param is_active: whether it shall be active
    """

    template_fields: Sequence[str] = (*_ManageHookOperator.template_fields, "url", "events", "new_name", "is_active")

    def __init__(
        self,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        headers: Mapping[str, str] | None = None,
        new_name: str | None = None,
        is_active: bool | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]  # those of the operators above it
        self.url = url
        self.events = events
        self.headers = headers
        self.new_name = new_name
        self.is_active = is_active

    def _call_platform(self, context: Context) -> JsonValue:
        from airflow_provider_hooks.errors import Problems
        from airflow_provider_hooks.hooks.registry import RegistryHook
        from airflow_provider_hooks.operators.arguments import read_flag
        from airflow_provider_hooks.registries.model import HookChanges

        problems = Problems(f"task '{self.task_id}'")
        is_active = None if self.is_active is None else read_flag(problems, "is_active", self.is_active)
        changes = HookChanges(
            url=self.url,
            events=read_events(self.events),
            name=self.new_name,
            headers=self._render_headers(self.headers, context),
            is_active=is_active,
        )
        if not changes:
            problems.add("url", "give at least one of url, events, headers, new_name and is_active")
        problems.raise_if_any()
        hook_id = self._find_id(self._find_variable())
        hook = RegistryHook(self.registry_conn_id).update_hook(hook_id, changes)
        self.log.info("%s: service hook %s is updated", self.registry_conn_id, hook.hook_id)
        return hook.as_json()


class DeleteServiceHookOperator(_ManageHookOperator):
    """
    Delete service hooks and forget their secrets; one that is gone already is a success.

    Returns the ids that were ``deleted`` and those that were ``gone`` already.
    """

    def _call_platform(self, context: Context) -> JsonValue:  # noqa: ARG002  (Airflow passes it)
        from airflow_provider_hooks.hooks.registry import RegistryHook

        variable = self._find_variable()
        deleted: list[JsonValue] = []
        gone: list[JsonValue] = []
        for hook_id in self._find_ids(variable):
            was_there = RegistryHook(self.registry_conn_id).delete_hook(hook_id, variable=variable)
            (deleted if was_there else gone).append(hook_id)
            state = "is deleted" if was_there else "was gone already"
            self.log.info("%s: service hook %s %s", self.registry_conn_id, hook_id, state)
        return {"deleted": deleted, "gone": gone}


class RotateServiceHookSecretOperator(_ManageHookOperator):
    """
    Have a new secret of a service hook in use, once for each time that a person asks for it.

    ZStack makes a new secret, and the old one ends at once. Sentry has no call for it: there a new hook is registered
    beside the old one, the new secret is in use from then on, and the old hook is deleted after the overlap, for which
    the task is deferred. Until then Sentry sends its own events by both hooks. Endpoints read the new secret from the
    Variable. Returns the id of the hook whose secret is in use, and of the hook that was deleted.

    :param overlap: how long the old hook stays beside the new one, on Sentry
    """

    template_fields: Sequence[str] = (*_ManageHookOperator.template_fields, "overlap")

    def __init__(self, *, overlap: timedelta = timedelta(hours=1), **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]  # those of the operators above it
        self.overlap = overlap

    def _call_platform(self, context: Context) -> JsonValue:
        from airflow_provider_hooks.errors import InvalidFieldsError
        from airflow_provider_hooks.hooks.registry import RegistryHook

        if not isinstance(self.overlap, timedelta) or self.overlap < timedelta(0):
            raise InvalidFieldsError(f"task '{self.task_id}'", {"overlap": "must be a timedelta of 0 or more"})
        variable = self._find_variable()
        if variable is None:
            told = "must say which Variable the new secret goes to, where the endpoint's secret_variable finds it"
            raise InvalidFieldsError(f"task '{self.task_id}'", {"secret_variable": told})
        ti = context["ti"]
        asking = f"{ti.dag_id}/{ti.task_id}/{ti.run_id}/{ti.map_index}/{ti.max_tries}"
        rotated = RegistryHook(self.registry_conn_id).rotate_secret(
            self._find_id(variable), variable=variable, asking=asking, overlap=self.overlap
        )
        self.log.info("%s: the secret of service hook %s is in use", self.registry_conn_id, rotated.hook_id)
        if rotated.delete_after is not None and rotated.delete_after > datetime.now(timezone.utc):
            self._defer_until(rotated, rotated.delete_after, variable=variable)
        return self._finish(rotated, variable=variable)

    def finish(self, context: Context, event: object, hook_id: str, old_hook_id: str, variable: str) -> JsonValue:  # noqa: ARG002  (Airflow passes them)
        """
        Delete the old hook after the overlap.

        :raises AirflowFailException: if the platform refuses
        :raises AirflowException: if the platform could not be reached; Airflow's own ``retries`` then apply
        """
        from airflow_provider_hooks.errors import ServiceHookError
        from airflow_provider_hooks.hooks.outcomes import fail_call
        from airflow_provider_hooks.registries.rotation import Rotated

        try:
            return self._finish(Rotated(hook_id=hook_id, old_hook_id=old_hook_id), variable=variable)
        except ServiceHookError as error:
            fail_call(error)

    def _defer_until(self, rotated: Rotated, moment: datetime, *, variable: str) -> None:
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger

        self.log.info("Service hook %s is deleted after %s", rotated.old_hook_id, moment.isoformat(timespec="seconds"))
        self.defer(
            trigger=DateTimeTrigger(moment=moment),
            method_name="finish",
            kwargs={"hook_id": rotated.hook_id, "old_hook_id": rotated.old_hook_id, "variable": variable},
        )

    def _finish(self, rotated: Rotated, *, variable: str) -> JsonValue:
        from airflow_provider_hooks.hooks.registry import RegistryHook

        if rotated.old_hook_id is not None:
            RegistryHook(self.registry_conn_id).finish_rotation(rotated, variable=variable)
            self.log.info("%s: service hook %s is deleted", self.registry_conn_id, rotated.old_hook_id)
        return {"hook_id": rotated.hook_id, "deleted": rotated.old_hook_id, "secret_variable": variable}
