# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Reads what a command is given: an event, a saved request, a secret, a time. Bounded, and refused in one line."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from airflow_provider_hooks._runtime.airflow import read_variable
from airflow_provider_hooks.events import build_event_alert, build_event_created, read_fields
from airflow_provider_hooks.events.schema import FIELDS
from airflow_provider_hooks.events.types import EVENT_ALERT, EVENT_CREATED
from airflow_provider_hooks.events.validators import read_moment
from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.sanitize import safe_repr
from airflow_provider_hooks.signing.keys import find_secret_problem
from airflow_provider_hooks.signing.secrets import parse_secrets

if TYPE_CHECKING:
    from airflow_provider_hooks.events import EventAlert, EventCreated
    from airflow_provider_hooks.signing.schemes import KeyFormat

MAX_INPUT_BYTES = 16_777_216
SECRET_IN_ENVIRONMENT = "SERVICE_HOOK_SECRET"  # noqa: S105  (a name)

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_REQUEST_LINE = re.compile(r"[A-Z]{1,20} \S+ HTTP/[0-9.]{1,5}", re.ASCII)
_HEADER_LINE = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*(.*?)[ \t]*", re.ASCII)
_UNIX_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]+)?", re.ASCII)
_ONLY_IN_CREATED = {one.name for one in FIELDS[EVENT_CREATED]} - {one.name for one in FIELDS[EVENT_ALERT]}


@dataclass(frozen=True, kw_only=True)
class SavedRequest:
    """A request as somebody kept it."""

    headers: Message = field(repr=False)
    """Keeps a name that is there more than once, which a mapping would not."""
    body: bytes = field(repr=False)


def read_input(path: str) -> bytes:
    """
    Return what a file holds, or standard input where the path is ``-``.

    :raises ValidationError: if it cannot be read, is empty, or is too large
    """
    try:
        if path == "-":
            content = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                content = file.read(MAX_INPUT_BYTES + 1)
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or "not a path"
        raise ValidationError(_name_input(path), {"FILE": f"cannot be read: {told}"}) from None
    if not content:
        raise ValidationError(_name_input(path), {"FILE": "is empty"})
    if len(content) > MAX_INPUT_BYTES:
        raise ValidationError(_name_input(path), {"FILE": f"is larger than {MAX_INPUT_BYTES} bytes"})
    return content


def read_event(content: bytes, *, event_type: str | None = None) -> tuple[str, EventCreated | EventAlert]:
    """
    Return the type and the payload of an event from its JSON.

    :param event_type: what it is; told by its fields if ``None``
    :raises ValidationError: naming each field that is missing, wrong or not documented
    """
    try:
        source = orjson.loads(content)
    except ValueError as error:
        raise ValidationError("the event", {"FILE": f"is not JSON: {error}"}) from None
    kind = event_type or _tell_event_type(read_fields(source))
    return kind, build_event_alert(source) if kind == EVENT_ALERT else build_event_created(source)


def read_saved_request(content: bytes) -> SavedRequest:
    """
    Read a request: perhaps a request line, its headers, a blank line, and every byte after it as the body.

    :raises ValidationError: if it has another form
    """
    found = _BLANK_LINE.search(content)
    if found is None:
        raise _refuse_request("has no blank line between headers and body")
    headers = Message()
    for number, line in enumerate(content[: found.start()].decode("latin-1").splitlines(), start=1):
        if number == 1 and _REQUEST_LINE.fullmatch(line):
            continue
        header = _HEADER_LINE.fullmatch(line)
        if header is None:
            raise _refuse_request(f"has no 'Name: value' in line {number}, before the blank line")
        headers.add_header(header[1], header[2])
    return SavedRequest(headers=headers, body=content[found.end() :])


def read_secrets(key_format: KeyFormat, *, variable: str | None, file: str | None) -> tuple[str, ...]:
    """
    Return the secrets from a Variable, a file, or else the environment; none of them is ever quoted.

    :raises ValidationError: if there is none there, or one cannot be used
    """
    if variable and file:
        raise ValidationError("the secret", {"--secret-file": "is given beside --secret-variable; give one"})
    text: str | None
    if variable:
        place, text = f"the Variable {safe_repr(variable)}", read_variable(variable)
    elif file:
        place, text = "--secret-file", read_input(file).decode(errors="replace")
    else:
        place, text = SECRET_IN_ENVIRONMENT, os.environ.get(SECRET_IN_ENVIRONMENT)
    try:
        secrets = parse_secrets(text or "")
    except ValueError as error:
        raise ValidationError("the secret", {place: str(error)}) from None
    if not secrets:
        told = "holds no secret" if text is not None else "is not there"
        other = "" if variable or file else "; say --secret-variable or --secret-file, or set it in the environment"
        raise ValidationError("the secret", {place: told + other})
    problems = [problem for secret in secrets if (problem := find_secret_problem(secret, key_format))]
    if problems:
        raise ValidationError("the secret", {place: problems[0]})
    return secrets


def read_time(text: str) -> float:
    """
    Return a time in unix seconds, from them or from ISO 8601 with a zone.

    :raises ValidationError: if it is neither
    """
    if _UNIX_SECONDS.fullmatch(text):
        return float(text)
    try:
        return read_moment(text).timestamp()
    except ValueError:
        told = f"must be unix seconds or ISO 8601 with a zone, not {safe_repr(text)}"
        raise ValidationError("the time", {"--now": told}) from None


def _tell_event_type(fields: dict[str, object]) -> str:
    if "triggering_rules" not in fields:
        return EVENT_CREATED
    if _ONLY_IN_CREATED & fields.keys():
        raise ValidationError("the event", {"--event-type": "must be given: it has the fields of both events"})
    return EVENT_ALERT


def _name_input(path: str) -> str:
    return "standard input" if path == "-" else f"file {safe_repr(path)}"


def _refuse_request(told: str) -> ValidationError:
    return ValidationError("the saved request", {"FILE": told})
