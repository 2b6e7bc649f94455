# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``RegistryHook``: a platform's management API, as an Airflow connection of type ``service_hook_registry``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from airflow_provider_hooks.errors import ServiceHookError
from airflow_provider_hooks.hooks.deployment import (
    read_connection,
    read_settings,
    read_variable,
    write_variable,
)
from airflow_provider_hooks.registries import sentry
from airflow_provider_hooks.registries.client import RegistryClient
from airflow_provider_hooks.registries.model import HookConflictError, RegistryError, ServiceHook
from airflow_provider_hooks.registries.registry import SERVICE_HOOK_REGISTRY, Registry, read_registry
from airflow_provider_hooks.signing.variable import (
    KeptSecret,
    format_kept_secrets,
    parse_kept_secrets,
    put_first,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

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

    def get_conn(self) -> Registry:
        """
        Read the registry, with its token registered with Airflow's masker.

        :raises InvalidFieldsError: naming each field of the connection that cannot be used
        """
        fields = read_connection(SERVICE_HOOK_REGISTRY, self.registry_conn_id)
        return read_registry(fields, default_timeout=read_settings().timeout)

    def list_hooks(self) -> list[ServiceHook]:
        """
        Return every hook of the project, the newest first, reading all pages.

        :raises RegistryError: if a call fails, or the pages never end
        """
        registry, client = self._connect()
        return _list_all(registry, client)

    def register_hook(self, *, url: str, events: Sequence[str]) -> tuple[ServiceHook, bool]:
        """
        Register a hook unless one for this URL is registered, and tell whether it was created now.

        :raises InvalidFieldsError: naming each field that the platform would refuse; nothing was sent
        :raises HookConflictError: if a hook for this URL is disabled or has other events; it is left as it is
        :raises RegistryError: if a call fails
        """
        registry, client = self._connect()
        call = sentry.create_hook(registry.organization, registry.project, url=url, events=events)
        present = [hook for hook in _list_all(registry, client) if hook.url == url]
        if not present:
            return _mask(client.call(call, sentry.read_hook)), True
        found = present[0]
        if found.status != "active" or set(found.events) != set(events):
            raise HookConflictError(
                f"{sentry.TITLE}: hook {found.hook_id} is registered for this URL, {found.status}, with the events "
                f"{', '.join(found.events)}; update or delete it, or ask for what is there"
            )
        return found, False

    def fetch_hook(self, hook_id: str) -> ServiceHook:
        """
        Return one hook.

        :raises RegistryError: if there is none, or the call fails
        """
        registry, client = self._connect()
        call = sentry.get_hook(registry.organization, registry.project, hook_id)
        return _mask(client.call(call, sentry.read_hook))

    def update_hook(
        self,
        hook_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        is_active: bool | None = None,
    ) -> ServiceHook:
        """
        Change a hook; ``None`` leaves a field as it is.

        :raises InvalidFieldsError: naming each field that the platform would refuse; nothing was sent
        :raises RegistryError: if there is no such hook, or the call fails
        """
        registry, client = self._connect()
        call = sentry.update_hook(
            registry.organization, registry.project, hook_id, url=url, events=events, is_active=is_active
        )
        return _mask(client.call(call, sentry.read_hook))

    def delete_hook(self, hook_id: str) -> bool:
        """
        Delete a hook and return whether it was there.

        :raises RegistryError: if the call fails
        """
        registry, client = self._connect()
        call = sentry.delete_hook(registry.organization, registry.project, hook_id)
        return client.call(call, sentry.read_deletion)

    def keep_secret(self, hook: ServiceHook, *, variable: str) -> None:
        """
        Write a hook's secret to an Airflow Variable, in front of those that are there; an endpoint reads it back.

        :raises ServiceHookError: if the hook came without a secret, or the Variable holds something else
        """
        if hook.secret is None:
            raise ServiceHookError(f"hook {hook.hook_id} came without a secret; the Variable '{variable}' is unchanged")
        kept = KeptSecret(secret=hook.secret, hook_id=hook.hook_id, url=hook.url, created_at=hook.created_at)
        before = read_variable(variable) or ""
        try:
            after = format_kept_secrets(put_first(parse_kept_secrets(before), kept))
        except ValueError as error:
            raise ServiceHookError(f"the Variable '{variable}' {error}; it is unchanged") from None
        if after != before:
            write_variable(variable, after, description="Signing secrets of a service hook, newest first")

    def test_connection(self) -> tuple[bool, str]:
        """Ask the platform for its hooks."""
        try:
            registry = self.get_conn()
            hooks = self.list_hooks()
        except ServiceHookError as error:
            return False, str(error)
        return True, f"{registry.platform.title} lists {len(hooks)} service hook(s) of this project."

    def _connect(self) -> tuple[Registry, RegistryClient]:
        registry, settings = self.get_conn(), read_settings()
        policy = settings.build_policy()
        return registry, RegistryClient(
            registry, policy=policy, connect_timeout=settings.connect_timeout, ca_file=settings.ca_file
        )


def _list_all(registry: Registry, client: RegistryClient) -> list[ServiceHook]:
    hooks: list[ServiceHook] = []
    cursor: str | None = None
    seen: set[str] = set()
    for _ in range(_MAX_PAGES):
        call = sentry.list_hooks(registry.organization, registry.project, cursor=cursor)
        page = client.call(call, sentry.read_page)
        hooks += [_mask(hook) for hook in page.hooks]
        cursor = page.next_cursor
        if cursor is None:
            return hooks
        if cursor in seen:
            break
        seen.add(cursor)
    raise RegistryError(sentry.TITLE, "list service hooks", "the pages never end")


def _mask(hook: ServiceHook) -> ServiceHook:
    if hook.secret:
        mask_secret(hook.secret)
    return hook
