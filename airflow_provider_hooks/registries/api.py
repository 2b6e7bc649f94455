# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""How calls are made and answers read, as far as all platforms agree. No I/O."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, NoReturn

from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.http.urls import parse_url
from airflow_provider_hooks.registries.answers import GONE, NO_CONTENT, NOT_FOUND, OK, AnswerForms
from airflow_provider_hooks.registries.model import HookChanges, UnsupportedOperationError
from airflow_provider_hooks.registries.platform_table import Operation
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    from airflow_provider_hooks.registries.model import Answer, Call, HookSpec, Page, Security, ServiceHook, Stat
    from airflow_provider_hooks.registries.registry import Registry


class PlatformApi(AnswerForms):
    """
    One platform's API. A subclass says how its calls are made; what the platform does not document is refused here.

    :param registry: where hooks are managed, and with which token
    """

    hook_id_pattern: ClassVar[str] = r"[A-Za-z0-9_-]{1,64}"
    """What a hook's id looks like, so that none can lead to another path."""
    all_events: ClassVar[tuple[str, ...]] = ()
    """What a hook is subscribed to where nobody says to what."""
    known_events: ClassVar[tuple[str, ...]] = ()
    """Which events it documents, where those are all."""
    one_event_a_hook: ClassVar[bool] = False
    """Whether a hook has exactly one event, so that another event is another hook."""
    max_hooks_an_event: ClassVar[int | None] = None
    """How many hooks an event may have."""
    signs: ClassVar[bool] = False
    """Whether a hook has a secret that deliveries are signed with."""
    fields: ClassVar[frozenset[str]] = frozenset()
    """What of a ``HookSpec`` the platform takes; a field that it would ignore is refused."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.platform = registry.platform

    def authorize(self) -> dict[str, str]:
        """Return the headers that carry the token."""
        return {"Authorization": f"Bearer {self.registry.token}"}

    def check(self, spec: HookSpec | HookChanges) -> None:
        """
        Check a hook's fields by the platform's own rules, before anything is sent.

        :raises ValidationError: naming each field that the platform would refuse
        """
        raise NotImplementedError

    def complete(self, spec: HookSpec) -> HookSpec:
        """Return what is asked for, with all events where nobody said which, as far as the platform knows all."""
        return spec if spec.events is not None else replace(spec, events=self.all_events)

    def split(self, spec: HookSpec) -> tuple[HookSpec, ...]:
        """
        Return the hooks that one declaration stands for: where a hook has one event, one for each of its events.

        :raises ValidationError: naming each field that the platform would refuse
        """
        spec = self.complete(spec)
        self.check(spec)
        if not self.one_event_a_hook:
            return (spec,)
        return tuple(replace(spec, events=(event,)) for event in dict.fromkeys(spec.events or ()))

    def is_same(self, spec: HookSpec, hook: ServiceHook) -> bool:
        """Tell whether a hook is the one that is meant, where nothing but the platform itself can tell."""
        return self.is_for_url(spec, hook)

    def is_for_url(self, spec: HookSpec, hook: ServiceHook) -> bool:
        """Tell whether a hook sends to the URL that is asked for; where a hook has one event, another is another."""
        return hook.url == spec.url and self.has_event(spec, hook)

    def has_event(self, spec: HookSpec, hook: ServiceHook) -> bool:
        """Tell whether a hook can be the one that is asked for by its event, which counts where a hook has one."""
        return not self.one_event_a_hook or hook.events == spec.events

    def find_differences(self, spec: HookSpec, hook: ServiceHook) -> HookChanges:
        """Return what would have to change of a hook to make it as it is asked for; a field not asked for is left."""
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
        return HookChanges(**changes)  # type: ignore[arg-type]  # each value is of the field that it is named for

    def create(self, spec: HookSpec) -> Call:
        """
        Ask for a new hook.

        :raises ValidationError: naming each field that the platform would refuse
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

        :raises ValidationError: naming each field that the platform would refuse
        """
        self.refuse(Operation.UPDATE)

    def delete(self, hook_id: str) -> Call:
        """Ask for a hook to be deleted."""
        raise NotImplementedError

    def read_deletion(self, call: Call, answer: Answer) -> bool:
        """
        Return whether the hook was there to be deleted. A 404 without the platform's own words may be anybody's.

        :raises RegistryError: if the platform refused, or answered something else
        """
        if answer.status_code in {NOT_FOUND, GONE} and self.read_message(answer.body):
            return False
        if answer.status_code not in {OK, NO_CONTENT}:
            self.raise_refused(call, answer)
        if answer.body.strip():
            self.read_json(call, answer)
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

    def read_rotated(self, call: Call, answer: Answer) -> ServiceHook:
        """
        Read the hook with its new secret.

        :raises RegistryError: if the platform refused, or answered without the secret
        """
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

    def note_unknown(self, problems: ValidationErrors, spec: HookSpec | HookChanges) -> None:
        """Note what is asked for and would be ignored. A name is the declaration's too, and a secret is never said."""
        for name in ("events", "headers"):
            if getattr(spec, name) and name not in self.fields:
                problems.add(name, f"are not taken by {self.platform.title}; leave them out")
        if isinstance(spec, HookChanges) and spec.name is not None and "name" not in self.fields:
            problems.add("name", f"is not kept by {self.platform.title}")
        if spec.is_active is False and "is_active" not in self.fields:
            problems.add("is_active", f"cannot be false: {self.platform.title} has no hooks that rest; delete it")

    def quote_id(self, hook_id: str) -> str:
        """
        Return a hook's id if it can stand in a path.

        :raises ValidationError: if it cannot
        """
        if not isinstance(hook_id, str) or not re.fullmatch(self.hook_id_pattern, hook_id, re.ASCII):
            problems = ValidationErrors(f"service hook on {self.platform.title}")
            problems.add("hook_id", f"must be the id that {self.platform.title} gave, not {safe_repr(hook_id)}")
            problems.raise_if_any()
        return hook_id


def check_url(
    problems: ValidationErrors, url: object, *, https_only: bool = False, max_characters: int | None = None
) -> None:
    """Note what is wrong with the URL of a hook."""
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
    """Note what is wrong with the name of a hook, where a platform asks for one."""
    if not (isinstance(name, str) and name.strip()):
        problems.add("name", f"is missing; {platform} asks for one")
    elif not name.isprintable():
        problems.add("name", f"must be one line of text, not {safe_repr(name)}")
