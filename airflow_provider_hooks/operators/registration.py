# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Operators that register, list, update, delete and rotate service hooks through a platform's documented API."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from airflow.sdk import BaseOperator

from airflow_provider_hooks.operators._arguments import (
    choose,
    read_events,
    read_flag,
    read_name,
    read_on_uncertain_create,
    read_overlap,
)
from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    from airflow.sdk import Context
    from typing_extensions import Unpack

    from airflow_provider_hooks.exceptions import ValidationErrors
    from airflow_provider_hooks.hooks.registry import RegistryHook
    from airflow_provider_hooks.json_types import JsonObject, JsonValue
    from airflow_provider_hooks.operators._arguments import BaseOperatorArguments
    from airflow_provider_hooks.registries.model import HookSpec

__all__ = [
    "DeleteServiceHookOperator",
    "EnsureServiceHookOperator",
    "ListServiceHooksOperator",
    "RegisterServiceHookOperator",
    "RotateServiceHookSecretOperator",
    "UpdateServiceHookOperator",
]

_DEFAULT_CONN_ID = "service_hook_registry_default"
_MAX_SLEEP_SECONDS = 60
"""A shorter wait is not worth a trigger, and Airflow 3.3 can lose a task whose trigger fires immediately."""


class _RegistryOperator(BaseOperator):
    """Base: calls a platform's API, and fails so that Airflow retries only what can succeed."""

    template_fields: Sequence[str] = ("service_hook_registry_conn_id",)
    ui_color = "#e3dff5"

    def __init__(
        self, *, task_id: str, service_hook_registry_conn_id: str, **kwargs: Unpack[BaseOperatorArguments]
    ) -> None:
        super().__init__(task_id=task_id, **kwargs)
        self.service_hook_registry_conn_id = service_hook_registry_conn_id

    def execute(self, context: Context) -> JsonValue:
        """
        Call the platform and return the results, without secrets.

        :raises NonRetryableError: if an argument is not valid, or the platform rejects the request
        :raises RetryableError: if the platform could not be reached; Airflow's own ``retries`` then apply
        """
        from airflow_provider_hooks._runtime.compat import AirflowNotFoundException
        from airflow_provider_hooks._runtime.failures import make_failure
        from airflow_provider_hooks.exceptions import ServiceHookError

        try:
            return self._call_platform(context)
        except (ServiceHookError, AirflowNotFoundException) as error:
            raise make_failure(error) from None

    def _call_platform(self, context: Context) -> JsonValue:
        """
        Call the platform.

        :raises ServiceHookError: if an argument is not valid, or a request fails
        """
        raise NotImplementedError

    def _open_hook(self) -> RegistryHook:
        from airflow_provider_hooks.hooks.registry import RegistryHook

        return RegistryHook(self.service_hook_registry_conn_id)

    def _collect_problems(self) -> ValidationErrors:
        from airflow_provider_hooks.exceptions import ValidationErrors

        return ValidationErrors(f"task '{self.task_id}'")

    def _render_headers(self, headers: Mapping[str, str] | None, context: Context) -> Mapping[str, str] | None:
        """
        Render headers here, because the UI shows template fields, and register their values with the masker.

        Those that a mapped task got by ``expand`` or ``expand_kwargs`` may be external text, and are not rendered.
        """
        from jinja2 import TemplateError

        from airflow_provider_hooks._runtime.compat import AirflowRuntimeError, ErrorType, mask_secret
        from airflow_provider_hooks.exceptions import ValidationError

        try:
            is_rendered = headers is not None and not self._is_expanded("headers", context)
            rendered = self.render_template(headers, context) if is_rendered else headers
        except (AirflowRuntimeError, TemplateError) as error:
            if isinstance(error, AirflowRuntimeError) and error.error.error is not ErrorType.VARIABLE_NOT_FOUND:
                raise
            problem = f"cannot be rendered: {escape(str(error))}"
            raise ValidationError(f"task '{self.task_id}'", {"headers": problem}) from None
        for value in rendered.values() if isinstance(rendered, dict) else ():
            mask_secret(value)
        return rendered

    def _is_expanded(self, name: str, context: Context) -> bool:
        """Return whether an argument came from ``expand`` or ``expand_kwargs``."""
        if context["ti"].map_index in (None, -1):
            return False
        partial: Mapping[str, object] | None = getattr(context["dag"].task_dict[self.task_id], "partial_kwargs", None)
        return partial is None or name not in partial


