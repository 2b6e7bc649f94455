# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What all operators share that work on a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperator

from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_hooks.json_types import JsonValue


class RegistryOperator(BaseOperator):
    """
    Calls a platform's management API, and fails so that Airflow knows whether a retry can help.

    :param service_hook_registry_conn_id: a connection of type ``service_hook_registry``
    """

    template_fields: Sequence[str] = ("service_hook_registry_conn_id",)
    ui_color = "#e3dff5"

    def __init__(
        self, *, service_hook_registry_conn_id: str = "service_hook_registry_default", **kwargs: object
    ) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]  # BaseOperator's own arguments
        self.service_hook_registry_conn_id = service_hook_registry_conn_id

    def execute(self, context: Context) -> JsonValue:
        """
        Make the calls and return what may be known of their results.

        :raises NonRetryableError: if something cannot be used as it is, or the platform refuses
        :raises RetryableError: if the platform could not be reached; Airflow's own ``retries`` then apply
        """
        from airflow.sdk.exceptions import AirflowNotFoundException

        from airflow_provider_hooks._runtime.failures import raise_registry_failure
        from airflow_provider_hooks.exceptions import ServiceHookError

        try:
            return self._call_platform(context)
        except (ServiceHookError, AirflowNotFoundException) as error:
            raise_registry_failure(error)

    def _call_platform(self, context: Context) -> JsonValue:
        """
        Make the calls of one operator.

        :raises ServiceHookError: if one cannot be made or fails
        """
        raise NotImplementedError

    def _render_headers(self, headers: Mapping[str, str] | None, context: Context) -> Mapping[str, str] | None:
        """Render headers here and not as a template field, since those are shown in the UI, and mask their values."""
        from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
        from airflow.sdk.log import mask_secret
        from jinja2 import TemplateError

        from airflow_provider_hooks.exceptions import ValidationError

        try:
            rendered = None if headers is None else self.render_template(headers, context)
        except (AirflowRuntimeError, TemplateError) as error:
            if isinstance(error, AirflowRuntimeError) and error.error.error is not ErrorType.VARIABLE_NOT_FOUND:
                raise
            told = f"cannot be rendered: {escape(str(error))}"
            raise ValidationError(f"task '{self.task_id}'", {"headers": told}) from None
        for value in rendered.values() if isinstance(rendered, dict) else ():
            mask_secret(value)
        return rendered
