# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""How answers are read and refusals told, as far as all platforms agree. No I/O."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar, NoReturn

from airflow_provider_hooks.http.retry_after import describe_time, read_retry_at
from airflow_provider_hooks.registries.model import Answer, Call, RegistryError
from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_hooks.registries.platform_table import Platform

_MAX_NUMBER = 10**18
OK, CREATED, NO_CONTENT, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, GONE, TOO_MANY = (
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
    CONFLICT: "it conflicts with what is there: list the hooks and see",
    GONE: "it is gone for good",
}


class AnswerForms:
    """Reads the parts that a platform's answers have in common, and says what a refusal means."""

    platform: Platform
    advice: ClassVar[Mapping[int, str]] = {}
    """For a status, what a person can do."""
    error_fields: ClassVar[tuple[str, ...]] = ("message", "detail")
    """Where an answer's JSON says what is wrong; nothing else of a refusal is ever shown."""

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
        free: Sequence[str] = (),
    ) -> dict[str, str]:
        """
        Return fields of a JSON object as text; an optional one that is not there as empty.

        :param numbers: fields that are documented as whole numbers, which are returned as their digits
        :param free: fields in which a person may have written anything, which is escaped
        :raises RegistryError: naming each field that is missing or of another form
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
        message = self.read_message(answer.body)
        parts = (message, self.advise(answer))
        told = "; ".join(part for part in parts if part) or "no message"
        is_limited = answer.status_code == TOO_MANY
        raise RegistryError(
            self.platform.title,
            call.operation.value,
            told,
            status_code=answer.status_code,
            retry_at=read_retry_at(answer.headers, received_at=answer.received_at) if is_limited else None,
            explained=bool(message),
        )

    def advise(self, answer: Answer) -> str:
        """Return what a person can do about a refusal, or nothing."""
        if answer.status_code == TOO_MANY:
            retry_at = read_retry_at(answer.headers, received_at=answer.received_at)
            lifted = f"is lifted at {describe_time(retry_at)}" if retry_at is not None else "has no end that is said"
            return f"too many calls; the limit {lifted}"
        return self.advice.get(answer.status_code, "") or _COMMON_ADVICE.get(answer.status_code, "")

    def read_message(self, body: bytes) -> str:
        """Return what the platform said, from its documented forms of an error."""
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            return ""
        return escape("; ".join(self.list_messages(content))) if isinstance(content, dict) else ""

    def list_messages(self, content: Mapping[str, object]) -> list[str]:
        """Return the messages in the JSON of a refusal."""
        found = (content.get(name) for name in self.error_fields)
        return [message for message in found if isinstance(message, str)]