class _DeclaredHookOperator(_RegistryOperator):
    """Base of the operators that create hooks: URL and Variable come from an endpoint or from arguments."""

    template_fields: Sequence[str] = (
        *_RegistryOperator.template_fields,
        "service_hook_conn_id",
        "url",
        "events",
        "hook_name",
        "secret_variable",
        "on_uncertain_create",
    )

    def __init__(
        self,
        *,
        task_id: str,
        service_hook_registry_conn_id: str,
        service_hook_conn_id: str | None,
        url: str | None,
        events: list[str] | tuple[str, ...] | None,
        hook_name: str | None,
        headers: Mapping[str, str] | None,
        secret_variable: str | None,
        on_uncertain_create: Literal["fail", "create"],
        **kwargs: Unpack[BaseOperatorArguments],
    ) -> None:
        super().__init__(task_id=task_id, service_hook_registry_conn_id=service_hook_registry_conn_id, **kwargs)
        self.service_hook_conn_id = service_hook_conn_id
        self.url = url
        self.events = events
        self.hook_name = hook_name
        self.headers = headers
        self.secret_variable = secret_variable
        self.on_uncertain_create = on_uncertain_create

    def _read_spec(
        self, hook: RegistryHook, context: Context, problems: ValidationErrors, *, name: str
    ) -> tuple[HookSpec, str | None]:
        """Return the requested hook, and the Variable for its secret."""
        from airflow_provider_hooks.hooks.endpoint import EndpointHook
        from airflow_provider_hooks.registries.model import HookSpec

        choose(problems, url=self.url, service_hook_conn_id=self.service_hook_conn_id)
        url, variable = self.url, self.secret_variable
        if self.service_hook_conn_id and not self.url:
            subscription = EndpointHook(self.service_hook_conn_id).read_subscription()
            problems.collect(lambda: hook.check_subscription(subscription))
            url, variable = subscription.url, variable or subscription.secret_variable
        spec = HookSpec(
            url=url,  # type: ignore[arg-type]  # the platform's check reports it if it is missing
            events=read_events(problems, self.events),
            name=name,
            headers=self._render_headers(self.headers, context),
        )
        return spec, variable or None


class _ExistingHookOperator(_RegistryOperator):
    """Base of the operators that change hooks, which an id or the name of a declaration identifies."""

    template_fields: Sequence[str] = (
        *_RegistryOperator.template_fields,
        "hook_id",
        "hook_name",
        "service_hook_conn_id",
        "secret_variable",
    )

    def __init__(
        self,
        *,
        task_id: str,
        service_hook_registry_conn_id: str,
        hook_id: str | None,
        hook_name: str | None,
        service_hook_conn_id: str | None,
        secret_variable: str | None,
        **kwargs: Unpack[BaseOperatorArguments],
    ) -> None:
        super().__init__(task_id=task_id, service_hook_registry_conn_id=service_hook_registry_conn_id, **kwargs)
        self.hook_id = hook_id
        self.hook_name = hook_name
        self.service_hook_conn_id = service_hook_conn_id
        self.secret_variable = secret_variable

    def _find_variable(self) -> str | None:
        from airflow_provider_hooks._runtime.variable_store import default_variable_name
        from airflow_provider_hooks.hooks.endpoint import EndpointHook

        variable = self.secret_variable
        if not variable and self.service_hook_conn_id:
            variable = EndpointHook(self.service_hook_conn_id).read_subscription().secret_variable
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
        problem = f"'{self.hook_name}' has {len(ids)} hooks in the Variable '{variable}'; set hook_id"
        if not ids:
            problem = (
                f"'{self.hook_name}' is not stored in the Variable '{variable}'; use the hook_name, and the "
                "secret_variable or service_hook_conn_id, of its declaration"
            )
        raise ValidationError(f"task '{self.task_id}'", {"hook_name": problem})


