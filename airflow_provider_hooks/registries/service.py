# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The operations of a platform as methods: sends requests, follows pages, and finds hooks whose response was lost."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_hooks.exceptions import RegistryError
from airflow_provider_hooks.http.redact import redact
from airflow_provider_hooks.registries.model import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from airflow_provider_hooks.registries.base import PlatformApi
    from airflow_provider_hooks.registries.model import (
        HookChanges,
        HookSpec,
        Page,
        Request,
        Response,
        Security,
        ServiceHook,
        Stat,
    )
    from airflow_provider_hooks.registries.transport import RegistryTransport

MAX_PAGES = 1_000
MAX_HOOKS = 10_000
MAX_LIST_BYTES = 33_554_432
MAX_LIST_TIMEOUTS = 30
"""The bounds of a list with all its pages: hooks, bytes, and how many times the registry's timeout it may take."""
_MIN_WAIT_SECONDS = 1.0

Read = TypeVar("Read")


class HookManager:
    """
    Manages the hooks of one registry.

    :param mask: called with every secret in the response of a single hook before the response is used
    :param max_wait: seconds that all requests together may wait when the platform answers that there were too many
    :param wait: sleeps for a number of seconds
    :param renew: called before each request; may raise to prevent it
    """

    def __init__(
        self,
        api: PlatformApi,
        transport: RegistryTransport,
        *,
        mask: Callable[[str], None],
        max_wait: float = 0,
        wait: Callable[[float], None] = time.sleep,
        renew: Callable[[], None] = lambda: None,
    ) -> None:
        self.api = api
        self._transport = transport
        self._mask = mask
        self._wait_left = max_wait
        self._wait = wait
        self._renew = renew

    def supports(self, operation: Operation) -> bool:
        """Return whether the platform documents an operation."""
        return operation in self.api.platform.operations

    def list_all(self) -> list[ServiceHook]:
        """
        Return all hooks, in the platform's order, reading all pages.

        Their secrets are not registered with the masker, which takes a time quadratic in their number: those of a hook
        that is used are, when it is stored.

        :raises UnsupportedOperationError: if the platform documents no list
        :raises RegistryError: if a request fails, or the pages do not end or are too many or too slow
        """
        hooks: list[ServiceHook] = []
        cursor: str | None = None
        seen: set[str | None] = set()
        size, seconds, wait_left = 0, MAX_LIST_TIMEOUTS * self.api.registry.timeout, self._wait_left
        started = time.monotonic()

        def read_page(request: Request, response: Response) -> Page:
            nonlocal size
            size += len(response.body)
            return self.api.read_page(request, response)

        while cursor not in seen and len(seen) < MAX_PAGES:
            seen.add(cursor)
            page = self._send(self.api.list_hooks(cursor), read_page)
            hooks += map(self._redact, page.hooks)
            cursor = page.next_cursor
            if len(hooks) > MAX_HOOKS or size > MAX_LIST_BYTES:
                raise self._list_error(f"the list has more than {MAX_HOOKS} hooks or {MAX_LIST_BYTES} bytes")
            if cursor is None:
                return hooks
            waited = wait_left - self._wait_left
            if time.monotonic() - started - waited > seconds:
                raise self._list_error(f"the list of hooks took longer than {seconds:g} s")
        raise self._list_error("the pages do not end")

    def find_present(self, hook_ids: Iterable[str]) -> list[ServiceHook]:
        """
        Return all hooks; on a platform that documents no list, those of the given ids that exist.

        :raises RegistryError: if a request fails
        """
        if self.supports(Operation.LIST):
            return self.list_all()
        found = (self.find(hook_id) for hook_id in dict.fromkeys(hook_ids))
        return [hook for hook in found if hook is not None]

    def fetch(self, hook_id: str) -> ServiceHook:
        """
        Return one hook.

        :raises RegistryError: if it does not exist, or the request fails
        """
        return self._mask_secrets(self._redact(self._send(self.api.get(hook_id), self.api.read_hook)))

    def find(self, hook_id: str) -> ServiceHook | None:
        """
        Return one hook, or ``None`` if the platform answers that it does not exist.

        :raises RegistryError: if the request fails
        """
        try:
            return self.fetch(hook_id)
        except RegistryError as error:
            if not error.not_found:
                raise
        return None

    def create(self, spec: HookSpec, *, known_ids: Collection[str] = ()) -> ServiceHook:
        """
        Register a hook. If the response is lost or does not identify the hook, it is looked up in the list.

        :param known_ids: the ids in the list before, none of which is the new hook
        :raises ValidationError: naming each field that the platform would reject; nothing was sent
        :raises RegistryError: if the request fails; ``outcome_unknown`` says whether the hook may exist nevertheless
        """
        request = self.api.create(spec)
        if spec.secret:
            self._mask(spec.secret)
        lost: RegistryError | None = None
        created: ServiceHook | None = None
        try:
            created = self._send(request, self.api.read_created)
        except RegistryError as error:
            if not (error.outcome_unknown and self.supports(Operation.LIST)):
                raise
            lost = error
        found = created or self._find_new(spec, known_ids)
        if found is not None:
            return self._mask_secrets(self._redact(found, *(spec.headers or {}).values(), secret=spec.secret))
        if lost is not None:
            raise lost
        message = "the platform does not list the hook that it registered"
        raise RegistryError(self.api.platform.title, request.operation.value, message, retryable=False)

    def update(self, hook_id: str, changes: HookChanges) -> ServiceHook:
        """
        Change a hook.

        :raises UnsupportedOperationError: if the platform documents no update
        :raises ValidationError: naming each field that the platform would reject; nothing was sent
        :raises RegistryError: if the hook does not exist, or the request fails
        """
        hook = self._send(self.api.update(hook_id, changes), self.api.read_updated)
        if hook is None:
            return self.fetch(hook_id)
        return self._mask_secrets(self._redact(hook, *(changes.headers or {}).values()))

    def delete(self, hook_id: str) -> bool:
        """
        Delete a hook and return whether it existed.

        A response that it does not exist counts only if the list agrees: without access to a project the response is
        the same.

        :raises RegistryError: if a request fails
        """
        request = self.api.delete(hook_id)
        if self._send(request, self.api.read_deletion):
            return True
        if self.supports(Operation.LIST) and any(hook.hook_id == hook_id for hook in self.list_all()):
            message = "answered that there is no such hook, but lists it"
            raise RegistryError(self.api.platform.title, request.operation.value, message, retryable=True)
        return False

    def rotate(self, hook_id: str) -> ServiceHook:
        """
        Make the platform generate a new secret of a hook, and return the hook with it.

        :raises UnsupportedOperationError: if the platform documents no such operation
        :raises RegistryError: if the request fails
        """
        return self._mask_secrets(self._redact(self._send(self.api.rotate(hook_id), self.api.read_rotated)))

    def fetch_stats(self, hook_id: str, *, since: int | None, until: int | None, resolution: str | None) -> list[Stat]:
        """
        Return the numbers of deliveries to a hook.

        :param since: unix seconds
        :param until: unix seconds
        :param resolution: the length of a step
        :raises UnsupportedOperationError: if the platform documents no such operation
        :raises RegistryError: if the request fails
        """
        request = self.api.stats(hook_id, since=since, until=until, resolution=resolution)
        return self._send(request, self.api.read_stats)

    def fetch_security(self) -> Security:
        """
        Return how the platform signs, as its API describes it.

        :raises UnsupportedOperationError: if the platform documents no such operation
        :raises RegistryError: if the request fails
        """
        return self._send(self.api.security(), self.api.read_security)

    def _send(self, request: Request, read: Callable[[Request, Response], Read]) -> Read:
        """Send a request; send it again only if the platform rejected it until a known time and waiting is allowed."""
        while True:
            self._renew()
            try:
                return self._transport.send(request, read)
            except RegistryError as error:
                if error.retry_at is None:
                    raise
                # The minimum bounds the number of requests when the time has passed already.
                seconds = max(_MIN_WAIT_SECONDS, error.retry_at - time.time())
                if seconds > self._wait_left:
                    raise
                self._wait_left -= seconds
                self._wait(seconds)

    def _find_new(self, spec: HookSpec, known_ids: Collection[str]) -> ServiceHook | None:
        for hook in self.list_all():
            is_named = "name" not in self.api.fields or hook.name == spec.name
            if hook.hook_id not in known_ids and is_named and self.api.matches_url(spec, hook):
                return hook
        return None

    def _list_error(self, message: str) -> RegistryError:
        return RegistryError(self.api.platform.title, Operation.LIST.value, message, retryable=False)

    def _redact(self, hook: ServiceHook, *headers: str, secret: str | None = None) -> ServiceHook:
        """
        Return a hook in whose texts the platform's token and secrets are masked: a platform may echo them anywhere.

        Its URL is unchanged. Its name and events may well have a word of a header, and are compared with those that are
        declared.

        :param headers: the values of headers in the request
        :param secret: the secret in the request
        :raises RegistryError: if the id of the hook is one of them
        """
        secrets = [value for value in (self.api.registry.token, secret, hook.secret) if value]
        private = [*secrets, *headers, *hook.headers.values()]
        before = "\0".join([hook.hook_id, hook.name, *hook.events, hook.status, hook.created_at, hook.updated_at])
        if redact(before, private) == before:
            return hook
        if redact(hook.hook_id, secrets) != hook.hook_id:
            message = "answered a hook whose id is a secret"
            raise RegistryError(self.api.platform.title, Operation.GET.value, message, retryable=False)
        return replace(
            hook,
            name=redact(hook.name, secrets),
            events=tuple(redact(event, secrets) for event in hook.events),
            status=redact(hook.status, private),
            created_at=redact(hook.created_at, private),
            updated_at=redact(hook.updated_at, private),
        )

    def _mask_secrets(self, hook: ServiceHook) -> ServiceHook:
        """Register the secrets of a hook that is used with the masker."""
        for sensitive in (hook.secret, *hook.headers.values()):
            if sensitive:
                self._mask(sensitive)
        return hook
