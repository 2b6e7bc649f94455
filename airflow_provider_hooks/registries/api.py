# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""How calls are made and answers read, as far as all platforms agree. No I/O."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, ClassVar, NoReturn

from airflow_provider_hooks.errors import Problems
from airflow_provider_hooks.network.urls import parse_url
from airflow_provider_hooks.registries.model import (
    Answer,
    Call,
    Page,
    RegistryError,
    ServiceHook,
    UnsupportedOperationError,
)
from airflow_provider_hooks.registries.platforms import Operation
from airflow_provider_hooks.text import printable, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_hooks.registries.model import HookChanges, HookSpec, Security, Stat
    from airflow_provider_hooks.registries.registry import Registry

_MAX_NUMBER = 10**18
OK, CREATED, NO_CONTENT, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, GONE, TOO_MANY = 200, 201, 204, 401, 403, 404, 410, 429


class PlatformApi:
    """
    One platform's API. A subclass says how its calls are made; what the platform does not document is refused here.

    :param registry: where hooks are managed, and with which token
    """

    hook_id_pattern: ClassVar[str] = r"[A-Za-z0-9_-]{1,64}"
    """What a hook's id looks like, so that none can lead to another path."""
    all_events: ClassVar[tuple[str, ...]] = ()
    """What a hook is subscribed to where nobody says to what."""
    one_event_a_hook: ClassVar[bool] = False
    """Whether a hook has exactly one event, so that another event is another hook."""
    advice: ClassVar[Mapping[int, str]] = {}
    """For a status, what a person can do."""
    error_fields: ClassVar[tuple[str, ...]] = ("message", "detail")
    """Where an answer's JSON says what is wrong; nothing else of a refusal is ever shown."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.platform = registry.platform

    def authorize(self) -> dict[str, str]:
        """Return the headers that carry the token."""
        return {"Authorization": f"Bearer {self.registry.token}"}

    def check(self, spec: HookSpec | HookChanges) -> None:
        """
        Check a hook's fields by the platform's own rules, before anything is sent.

        :raises InvalidFieldsError: naming each field that the platform would refuse
        """
        raise NotImplementedError

    def create(self, spec: HookSpec) -> Call:
        """
        Ask for a new hook.

        :raises InvalidFieldsError: naming each field that the platform would refuse
        """
        raise NotImplementedError

    def read_created(self, call: Call, answer: Answer) -> ServiceHook | None:
        """
        Read the new hook, or ``None`` where the answer does not say which one it is.

        :raises RegistryError: if the platform refused, or answered something else
        """
        return self.read_hook(call, answer)

    def list_hooks(self, cursor: str | None = None) -> Call:
        """Ask for a page of hooks."""
        self.refuse(Operation.LIST)

    def read_page(self, call: Call, answer: Answer) -> Page:
        """
        Read a page of hooks, and where the next begins.

        :raises RegistryError: if the platform refused, or answered something else
        """
        self.refuse(Operation.LIST)

    def get(self, hook_id: str) -> Call:
        """Ask for one hook."""
        raise NotImplementedError

    def read_hook(self, call: Call, answer: Answer) -> ServiceHook:
        """
        Read the one hook of an answer.

        :raises RegistryError: if the platform refused, or answered something else
        """
        return self.read_item(call, answer, self.read_json(call, answer))

    def update(self, hook_id: str, changes: HookChanges) -> Call:
        """
        Ask for a change of a hook.

        :raises InvalidFieldsError: naming each field that the platform would refuse
        """
        self.refuse(Operation.UPDATE)

    def delete(self, hook_id: str) -> Call:
        """Ask for a hook to be deleted."""
        raise NotImplementedError

    def read_deletion(self, call: Call, answer: Answer) -> bool:
        """
        Return whether the hook was there to be deleted.

        :raises RegistryError: if the platform refused
        """
        if answer.status_code in {NOT_FOUND, GONE}:
            return False
        if answer.status_code not in {OK, NO_CONTENT}:
            self.raise_refused(call, answer)
        return True

    def stats(self, hook_id: str, *, since: int | None, until: int | None, resolution: str | None) -> Call:
        """Ask how often a hook was delivered to."""
        self.refuse(Operation.STATS)

    def read_stats(self, call: Call, answer: Answer) -> list[Stat]:
        """
        Read how often a hook was delivered to.

        :raises RegistryError: if the platform refused, or answered something else
        """
        self.refuse(Operation.STATS)

    def rotate(self, hook_id: str) -> Call:
        """Ask for a new secret of a hook."""
        self.refuse(Operation.ROTATE)

    def security(self) -> Call:
        """Ask how deliveries are signed."""
        self.refuse(Operation.SECURITY)

    def read_security(self, call: Call, answer: Answer) -> Security:
        """
        Read how deliveries are signed.

        :raises RegistryError: if the platform refused, or answered something else
        """
        self.refuse(Operation.SECURITY)

    def read_item(self, call: Call, answer: Answer, content: object) -> ServiceHook:
        """
        Read a hook from its JSON.

        :raises RegistryError: if a field is missing or of another form
        """
        raise NotImplementedError

    def refuse(self, operation: Operation) -> NoReturn:
        """
        Refuse what the platform does not document.

        :raises UnsupportedOperationError: saying so, and what to do instead
        """
        raise UnsupportedOperationError(self.platform, operation)

    def read_json(self, call: Call, answer: Answer, *, expected: Sequence[int] = (OK, CREATED)) -> object:
        """
        Return the JSON of an answer with an expected status.

        :raises RegistryError: if the platform refused, or answered something that is not JSON
        """
        if answer.status_code not in expected:
            self.raise_refused(call, answer)
        try:
            content: object = json.loads(answer.body)
        except (ValueError, RecursionError):
            self.raise_malformed(call, answer, "something that is not JSON")
        return content

    def read_texts(
        self,
        call: Call,
        answer: Answer,
        content: object,
        names: Sequence[str],
        *,
        optional: Sequence[str] = (),
        numbers: Sequence[str] = (),
    ) -> dict[str, str]:
        """
        Return fields of a JSON object as text; an optional one that is not there as empty.

        :param numbers: fields that are documented as whole numbers, which are returned as their digits
        :raises RegistryError: naming each field that is missing or of another form
        """
        item = content if isinstance(content, dict) else {}
        texts: dict[str, str] = {}
        wrong = []
        for name in (*names, *numbers, *optional):
            value = item.get(name)
            if name in numbers:
                value = str(value) if type(value) is int and 0 <= value < _MAX_NUMBER else None
            if value is None and name in optional:
                value = ""
            if isinstance(value, str) and value.isprintable():
                texts[name] = value
            else:
                wrong.append(name)
        if wrong:
            self.raise_malformed(call, answer, f"a hook whose {', '.join(wrong)} is missing or of another form")
        return texts

    def read_events(self, call: Call, answer: Answer, content: object) -> tuple[str, ...]:
        """
        Return the events of a hook's JSON.

        :raises RegistryError: if they are no list of text
        """
        events = content.get("events") if isinstance(content, dict) else None
        if not isinstance(events, list) or not all(isinstance(event, str) and event.isprintable() for event in events):
            self.raise_malformed(call, answer, "a hook whose events are missing or of another form")
        return tuple(events)

    def quote_id(self, hook_id: str) -> str:
        """
        Return a hook's id if it can stand in a path.

        :raises InvalidFieldsError: if it cannot
        """
        if not isinstance(hook_id, str) or not re.fullmatch(self.hook_id_pattern, hook_id, re.ASCII):
            problems = Problems(f"service hook on {self.platform.title}")
            problems.add("hook_id", f"must be the id that {self.platform.title} gave, not {quoted(hook_id)}")
            problems.raise_if_any()
        return hook_id

    def raise_malformed(self, call: Call, answer: Answer, told: str) -> NoReturn:
        """
        Say that an answer cannot be read, without showing it.

        :raises RegistryError: always
        """
        raise RegistryError(
            self.platform.title, call.operation.value, f"answered {told}", status_code=answer.status_code
        )

    def raise_refused(self, call: Call, answer: Answer) -> NoReturn:
        """
        Say what the platform said, and what a person can do.

        :raises RegistryError: always
        """
        parts = (self.read_message(answer.body), self.advise(answer))
        told = "; ".join(part for part in parts if part) or "no message"
        raise RegistryError(self.platform.title, call.operation.value, told, status_code=answer.status_code)

    def advise(self, answer: Answer) -> str:
        """Return what a person can do about a refusal, or nothing."""
        if answer.status_code == TOO_MANY:
            reset = answer.headers.get("x-ratelimit-reset") or answer.headers.get("retry-after") or "not said"
            return f"too many calls; the limit is lifted at {printable(reset, limit=40)}"
        return self.advice.get(answer.status_code, "")

    def read_message(self, body: bytes) -> str:
        """Return what the platform said, from its documented forms of an error."""
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            return ""
        return printable("; ".join(self.list_messages(content))) if isinstance(content, dict) else ""

    def list_messages(self, content: Mapping[str, object]) -> list[str]:
        """Return the messages in the JSON of a refusal."""
        found = (content.get(name) for name in self.error_fields)
        return [message for message in found if isinstance(message, str)]


def check_url(problems: Problems, url: object, *, https_only: bool = False, max_characters: int | None = None) -> None:
    """Note what is wrong with the URL of a hook."""
    try:
        target = parse_url(url)  # type: ignore[arg-type]  # it says what is wrong with anything
    except ValueError as error:
        problems.add("url", str(error))
        return
    if https_only and target.scheme != "https":
        problems.add("url", "must start with https://")
    if max_characters is not None and len(str(url)) > max_characters:
        problems.add("url", f"must have at most {max_characters} characters, not {len(str(url))}")
