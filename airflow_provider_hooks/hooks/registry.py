# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``RegistryHook``: a platform's management API, as an Airflow connection of type ``service_hook_registry``."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from airflow_provider_hooks._runtime.airflow import read_connection, read_settings
from airflow_provider_hooks._runtime.compat import mask_secret
from airflow_provider_hooks._runtime.variable_lock import VariableLock
from airflow_provider_hooks._runtime.variable_store import VariableHookStore, check_variable_name
from airflow_provider_hooks.exceptions import ServiceHookError, ValidationError, ValidationErrors, drop_frames
from airflow_provider_hooks.registries.connection import (
    CONNECTION_LABEL,
    CONNECTION_TYPE,
    Registry,
    describe_connection_type,
    read_registry,
)
from airflow_provider_hooks.registries.model import Operation
from airflow_provider_hooks.registries.platforms import open_api
from airflow_provider_hooks.registries.reconcile import HookReconciler
from airflow_provider_hooks.registries.rotation import SecretRotation
from airflow_provider_hooks.registries.service import HookManager
from airflow_provider_hooks.registries.store import NullHookStore, find_declared
from airflow_provider_hooks.registries.transport import RegistryTransport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_hooks._runtime.airflow import VariableStore
    from airflow_provider_hooks.delivery.endpoint import Subscription
    from airflow_provider_hooks.registries.base import PlatformApi
    from airflow_provider_hooks.registries.model import HookChanges, HookSpec, Security, ServiceHook, Stat
    from airflow_provider_hooks.registries.reconcile import EnsureResult, OnUncertainCreate
    from airflow_provider_hooks.registries.rotation import RotationResult
    from airflow_provider_hooks.registries.store import HookStore
    from airflow_provider_hooks.settings import Settings


__all__ = ["RegistryHook"]


@dataclass(frozen=True, kw_only=True)
class _LockedSession:
    """The objects that change hooks while this run holds the lock of the Variable."""

    manager: HookManager
    store: HookStore
    reconciler: HookReconciler


