# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``RegistryHook``: a platform's management API, as an Airflow connection of type ``service_hook_registry``."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from airflow_provider_hooks.errors import InvalidFieldsError, ServiceHookError
from airflow_provider_hooks.hooks.deployment import (
    read_connection,
    read_settings,
    read_variable,
    write_variable,
)
from airflow_provider_hooks.registries.apis import open_api
from airflow_provider_hooks.registries.client import RegistryClient
from airflow_provider_hooks.registries.model import HookConflictError, RegistryError, ServiceHook
from airflow_provider_hooks.registries.platforms import Operation
from airflow_provider_hooks.registries.registry import SERVICE_HOOK_REGISTRY, Registry, read_registry
from airflow_provider_hooks.signing.variable import (
    KeptSecret,
    format_kept_secrets,
    parse_kept_secrets,
    put_first,
)

if TYPE_CHECKING:
    from airflow_provider_hooks.registries.api import PlatformApi
    from airflow_provider_hooks.registries.model import Call, HookChanges, HookSpec, Security, Stat
    from airflow_provider_hooks.registries.registry import Registry
    from airflow_provider_hooks.settings import Settings

_MAX_PAGES = 1_000


class RegistryHook(BaseHook):
    """
    Manages service hooks on the platform that a connection describes.

    Every secret that an answer holds is registered with Airflow's masker before anything else is done with it.

    :param registry_conn_id: a connection of type ``service_hook_registry``
    """

    conn_name_attr = "registry_conn_id"
    default_conn_name = "service_hook_registry_default"
    conn_type = SERVICE_HOOK_REGISTRY.name
    hook_name = SERVICE_HOOK_REGISTRY.label

    def __init__(self, registry_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.registry_conn_id = registry_conn_id

    @cached_property
    def _settings(self) -> Settings:
        return read_settings()

    def get_conn(self) -> Registry:
        """
        Read the registry, with its token registered with Airflow's masker.

        :raises InvalidFieldsError: naming each field of the connection that cannot be used
        """
        fields = read_connection(SERVICE_HOOK_REGISTRY, self.registry_conn_id)
        return read_registry(fields, default_timeout=self._settings.timeout)

    def list_hooks(self) -> list[ServiceHook]:
        """
        Return every hook, in the platform's order, reading all pages.

        :raises UnsupportedOperationError: if the platform documents no list
        :raises RegistryError: if a call fails, or the pages never end
        """
        return _list_all(*self._connect())

    def register_hook(self, spec: HookSpec, *, variable: str | None = None) -> tuple[ServiceHook, bool]:
        """
        Register a hook unless one for this URL is registered, keep its secret, and tell whether it was created now.

        A platform that documents no list cannot be asked what is registered. There the Variable remembers it, and the
        hook that it names is asked for instead.

        :param variable: the Airflow Variable that gets the secret, if the platform shows one
        :raises InvalidFieldsError: naming each field that the platform would refuse; nothing was sent
        :raises HookConflictError: if a hook for this URL is disabled or has other events; it is left as it is
        :raises RegistryError: if a call fails
        """
        api, client = self._connect()
        if spec.events is None:
            spec = replace(spec, events=api.all_events)
        call = api.create(spec)
        if Operation.LIST in api.platform.operations:
            found = _find_registered(api, client, spec)
        else:
            found = _find_remembered(api, client, spec, variable=variable)
        hook, created = (found, False) if found is not None else (_create(api, client, call, spec), True)
        if variable and hook.secret:
            self.keep_secret(hook, variable=variable)
        return hook, created

    def fetch_hook(self, hook_id: str) -> ServiceHook:
        """
        Return one hook.

        :raises RegistryError: if there is none, or the call fails
        """
        api, client = self._connect()
        return _mask(client.call(api.get(hook_id), api.read_hook))

    def update_hook(self, hook_id: str, changes: HookChanges) -> ServiceHook:
        """
        Change a hook.

        :raises UnsupportedOperationError: if the platform documents no update
        :raises InvalidFieldsError: naming each field that the platform would refuse; nothing was sent
        :raises RegistryError: if there is no such hook, or the call fails
        """
        api, client = self._connect()
        return _mask(client.call(api.update(hook_id, changes), api.read_hook))

    def delete_hook(self, hook_id: str) -> bool:
        """
        Delete a hook and return whether it was there.

        :raises RegistryError: if the call fails
        """
        api, client = self._connect()
        return client.call(api.delete(hook_id), api.read_deletion)

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
        api, client = self._connect()
        call = api.stats(hook_id, since=since, until=until, resolution=resolution)
        return client.call(call, api.read_stats)

    def rotate_secret(self, hook_id: str) -> ServiceHook:
        """
        Have the platform make a new secret of a hook; on ZStack. It is shown once, in what this returns.

        :raises UnsupportedOperationError: on every other platform, saying what to do instead
        :raises RegistryError: if the call fails
        """
        api, client = self._connect()
        return _mask(client.call(api.rotate(hook_id), api.read_hook))

    def fetch_security(self) -> Security:
        """
        Return how the platform says that it signs; on ZStack.

        :raises UnsupportedOperationError: on every other platform
        :raises RegistryError: if the call fails
        """
        api, client = self._connect()
        return client.call(api.security(), api.read_security)

    def keep_secret(self, hook: ServiceHook, *, variable: str) -> None:
        """
        Write a hook's secret to an Airflow Variable, in front of those that are there; an endpoint reads it back.

        :raises ServiceHookError: if the hook came without a secret, or the Variable holds something else
        """
        if hook.secret is None:
            raise ServiceHookError(f"hook {hook.hook_id} came without a secret; the Variable '{variable}' is unchanged")
        kept = KeptSecret(secret=hook.secret, hook_id=hook.hook_id, url=hook.url, created_at=hook.created_at)
        before = _read_kept(variable)
        after = put_first(before, kept)
        if after != before:
            description = "Signing secrets of a service hook, newest first"
            write_variable(variable, format_kept_secrets(after), description=description)

    def test_connection(self) -> tuple[bool, str]:
        """Ask the platform for its hooks, or for what else it documents that changes nothing."""
        try:
            api, client = self._connect()
            if Operation.LIST not in api.platform.operations:
                security = client.call(api.security(), api.read_security)
                return True, f"{api.platform.title} answers; it signs with {security.algorithm}."
            hooks = _list_all(api, client)
        except ServiceHookError as error:
            return False, str(error)
        return True, f"{api.platform.title} lists {len(hooks)} service hook(s)."

    def _connect(self) -> tuple[PlatformApi, RegistryClient]:
        api, settings = open_api(self.get_conn()), self._settings
        policy = settings.build_policy()
        return api, RegistryClient(
            api, policy=policy, connect_timeout=settings.connect_timeout, ca_file=settings.ca_file
        )


def _list_all(api: PlatformApi, client: RegistryClient) -> list[ServiceHook]:
    hooks: list[ServiceHook] = []
    cursor: str | None = None
    seen: set[str] = set()
    for _ in range(_MAX_PAGES):
        page = client.call(api.list_hooks(cursor), api.read_page)
        hooks += [_mask(hook) for hook in page.hooks]
        cursor = page.next_cursor
        if cursor is None:
            return hooks
        if cursor in seen:
            break
        seen.add(cursor)
    raise RegistryError(api.platform.title, Operation.LIST.value, "the pages never end")


def _create(api: PlatformApi, client: RegistryClient, call: Call, spec: HookSpec) -> ServiceHook:
    created = client.call(call, api.read_created) or _find_registered(api, client, spec)
    if created is None:
        raise RegistryError(api.platform.title, call.operation.value, "registered a hook that it does not list")
    return _mask(created)


def _find_remembered(
    api: PlatformApi, client: RegistryClient, spec: HookSpec, *, variable: str | None
) -> ServiceHook | None:
    """Return the hook that the Variable remembers for this URL, if the platform still has it."""
    if variable is None:
        told = f"is needed on {api.platform.title}, which cannot list: it remembers which hook is registered"
        raise InvalidFieldsError(f"service hook on {api.platform.title}", {"secret_variable": told})
    for kept in _read_kept(variable):
        if kept.hook_id and kept.url == spec.url:
            try:
                return _mask(client.call(api.get(kept.hook_id), api.read_hook))
            except RegistryError as error:
                if not error.is_gone:
                    raise
    return None


def _read_kept(variable: str) -> tuple[KeptSecret, ...]:
    try:
        return parse_kept_secrets(read_variable(variable) or "")
    except ValueError as error:
        raise ServiceHookError(f"the Variable '{variable}' {error}; it is unchanged") from None


def _find_registered(api: PlatformApi, client: RegistryClient, spec: HookSpec) -> ServiceHook | None:
    """Return the hook that is registered as asked for; where a webhook has one event, another event is another hook."""
    present = [hook for hook in _list_all(api, client) if hook.url == spec.url]
    if api.one_event_a_hook:
        present = [hook for hook in present if hook.events == spec.events]
    if not present:
        return None
    found = present[0]
    if found.status != "active" or set(found.events) != set(spec.events or ()):
        raise HookConflictError(
            f"{api.platform.title}: hook {found.hook_id} is registered for this URL, {found.status}, with the events "
            f"{', '.join(found.events)}; update or delete it, or ask for what is there"
        )
    return found


def _mask(hook: ServiceHook) -> ServiceHook:
    for private in (hook.secret, *hook.headers.values()):
        if private:
            mask_secret(private)
    return hook
