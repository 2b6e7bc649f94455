# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""An endpoint: the receiving side of a service hook, read from a connection and checked field by field."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, cast

from airflow_provider_hooks.connection_form import read_extra, read_seconds
from airflow_provider_hooks.delivery.connection import (
    AUTO,
    HEADERS_FIELD,
    PLAIN_HEADERS_FIELD,
    SERVICE_HOOK,
    SIGNATURE_FIELD,
)
from airflow_provider_hooks.delivery.headers import (
    as_received,
    find_id_header_problem,
    find_signature_header_problem,
    is_credential,
    list_sensitive_parts,
    read_headers,
    read_pairs,
    read_plain_headers,
)
from airflow_provider_hooks.events.format_base import JSON, NO_SETTINGS, FormatSettings
from airflow_provider_hooks.events.formats import FORMATS
from airflow_provider_hooks.exceptions import ValidationError, ValidationErrors
from airflow_provider_hooks.http.tls import TlsOptions
from airflow_provider_hooks.http.urls import Target, parse_url
from airflow_provider_hooks.sanitize import quote_setting, safe_repr
from airflow_provider_hooks.signing.schemes import DEFAULT_SCHEME, SCHEMES
from airflow_provider_hooks.signing.secrets import parse_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from airflow_provider_hooks.connection_form import ConnectionFields
    from airflow_provider_hooks.events.format_base import Format
    from airflow_provider_hooks.http.oauth2 import OAuth2Client
    from airflow_provider_hooks.signing.keys import KeyFormat
    from airflow_provider_hooks.signing.signer import Signer

