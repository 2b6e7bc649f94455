# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The base class of a platform's API: which requests it takes and how its responses are parsed. No I/O.

A platform's module subclasses ``PlatformApi``. It builds a ``Request`` for each operation that the platform documents,
and parses the JSON of the responses; what it does not override is an operation that the platform does not support.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, NoReturn

from airflow_provider_hooks.exceptions import (
    RegistryError,
    UnsupportedOperationError,
    ValidationError,
    ValidationErrors,
)
from airflow_provider_hooks.http.retry_after import describe_time, read_retry_at
from airflow_provider_hooks.http.urls import parse_url
from airflow_provider_hooks.registries.model import HookChanges, HookSpec, Operation
from airflow_provider_hooks.sanitize import escape, safe_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import TypeVar

    from airflow_provider_hooks.registries.connection import Registry
    from airflow_provider_hooks.registries.model import Page, Platform, Request, Response, Security, ServiceHook, Stat

    Parsed = TypeVar("Parsed")

__all__ = [
    "MalformedResponseError",
    "PlatformApi",
    "ValidationErrors",
    "check_name",
    "check_url",
    "parse_events",
    "parse_texts",
]

_MAX_NUMBER = 10**18
OK, CREATED, NO_CONTENT, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, GONE, TOO_MANY_REQUESTS = (
    200,
    201,
    204,
    401,
    403,
    404,
    409,
    410,
    429,
)

_COMMON_ADVICE = {
    CONFLICT: "it conflicts with an existing hook: list the hooks",
    GONE: "it was deleted permanently",
}


class MalformedResponseError(ValueError):
    """JSON of a response lacks a documented field; the message does not quote the response."""


