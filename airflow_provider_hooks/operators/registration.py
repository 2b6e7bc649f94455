# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Operators that register service hooks on a platform through its documented API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.registries.model import HookSpec


class RegisterServiceHookOperator(BaseOperator):
    """
    Register a service hook, unless one for this URL is registered, and keep its secret where endpoints find it.

    Returns the hook's id, URL, events, status and times, and whether it was created now; never its secret.

    :param registry_conn_id: a connection of type ``service_hook_registry``
    :param service_hook_conn_id: the endpoint to register: its URL, and its Variable for the secret
    :param url: where the platform shall send events, in place of an endpoint's URL
    :param events: which events, such as ``["event.alert"]``; without them, on Sentry both
    :param hook_name: the hook's name, where the platform asks for one (Akinon, ZStack); else the task's id
    :param secret_variable: the Airflow Variable that gets the secret, in place of the endpoint's; without any the
        secret is not kept
    """

    template_fields: Sequence[str] = (
        "registry_conn_id",
        "service_hook_conn_id",
        "url",
        "events",
        "hook_name",
        "secret_variable",
    )
    ui_color = "#e3dff5"

    def __init__(
        self,
        *,
        registry_conn_id: str = "service_hook_registry_default",
        service_hook_conn_id: str | None = None,
        url: str | None = None,
        events: Sequence[str] | None = None,
        hook_name: str | None = None,
        secret_variable: str | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]  # BaseOperator's own arguments
        self.registry_conn_id = registry_conn_id
        self.service_hook_conn_id = service_hook_conn_id
        self.url = url
        self.events = events
        self.hook_name = hook_name
        self.secret_variable = secret_variable

    def execute(self, context: Context) -> JsonObject:  # noqa: ARG002  (Airflow passes it)
        """
        Register the hook and return what may be known of it.

        :raises AirflowFailException: if something cannot be used as it is, or the platform refuses
        :raises AirflowException: if the platform could not be reached; Airflow's own ``retries`` then apply
        """
        from airflow.sdk.exceptions import AirflowNotFoundException

        from airflow_provider_hooks.errors import ServiceHookError
        from airflow_provider_hooks.hooks.outcomes import fail_call
        from airflow_provider_hooks.hooks.registry import RegistryHook

        hook = RegistryHook(self.registry_conn_id)
        try:
            url, variable = self._find_subscription()
            registered, created = hook.register_hook(self._make_spec(url), variable=variable)
        except (ServiceHookError, AirflowNotFoundException) as error:
            fail_call(error)
        if registered.secret and not variable:
            self.log.warning("The secret of hook %s is not kept: no secret_variable names where", registered.hook_id)
        told = "registered" if created else "was registered already as"
        self.log.info("%s %s service hook %s", self.registry_conn_id, told, registered.hook_id)
        return {**registered.as_json(), "created": created, "secret_variable": variable}

    def _make_spec(self, url: str) -> HookSpec:
        from airflow_provider_hooks.registries.model import HookSpec

        # A template may have rendered text where a list is meant; the platform's check names it.
        events = (self.events,) if isinstance(self.events, str) else self.events
        return HookSpec(url=url, events=None if events is None else tuple(events), name=self.hook_name or self.task_id)

    def _find_subscription(self) -> tuple[str, str | None]:
        """Return the URL to register and the Variable for its secret, of the endpoint or as given."""
        from airflow_provider_hooks.errors import InvalidFieldsError
        from airflow_provider_hooks.hooks.endpoint import EndpointHook

        if bool(self.url) == bool(self.service_hook_conn_id):
            raise InvalidFieldsError(
                f"task '{self.task_id}'", {"url": "give either url or service_hook_conn_id, and not both"}
            )
        if self.url:
            return self.url, self.secret_variable
        url, variable = EndpointHook(str(self.service_hook_conn_id)).read_subscription()
        return url, self.secret_variable or variable