class RegisterServiceHookOperator(_DeclaredHookOperator):
    """
    Register a service hook unless one for its URL is registered, and store its secret for endpoints.

    Returns the hook's id, URL, events, status and times, and whether it was created now; never its secret.

    Example:

    ```python
    from airflow_provider_hooks import RegisterServiceHookOperator

    register = RegisterServiceHookOperator(task_id="register", service_hook_conn_id="orders_warehouse")
    ```

    :param service_hook_registry_conn_id: a connection of type ``service_hook_registry``
    :param service_hook_conn_id: the endpoint to register: its URL, and its Variable for the secret
    :param url: the URL that the platform sends events to, in place of an endpoint's
    :param events: the events, such as ``["event.alert"]``; by default both events on Sentry
    :param hook_name: the name of the hook, on platforms that require one, such as ZStack; by default the task's id
    :param headers: headers that Akinon sends with each delivery, such as a secret header; rendered, and not shown
    :param secret_variable: the Airflow Variable that stores the secret, in place of the endpoint's; without any, the
        secret is not stored
    :param on_uncertain_create: if an earlier try may have created the hook and the platform cannot list its hooks
        (ZStack): ``fail``, or ``create`` another
    """

    def __init__(
        self,
        *,
        task_id: str,
        service_hook_registry_conn_id: str = _DEFAULT_CONN_ID,
        service_hook_conn_id: str | None = None,
        url: str | None = None,
        events: list[str] | tuple[str, ...] | None = None,
        hook_name: str | None = None,
        headers: Mapping[str, str] | None = None,
        secret_variable: str | None = None,
        on_uncertain_create: Literal["fail", "create"] = "fail",
        **kwargs: Unpack[BaseOperatorArguments],
    ) -> None:
        super().__init__(
            task_id=task_id,
            service_hook_registry_conn_id=service_hook_registry_conn_id,
            service_hook_conn_id=service_hook_conn_id,
            url=url,
            events=events,
            hook_name=hook_name,
            headers=headers,
            secret_variable=secret_variable,
            on_uncertain_create=on_uncertain_create,
            **kwargs,
        )

    def _call_platform(self, context: Context) -> JsonObject:
        problems = self._collect_problems()
        on_uncertain_create = read_on_uncertain_create(problems, self.on_uncertain_create)
        name = self.task_id if self.hook_name is None else read_name(problems, "hook_name", self.hook_name)
        hook = self._open_hook()
        spec, variable = self._read_spec(hook, context, problems, name=name)
        problems.collect(lambda: hook.check_registration(spec, variable=variable))
        problems.raise_if_any()
        registered, created = hook.register_hook(spec, variable=variable, on_uncertain_create=on_uncertain_create)
        if registered.secret and not variable:
            self.log.warning("The secret of hook %s is not stored: no secret_variable is set", registered.hook_id)
        action = "registered" if created else "was registered already as"
        self.log.info("%s %s service hook %s", self.service_hook_registry_conn_id, action, registered.hook_id)
        return {**registered.as_json(), "created": created, "secret_variable": variable}