class PlatformApi:
    """
    One platform's API.

    Subclasses set ``platform`` and build requests; each ``parse_`` method gets the JSON of a response with a status
    among ``success_statuses``, and raises ``MalformedResponseError`` if a documented field is missing.

    Example:

    ```python
    from airflow_provider_hooks.registries.base import PlatformApi, parse_texts
    from airflow_provider_hooks.registries.model import Operation, Platform, Request, ServiceHook


    class HelpdeskApi(PlatformApi):
        platform = Platform(
            name="helpdesk",
            title="Acme Helpdesk",
            base_url="https://helpdesk.example.com/api",
            operations=frozenset({Operation.CREATE, Operation.GET, Operation.DELETE}),
            secret_origin="none",
            secret_visibility="does not exist",
            source="Acme Helpdesk API: webhooks",
        )
        fields = frozenset({"url"})

        def check(self, spec):
            ...  # raise a ValidationError for what the platform would reject

        def create(self, spec):
            return Request(operation=Operation.CREATE, method="POST", path="/webhooks", body={"url": spec.url})

        def get(self, hook_id):
            return Request(operation=Operation.GET, method="GET", path=f"/webhooks/{self.quote_id(hook_id)}")

        def delete(self, hook_id):
            return Request(operation=Operation.DELETE, method="DELETE", path=f"/webhooks/{self.quote_id(hook_id)}")

        def parse_hook(self, content):
            texts = parse_texts(content, ("id", "url"))
            return ServiceHook(hook_id=texts["id"], url=texts["url"])
    ```

    :param registry: the connection: base URL, token and coordinates
    """

    platform: ClassVar[Platform]
    """The platform's description."""
    hook_id_pattern: ClassVar[str] = r"[A-Za-z0-9_-]{1,64}"
    """The regular expression of a hook's id, so that no id can change the path of a request."""
    all_events: ClassVar[tuple[str, ...]] = ()
    """The events of a hook that is requested without events."""
    known_events: ClassVar[tuple[str, ...]] = ()
    """The documented events, if those are all."""
    example_events: ClassVar[tuple[str, ...]] = ()
    """The documented events, if the platform has others too; the docs show them."""
    single_event: ClassVar[bool] = False
    """Whether a hook has exactly one event, so that each event needs its own hook."""
    max_hooks_per_event: ClassVar[int | None] = None
    """How many hooks may have the same event."""
    fields: ClassVar[frozenset[str]] = frozenset()
    """The fields of ``HookSpec`` that the platform takes; other fields are rejected, not ignored."""
    success_statuses: ClassVar[Collection[int]] = (OK, CREATED)
    """The statuses whose body is parsed."""
    advice: ClassVar[Mapping[int, str]] = {}
    """For an error status: what the user can do."""
    error_fields: ClassVar[tuple[str, ...]] = ("message", "detail")
    """The JSON fields of an error message; nothing else of an error response is ever shown."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    # Requests

    def authorize(self) -> dict[str, str]:
        """Return the headers that carry the token."""
        return {"Authorization": f"Bearer {self.registry.token}"}

    def check(self, spec: HookSpec | HookChanges) -> None:
        """
        Check a hook's fields by the platform's own rules, before anything is sent.

        :raises ValidationError: naming each field that the platform would reject
        """
        raise NotImplementedError

    def create(self, spec: HookSpec) -> Request:
        """
        Build the request that creates a hook.

        :raises ValidationError: naming each field that the platform would reject
        """
        raise NotImplementedError

    def list_hooks(self, cursor: str | None = None) -> Request:
        """Build the request for a page of hooks."""
        self.unsupported(Operation.LIST)

    def get(self, hook_id: str) -> Request:
        """Build the request for one hook."""
        raise NotImplementedError

    def update(self, hook_id: str, changes: HookChanges) -> Request:
        """
        Build the request that changes a hook.

        :raises ValidationError: naming each field that the platform would reject
        """
        self.unsupported(Operation.UPDATE)

    def delete(self, hook_id: str) -> Request:
        """Build the request that deletes a hook."""
        raise NotImplementedError

    def stats(self, hook_id: str, *, since: int | None, until: int | None, resolution: str | None) -> Request:
        """Build the request for the numbers of deliveries."""
        self.unsupported(Operation.STATS)

    def rotate(self, hook_id: str) -> Request:
        """Build the request for a new secret of a hook."""
        self.unsupported(Operation.ROTATE)

    def security(self) -> Request:
        """Build the request for how deliveries are signed."""
        self.unsupported(Operation.SECURITY)

    # JSON of responses

    def parse_hook(self, content: object) -> ServiceHook:
        """Return the hook of a JSON object."""
        raise NotImplementedError

    def parse_created(self, content: object) -> ServiceHook | None:
        """Return the created hook, or ``None`` if the response does not identify it."""
        return self.parse_hook(content)

    def parse_page(self, content: object, headers: Mapping[str, str]) -> Page:
        """Return a page of hooks and the cursor of the next page."""
        self.unsupported(Operation.LIST)

    def parse_stats(self, content: object) -> list[Stat]:
        """Return the numbers of deliveries."""
        self.unsupported(Operation.STATS)

    def parse_rotated(self, content: object) -> ServiceHook:
        """Return the hook with its new secret."""
        self.unsupported(Operation.ROTATE)

    def parse_security(self, content: object) -> Security:
        """Return how deliveries are signed."""
        self.unsupported(Operation.SECURITY)

    def find_messages(self, content: Mapping[str, object]) -> list[str]:
        """Return the error messages in the JSON object of an error response."""
        found = (content.get(name) for name in self.error_fields)
        return [message for message in found if isinstance(message, str)]

    def find_advice(self, response: Response) -> str:
        """Return what the user can do about an error response, or empty text."""
        if response.status_code == TOO_MANY_REQUESTS:
            retry_at = read_retry_at(response.headers, received_at=response.received_at)
            until = f"until {describe_time(retry_at)}" if retry_at is not None else "for an unknown time"
            return f"too many requests; the limit applies {until}"
        return self.advice.get(response.status_code, "") or _COMMON_ADVICE.get(response.status_code, "")

    # Which hook is the requested one

    def with_defaults(self, spec: HookSpec) -> HookSpec:
        """Return the spec with all events if it names none, as far as the platform documents which those are."""
        return spec if spec.events is not None else replace(spec, events=self.all_events)

    def expand(self, spec: HookSpec) -> tuple[HookSpec, ...]:
        """
        Return the hooks that one declaration needs: one per event if a hook has a single event.

        :raises ValidationError: naming each field that the platform would reject
        """
        spec = self.with_defaults(spec)
        self.check(spec)
        if not self.single_event:
            return (spec,)
        return tuple(replace(spec, events=(event,)) for event in dict.fromkeys(spec.events or ()))

    def matches(self, spec: HookSpec, hook: ServiceHook) -> bool:
        """Return whether a hook that is not stored is the requested one, by what the platform itself stores."""
        return self.matches_url(spec, hook)

    def matches_url(self, spec: HookSpec, hook: ServiceHook) -> bool:
        """Return whether a hook has the requested URL, and the requested event if a hook has a single one."""
        return hook.url == spec.url and self.matches_event(spec, hook)

    def matches_event(self, spec: HookSpec, hook: ServiceHook) -> bool:
        """Return whether a hook can be the requested one by its event, which matters if a hook has a single one."""
        return not self.single_event or hook.events == spec.events

    def find_differences(self, spec: HookSpec, hook: ServiceHook) -> HookChanges:
        """Return the changes that make a hook as requested; fields that the spec leaves out do not differ."""
        wanted: dict[str, object] = {"url": spec.url, "name": spec.name, "headers": spec.headers}
        found: dict[str, object] = {"url": hook.url, "name": hook.name, "headers": dict(hook.headers)}
        changes = {
            name: value
            for name, value in wanted.items()
            if name in self.fields and value is not None and value != found[name]
        }
        if "events" in self.fields and spec.events is not None and set(spec.events) != set(hook.events):
            changes["events"] = spec.events
        if spec.is_active is not None and spec.is_active != (hook.status == "active"):
            changes["is_active"] = spec.is_active
        return HookChanges(**changes)  # type: ignore[arg-type]  # each value has the type of the field of its name

    # Responses

    def read_hook(self, request: Request, response: Response) -> ServiceHook:
        """
        Return the hook of a response.

        :raises RegistryError: if the platform answered an error or something else
        """
        return self._parse(request, response, self.parse_hook)

    def read_created(self, request: Request, response: Response) -> ServiceHook | None:
        """
        Return the created hook, or ``None`` if the response does not identify it.

        :raises RegistryError: if the platform answered an error or something else
        """
        return self._parse(request, response, self.parse_created)

    def read_updated(self, request: Request, response: Response) -> ServiceHook | None:
        """
        Return the changed hook, or ``None`` if the platform accepted the change without a body.

        :raises RegistryError: if the platform answered an error or something else
        """
        if response.status_code in {OK, NO_CONTENT} and not response.body.strip():
            return None
        return self.read_hook(request, response)

    def read_page(self, request: Request, response: Response) -> Page:
        """
        Return a page of hooks and the cursor of the next page.

        :raises RegistryError: if the platform answered an error or something else
        """
        return self._parse(request, response, lambda content: self.parse_page(content, response.headers))

    def read_stats(self, request: Request, response: Response) -> list[Stat]:
        """
        Return the numbers of deliveries.

        :raises RegistryError: if the platform answered an error or something else
        """
        return self._parse(request, response, self.parse_stats)

    def read_rotated(self, request: Request, response: Response) -> ServiceHook:
        """
        Return the hook with its new secret.

        :raises RegistryError: if the platform answered an error, or no secret
        """
        return self._parse(request, response, self.parse_rotated)

    def read_security(self, request: Request, response: Response) -> Security:
        """
        Return how deliveries are signed.

        :raises RegistryError: if the platform answered an error or something else
        """
        return self._parse(request, response, self.parse_security)

    def read_deletion(self, request: Request, response: Response) -> bool:
        """
        Return whether the hook existed. A 404 without the platform's own error message may come from another server.

        :raises RegistryError: if the platform answered an error or something else
        """
        if response.status_code in {NOT_FOUND, GONE} and self._find_message(response.body):
            return False
        if response.status_code not in {OK, NO_CONTENT}:
            self._raise_error_response(request, response)
        if response.body.strip():
            self._parse(request, response, lambda _content: None)
        return True

    # Checks

    def unsupported(self, operation: Operation) -> NoReturn:
        """
        Reject an operation that the platform does not document.

        :raises UnsupportedOperationError: always, with the alternative
        """
        raise UnsupportedOperationError(self.platform.title, operation.value, self.platform.find_alternative(operation))

    def check_unsupported_fields(self, problems: ValidationErrors, spec: HookSpec | HookChanges) -> None:
        """Add a problem for each requested field that the platform would ignore."""
        title = self.platform.title
        for name in ("events", "headers"):
            if getattr(spec, name) and name not in self.fields:
                problems.add(name, f"are not supported by {title}; leave them out")
        # The name of a new hook is also the name of its declaration, so it is not a mistake there.
        if isinstance(spec, HookChanges) and spec.name is not None and "name" not in self.fields:
            problems.add("name", f"is not stored by {title}")
        if spec.is_active is False and "is_active" not in self.fields:
            problems.add("is_active", f"cannot be false: {title} has no inactive hooks; delete the hook instead")

    def quote_id(self, hook_id: str) -> str:
        """
        Return a hook's id if it is safe in a path.

        :raises ValidationError: otherwise
        """
        if not isinstance(hook_id, str) or not re.fullmatch(self.hook_id_pattern, hook_id, re.ASCII):
            title = self.platform.title
            problem = f"must be the id that {title} returned, not {safe_repr(hook_id)}"
            raise ValidationError(f"service hook on {title}", {"hook_id": problem})
        return hook_id

    def _parse(self, request: Request, response: Response, parse: Callable[[object], Parsed]) -> Parsed:
        if response.status_code not in self.success_statuses:
            self._raise_error_response(request, response)
        try:
            content = json.loads(response.body)
        except (ValueError, RecursionError):
            raise self._malformed(request, response, "something that is not JSON") from None
        try:
            return parse(content)
        except MalformedResponseError as error:
            raise self._malformed(request, response, str(error)) from None

    def _malformed(self, request: Request, response: Response, problem: str) -> RegistryError:
        return RegistryError(
            self.platform.title,
            request.operation.value,
            f"answered {problem}",
            status_code=response.status_code,
        )

    def _raise_error_response(self, request: Request, response: Response) -> NoReturn:
        message = self._find_message(response.body)
        parts = (message, self.find_advice(response))
        is_limited = response.status_code == TOO_MANY_REQUESTS
        raise RegistryError(
            self.platform.title,
            request.operation.value,
            "; ".join(part for part in parts if part) or "no message",
            status_code=response.status_code,
            retry_at=read_retry_at(response.headers, received_at=response.received_at) if is_limited else None,
            has_platform_message=bool(message),
        )

    def _find_message(self, body: bytes) -> str:
        """Return the platform's error message, escaped, or empty text."""
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            return ""
        return escape("; ".join(self.find_messages(content))) if isinstance(content, dict) else ""


