# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A platform's operations, each as one method: calls are sent, pages followed, lost answers looked for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_hooks.registries.model import RegistryError
from airflow_provider_hooks.registries.platform_table import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from airflow_provider_hooks.registries.api import PlatformApi
    from airflow_provider_hooks.registries.client import RegistryClient
    from airflow_provider_hooks.registries.model import Answer, Call, HookChanges, HookSpec, Security, ServiceHook, Stat

MAX_PAGES = 1_000
_LEAST_WAIT = 1.0

Read = TypeVar("Read")


class HookManager:
    """
    Manages the hooks of one registry.

    :param mask: is told every secret that an answer holds, before anything else is done with the answer
    :param max_wait: seconds that all calls together may wait where the platform says that there were too many
    :param wait: waits for some seconds
    :param renew: is called before each call, and may raise to keep it from being made
    """

    def __init__(
        self,
        api: PlatformApi,
        client: RegistryClient,
        *,
        mask: Callable[[str], None],
        max_wait: float = 0,
        wait: Callable[[float], None] = time.sleep,
        renew: Callable[[], None] = lambda: None,
    ) -> None:
        self.api = api
        self._client = client
        self._mask = mask
        self._wait_left = max_wait
        self._wait = wait
        self._keep_alive = renew

    def supports(self, operation: Operation) -> bool:
        """Tell whether the platform documents an operation."""
        return operation in self.api.platform.operations

    def list_all(self) -> list[ServiceHook]:
        """
        Return every hook, in the platform's order, reading all pages.

        :raises UnsupportedOperationError: if the platform documents no list
        :raises RegistryError: if a call fails, or the pages never end
        """
        hooks: list[ServiceHook] = []
        cursor: str | None = None
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            page = self._call(self.api.list_hooks(cursor), self.api.read_page)
            hooks += [self._masked(hook) for hook in page.hooks]
            cursor = page.next_cursor
            if cursor is None:
                return hooks
            if cursor in seen:
                break
            seen.add(cursor)
        raise RegistryError(self.api.platform.title, Operation.LIST.value, "the pages never end")

    def find_present(self, hook_ids: Iterable[str]) -> list[ServiceHook]:
        """
        Return every hook, or those of the given ids that are there, on a platform that documents no list.

        :raises RegistryError: if a call fails
        """
        if self.supports(Operation.LIST):
            return self.list_all()
        found = (self.fetch_if_there(hook_id) for hook_id in dict.fromkeys(hook_ids))
        return [hook for hook in found if hook is not None]

    def fetch(self, hook_id: str) -> ServiceHook:
        """
        Return one hook.

        :raises RegistryError: if there is none, or the call fails
        """
        return self._masked(self._call(self.api.get(hook_id), self.api.read_hook))

    def fetch_if_there(self, hook_id: str) -> ServiceHook | None:
        """
        Return one hook, or ``None`` if the platform says that there is none.

        :raises RegistryError: if the call fails
        """
        try:
            return self.fetch(hook_id)
        except RegistryError as error:
            if not error.not_found:
                raise
        return None

    def create(self, spec: HookSpec, *, known: Collection[str] = ()) -> ServiceHook:
        """
        Register a hook. Where the answer is lost or does not say which it is, it is looked for in the list.

        :param known: the ids that the list had before, none of which is the new one
        :raises ValidationError: naming each field that the platform would refuse; nothing was sent
        :raises RegistryError: if the call fails; ``outcome_unknown`` tells whether the hook may be there all the same
        """
        call = self.api.create(spec)
        if spec.secret:
            self._mask(spec.secret)
        lost: RegistryError | None = None
        created: ServiceHook | None = None
        try:
            created = self._call(call, self.api.read_created)
        except RegistryError as error:
            if not (error.outcome_unknown and self.supports(Operation.LIST)):
                raise
            lost = error
        found = created or self._find_new(spec, known)
        if found is not None:
            return self._masked(found)
        if lost is not None:
            raise lost
        told = "registered a hook that it does not list"
        raise RegistryError(self.api.platform.title, call.operation.value, told, retryable=False)

    def update(self, hook_id: str, changes: HookChanges) -> ServiceHook:
        """
        Change a hook.

        :raises UnsupportedOperationError: if the platform documents no update
        :raises ValidationError: naming each field that the platform would refuse; nothing was sent
        :raises RegistryError: if there is no such hook, or the call fails
        """
        return self._masked(self._call(self.api.update(hook_id, changes), self.api.read_hook))

    def delete(self, hook_id: str) -> bool:
        """
        Delete a hook and return whether it was there.

        That it was not is believed only if the list says so too, since a project that is not seen answers the same.

        :raises RegistryError: if a call fails
        """
        call = self.api.delete(hook_id)
        if self._call(call, self.api.read_deletion):
            return True
        if self.supports(Operation.LIST) and any(hook.hook_id == hook_id for hook in self.list_all()):
            told = "answered that there is no such hook, but lists it"
            raise RegistryError(self.api.platform.title, call.operation.value, told, retryable=True)
        return False

    def rotate(self, hook_id: str) -> ServiceHook:
        """
        Have the platform make a new secret of a hook, which is shown once, in what this returns.

        :raises UnsupportedOperationError: if the platform documents no such call, saying what to do instead
        :raises RegistryError: if the call fails
        """
        return self._masked(self._call(self.api.rotate(hook_id), self.api.read_rotated))

    def fetch_stats(self, hook_id: str, *, since: int | None, until: int | None, resolution: str | None) -> list[Stat]:
        """
        Return how often a hook was delivered to.

        :param since: unix seconds
        :param until: unix seconds
        :param resolution: the length of a step
        :raises UnsupportedOperationError: if the platform documents no such call
        :raises RegistryError: if the call fails
        """
        call = self.api.stats(hook_id, since=since, until=until, resolution=resolution)
        return self._call(call, self.api.read_stats)

    def fetch_security(self) -> Security:
        """
        Return how the platform says that it signs.

        :raises UnsupportedOperationError: if the platform documents no such call
        :raises RegistryError: if the call fails
        """
        return self._call(self.api.security(), self.api.read_security)

    def _call(self, call: Call, read: Callable[[Call, Answer], Read]) -> Read:
        """Send a call; again only where the platform refused it for now and said when, and waiting was asked for."""
        while True:
            self._keep_alive()
            try:
                return self._client.call(call, read)
            except RegistryError as error:
                if error.retry_at is None:
                    raise
                # A limit that is lifted already is waited for a moment, so that nobody is asked without end.
                seconds = max(_LEAST_WAIT, error.retry_at - time.time())
                if seconds > self._wait_left:
                    raise
                self._wait_left -= seconds
                self._wait(seconds)

    def _find_new(self, spec: HookSpec, known: Collection[str]) -> ServiceHook | None:
        for hook in self.list_all():
            is_named = "name" not in self.api.fields or hook.name == spec.name
            if hook.hook_id not in known and is_named and self.api.is_for_url(spec, hook):
                return hook
        return None

    def _masked(self, hook: ServiceHook) -> ServiceHook:
        for private in (hook.secret, *hook.headers.values()):
            if private:
                self._mask(private)
        return hook
