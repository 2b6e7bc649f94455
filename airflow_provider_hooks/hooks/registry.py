# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``RegistryHook``: a platform's management API, as an Airflow connection of type ``service_hook_registry``."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from airflow_provider_hooks._runtime.airflow import read_connection, read_settings
from airflow_provider_hooks._runtime.registry_session import locked_session, open_manager
from airflow_provider_hooks._runtime.variable_store import VariableHookStore, check_variable_name
from airflow_provider_hooks.exceptions import ServiceHookError, ValidationErrors
from airflow_provider_hooks.registries.apis import open_api
from airflow_provider_hooks.registries.platform_table import Operation
from airflow_provider_hooks.registries.registry import SERVICE_HOOK_REGISTRY, Registry, read_registry
from airflow_provider_hooks.registries.rotation import SecretRotation
from airflow_provider_hooks.registries.store import find_declared

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from airflow_provider_hooks._runtime.airflow import VariableStore
    from airflow_provider_hooks._runtime.registry_session import LockedSession
    from airflow_provider_hooks.registries.model import HookChanges, HookSpec, Security, ServiceHook, Stat
    from airflow_provider_hooks.registries.reconcile import EnsureResult, WhenUnknown
    from airflow_provider_hooks.registries.rotation import RotationResult
    from airflow_provider_hooks.registries.service import HookManager
    from airflow_provider_hooks.settings import Settings


__all__ = ["RegistryHook"]


