# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Operators that list, update, delete and rotate the service hooks that a platform has."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from airflow_provider_hooks.operators._validators import choose, read_events, read_flag, read_name, read_overlap
from airflow_provider_hooks.operators.registry import RegistryOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_hooks.exceptions import ValidationErrors
    from airflow_provider_hooks.hooks.registry import RegistryHook
    from airflow_provider_hooks.json_types import JsonValue

_LONGEST_SLEEP = 60
"""Seconds: a shorter wait is not worth a trigger, and Airflow 3.3 can lose a task whose trigger fires at once."""


class _ManageHookOperator(RegistryOperator):
    """
    What those share that work on hooks that are there.

    :param hook_id: the hook, by the platform's id, such as registration returned; this or ``hook_name`` is needed
    :param hook_name: the hooks of a declaration of ``EnsureServiceHookOperator``
    :param service_hook_conn_id: the endpoint whose Variable remembers the hook, as its registration named it
    :param secret_variable: the Airflow Variable that remembers the hook, in place of the endpoint's; without any, for a
        ``hook_name``, ``service_hook_secret_<service_hook_registry_conn_id>_<hook_name>``
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
        from airflow_provider_hooks._runtime.variable_store import default_variable_name
        from airflow_provider_hooks.hooks.endpoint import EndpointHook

        variable = self.secret_variable
        if not variable and self.service_hook_conn_id:
            _, variable = EndpointHook(self.service_hook_conn_id).read_subscription()
        if not variable and self.hook_name:
            variable = default_variable_name(self.service_hook_registry_conn_id, str(self.hook_name))
        return variable or None

    def _check_target(self, problems: ValidationErrors) -> None:
        choose(problems, hook_id=self.hook_id, hook_name=self.hook_name)
        for name in ("hook_id", "hook_name", "secret_variable", "service_hook_conn_id"):
            if getattr(self, name):
                read_name(problems, name, getattr(self, name))

    def _find_ids(self, hook: RegistryHook, variable: str | None) -> list[str]:
        if self.hook_id:
            return [self.hook_id]
        return hook.find_declared_ids(str(self.hook_name), variable=str(variable))

    def _find_id(self, hook: RegistryHook, variable: str | None) -> str:
        from airflow_provider_hooks.exceptions import ValidationError

        ids = self._find_ids(hook, variable)
        if len(ids) == 1:
            return ids[0]
        told = f"'{self.hook_name}' has {len(ids)} hooks in the Variable '{variable}'; say hook_id"
        if not ids:
            told = f"'{self.hook_name}' is not remembered in the Variable '{variable}'; say the name, and the "
            told += "secret_variable or service_hook_conn_id, that its declaration says"
        raise ValidationError(f"task '{self.task_id}'", {"hook_name": told})


class ListServiceHooksOperator(RegistryOperator):
    """
    List the service hooks that a platform has, reading all pages.

    Returns each hook's id, name, URL without its query, events, status and times; never a secret or a header.
    """

    def _call_platform(self, context: Context) -> JsonValue:  # noqa: ARG002  (Airflow passes it)
        from airflow_provider_hooks.hooks.registry import RegistryHook

        hooks = RegistryHook(self.service_hook_registry_conn_id).list_hooks()
        self.log.info("%s has %d service hook(s)", self.service_hook_registry_conn_id, len(hooks))
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
        from airflow_provider_hooks.exceptions import ValidationErrors
        from airflow_provider_hooks.hooks.registry import RegistryHook
        from airflow_provider_hooks.registries.model import HookChanges

        problems = ValidationErrors(f"task '{self.task_id}'")
        self._check_target(problems)
        changes = HookChanges(
            url=self.url,
            events=read_events(problems, self.events),
            name=self.new_name,
            headers=self._render_headers(self.headers, context),
            is_active=None if self.is_active is None else read_flag(problems, "is_active", self.is_active),
        )
        if not changes:
            problems.add("url", "give at least one of url, events, headers, new_name and is_active")
        hook = RegistryHook(self.service_hook_registry_conn_id)
        problems.collect(lambda: hook.check_changes(changes))
        problems.raise_if_any()
        updated = hook.update_hook(self._find_id(hook, self._find_variable()), changes)
        self.log.info("%s: service hook %s is updated", self.service_hook_registry_conn_id, updated.hook_id)
        return updated.as_json()


class DeleteServiceHookOperator(_ManageHookOperator):
    """
    Delete service hooks; one that is gone already is a success.

    Their secrets are forgotten where a Variable is known: always for a ``hook_name``. Returns the ids that were
    ``deleted`` and those that were ``gone`` already.
    """

    def _call_platform(self, context: Context) -> JsonValue:  # noqa: ARG002  (Airflow passes it)
        from airflow_provider_hooks.exceptions import ValidationErrors
        from airflow_provider_hooks.hooks.registry import RegistryHook

        problems = ValidationErrors(f"task '{self.task_id}'")
        self._check_target(problems)
        problems.raise_if_any()
        variable, hook = self._find_variable(), RegistryHook(self.service_hook_registry_conn_id)
        ids = self._find_ids(hook, variable)
        if not ids:
            self.log.warning("'%s' is not remembered in the Variable '%s': nothing to delete", self.hook_name, variable)
            return {"deleted": [], "gone": []}
        deleted, gone = hook.delete_hooks(ids, variable=variable)
        told = f"deleted {', '.join(deleted) or 'none'}; gone already {', '.join(gone) or 'none'}"
        self.log.info("%s: %s", self.service_hook_registry_conn_id, told)
        return {"deleted": [*deleted], "gone": [*gone]}


class RotateServiceHookSecretOperator(_ManageHookOperator):
    """
    Have a new secret of a service hook in use, once for each time that a person asks for it.

    ZStack makes a new secret, and the old one ends at once. Sentry has no call for it: there a new hook is registered
    beside the old one, the new secret is in use from then on, and the old hook is deleted after the overlap. For an
    overlap of more than a minute the task is deferred, and holds no worker. Until its end Sentry sends its own events
    by both hooks. Endpoints read the new secret from the Variable. Returns the id of the hook whose secret is in use,
    and of the hook that was deleted.

    :param overlap: how long the old hook stays beside the new one, on Sentry; at most a year
    """

    def __init__(self, *, overlap: timedelta = timedelta(hours=1), **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]  # those of the operators above it
        self.overlap = overlap

    def _call_platform(self, context: Context) -> JsonValue:
        from airflow_provider_hooks.exceptions import ValidationErrors
        from airflow_provider_hooks.hooks.registry import RegistryHook

        problems = ValidationErrors(f"task '{self.task_id}'")
        self._check_target(problems)
        overlap = read_overlap(problems, self.overlap)
        variable = self._find_variable()
        if variable is None:
            problems.add("secret_variable", "must say which Variable the new secret goes to, or service_hook_conn_id")
        problems.raise_if_any()
        ti, hook = context["ti"], RegistryHook(self.service_hook_registry_conn_id)
        asking = f"{ti.dag_id}/{ti.task_id}/{ti.run_id}/{ti.map_index}/{ti.max_tries}"
        rotated = hook.rotate_secret(
            self._find_id(hook, variable), variable=str(variable), asking=asking, overlap=overlap
        )
        self.log.info(
            "%s: the secret of service hook %s is in use", self.service_hook_registry_conn_id, rotated.hook_id
        )
        if rotated.old_hook_id is not None and rotated.expires_at is not None:
            self._wait_until(rotated.expires_at, rotated.old_hook_id)
            hook.finish_rotation(rotated, variable=str(variable))
            self.log.info("%s: service hook %s is deleted", self.service_hook_registry_conn_id, rotated.old_hook_id)
        return {"hook_id": rotated.hook_id, "deleted": rotated.old_hook_id, "secret_variable": variable}

    def resume(self, context: Context, event: object = None) -> JsonValue:  # noqa: ARG002  (Airflow passes it)
        """
        Go on after the overlap: the Variable knows what this asking did, so nothing else has to be handed over.

        :raises NonRetryableError: if the platform refuses
        :raises RetryableError: if the platform could not be reached; Airflow's own ``retries`` then apply
        """
        return self.execute(context)

    def _wait_until(self, moment: datetime, old_hook_id: str) -> None:
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger

        seconds = (moment - datetime.now(timezone.utc)).total_seconds()
        if seconds <= 0:
            return
        self.log.info("Service hook %s is deleted after %s", old_hook_id, moment.isoformat(timespec="seconds"))
        if seconds > _LONGEST_SLEEP:
            self.defer(trigger=DateTimeTrigger(moment=moment), method_name="resume")
        time.sleep(seconds)