class EnsureServiceHookOperator(_DeclaredHookOperator):
    """
    Make service hooks on a platform as declared here, in every run.

    A missing hook is created, one that differs is updated, or replaced if the platform has no update, and one that
    matches is left unchanged; there are never two. If a hook has a single event (Smartsheet), a declaration of several
    events has several hooks.

    Returns ``change`` (``created``, ``updated`` or ``unchanged``), the hooks, and the name of the Variable; never a
    secret.

    Example:

    ```python
    from airflow_provider_hooks import EnsureServiceHookOperator

    ensure = EnsureServiceHookOperator(
        task_id="ensure",
        hook_name="orders",
        service_hook_conn_id="orders_warehouse",
        events=["event.alert"],
    )
    ```

    :param service_hook_registry_conn_id: a connection of type ``service_hook_registry``
    :param hook_name: the name of the declaration on this registry, the same in every run; on Akinon and ZStack also the
        name of the hook
    :param service_hook_conn_id: the endpoint to register: its URL, and its Variable for the secret
    :param url: the URL that the platform sends events to, in place of an endpoint's
    :param events: the events, such as ``["event.alert"]``; by default both events on Sentry
    :param headers: headers that Akinon sends with each delivery, such as a secret header; rendered, and not shown
    :param is_active: whether the hook is active; only Sentry and Akinon have inactive hooks
    :param hook_id: an existing hook that the declaration uses from now on
    :param secret_variable: the Airflow Variable that stores the hooks and their secrets, in place of the endpoint's;
        without any, ``service_hook_secret_<service_hook_registry_conn_id>:<hook_name>``
    :param on_uncertain_create: if an earlier try may have created the hook and the platform cannot list its hooks
        (ZStack): ``fail``, or ``create`` another
    """

    template_fields: Sequence[str] = (*_DeclaredHookOperator.template_fields, "is_active", "hook_id")

    def __init__(
        self,
        *,
        task_id: str,
        service_hook_registry_conn_id: str = _DEFAULT_CONN_ID,
        hook_name: str,
        service_hook_conn_id: str | None = None,
        url: str | None = None,
        events: list[str] | tuple[str, ...] | None = None,
        headers: Mapping[str, str] | None = None,
        is_active: bool = True,
        hook_id: str | None = None,
        secret_variable: str | None = None,
        on_uncertain_create: Literal["fail", "create"] = "fail",
        **kwargs: Unpack[BaseOperatorArguments],
    ) -> None:
        super().__init__(
            task_id=task_id,
            service_hook_registry_conn_id=service_hook_registry_conn_id,
            service_hook_conn_id=service_hook_conn_id,
            url=url,
            events=events,
            hook_name=hook_name,
            headers=headers,
            secret_variable=secret_variable,
            on_uncertain_create=on_uncertain_create,
            **kwargs,
        )
        self.is_active = is_active
        self.hook_id = hook_id

    def _call_platform(self, context: Context) -> JsonObject:
        from dataclasses import replace

        from airflow_provider_hooks._runtime.variable_store import default_variable_name

        problems = self._collect_problems()
        name = read_name(problems, "hook_name", self.hook_name)
        is_active = read_flag(problems, "is_active", self.is_active)
        on_uncertain_create = read_on_uncertain_create(problems, self.on_uncertain_create)
        hook = self._open_hook()
        spec, variable = self._read_spec(hook, context, problems, name=name)
        spec, hook_id = replace(spec, is_active=is_active), self.hook_id or None
        variable = variable or default_variable_name(self.service_hook_registry_conn_id, name)
        problems.collect(lambda: hook.check_declaration(spec, variable=variable, hook_id=hook_id))
        problems.raise_if_any()
        result = hook.ensure_hooks(
            spec, name=name, variable=variable, hook_id=hook_id, on_uncertain_create=on_uncertain_create
        )
        ids = ", ".join(hook.hook_id for hook in result.hooks)
        self.log.info("%s: '%s' is %s: service hook %s", self.service_hook_registry_conn_id, name, result.change, ids)
        return {
            "change": result.change,
            "hooks": [hook.as_json() for hook in result.hooks],
            "secret_variable": variable,
        }


class ListServiceHooksOperator(_RegistryOperator):
    """
    List the service hooks of a platform, reading all pages.

    Returns each hook's id, name, URL without its query, events, status and times; never a secret or a header.

    Example:

    ```python
    from airflow_provider_hooks import ListServiceHooksOperator

    hooks = ListServiceHooksOperator(task_id="list_hooks", service_hook_registry_conn_id="akinon_registry")
    ```

    :param service_hook_registry_conn_id: a connection of type ``service_hook_registry``
    """

    def __init__(
        self,
        *,
        task_id: str,
        service_hook_registry_conn_id: str = _DEFAULT_CONN_ID,
        **kwargs: Unpack[BaseOperatorArguments],
    ) -> None:
        super().__init__(task_id=task_id, service_hook_registry_conn_id=service_hook_registry_conn_id, **kwargs)

    def _call_platform(self, context: Context) -> JsonValue:  # noqa: ARG002  (Airflow passes it)
        hooks = self._open_hook().list_hooks()
        self.log.info("%s has %d service hook(s)", self.service_hook_registry_conn_id, len(hooks))
        return [hook.as_json() for hook in hooks]