class RegistryHook(BaseHook):
    """
    Manages service hooks on the platform of a connection.

    Use it in a task that decides by itself which hooks there are; for hooks that a Dag declares, the operators are
    simpler.

    Example:

    ```python
    from airflow.sdk import task

    from airflow_provider_hooks import RegistryHook


    @task
    def count_inactive():
        hooks = RegistryHook("service_hook_registry_default").list_hooks()
        return sum(hook.status != "active" for hook in hooks)
    ```

    The secrets of each hook that is used are registered with Airflow's masker. Registering, rotating
    and deleting with a Variable hold a lock on that Variable, which needs a running task or ``store``.

    :param service_hook_registry_conn_id: a connection of type ``service_hook_registry``
    :param store: where Variables are written; by default through the running task
    """

    conn_name_attr = "service_hook_registry_conn_id"
    default_conn_name = "service_hook_registry_default"
    conn_type = CONNECTION_TYPE
    hook_name = CONNECTION_LABEL

    def __init__(
        self, service_hook_registry_conn_id: str = default_conn_name, *, store: VariableStore | None = None
    ) -> None:
        super().__init__()
        self.service_hook_registry_conn_id = service_hook_registry_conn_id
        self._variables = store

    @cached_property
    def _settings(self) -> Settings:
        return read_settings()

    @cached_property
    def _registry(self) -> Registry:
        return self.get_conn()

    @cached_property
    def _api(self) -> PlatformApi:
        return open_api(self._registry)

    @drop_frames
    def get_conn(self) -> Registry:
        """
        Read the connection, and register its token with Airflow's masker.

        :raises ValidationError: naming each field of the connection that is not valid
        """
        fields = read_connection(describe_connection_type(), self.service_hook_registry_conn_id)
        return read_registry(fields, default_timeout=self._settings.timeout)

    @drop_frames
    def list_hooks(self) -> list[ServiceHook]:
        """
        Return all hooks, in the platform's order, reading all pages, without their secrets and headers.

        :raises UnsupportedOperationError: if the platform documents no list
        :raises RegistryError: if a request fails, or the pages do not end
        """
        return [replace(hook, secret=None, headers={}) for hook in self._open_manager().list_all()]

    @drop_frames
    def fetch_hook(self, hook_id: str) -> ServiceHook:
        """
        Return one hook.

        :raises RegistryError: if it does not exist, or the request fails
        """
        return self._open_manager().fetch(hook_id)

    @drop_frames
    def check_subscription(self, subscription: Subscription) -> None:
        """
        Return if an endpoint will sign with the secret of its hook. Nothing is sent.

        :raises ValidationError: if the secret in its connection would differ from the one of the platform
        """
        platform = self._api.platform
        if platform.signs and subscription.has_typed_secret:
            problem = (
                f"is set, but the hook on {platform.title} gets another secret; empty it, and set secret_variable: "
                "registration stores the secret there for the endpoint"
            )
            place = f"connection '{subscription.conn_id}': password"
            raise ValidationError(f"service hook on {platform.title}", {place: problem})

    @drop_frames
    def check_registration(self, spec: HookSpec, *, variable: str | None) -> None:
        """
        Return if ``register_hook`` is valid by the platform's own rules. Nothing is sent.

        :raises ValidationError: naming each field that is not valid
        """
        platform = self._api.platform
        problems = ValidationErrors(f"service hook on {platform.title}")
        problems.collect(lambda: self._api.create(self._api.with_defaults(spec)))
        if variable is not None:
            problems.collect(lambda: check_variable_name(variable))
        elif Operation.LIST not in platform.operations:
            problem = f"is needed on {platform.title}, which cannot list: it stores the id of the registered hook"
            problems.add("secret_variable", problem)
        elif platform.takes_secret:
            problem = f"is needed on {platform.title}, which does not return a secret: it stores the secret"
            problems.add("secret_variable", problem)
        problems.raise_if_any()

    @drop_frames
    def register_hook(
        self, spec: HookSpec, *, variable: str | None = None, on_uncertain_create: OnUncertainCreate = "fail"
    ) -> tuple[ServiceHook, bool]:
        """
        Register a hook unless one for its URL is registered, store it, and return whether it was created now.

        :param variable: the Airflow Variable that stores the hook and its secret; required if the platform cannot list
            hooks or does not return secrets
        :param on_uncertain_create: what to do if an earlier try may have created the hook and the platform cannot list
            its hooks: ``fail`` or ``create``
        :raises ValidationError: naming each field that the platform would reject; nothing was sent
        :raises HookConflictError: if a hook for this URL is inactive or differs; it is unchanged
        :raises HookUncertainError: if an earlier try may have created it and the platform cannot list its hooks
        :raises LockError: if other runs hold the lock, or took it over
        :raises RegistryError: if a request fails
        """
        self.check_registration(spec, variable=variable)
        with self._locked_session(variable, on_uncertain_create=on_uncertain_create) as session:
            return session.reconciler.register(spec)

    @drop_frames
    def check_declaration(self, spec: HookSpec, *, variable: str, hook_id: str | None = None) -> None:
        """
        Return if ``ensure_hooks`` is valid by the platform's own rules. Nothing is sent.

        :raises ValidationError: naming each field that is not valid
        """
        problems = ValidationErrors(f"service hook on {self._api.platform.title}")
        problems.collect(lambda: self._api.expand(spec))
        problems.collect(lambda: check_variable_name(variable))
        if hook_id is not None:
            problems.collect(lambda: self._api.quote_id(hook_id))
        problems.raise_if_any()

    @drop_frames
    def ensure_hooks(
        self,
        spec: HookSpec,
        *,
        name: str,
        variable: str,
        hook_id: str | None = None,
        on_uncertain_create: OnUncertainCreate = "fail",
    ) -> EnsureResult:
        """
        Make the hooks of a declaration as declared: create, update, or leave unchanged.

        If a hook has a single event, a declaration of several events has several hooks.

        :param name: the name of the declaration on this registry; the same in every run
        :param variable: the Airflow Variable that stores the hooks and their secrets
        :param hook_id: an existing hook that the declaration uses from now on
        :param on_uncertain_create: as for ``register_hook``
        :raises ValidationError: naming each field that the platform would reject; nothing was sent
        :raises HookConflictError: if several hooks match, or the only match differs and is not stored
        :raises HookUncertainError: if an earlier try may have created it and the platform cannot list its hooks
        :raises LockError: if other runs hold the lock, or took it over
        :raises RegistryError: if a request fails; the results before it are stored
        """
        self.check_declaration(spec, variable=variable, hook_id=hook_id)
        with self._locked_session(variable, on_uncertain_create=on_uncertain_create) as session:
            return session.reconciler.ensure(spec, name=name, adopt=hook_id)

    @drop_frames
    def check_changes(self, changes: HookChanges) -> None:
        """
        Return if the platform accepts changes of a hook. Nothing is sent.

        :raises UnsupportedOperationError: if it documents no update
        :raises ValidationError: naming each field that it would reject
        """
        if Operation.UPDATE not in self._api.platform.operations:
            self._api.unsupported(Operation.UPDATE)
        self._api.check(changes)

    @drop_frames
    def update_hook(self, hook_id: str, changes: HookChanges) -> ServiceHook:
        """
        Change a hook.

        :raises UnsupportedOperationError: if the platform documents no update
        :raises ValidationError: naming each field that the platform would reject; nothing was sent
        :raises RegistryError: if the hook does not exist, or the request fails
        """
        return self._open_manager().update(hook_id, changes)

    @drop_frames
    def delete_hooks(self, hook_ids: Sequence[str], *, variable: str | None = None) -> tuple[list[str], list[str]]:
        """
        Delete hooks, also from the Variable, and return the ids of those that existed and of those that were gone.

        :param variable: the Airflow Variable that stores them
        :raises ValidationError: if an id is not valid on this platform; nothing was sent
        :raises LockError: if other runs hold the lock, or took it over
        :raises RegistryError: if a request fails; what was deleted before it is no longer stored
        """
        for hook_id in hook_ids:
            self._api.delete(hook_id)
        with self._locked_session(variable) as session:
            return session.reconciler.delete(hook_ids)

    @drop_frames
    def find_declared_ids(self, name: str, *, variable: str) -> list[str]:
        """
        Return the ids of the hooks that a Variable stores for a declaration.

        :raises ServiceHookError: if the Variable cannot be read
        """
        check_variable_name(variable)
        state = VariableHookStore(variable, store=self._variables).read()
        declared = find_declared(state, registry=self.service_hook_registry_conn_id, name=name)
        return [one.hook_id for one in declared]

    @drop_frames
    def rotate_secret(self, hook_id: str, *, variable: str, idempotency_key: str, overlap: timedelta) -> RotationResult:
        """
        Put a new secret of a hook into use, once per idempotency key.

        ZStack generates a new secret, and the old one becomes invalid. On Sentry a new hook is registered next to the
        old one, which ``finish_rotation`` deletes when the overlap is over.

        :param variable: the Airflow Variable that endpoints read the secret from
        :param idempotency_key: identifies this run or manual clear of this task; the same in every try
        :param overlap: how long the old hook exists next to the new one, if there are two
        :raises UnsupportedOperationError: if the platform does not sign
        :raises HookConflictError: if the overlap of an earlier rotation is not over
        :raises LockError: if other runs hold the lock, or took it over
        :raises RegistryError: if a request fails
        """
        if not self._api.platform.signs:
            self._api.unsupported(Operation.ROTATE)
        self._api.get(hook_id)
        with self._locked_session(variable) as session:
            rotation = self._open_rotation(session, idempotency_key)
            return rotation.rotate(hook_id, overlap=overlap, now=datetime.now(timezone.utc))

    @drop_frames
    def finish_rotation(self, result: RotationResult, *, variable: str) -> None:
        """
        Delete the old hook of a rotation, and its secret from the Variable.

        :raises LockError: if other runs hold the lock, or took it over
        :raises RegistryError: if the request fails
        """
        with self._locked_session(variable) as session:
            self._open_rotation(session, idempotency_key="").finish(result)

    @drop_frames
    def fetch_stats(
        self, hook_id: str, *, since: int | None = None, until: int | None = None, resolution: str | None = None
    ) -> list[Stat]:
        """
        Return the numbers of deliveries to a hook; on Sentry.

        :param since: unix seconds
        :param until: unix seconds
        :param resolution: the length of a step: ``10s``, ``m``, ``1h`` or ``1d``
        :raises UnsupportedOperationError: on every other platform
        :raises RegistryError: if the request fails
        """
        return self._open_manager().fetch_stats(hook_id, since=since, until=until, resolution=resolution)

    @drop_frames
    def fetch_security(self) -> Security:
        """
        Return how the platform signs, as its API describes it; on ZStack.

        :raises UnsupportedOperationError: on every other platform
        :raises RegistryError: if the request fails
        """
        return self._open_manager().fetch_security()

    def test_connection(self) -> tuple[bool, str]:
        """List the platform's hooks, or request how it signs if it documents no list; nothing is changed."""
        try:
            manager = self._open_manager()
            title = manager.api.platform.title
            if manager.supports(Operation.LIST):
                return True, f"{title} lists {len(manager.list_all())} service hook(s)."
            if manager.supports(Operation.SECURITY):
                return True, f"{title} responds; it signs with {manager.fetch_security().algorithm}."
        except ServiceHookError as error:
            return False, str(error)
        return True, f"The fields are valid; {title} documents no request that would test them without a change."

    def _open_manager(self, *, lock: VariableLock | None = None) -> HookManager:
        settings, title = self._settings, self._api.platform.title
        transport = RegistryTransport(
            self._api,
            policy=settings.build_policy(),
            connect_timeout=settings.connect_timeout,
            ca_file=settings.ca_file,
        )

        def wait(seconds: float) -> None:
            self.log.info("%s answered that there were too many requests; waiting %.0f s", title, seconds)
            (lock.wait if lock else time.sleep)(seconds)

        return HookManager(
            self._api,
            transport,
            mask=mask_secret,
            max_wait=self._registry.max_wait,
            wait=wait,
            renew=lock.renew if lock else lambda: None,
        )

    @contextmanager
    def _locked_session(
        self, variable: str | None, *, on_uncertain_create: OnUncertainCreate = "fail"
    ) -> Iterator[_LockedSession]:
        """
        Hold the lock of a Variable, and yield what changes hooks.

        :param variable: the Airflow Variable that stores the hooks; without one nothing is stored
        :raises ValidationError: if that is not a valid name
        :raises ServiceHookError: if a task cannot write it
        :raises LockError: if other runs hold the lock
        """
        conn_id = self.service_hook_registry_conn_id
        store: HookStore = NullHookStore()
        name = f"service_hook_registry_{re.sub(r'[^A-Za-z0-9_.-]', '_', conn_id)}"
        variable_store: VariableHookStore | None = None
        if variable is not None:
            check_variable_name(variable)
            variable_store = VariableHookStore(variable, store=self._variables)
            variable_store.check()
            name, store = variable, variable_store
        with VariableLock(name, max_call_seconds=self._registry.timeout, store=self._variables) as lock:
            if variable_store is not None:
                variable_store.before_write = lock.ensure_held
            manager = self._open_manager(lock=lock)
            reconciler = HookReconciler(manager, store, registry=conn_id, on_uncertain_create=on_uncertain_create)
            yield _LockedSession(manager=manager, store=store, reconciler=reconciler)

    def _open_rotation(self, session: _LockedSession, idempotency_key: str) -> SecretRotation:
        return SecretRotation(
            session.manager,
            session.reconciler,
            session.store,
            registry=self.service_hook_registry_conn_id,
            idempotency_key=idempotency_key,
        )
