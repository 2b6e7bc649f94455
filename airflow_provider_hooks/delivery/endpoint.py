# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""An endpoint: the receiving side of a service hook, read from a connection and checked field by field."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from airflow_provider_hooks.connection_form import (
    ConnectionType,
    ExtraField,
    StandardField,
    read_extra,
    read_seconds,
)
from airflow_provider_hooks.delivery.headers import FIELD as SECRET_HEADERS
from airflow_provider_hooks.delivery.headers import read_headers
from airflow_provider_hooks.events.types import EVENT_TYPES
from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.http.urls import parse_url
from airflow_provider_hooks.sanitize import safe_repr
from airflow_provider_hooks.signing.keys import find_secret_problem
from airflow_provider_hooks.signing.schemes import DEFAULT_SCHEME, KEY_FORMATS, SCHEMES, KeyFormat, Scheme
from airflow_provider_hooks.signing.secrets import parse_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from airflow_provider_hooks.connection_form import ConnectionFields

AUTO = "auto"
"""The key format of a connection that leaves it to the scheme."""

SERVICE_HOOK = ConnectionType(
    name="service_hook",
    label="Service Hook",
    hook_class="airflow_provider_hooks.hooks.endpoint.EndpointHook",
    standard=(
        StandardField(
            name="host",
            label="URL",
            description="Where events are delivered to, such as `https://hooks.example.com/airflow`.",
            placeholder="https://hooks.example.com/airflow",
        ),
        StandardField(
            name="password",
            label="Signing secret",
            description="The secret that deliveries are signed with. Empty where `secret_variable` names it.",
            placeholder="or name a Variable below",
        ),
    ),
    extra=(
        ExtraField(
            name="scheme",
            label="Signing scheme",
            description="How deliveries are signed; the receiver verifies by the same scheme.",
            choices=tuple(SCHEMES),
            default=DEFAULT_SCHEME,
        ),
        ExtraField(
            name="secret_variable",
            label="Secret variable",
            description="The Airflow Variable that registration writes the secret to, in place of the signing secret.",
        ),
        ExtraField(
            name="key_format",
            label="Key format",
            description="text: the secret's characters are the key; whsec: the base64 after whsec_ is; "
            "auto: as the scheme documents.",
            choices=(AUTO, *KEY_FORMATS),
            default=AUTO,
        ),
        ExtraField(
            name="events",
            label="Events",
            description="The event types that may go to this endpoint, separated by commas. Empty: all.",
        ),
        ExtraField(
            name=SECRET_HEADERS,
            label="Headers",
            description='What to add to each delivery, such as `{"Authorization": "Bearer …"}`: Authorization, X-… '
            "and those of [service_hooks] allowed_headers. Their values are treated as secrets.",
            type="object",
        ),
        ExtraField(
            name="timeout",
            label="Timeout",
            description="Seconds that one attempt may take in all. Empty: [service_hooks] timeout.",
            type="number",
            minimum=0.1,
        ),
    ),
)
"""The connection type of an endpoint."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where deliveries go, how they are signed, and within which time."""

    conn_id: str
    url: str = field(repr=False)
    """May hold a token in its path or query, so it is not shown."""
    scheme: Scheme
    secrets: tuple[str, ...] = field(repr=False)
    """Newest first; empty only for the scheme ``none``."""
    events: tuple[str, ...]
    headers: Mapping[str, str] = field(repr=False)
    """What a connection adds to each delivery; its values are secrets."""
    timeout: float
    """Seconds for one attempt in all."""


def read_endpoint(
    fields: ConnectionFields,
    *,
    default_timeout: float,
    read_variable: Callable[[str], str | None],
    allowed_headers: Iterable[str] = (),
) -> Endpoint:
    """
    Read an endpoint from what somebody typed into a connection.

    :param default_timeout: seconds for one attempt where the connection says none
    :param read_variable: returns the text of an Airflow Variable, or ``None`` where there is none
    :param allowed_headers: names of headers that the deployment allows besides ``Authorization`` and ``X-…``
    :raises ValidationError: naming each field that cannot be used, without quoting a secret
    """
    problems = ValidationErrors(f"connection '{fields.conn_id}'")
    extra = read_extra(SERVICE_HOOK, fields, problems)
    url = fields.host.strip()
    try:
        parse_url(url)
    except ValueError as error:
        problems.add("host (URL)", str(error))
    scheme = SCHEMES[extra.get("scheme", DEFAULT_SCHEME)]
    if extra.get("key_format", AUTO) != AUTO:
        scheme = dataclasses.replace(scheme, key_format=cast("KeyFormat", extra["key_format"]))
    events = tuple(name.strip() for name in extra.get("events", "").split(",") if name.strip()) or EVENT_TYPES
    unknown = [name for name in events if name not in EVENT_TYPES]
    if unknown:
        problems.add("extra.events", f"{safe_repr(unknown[0])} is not an event; there are {', '.join(EVENT_TYPES)}")
    timeout = read_seconds("timeout", extra.get("timeout"), default_timeout, problems)
    headers = read_headers(fields.extra.get(SECRET_HEADERS), allowed=allowed_headers, problems=problems)
    secrets: tuple[str, ...] = ()
    if "extra.scheme" not in problems:
        secrets = _read_secrets(fields, extra.get("secret_variable"), scheme, read_variable, problems)
    problems.raise_if_any()
    return Endpoint(
        conn_id=fields.conn_id,
        url=url,
        scheme=scheme,
        secrets=secrets,
        events=events,
        headers=headers,
        timeout=timeout,
    )


def _read_secrets(
    fields: ConnectionFields,
    variable: str | None,
    scheme: Scheme,
    read_variable: Callable[[str], str | None],
    problems: ValidationErrors,
) -> tuple[str, ...]:
    if scheme.signature_header is None:
        if fields.password or variable:
            name = "password" if fields.password else "extra.secret_variable"
            problems.add(name, "is set, but the scheme none signs nothing")
        return ()
    if fields.password and variable:
        problems.add("password", "is set beside secret_variable; keep the secret in one of them")
        return ()
    place = f"the Variable {safe_repr(variable)} (extra.secret_variable)" if variable else "password (signing secret)"
    if not variable:
        secrets: tuple[str, ...] = (fields.password,) if fields.password else ()
        missing = f"is empty; the scheme {scheme.name} needs a secret here or in a secret_variable"
    else:
        text = read_variable(variable)
        missing = "does not exist: register the hook first, or set it" if text is None else "holds no secret"
        try:
            secrets = parse_secrets(text or "")
        except ValueError as error:
            problems.add(place, str(error))
            return ()
    if not secrets:
        problems.add(place, missing)
    for secret in secrets:
        problem = find_secret_problem(secret, scheme.key_format)
        if problem is not None:
            remedy = f"; the scheme {scheme.name} takes base64, unless key_format says text"
            problems.add(place, problem + (remedy if scheme.key_format == "whsec" else ""))
    return secrets