ALL_EVENTS = ("*",)
"""What an endpoint takes whose connection names no event types."""
MIN_KEY_CHARACTERS = 16
"""The shortest key that a body may hold: it cannot be guessed from the hash of the body, which records have."""
_EVENT_PATTERN = re.compile(r"[A-Za-z0-9_.*-]{1,128}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """What registering a hook for an endpoint needs of its connection."""

    conn_id: str
    url: str = field(repr=False)
    secret_variable: str | None
    """The Variable that registration writes the secret to."""
    has_typed_secret: bool
    """Whether the connection itself holds a secret."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where deliveries go, how they are signed, and how long an attempt may take."""

    conn_id: str
    deployment: str = ""
    """Part of the delivery ids, so that two deployments have different ones."""
    target: Target = field(repr=False)
    """May hold a token in its path or query, so it is not shown."""
    scheme: Signer
    secrets: tuple[str, ...] = field(repr=False)
    """Newest first. With the scheme ``none`` empty, or the key that the format puts into the body."""
    events: tuple[str, ...]
    """The event types that it takes; ``*`` stands for any characters."""
    format_settings: FormatSettings = NO_SETTINGS
    """The format of its events, with the key and the template that it needs."""
    headers: Mapping[str, str] = field(repr=False)
    """What a connection adds to each delivery; its values are secrets."""
    plain_headers: Mapping[str, str] = field(default_factory=dict)
    """What it adds in addition, whose values are not secrets."""
    id_header: str | None = None
    """A header that carries the delivery id in addition to the provider's own."""
    timeout: float
    """Seconds for one attempt in all."""
    tls: TlsOptions | None = None
    """The client certificate, and authorities that are trusted too."""
    oauth2: OAuth2Client | None = None
    """What gets the access token of each delivery."""
    is_disabled: bool = False
    """Whether nothing is sent to it."""
    sensitive_headers: tuple[str, ...] = field(init=False, repr=False)
    """What records mask of all headers: the values, also without a word such as ``Bearer``, and decoded passwords."""
    credentials: tuple[str, ...] = field(init=False, repr=False)
    """The same of the headers that hold credentials by their name; other values may be words of any text."""

    def takes(self, event_type: str) -> bool:
        """Return whether events of this type may go to the endpoint."""
        return any(fnmatchcase(event_type, pattern) for pattern in self.events)

    def __post_init__(self) -> None:
        named = {name: list_sensitive_parts(value) for name, value in self.headers.items()}
        secret = (part for name, parts in named.items() if is_credential(name) for part in parts)
        of_client = self.oauth2.sensitive_values if self.oauth2 is not None else ()
        every = (part for parts in named.values() for part in parts)
        object.__setattr__(self, "sensitive_headers", (*every, *of_client))
        object.__setattr__(self, "credentials", (*secret, *of_client))


def read_endpoint(
    fields: ConnectionFields,
    *,
    default_timeout: float,
    deployment: str = "",
    read_variable: Callable[[str], str | None],
    allowed_headers: Iterable[str] = (),
) -> Endpoint:
    """
    Return the endpoint that the fields of a connection describe.

    :param default_timeout: seconds for one attempt where the connection says none
    :param deployment: the name of this deployment
    :param read_variable: returns the text of an Airflow Variable, or ``None`` where there is none
    :param allowed_headers: names of headers that the deployment allows in addition to ``Authorization`` and ``X-…``
    :raises ValidationError: naming each field that cannot be used, without quoting a secret
    """
    problems = ValidationErrors(f"connection '{fields.conn_id}'")
    extra = read_extra(SERVICE_HOOK, fields, problems)
    url = fields.host.strip()
    target: Target | None = None
    try:
        target = parse_url(url)
    except ValueError as error:
        problems.add("host (URL)", str(error))
    scheme = SCHEMES[extra.get("scheme", DEFAULT_SCHEME)]
    if extra.get("key_format", AUTO) != AUTO:
        scheme = scheme.with_key_format(cast("KeyFormat", extra["key_format"]))
    allowed_headers = tuple(allowed_headers)
    scheme = _read_options(fields.extra.get(SIGNATURE_FIELD), scheme, allowed=allowed_headers, problems=problems)
    events = tuple(name.strip() for name in extra.get("events", "").split(",") if name.strip()) or ALL_EVENTS
    wrong = next((name for name in events if not _EVENT_PATTERN.fullmatch(name)), None)
    if wrong is not None:
        rule = "is not the name of an event type, such as event.alert, orders.loaded or orders.*"
        problems.add("extra.events", f"{quote_setting(wrong)} {rule}")
    timeout = read_seconds("timeout", extra.get("timeout"), default_timeout, problems)
    headers = read_headers(fields.extra.get(HEADERS_FIELD), allowed=allowed_headers, problems=problems)
    plain_headers = read_plain_headers(fields.extra.get(PLAIN_HEADERS_FIELD), headers, allowed_headers, problems)
    ours = set(map(as_received, scheme.header_names))
    for name in (*headers, *plain_headers, extra.get("id_header", "")):
        if as_received(name) in ours:
            problems.add(f"extra.{SIGNATURE_FIELD}", f"has the header {safe_repr(name)}, which another field has too")
    authorization, oauth2 = _read_credentials(extra, headers, scheme, read_variable, problems)
    if authorization is not None:
        headers = {"Authorization": authorization, **headers}
    id_header = extra.get("id_header")
    named = {HEADERS_FIELD: headers, PLAIN_HEADERS_FIELD: plain_headers}
    if id_header and (problem := find_id_header_problem(id_header, named, allowed_headers)):
        problems.add("extra.id_header", f"{quote_setting(id_header)} {problem}")
    chosen = FORMATS[extra["format"]] if "format" in extra else None
    tls = _read_tls(fields.conn_id, extra, read_variable, problems)
    secrets: tuple[str, ...] = ()
    if "extra.scheme" not in problems:
        variable = extra.get("secret_variable")
        secrets = _read_secrets(
            fields, scheme, chosen, variable=variable, read_variable=read_variable, problems=problems
        )
    key = secrets[0] if secrets and scheme.signature_header is None else None
    format_settings = _read_format_settings(extra, chosen, key, problems)
    problems.raise_if_any()
    assert target is not None  # noqa: S101  (for mypy: a URL that cannot be parsed is a problem)
    if chosen is not None and chosen.has_secret_url:
        target = replace(target, path_is_secret=True)
    return Endpoint(
        conn_id=fields.conn_id,
        deployment=deployment,
        target=target,
        scheme=scheme,
        secrets=secrets,
        events=events,
        format_settings=format_settings,
        headers=headers,
        plain_headers=plain_headers,
        id_header=id_header,
        timeout=timeout,
        tls=tls,
        oauth2=oauth2,
        is_disabled="disabled" in extra,
    )


def _read_credentials(
    extra: Mapping[str, str],
    headers: Mapping[str, str],
    scheme: Signer,
    read_variable: Callable[[str], str | None],
    problems: ValidationErrors,
) -> tuple[str | None, OAuth2Client | None]:
    """Return the value of ``Authorization``, or the client that gets its tokens; most connections have neither."""
    if not any(name.startswith("auth_") for name in extra):
        return None, None
    from airflow_provider_hooks.delivery.credentials import read_credentials  # noqa: PLC0415  (few endpoints need it)

    for names, place in ((headers, HEADERS_FIELD), (scheme.header_names, "scheme")):
        if "authorization" in map(as_received, names):
            problems.add("extra.auth_type", f"{place} sets the header Authorization too; use one of them")
    return read_credentials(extra, read_variable=read_variable, problems=problems)


def _read_tls(
    conn_id: str, extra: Mapping[str, str], read_variable: Callable[[str], str | None], problems: ValidationErrors
) -> TlsOptions | None:
    """Return what the connection adds to TLS. The files are read when a context is built from it."""
    certificate, key, variable = map(extra.get, ("client_certificate", "client_key", "client_certificate_variable"))
    if not (certificate or key or variable or extra.get("ca_certificates")):
        return None
    pem: str | None = None
    if key and not certificate:
        problems.add("extra.client_key", "is set, but client_certificate is not; it is the path of the certificate")
    if variable and (certificate or key):
        problems.add("extra.client_certificate_variable", "a file is set too; use one of them")
    elif variable:
        pem = read_variable(variable)
        if not pem:
            missing = "does not exist" if pem is None else "is empty"
            problems.add("extra.client_certificate_variable", f"the Variable {quote_setting(variable)} {missing}")
    return TlsOptions(
        conn_id=conn_id,
        certificate_file=certificate,
        key_file=key,
        certificate_pem=pem,
        ca_certificates=extra.get("ca_certificates"),
    )


def _read_secrets(
    fields: ConnectionFields,
    scheme: Signer,
    chosen: Format | None,
    *,
    variable: str | None,
    read_variable: Callable[[str], str | None],
    problems: ValidationErrors,
) -> tuple[str, ...]:
    """Return the secrets that sign, newest first; of the scheme ``none`` the key that the format puts into the body."""
    is_key = scheme.signature_header is None
    key_use = "none" if chosen is None else chosen.key_use
    name = "" if chosen is None else chosen.name
    if key_use == "required" and not is_key:
        problem = f"must be none with the format {name}: the password is the key in the body, and signs nothing"
        problems.add("extra.scheme", problem)
        return ()
    if is_key and key_use != "required" and not fields.password and not variable:
        return ()
    if is_key and key_use == "none":
        place = "password" if fields.password else "extra.secret_variable"
        problems.add(place, "is set, but the scheme none signs nothing")
        return ()
    if fields.password and variable:
        problems.add("password", "secret_variable is set too; store the secret in one of them")
        return ()
    user = f"the format {name} needs its key" if is_key else f"the scheme {scheme.name} needs a secret"
    if variable:
        place = f"the Variable {quote_setting(variable)} (extra.secret_variable)"
        secrets = _read_variable_secrets(read_variable(variable), place, problems)
    else:
        place = f"password ({'key in the body' if is_key else 'signing secret'})"
        secrets = (fields.password,) if fields.password else ()
        if not secrets:
            problems.add(place, f"is empty; {user} here or in a secret_variable")
    for secret in secrets:
        found = scheme.find_signing_problem(secret) or (_find_key_problem(secret) if is_key else None)
        if found is not None:
            problems.add(place, found)
    return secrets


def _read_variable_secrets(text: str | None, place: str, problems: ValidationErrors) -> tuple[str, ...]:
    """Return the secrets of a Variable; note why it has none."""
    try:
        secrets = parse_secrets(text or "")
    except ValueError as error:
        problems.add(place, str(error))
        return ()
    if not secrets:
        missing = "does not exist: register the hook first, or set it" if text is None else "holds no secret"
        problems.add(place, missing)
    return secrets


def _find_key_problem(key: str) -> str | None:
    if len(key) < MIN_KEY_CHARACTERS:
        return f"has under {MIN_KEY_CHARACTERS} characters, too few for the key of a receiver"
    return None


def _read_format_settings(
    extra: Mapping[str, str], chosen: Format | None, key: str | None, problems: ValidationErrors
) -> FormatSettings:
    """Return what a connection defines of the format of its events; note each field that cannot be used."""
    settings = FormatSettings(
        name=extra.get("format"),
        key=key,
        template=extra.get("template", ""),
        content_type=extra.get("template_content_type", JSON),
    )
    found = {} if chosen is None else dict(chosen.find_problems(settings))
    if chosen is None or not chosen.uses_template:
        unused = "is used with the format template only; set the format, or leave it empty"
        found |= {name: unused for name in ("template", "template_content_type") if name in extra}
    for name, problem in found.items():
        problems.add(f"extra.{name}", problem)
    return settings


def _read_options(value: object, scheme: Signer, *, allowed: Iterable[str], problems: ValidationErrors) -> Signer:
    """Return the scheme with the options of a connection; note each that cannot be used."""
    place = f"extra.{SIGNATURE_FIELD}"
    named = read_pairs(value)
    if named is None:
        problems.add(place, 'must be a JSON object of options, such as {"header": "X-Partner-Signature"}')
        return scheme
    if not named:
        return scheme
    options = dict(named)
    if len(options) != len(named):
        problems.add(place, "has an option more than once")
    try:
        scheme = scheme.with_options(options)
    except ValidationError as error:
        for option, problem in error.problems.items():
            problems.add(f"{place} {safe_repr(option)}", problem)
    listed = {name.lower() for name in allowed}
    for name in scheme.header_names:
        header_problem = find_signature_header_problem(name, listed)
        if header_problem is not None:
            problems.add(f"{place} {safe_repr(name)}", header_problem)
    return scheme
