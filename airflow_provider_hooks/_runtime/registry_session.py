# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What manages a registry's hooks in an Airflow task, and what changes them while nobody else does."""

from __future__ import annotations

import logging
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow.sdk.log import mask_secret

from airflow_provider_hooks._runtime.variable_lock import VariableLock
from airflow_provider_hooks._runtime.variable_store import VariableHookStore, check_variable_name
from airflow_provider_hooks.registries.apis import open_api
from airflow_provider_hooks.registries.client import RegistryClient
from airflow_provider_hooks.registries.reconcile import HookReconciler
from airflow_provider_hooks.registries.service import HookManager
from airflow_provider_hooks.registries.store import NullHookStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_hooks._runtime.airflow import VariableStore
    from airflow_provider_hooks.registries.reconcile import WhenUnknown
    from airflow_provider_hooks.registries.registry import Registry
    from airflow_provider_hooks.registries.store import HookStore
    from airflow_provider_hooks.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LockedSession:
    """What changes hooks, as long as nobody else does with the same Variable."""

    manager: HookManager
    memory: HookStore
    keeper: HookReconciler


def open_manager(registry: Registry, settings: Settings, *, lock: VariableLock | None = None) -> HookManager:
    """Return what manages a registry's hooks; every secret in an answer is known to Airflow's masker first."""
    api = open_api(registry)
    client = RegistryClient(
        api, policy=settings.build_policy(), connect_timeout=settings.connect_timeout, ca_file=settings.ca_file
    )
    sleep = lock.wait if lock else time.sleep

    def wait(seconds: float) -> None:
        _log.info("%s had too many calls; waiting %.0f s, as it said", api.platform.title, seconds)
        sleep(seconds)

    return HookManager(
        api,
        client,
        mask=mask_secret,
        max_wait=registry.max_wait,
        wait=wait,
        renew=lock.renew if lock else lambda: None,
    )


@contextmanager
def locked_session(
    registry: Registry,
    settings: Settings,
    *,
    variable: str | None,
    on_unknown: WhenUnknown,
    store: VariableStore | None = None,
) -> Iterator[LockedSession]:
    """
    Open what changes hooks, and let nobody else in with the same Variable.

    :param variable: the Airflow Variable that remembers them; without one nothing is remembered
    :param store: where Variables are written, if not by the running task
    :raises ValidationError: if that cannot be a Variable's name
    :raises ServiceHookError: if a task cannot write it
    :raises LockError: if other runs do not let this one go on
    """
    memory: HookStore = NullHookStore()
    name = f"service_hook_registry_{re.sub(r'[^A-Za-z0-9_.-]', '_', registry.conn_id)}"
    kept: VariableHookStore | None = None
    if variable is not None:
        check_variable_name(variable)
        kept = VariableHookStore(variable, store=store)
        kept.check()
        name, memory = variable, kept
    with VariableLock(name, max_call_seconds=registry.timeout, store=store) as lock:
        if kept is not None:
            kept.before_write = lock.ensure_held
        manager = open_manager(registry, settings, lock=lock)
        keeper = HookReconciler(manager, memory, registry=registry.conn_id, on_unknown=on_unknown)
        yield LockedSession(manager=manager, memory=memory, keeper=keeper)
