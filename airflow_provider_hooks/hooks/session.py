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

from airflow_provider_hooks.hooks.lock import VariableLock
from airflow_provider_hooks.hooks.variables import VariableMemory, check_variable_name
from airflow_provider_hooks.registries.apis import open_api
from airflow_provider_hooks.registries.client import RegistryClient
from airflow_provider_hooks.registries.keeping import HookKeeper
from airflow_provider_hooks.registries.management import HookManager
from airflow_provider_hooks.registries.memory import Forgetful

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_hooks.hooks.deployment import VariableStore
    from airflow_provider_hooks.registries.keeping import WhenUnknown
    from airflow_provider_hooks.registries.memory import Memory
    from airflow_provider_hooks.registries.registry import Registry
    from airflow_provider_hooks.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ChangingSession:
    """What changes hooks, as long as nobody else does with the same Variable."""

    manager: HookManager
    memory: Memory
    keeper: HookKeeper


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
        keep_alive=lock.keep_alive if lock else lambda: None,
    )


@contextmanager
def change_hooks(
    registry: Registry,
    settings: Settings,
    *,
    variable: str | None,
    when_unknown: WhenUnknown,
    store: VariableStore | None = None,
) -> Iterator[ChangingSession]:
    """
    Open what changes hooks, and let nobody else in with the same Variable.

    :param variable: the Airflow Variable that remembers them; without one nothing is remembered
    :param store: where Variables are written, if not by the running task
    :raises InvalidFieldsError: if that cannot be a Variable's name
    :raises ServiceHookError: if a task cannot write it
    :raises LockError: if other runs do not let this one go on
    """
    memory: Memory = Forgetful()
    name = f"service_hook_registry_{re.sub(r'[^A-Za-z0-9_.-]', '_', registry.conn_id)}"
    kept: VariableMemory | None = None
    if variable is not None:
        check_variable_name(variable)
        kept = VariableMemory(variable, store=store)
        kept.check()
        name, memory = variable, kept
    with VariableLock(name, longest_call=registry.timeout, store=store) as lock:
        if kept is not None:
            kept.before_write = lock.make_sure
        manager = open_manager(registry, settings, lock=lock)
        keeper = HookKeeper(manager, memory, registry=registry.conn_id, when_unknown=when_unknown)
        yield ChangingSession(manager=manager, memory=memory, keeper=keeper)