def parse_texts(
    content: object,
    names: Sequence[str],
    *,
    optional: Sequence[str] = (),
    numbers: Sequence[str] = (),
    free: Sequence[str] = (),
) -> dict[str, str]:
    """
    Return fields of a JSON object as text; an optional field that is missing is empty.

    Example:

    ```python
    from airflow_provider_hooks.registries.base import parse_texts

    texts = parse_texts({"id": "w1", "hits": 3}, ("id",), optional=("name",), numbers=("hits",))
    assert texts == {"id": "w1", "hits": "3", "name": ""}
    ```

    :param content: the JSON of a response; anything but an object lacks every field
    :param names: fields that are documented as text of one line
    :param optional: fields that may be missing
    :param numbers: fields that are documented as whole numbers, returned as their digits
    :param free: fields with any text that a user entered, which is escaped
    :raises MalformedResponseError: naming each field that is missing or has another type
    """
    item = content if isinstance(content, dict) else {}
    texts: dict[str, str] = {}
    wrong = []
    for name in (*names, *numbers, *free, *optional):
        value = item.get(name)
        if name in free and isinstance(value, str):
            value = escape(value)
        if name in numbers:
            value = str(value) if type(value) is int and 0 <= value < _MAX_NUMBER else None
        if value is None and name in optional:
            value = ""
        if isinstance(value, str) and value.isprintable():
            texts[name] = value
        else:
            wrong.append(name)
    if wrong:
        raise MalformedResponseError(f"a hook whose {', '.join(wrong)} is missing or not valid")
    return texts


