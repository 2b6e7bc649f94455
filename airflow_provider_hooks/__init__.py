# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Apache Airflow provider for outbound webhooks: registers hooks on platforms, and delivers signed events at most once.

The public names are imported when they are first used: Airflow imports this package before its own configuration is
ready, so importing it imports nothing of Airflow. ``docs/reference/python-api.md`` lists the public API.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_hooks.events import (
        build_event_alert,
        build_event_created,
        event_from_exception,
        events_from_assets,
    )
    from airflow_provider_hooks.exceptions import (
        DeliveryError,
        DeliveryFailedError,
        DeliveryNotSentError,
        DeliveryRejectedError,
        DeliveryUnknownError,
        ServiceHookError,
        SignatureError,
        ValidationError,
    )
    from airflow_provider_hooks.hooks.endpoint import EndpointHook
    from airflow_provider_hooks.hooks.registry import RegistryHook
    from airflow_provider_hooks.notifications.service_hook import ServiceHookNotifier
    from airflow_provider_hooks.operators.delivery import (
        DeliverEventAlertOperator,
        DeliverEventCreatedOperator,
        DeliverEventOperator,
        DeliverEventStreamOperator,
    )
    from airflow_provider_hooks.operators.registration import (
        DeleteServiceHookOperator,
        EnsureServiceHookOperator,
        ListServiceHooksOperator,
        RegisterServiceHookOperator,
        RotateServiceHookSecretOperator,
        UpdateServiceHookOperator,
    )
    from airflow_provider_hooks.signing import SCHEMES, sign, verify

__version__ = "0.1.0"

__all__ = [
    "SCHEMES",
    "DeleteServiceHookOperator",
    "DeliverEventAlertOperator",
    "DeliverEventCreatedOperator",
    "DeliverEventOperator",
    "DeliverEventStreamOperator",
    "DeliveryError",
    "DeliveryFailedError",
    "DeliveryNotSentError",
    "DeliveryRejectedError",
    "DeliveryUnknownError",
    "EndpointHook",
    "EnsureServiceHookOperator",
    "ListServiceHooksOperator",
    "RegisterServiceHookOperator",
    "RegistryHook",
    "RotateServiceHookSecretOperator",
    "ServiceHookError",
    "ServiceHookNotifier",
    "SignatureError",
    "UpdateServiceHookOperator",
    "ValidationError",
    "__version__",
    "build_event_alert",
    "build_event_created",
    "event_from_exception",
    "events_from_assets",
    "sign",
    "verify",
]

_MODULES = {
    "DeleteServiceHookOperator": "operators.registration",
    "DeliverEventAlertOperator": "operators.delivery",
    "DeliverEventCreatedOperator": "operators.delivery",
    "DeliverEventOperator": "operators.delivery",
    "DeliverEventStreamOperator": "operators.delivery",
    "DeliveryError": "exceptions",
    "DeliveryFailedError": "exceptions",
    "DeliveryNotSentError": "exceptions",
    "DeliveryRejectedError": "exceptions",
    "DeliveryUnknownError": "exceptions",
    "EndpointHook": "hooks.endpoint",
    "EnsureServiceHookOperator": "operators.registration",
    "ListServiceHooksOperator": "operators.registration",
    "RegisterServiceHookOperator": "operators.registration",
    "RegistryHook": "hooks.registry",
    "RotateServiceHookSecretOperator": "operators.registration",
    "SCHEMES": "signing",
    "ServiceHookError": "exceptions",
    "ServiceHookNotifier": "notifications.service_hook",
    "SignatureError": "exceptions",
    "UpdateServiceHookOperator": "operators.registration",
    "ValidationError": "exceptions",
    "build_event_alert": "events",
    "build_event_created": "events",
    "event_from_exception": "events",
    "events_from_assets": "events",
    "sign": "signing",
    "verify": "signing",
}
"""The module of each public name."""


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
