# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What differs between the versions of Airflow that the provider runs on: 3.1 to 3.4.

Every name of Airflow whose place, or whose existence, depends on the version is imported from here. A type checker sees
the places of Airflow 3.3. At run time a name is imported when it is first used, because a Dag file imports this module.
"""

from __future__ import annotations

import functools
from importlib import import_module
from importlib.metadata import version
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow.sdk import RetryDecision, RetryPolicy, conf
    from airflow.sdk.bases.decorator import determine_kwargs
    from airflow.sdk.definitions.context import context_merge
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowRuntimeError,
        AirflowSecretsBackendAccessDenied,
        AirflowSkipException,
        ErrorType,
    )
    from airflow.sdk.execution_time.context import NEVER_EXPIRE
    from airflow.sdk.log import mask_secret, redact  # type: ignore[attr-defined]  # it has no other public place
    from airflow.sdk.observability import stats
    from airflow.utils.providers_configuration_loader import providers_configuration_loaded

__all__ = [
    "NEVER_EXPIRE",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowRuntimeError",
    "AirflowSecretsBackendAccessDenied",
    "AirflowSkipException",
    "ErrorType",
    "RetryDecision",
    "RetryPolicy",
    "clear_deletes_claims",
    "conf",
    "context_merge",
    "determine_kwargs",
    "find_team_names",
    "has_provider_commands",
    "has_retry_policy",
    "has_task_state_store",
    "has_threads_in_triggers",
    "mask_secret",
    "providers_configuration_loaded",
    "redact",
    "require_listing",
    "stats",
]

Variables = TypeVar("Variables")
_AIRFLOW_3_2, _AIRFLOW_3_3, _AIRFLOW_3_4 = (1, 2), (1, 3), (1, 4)
"""The versions of the Task SDK that come with each version of Airflow."""

_PLACES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "AirflowException": ("airflow.sdk.exceptions",),
        "AirflowFailException": ("airflow.sdk.exceptions", "airflow.exceptions"),
        "AirflowNotFoundException": ("airflow.sdk.exceptions", "airflow.exceptions"),
        "AirflowRuntimeError": ("airflow.sdk.exceptions",),
        "AirflowSecretsBackendAccessDenied": ("airflow.sdk.exceptions",),
        "AirflowSkipException": ("airflow.sdk.exceptions", "airflow.exceptions"),
        "ErrorType": ("airflow.sdk.exceptions",),
        "NEVER_EXPIRE": ("airflow.sdk",),
        "RetryDecision": ("airflow.sdk",),
        "RetryPolicy": ("airflow.sdk",),
        "conf": ("airflow.sdk", "airflow.configuration"),
        "context_merge": ("airflow.sdk.definitions.context",),
        "determine_kwargs": ("airflow.sdk.bases.decorator", "airflow.utils.operator_helpers"),
        "mask_secret": ("airflow.sdk.log",),
        "providers_configuration_loaded": ("airflow.utils.providers_configuration_loader",),
        "redact": ("airflow.sdk.log",),
    }
)
"""The modules that have each name, that of the newest version first."""


class _NoSecretsBackendError(Exception):
    """Airflow before 3.2 raises nothing of the kind."""


class _NoRetryPolicy:
    """Airflow before 3.3 retries a task by the arguments of the Dag only: see ``has_retry_policy``."""


_STAND_INS: Mapping[str, object] = MappingProxyType(
    {
        "AirflowSecretsBackendAccessDenied": _NoSecretsBackendError,
        "NEVER_EXPIRE": None,
        "RetryPolicy": _NoRetryPolicy,
    }
)
"""What stands for a name that this Airflow lacks: a base class, an argument, a type that an ``except`` clause names."""


def has_provider_commands() -> bool:
    """Return whether ``airflow`` has the commands of providers, such as ``airflow service-hooks``."""
    return read_sdk_version() >= _AIRFLOW_3_2


def has_threads_in_triggers() -> bool:
    """Return whether a thread of the triggerer can read connections: on Airflow 3.1 that ends the triggerer."""
    return read_sdk_version() >= _AIRFLOW_3_2


def has_retry_policy() -> bool:
    """Return whether an operator can have a ``retry_policy``."""
    return read_sdk_version() >= _AIRFLOW_3_3


def has_task_state_store() -> bool:
    """Return whether the context of a running task has a ``task_state_store``."""
    return read_sdk_version() >= _AIRFLOW_3_3


def require_listing(variables: Variables) -> Variables:
    """
    Return the Variables of the running task, if they can be listed.

    Without a list, two runs cannot exclude each other, and a Variable of a secrets backend looks like one that a task
    can write.

    :param variables: ``airflow.sdk.Variable``
    :raises ServiceHookError: if they cannot be listed, as before Airflow 3.3
    """
    if hasattr(variables, "keys"):
        return variables
    from airflow_provider_hooks.exceptions import ServiceHookError  # noqa: PLC0415  (a Dag file imports this module)

    raise ServiceHookError(
        "Airflow before 3.3 cannot list Variables in a task, which changing hooks requires: use the commands "
        "'service-hooks hooks ensure' and 'service-hooks hooks delete'; nothing was changed"
    )


def clear_deletes_claims() -> bool:
    """Return whether a clear deletes the task state store, unless it is made with ``keep_task_state``."""
    return read_sdk_version() >= _AIRFLOW_3_4


def find_team_names(dag_ids: Collection[str]) -> Mapping[str, str | None]:
    """
    Return the team of each Dag that has one: with one query, or with one for each Dag on Airflow 3.1.

    :raises SQLAlchemyError: if Airflow's database fails
    """
    from airflow.models.dag import DagModel  # noqa: PLC0415  (a Dag file imports this module)

    if hasattr(DagModel, "get_dag_id_to_team_name_mapping"):
        return DagModel.get_dag_id_to_team_name_mapping(list(dag_ids))
    return {one: DagModel.get_team_name(one) for one in dag_ids}


@functools.cache
def read_sdk_version() -> tuple[int, int]:
    """Return the first two numbers of the version of the Task SDK."""
    major, minor = version("apache-airflow-task-sdk").split(".")[:2]
    return int(major), int(minor)


def __getattr__(name: str) -> object:
    if name == "stats":
        found = _find_stats()
    elif name in _PLACES:
        found = _find(name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def _find(name: str) -> object:
    """Import a name from the first module that has it."""
    for module in _PLACES[name]:
        try:
            return getattr(import_module(module), name)
        except (ImportError, AttributeError):
            continue
    if name in _STAND_INS:
        return _STAND_INS[name]
    raise ImportError(f"this Airflow has no {name}: it is not in {', '.join(_PLACES[name])}", name=__name__)


def _find_stats() -> object:
    """Return what reports metrics: a module since Airflow 3.3, a class with the same methods before."""
    try:
        stats = import_module("airflow.sdk.observability.stats")
    except ImportError:
        return import_module("airflow.stats").Stats
    return stats if hasattr(stats, "incr") else stats.Stats