class RegistryHook(BaseHook):
    """
    Manages service hooks on the platform that a connection describes.

    Every secret that an answer holds is registered with Airflow's masker before anything else is done with it. What is
    registered, kept, rotated or deleted with a Variable holds a lock on that Variable, which only a running task can.

    :param service_hook_registry_conn_id: a connection of type ``service_hook_registry``
    :param store: where Variables are written, if not by a running task
    """

    conn_name_attr = "service_hook_registry_conn_id"
    default_conn_name = "service_hook_registry_default"
    conn_type = SERVICE_HOOK_REGISTRY.name
    hook_name = SERVICE_HOOK_REGISTRY.label

    def __init__(
        self, service_hook_registry_conn_id: str = default_conn_name, *, store: VariableStore | None = None
    ) -> None:
        super().__init__()
        self.service_hook_registry_conn_id = service_hook_registry_conn_id
        self._store = store

    @cached_property
    def _settings(self) -> Settings:
        return read_settings()

    @cached_property
    def _registry(self) -> Registry:
        return self.get_conn()

    def get_conn(self) -> Registry:
        """
        Read the registry, with its token registered with Airflow's masker.

        :raises ValidationError: naming each field of the connection that cannot be used
        """
        fields = read_connection(SERVICE_HOOK_REGISTRY, self.service_hook_registry_conn_id)
        return read_registry(fields, default_timeout=self._settings.timeout)

    def list_hooks(self) -> list[ServiceHook]:
        """
        Return every hook, in the platform's order, reading all pages.

        :raises UnsupportedOperationError: if the platform documents no list
        :raises RegistryError: if a call fails, or the pages never end
        """
        return self._manage().list_all()

    def fetch_hook(self, hook_id: str) -> ServiceHook:
        """
        Return one hook.

        :raises RegistryError: if there is none, or the call fails
        """
        return self._manage().fetch(hook_id)

    def check_registration(self, spec: HookSpec, *, variable: str | None) -> None:
        """
        Return if ``register_hook`` would be taken by the platform's own rules. Nothing is sent.

        :raises ValidationError: naming each field that is wrong
        """
        api = open_api(self._registry)
        problems = ValidationErrors(f"service hook on {api.platform.title}")
        problems.collect(lambda: api.create(api.complete(spec)))
        if variable is not None:
            problems.collect(lambda: check_variable_name(variable))
        elif Operation.LIST not in api.platform.operations:
            told = f"is needed on {api.platform.title}, which cannot list: it remembers which hook is registered"
            problems.add("secret_variable", told)
        problems.raise_if_any()

    def register_hook(
        self, spec: HookSpec, *, variable: str | None = None, on_unknown: WhenUnknown = "fail"
    ) -> tuple[ServiceHook, bool]:
        """
        Register a hook unless one for this URL is registered, remember it, and tell whether it was created now.

        :param variable: the Airflow Variable that remembers the hook and its secret; needed where there is no list
        :param on_unknown: what to do where an earlier try may have registered it and the platform cannot be asked:
            ``fail`` or ``create``
        :raises ValidationError: naming each field that the platform would refuse; nothing was sent
        :raises HookConflictError: if a hook for this URL rests or differs; it is left as it is
        :raises HookUncertainError: if an earlier try may have registered it and the platform cannot be asked
        :raises LockError: if other runs do not let this one go on
        :raises RegistryError: if a call fails
        """
        self.check_registration(spec, variable=variable)
        with self._changing(variable, on_unknown=on_unknown) as session:
            return session.keeper.register(spec)

    def check_declaration(self, spec: HookSpec, *, variable: str, hook_id: str | None = None) -> None:
        """
        Return if ``ensure_hooks`` would be taken by the platform's own rules. Nothing is sent.

        :raises ValidationError: naming each field that is wrong
        """
        api = open_api(self._registry)
        problems = ValidationErrors(f"service hook on {api.platform.title}")
        problems.collect(lambda: api.split(spec))
        problems.collect(lambda: check_variable_name(variable))
        if hook_id is not None:
            problems.collect(lambda: api.quote_id(hook_id))
        problems.raise_if_any()

    def ensure_hooks(
        self,
        spec: HookSpec,
        *,
        name: str,
        variable: str,
        hook_id: str | None = None,
        on_unknown: WhenUnknown = "fail",
    ) -> EnsureResult:
        """
        See to it that the hooks of a declaration are there as declared: create, update, or leave alone.

        Where a hook has one event, a declaration of several events is several hooks.

        :param name: what the declaration is known by on this registry; the same from run to run
        :param variable: the Airflow Variable that remembers the hooks and their secrets
        :param hook_id: a hook that is there already and shall be kept as declared from now on
        :param on_unknown: as for ``register_hook``
        :raises ValidationError: naming each field that the platform would refuse; nothing was sent
        :raises HookConflictError: if it cannot be told which hook is meant
        :raises HookUncertainError: if an earlier try may have registered it and the platform cannot be asked
        :raises LockError: if other runs do not let this one go on
        :raises RegistryError: if a call fails; what was done before it is remembered
        """
        self.check_declaration(spec, variable=variable, hook_id=hook_id)
        with self._changing(variable, on_unknown=on_unknown) as session:
            return session.keeper.ensure(spec, name=name, adopt=hook_id)

    def check_changes(self, changes: HookChanges) -> None:
        """
        Return if the platform would take a change of a hook. Nothing is sent.

        :raises UnsupportedOperationError: if it documents no update
        :raises ValidationError: naming each field that it would refuse
        """
        api = open_api(self._registry)
        if Operation.UPDATE not in api.platform.operations:
            api.refuse(Operation.UPDATE)
        api.check(changes)

    def update_hook(self, hook_id: str, changes: HookChanges) -> ServiceHook:
        """
        Change a hook.

        :raises UnsupportedOperationError: if the platform documents no update
        :raises ValidationError: naming each field that the platform would refuse; nothing was sent
        :raises RegistryError: if there is no such hook, or the call fails
        """
        return self._manage().update(hook_id, changes)

    def delete_hooks(self, hook_ids: Sequence[str], *, variable: str | None = None) -> tuple[list[str], list[str]]:
        """
        Delete hooks, forget them, and return the ids of those that were there and of those that were gone already.

        :param variable: the Airflow Variable that remembers them
        :raises ValidationError: if an id is none of this platform; nothing was sent
        :raises LockError: if other runs do not let this one go on
        :raises RegistryError: if a call fails; what was deleted before it is forgotten
        """
        for hook_id in hook_ids:
            open_api(self._registry).delete(hook_id)
        with self._changing(variable) as session:
            return session.keeper.delete(hook_ids)

    def find_declared_ids(self, name: str, *, variable: str) -> list[str]:
        """
        Return the ids of the hooks that a Variable remembers for a declaration.

        :raises ServiceHookError: if the Variable cannot be read
        """
        check_variable_name(variable)
        memory = VariableHookStore(variable, store=self._store)
        return [
            one.hook_id for one in find_declared(memory.read(), registry=self.service_hook_registry_conn_id, name=name)
        ]

    def rotate_secret(self, hook_id: str, *, variable: str, asking: str, overlap: timedelta) -> RotationResult:
        """
        Have a new secret of a hook in use, once for each asking.

        ZStack makes a new secret, and the old one ends. On Sentry a new hook is registered beside the old one, which
        ``finish_rotation`` deletes once the overlap is over.

        :param variable: the Airflow Variable that endpoints read the secret from
        :param asking: which asking of which task this is; the same on every try of it
        :param overlap: how long the old hook stays beside the new one, where there are two
        :raises UnsupportedOperationError: if the platform signs nothing, saying what to do instead
        :raises HookConflictError: if an earlier rotation's overlap is not over
        :raises LockError: if other runs do not let this one go on
        :raises RegistryError: if a call fails
        """
        api = open_api(self._registry)
        if not api.signs:
            api.refuse(Operation.ROTATE)
        api.get(hook_id)
        with self._changing(variable) as session:
            return self._rotation(session, asking).rotate(hook_id, overlap=overlap, now=datetime.now(timezone.utc))

    def finish_rotation(self, rotated: RotationResult, *, variable: str) -> None:
        """
        Delete the old hook of a rotation and forget its secret.

        :raises LockError: if other runs do not let this one go on
        :raises RegistryError: if the call fails
        """
        with self._changing(variable) as session:
            self._rotation(session, asking="").finish(rotated)

    def fetch_stats(
        self, hook_id: str, *, since: int | None = None, until: int | None = None, resolution: str | None = None
    ) -> list[Stat]:
        """
        Return how often a hook was delivered to; on Sentry.

        :param since: unix seconds
        :param until: unix seconds
        :param resolution: the length of a step: ``10s``, ``m``, ``1h`` or ``1d``
        :raises UnsupportedOperationError: on every other platform
        :raises RegistryError: if the call fails
        """
        return self._manage().fetch_stats(hook_id, since=since, until=until, resolution=resolution)

    def fetch_security(self) -> Security:
        """
        Return how the platform says that it signs; on ZStack.

        :raises UnsupportedOperationError: on every other platform
        :raises RegistryError: if the call fails
        """
        return self._manage().fetch_security()

    def test_connection(self) -> tuple[bool, str]:
        """Ask the platform for its hooks, or for what else it documents that changes nothing."""
        try:
            manager = self._manage()
            title = manager.api.platform.title
            if not manager.supports(Operation.LIST):
                return True, f"{title} answers; it signs with {manager.fetch_security().algorithm}."
            return True, f"{title} lists {len(manager.list_all())} service hook(s)."
        except ServiceHookError as error:
            return False, str(error)

    def _manage(self) -> HookManager:
        return open_manager(self._registry, self._settings)

    def _changing(
        self, variable: str | None, *, on_unknown: WhenUnknown = "fail"
    ) -> AbstractContextManager[LockedSession]:
        return locked_session(
            self._registry, self._settings, variable=variable, on_unknown=on_unknown, store=self._store
        )

    def _rotation(self, session: LockedSession, asking: str) -> SecretRotation:
        return SecretRotation(
            session.manager, session.keeper, session.memory, registry=self.service_hook_registry_conn_id, asking=asking
        )
