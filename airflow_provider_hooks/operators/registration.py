# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Operators that register service hooks on a platform, once or as they are declared, through its documented API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_hooks.operators._validators import choose, read_events, read_flag, read_name, read_when_unknown
from airflow_provider_hooks.operators.registry import RegistryOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_hooks.exceptions import ValidationErrors
    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.registries.model import HookSpec
    from airflow_provider_hooks.registries.reconcile import WhenUnknown


class _SubscribeOperator(RegistryOperator):
    """
    What both operators share: which hook is asked for, on which registry, and where its secret goes.

    :param service_hook_conn_id: the endpoint to register: its URL, and its Variable for the secret
    :param url: where the platform shall send events, in place of an endpoint's URL
    :param events: which events, such as ``["event.alert"]``; without them, on Sentry both
    :param headers: what Akinon sends along, such as a secret header; rendered, and shown nowhere
    :param on_unknown: where an earlier try may have registered the hook and the platform cannot be asked (ZStack):
        ``fail``, or ``create`` another
    """

    template_fields: Sequence[str] = (
        *RegistryOperator.template_fields,
        "service_hook_conn_id",
        "url",
        "events",
        "hook_name",
        "secret_variable",
        "on_unknown",
    )

    def __init__(
        self,
        *,
        service_hook_conn_id: str | None = None,
        url: str | None = None,
        events: Sequence[str] | None = None,
        hook_name: str | None = None,
        headers: Mapping[str, str] | None = None,
        secret_variable: str | None = None,
        on_unknown: WhenUnknown = "fail",
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]  # those of the operator above it
        self.service_hook_conn_id = service_hook_conn_id
        self.url = url
        self.events = events
        self.hook_name = hook_name
        self.headers = headers
        self.secret_variable = secret_variable
        self.on_unknown = on_unknown

    def _read_arguments(
        self, context: Context, problems: ValidationErrors, *, name: str
    ) -> tuple[HookSpec, str | None]:
        """Return the hook that is asked for and the Variable for its secret, of the endpoint or as given."""
        from airflow_provider_hooks.hooks.endpoint import EndpointHook
        from airflow_provider_hooks.registries.model import HookSpec

        choose(problems, url=self.url, service_hook_conn_id=self.service_hook_conn_id)
        url, variable = self.url, self.secret_variable
        if self.service_hook_conn_id and not self.url:
            url, kept = EndpointHook(self.service_hook_conn_id).read_subscription()
            variable = variable or kept
        spec = HookSpec(
            url=url,  # type: ignore[arg-type]  # the platform's check says what is wrong with it
            events=read_events(problems, self.events),
            name=name,
            headers=self._render_headers(self.headers, context),
        )
        return spec, variable or None


class RegisterServiceHookOperator(_SubscribeOperator):
    """
    Register a service hook, unless one for this URL is registered, and keep its secret where endpoints find it.

    Returns the hook's id, URL, events, status and times, and whether it was created now; never its secret. Beside the
    arguments that it shares with ``EnsureServiceHookOperator``:

    :param hook_name: the hook's name, where the platform asks for one (Akinon, ZStack); else the task's id
    :param secret_variable: the Airflow Variable that gets the secret, in place of the endpoint's; without any the
        secret is not kept
    """

    def _call_platform(self, context: Context) -> JsonObject:
        from airflow_provider_hooks.exceptions import ValidationErrors
        from airflow_provider_hooks.hooks.registry import RegistryHook

        problems = ValidationErrors(f"task '{self.task_id}'")
        on_unknown = read_when_unknown(problems, self.on_unknown)
        name = self.task_id if self.hook_name is None else read_name(problems, "hook_name", self.hook_name)
        spec, variable = self._read_arguments(context, problems, name=name)
        hook = RegistryHook(self.service_hook_registry_conn_id)
        problems.collect(lambda: hook.check_registration(spec, variable=variable))
        problems.raise_if_any()
        registered, created = hook.register_hook(spec, variable=variable, on_unknown=on_unknown)
        if registered.secret and not variable:
            self.log.warning("The secret of hook %s is not kept: no secret_variable names where", registered.hook_id)
        told = "registered" if created else "was registered already as"
        self.log.info("%s %s service hook %s", self.service_hook_registry_conn_id, told, registered.hook_id)
        return {**registered.as_json(), "created": created, "secret_variable": variable}


class EnsureServiceHookOperator(_SubscribeOperator):
    """
    Have service hooks on a platform as they are declared here, however often it runs.

    A hook that is missing is created, one that differs is updated, or replaced where the platform has no update, and
    one that matches is left alone; there are never two. Where a hook has one event (Smartsheet) a declaration of
    several events is several hooks.

    Returns ``change`` (``created``, ``updated`` or ``unchanged``), the hooks, and the name of the Variable; never a
    secret. Beside the arguments that it shares with ``RegisterServiceHookOperator``:

    :param hook_name: what the declaration is known by on this registry, from run to run; on Akinon and ZStack it is
        the hook's name too
    :param is_active: whether the hook shall be active; only Sentry and Akinon know hooks that rest
    :param hook_id: a hook that is there already and shall be kept as declared from now on
    :param secret_variable: the Airflow Variable that remembers the hooks and their secrets, in place of the
        endpoint's; without any, ``service_hook_secret_<service_hook_registry_conn_id>_<hook_name>``
    """

    template_fields: Sequence[str] = (*_SubscribeOperator.template_fields, "is_active", "hook_id")

    def __init__(self, *, hook_name: str, is_active: bool = True, hook_id: str | None = None, **kwargs: object) -> None:
        super().__init__(hook_name=hook_name, **kwargs)  # type: ignore[arg-type]  # those of both operators
        self.is_active = is_active
        self.hook_id = hook_id

    def _call_platform(self, context: Context) -> JsonObject:
        from dataclasses import replace

        from airflow_provider_hooks._runtime.variable_store import default_variable_name
        from airflow_provider_hooks.exceptions import ValidationErrors
        from airflow_provider_hooks.hooks.registry import RegistryHook

        problems = ValidationErrors(f"task '{self.task_id}'")
        name = read_name(problems, "hook_name", self.hook_name)
        is_active = read_flag(problems, "is_active", self.is_active)
        on_unknown = read_when_unknown(problems, self.on_unknown)
        spec, variable = self._read_arguments(context, problems, name=name)
        spec, hook_id = replace(spec, is_active=is_active), self.hook_id or None
        variable = variable or default_variable_name(self.service_hook_registry_conn_id, name)
        hook = RegistryHook(self.service_hook_registry_conn_id)
        problems.collect(lambda: hook.check_declaration(spec, variable=variable, hook_id=hook_id))
        problems.raise_if_any()
        ensured = hook.ensure_hooks(spec, name=name, variable=variable, hook_id=hook_id, on_unknown=on_unknown)
        ids = ", ".join(hook.hook_id for hook in ensured.hooks)
        self.log.info("%s: '%s' is %s: service hook %s", self.service_hook_registry_conn_id, name, ensured.change, ids)
        return {
            "change": ensured.change,
            "hooks": [hook.as_json() for hook in ensured.hooks],
            "secret_variable": variable,
        }