class UpdateServiceHookOperator(_ExistingHookOperator):
    """
    Change a service hook; arguments that are not given leave a field unchanged. Returns the hook, without its secret.

    Example:

    ```python
    from airflow_provider_hooks import UpdateServiceHookOperator

    pause = UpdateServiceHookOperator(
        task_id="pause", hook_name="orders", service_hook_conn_id="orders_warehouse", is_active=False
    )
    ```

    :param service_hook_registry_conn_id: a connection of type ``service_hook_registry``
    :param hook_id: the platform's id of the hook, such as registration returned; this or ``hook_name`` is required
    :param hook_name: the name of a declaration of ``EnsureServiceHookOperator``
    :param url: the URL that the platform sends events to
    :param events: the events
    :param headers: headers that Akinon sends with each delivery; rendered, and not shown
    :param new_name: the hook's name, on Akinon
    :param is_active: whether the hook is active
    :param service_hook_conn_id: the endpoint whose Variable stores the hook, as in its declaration
    :param secret_variable: the Airflow Variable that stores the hook, in place of the endpoint's; without any, for a
        ``hook_name``, ``service_hook_secret_<service_hook_registry_conn_id>:<hook_name>``
    """

    template_fields: Sequence[str] = (*_ExistingHookOperator.template_fields, "url", "events", "new_name", "is_active")

    def __init__(
        self,
        *,
        task_id: str,
        service_hook_registry_conn_id: str = _DEFAULT_CONN_ID,
        hook_id: str | None = None,
        hook_name: str | None = None,
        url: str | None = None,
        events: list[str] | tuple[str, ...] | None = None,
        headers: Mapping[str, str] | None = None,
        new_name: str | None = None,
        is_active: bool | None = None,
        service_hook_conn_id: str | None = None,
        secret_variable: str | None = None,
        **kwargs: Unpack[BaseOperatorArguments],
    ) -> None:
        super().__init__(
            task_id=task_id,
            service_hook_registry_conn_id=service_hook_registry_conn_id,
            hook_id=hook_id,
            hook_name=hook_name,
            service_hook_conn_id=service_hook_conn_id,
            secret_variable=secret_variable,
            **kwargs,
        )
        self.url = url
        self.events = events
        self.headers = headers
        self.new_name = new_name
        self.is_active = is_active

    def _call_platform(self, context: Context) -> JsonValue:
        from airflow_provider_hooks.registries.model import HookChanges

        problems = self._collect_problems()
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
        hook = self._open_hook()
        problems.collect(lambda: hook.check_changes(changes))
        problems.raise_if_any()
        updated = hook.update_hook(self._find_id(hook, self._find_variable()), changes)
        self.log.info("%s: service hook %s is updated", self.service_hook_registry_conn_id, updated.hook_id)
        return updated.as_json()


class DeleteServiceHookOperator(_ExistingHookOperator):
    """
    Delete service hooks; one that is gone already is a success.

    Their secrets are removed from the Variable, if there is one, as there always is with a ``hook_name``. Returns the
    ids that were ``deleted`` and those that were ``gone`` already.

    Example:

    ```python
    from airflow_provider_hooks import DeleteServiceHookOperator

    delete = DeleteServiceHookOperator(
        task_id="delete", hook_name="orders", service_hook_conn_id="orders_warehouse"
    )
    ```

    :param service_hook_registry_conn_id: a connection of type ``service_hook_registry``
    :param hook_id: the platform's id of the hook, such as registration returned; this or ``hook_name`` is required
    :param hook_name: the name of a declaration of ``EnsureServiceHookOperator``
    :param service_hook_conn_id: the endpoint whose Variable stores the hook, as in its declaration
    :param secret_variable: the Airflow Variable that stores the hook, in place of the endpoint's; without any, for a
        ``hook_name``, ``service_hook_secret_<service_hook_registry_conn_id>:<hook_name>``
    """

    def __init__(
        self,
        *,
        task_id: str,
        service_hook_registry_conn_id: str = _DEFAULT_CONN_ID,
        hook_id: str | None = None,
        hook_name: str | None = None,
        service_hook_conn_id: str | None = None,
        secret_variable: str | None = None,
        **kwargs: Unpack[BaseOperatorArguments],
    ) -> None:
        super().__init__(
            task_id=task_id,
            service_hook_registry_conn_id=service_hook_registry_conn_id,
            hook_id=hook_id,
            hook_name=hook_name,
            service_hook_conn_id=service_hook_conn_id,
            secret_variable=secret_variable,
            **kwargs,
        )

    def _call_platform(self, context: Context) -> JsonValue:  # noqa: ARG002  (Airflow passes it)
        problems = self._collect_problems()
        self._check_target(problems)
        problems.raise_if_any()
        variable, hook = self._find_variable(), self._open_hook()
        ids = self._find_ids(hook, variable)
        if not ids:
            self.log.warning("'%s' is not stored in the Variable '%s': nothing to delete", self.hook_name, variable)
            return {"deleted": [], "gone": []}
        deleted, gone = hook.delete_hooks(ids, variable=variable)
        result = f"deleted {', '.join(deleted) or 'none'}; gone already {', '.join(gone) or 'none'}"
        self.log.info("%s: %s", self.service_hook_registry_conn_id, result)
        return {"deleted": [*deleted], "gone": [*gone]}