def parse_events(content: object) -> tuple[str, ...]:
    """
    Return the ``events`` of a JSON object.

    Example:

    ```python
    from airflow_provider_hooks.registries.base import parse_events

    assert parse_events({"events": ["event.alert"]}) == ("event.alert",)
    ```

    :param content: the JSON of a hook
    :raises MalformedResponseError: if they are not a list of text
    """
    events = content.get("events") if isinstance(content, dict) else None
    if not isinstance(events, list) or not all(isinstance(event, str) and event.isprintable() for event in events):
        raise MalformedResponseError("a hook whose events are missing or not valid")
    return tuple(events)


def check_url(
    problems: ValidationErrors, url: object, *, https_only: bool = False, max_characters: int | None = None
) -> None:
    """
    Add what is wrong with the URL of a hook.

    Example:

    ```python
    from airflow_provider_hooks.registries.base import ValidationErrors, check_url

    problems = ValidationErrors("service hook on Acme Helpdesk")
    check_url(problems, "http://hooks.example.com/airflow", https_only=True)
    assert "url" in problems
    ```

    :param problems: where a problem is added, as ``url``
    :param url: what the user gave
    :param https_only: whether the platform refuses http
    :param max_characters: the longest URL that the platform accepts; ``None``: no limit
    """
    if not isinstance(url, str):
        problems.add("url", f"must be text, not {safe_repr(url)}")
        return
    try:
        target = parse_url(url)
    except ValueError as error:
        problems.add("url", str(error))
        return
    if https_only and target.scheme != "https":
        problems.add("url", "must start with https://")
    if max_characters is not None and len(url) > max_characters:
        problems.add("url", f"must have at most {max_characters} characters, not {len(url)}")


def check_name(problems: ValidationErrors, name: object, *, platform: str) -> None:
    """
    Add what is wrong with the name of a hook on a platform that requires one.

    Example:

    ```python
    from airflow_provider_hooks.registries.base import ValidationErrors, check_name

    problems = ValidationErrors("service hook on Acme Helpdesk")
    check_name(problems, "orders", platform="Acme Helpdesk")
    assert "name" not in problems
    ```

    :param problems: where a problem is added, as ``name``
    :param name: what the user gave
    :param platform: the platform's title, for the message
    """
    if not (isinstance(name, str) and name.strip()):
        problems.add("name", f"is missing; {platform} requires one")
    elif not name.isprintable():
        problems.add("name", f"must be one line of text, not {safe_repr(name)}")
