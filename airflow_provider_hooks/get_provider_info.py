# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The provider's metadata. It imports nothing from Airflow, which reads it before its own configuration is ready."""

from __future__ import annotations

from airflow_provider_hooks import __version__
from airflow_provider_hooks.connection_form import describe_form
from airflow_provider_hooks.delivery.connection import SERVICE_HOOK
from airflow_provider_hooks.registries.connection import describe_connection_type
from airflow_provider_hooks.settings import OPTIONS, SECTION, Option

_FIRST_VERSION = "0.1.0"


def get_provider_info() -> dict[str, object]:
    """Return the provider's metadata, in the form of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-hooks",
        "name": "Service Hooks",
        "description": "Registers webhooks on platforms, and delivers signed events at most once.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "Service Hooks",
                "external-doc-url": "https://docs.sentry.io/",
                "tags": ["service"],
            }
        ],
        "operators": [
            {
                "integration-name": "Service Hooks",
                "python-modules": [
                    "airflow_provider_hooks.operators.delivery",
                    "airflow_provider_hooks.operators.registration",
                ],
            }
        ],
        "hooks": [
            {
                "integration-name": "Service Hooks",
                "python-modules": [
                    "airflow_provider_hooks.hooks.stream",
                    "airflow_provider_hooks.hooks.endpoint",
                    "airflow_provider_hooks.hooks.registry",
                ],
            }
        ],
        "cli": ["airflow_provider_hooks.cli.commands.get_service_hooks_cli_commands"],
        "notifications": ["airflow_provider_hooks.notifications.service_hook.ServiceHookNotifier"],
        "task-decorators": [
            {
                "name": "service_hook",
                "class-name": "airflow_provider_hooks.decorators.service_hook.service_hook_task",
            }
        ],
        "extra-links": [
            "airflow_provider_hooks.operators.links.DeliveryRecordLink",
            "airflow_provider_hooks.operators.links.EventLink",
        ],
        "connection-types": [describe_form(kind) for kind in (SERVICE_HOOK, describe_connection_type())],
        "config": {
            SECTION: {
                "description": "Where service hooks may be sent, and within which limits.",
                "options": {option.name: _describe_option(option) for option in OPTIONS},
            }
        },
    }


def _describe_option(option: Option) -> dict[str, object]:
    return {
        "description": option.description,
        "version_added": _FIRST_VERSION,
        "type": option.type,
        "example": option.example,
        "default": option.default,
        "sensitive": option.sensitive,
    }