class RotateServiceHookSecretOperator(_ExistingHookOperator):
    """
    Put a new secret of a service hook into use, once per run or manual clear of the task.

    ZStack generates a new secret, and the old one becomes invalid immediately. Sentry has no request for it: a new hook
    is registered next to the old one, the new secret is used from then on, and the old hook is deleted after the
    overlap. For an overlap of more than a minute the task is deferred, and occupies no worker. During the overlap
    Sentry sends its own events through both hooks. Endpoints read the new secret from the Variable. Returns the id of
    the hook whose secret is in use, and of the hook that was deleted.

    Example:

    ```python
    from datetime import timedelta

    from airflow_provider_hooks import RotateServiceHookSecretOperator

    rotate = RotateServiceHookSecretOperator(
        task_id="rotate",
        hook_name="orders",
        service_hook_conn_id="orders_warehouse",
        overlap=timedelta(hours=6),
    )
    ```

    :param service_hook_registry_conn_id: a connection of type ``service_hook_registry``
    :param hook_id: the platform's id of the hook, such as registration returned; this or ``hook_name`` is required
    :param hook_name: the name of a declaration of ``EnsureServiceHookOperator``
    :param overlap: how long the old hook exists next to the new one, on Sentry; at most a year
    :param service_hook_conn_id: the endpoint whose Variable stores the hook, as in its declaration
    :param secret_variable: the Airflow Variable that stores the hook, in place of the endpoint's; without any, for a
        ``hook_name``, ``service_hook_secret_<service_hook_registry_conn_id>:<hook_name>``
    """

    def __init__(
        self,
        *,
        task_id: str,
        service_hook_registry_conn_id: str = _DEFAULT_CONN_ID,
        hook_id: str | None = None,
        hook_name: str | None = None,
        overlap: timedelta = timedelta(hours=1),
        service_hook_conn_id: str | None = None,
        secret_variable: str | None = None,
        **kwargs: Unpack[BaseOperatorArguments],
    ) -> None:
        super().__init__(
            task_id=task_id,
            service_hook_registry_conn_id=service_hook_registry_conn_id,
            hook_id=hook_id,
            hook_name=hook_name,
            service_hook_conn_id=service_hook_conn_id,
            secret_variable=secret_variable,
            **kwargs,
        )
        self.overlap = overlap

    def _call_platform(self, context: Context) -> JsonValue:
        problems = self._collect_problems()
        self._check_target(problems)
        overlap = read_overlap(problems, self.overlap)
        variable = self._find_variable()
        if variable is None:
            problems.add("secret_variable", "is required for the new secret, or service_hook_conn_id")
        problems.raise_if_any()
        ti, hook = context["ti"], self._open_hook()
        # max_tries changes with each manual clear, and not between the tries of one.
        idempotency_key = f"{ti.dag_id}/{ti.task_id}/{ti.run_id}/{ti.map_index}/{ti.max_tries}"
        result = hook.rotate_secret(
            self._find_id(hook, variable), variable=str(variable), idempotency_key=idempotency_key, overlap=overlap
        )
        self.log.info("%s: the secret of service hook %s is in use", self.service_hook_registry_conn_id, result.hook_id)
        if result.old_hook_id is not None and result.expires_at is not None:
            self._wait_until(result.expires_at, result.old_hook_id)
            hook.finish_rotation(result, variable=str(variable))
            self.log.info("%s: service hook %s is deleted", self.service_hook_registry_conn_id, result.old_hook_id)
        return {"hook_id": result.hook_id, "deleted": result.old_hook_id, "secret_variable": variable}

    def resume(self, context: Context, event: object = None) -> JsonValue:  # noqa: ARG002  (Airflow passes it)
        """
        Continue after the overlap; the Variable stores what the rotation did, so no other state is needed.

        :raises NonRetryableError: if the platform rejects the request
        :raises RetryableError: if the platform could not be reached; Airflow's own ``retries`` then apply
        """
        return self.execute(context)

    def _wait_until(self, moment: datetime, old_hook_id: str) -> None:
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger

        seconds = (moment - datetime.now(timezone.utc)).total_seconds()
        if seconds <= 0:
            return
        self.log.info("Service hook %s will be deleted at %s", old_hook_id, moment.isoformat(timespec="seconds"))
        if seconds > _MAX_SLEEP_SECONDS:
            self.defer(trigger=DateTimeTrigger(moment=moment), method_name="resume")
        time.sleep(seconds)
