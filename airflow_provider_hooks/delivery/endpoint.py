# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
An endpoint: the receiving side of a service hook, read from a connection and checked field by field.

A connection can add headers to its deliveries. A header that a user typed must not become a second header, another host
or a forged signature, so everything that is not plainly a name and a value is refused. Source: RFC 9110, section 5.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, cast

from airflow_provider_hooks.connection_form import (
    ConnectionType,
    ExtraField,
    StandardField,
    read_extra,
    read_seconds,
)
from airflow_provider_hooks.events.format_base import JSON, NO_SETTINGS, FormatSettings
from airflow_provider_hooks.events.formats import FORMATS
from airflow_provider_hooks.exceptions import ValidationError, ValidationErrors
from airflow_provider_hooks.http.tls import TlsOptions
from airflow_provider_hooks.http.urls import BASIC_AUTHENTICATION, Target, parse_url
from airflow_provider_hooks.sanitize import is_header_name, quote_setting, safe_repr
from airflow_provider_hooks.signing.schemes import DEFAULT_SCHEME, SCHEMES
from airflow_provider_hooks.signing.secrets import parse_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_provider_hooks.connection_form import ConnectionFields
    from airflow_provider_hooks.events.format_base import Format
    from airflow_provider_hooks.http.oauth2 import OAuth2Client
    from airflow_provider_hooks.signing.keys import KeyFormat
    from airflow_provider_hooks.signing.signer import Signer

HEADERS_FIELD = "secret_headers"
"""The field of a connection that holds them. Airflow masks the values of a field whose name holds "secret"."""

SIGNATURE_FIELD = "signature"
"""The field of a connection that holds the options of its signing scheme."""

PLAIN_HEADERS_FIELD = "headers"
"""The field of a connection that holds headers whose values are no secrets."""

IDEMPOTENCY_HEADER = "Idempotency-Key"
"""What a connection can name as ``id_header`` without a setting (IETF draft of the HTTP API working group)."""

ALL_EVENTS = ("*",)
"""What an endpoint takes whose connection names no event types."""
MAX_HEADERS = 32
_EVENT_PATTERN = re.compile(r"[A-Za-z0-9_.*-]{1,128}", re.ASCII)
MAX_VALUE_CHARACTERS = 4_096

_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?", re.ASCII)
_RESERVED = frozenset(
    {
        *("content-encoding", "content-length", "content-type", "expect", "host", "transfer-encoding", "user-agent"),
        *("connection", "keep-alive", "te", "trailer", "upgrade", "accept-encoding", "range", "http2-settings"),
    }
)
_CREDENTIAL_WORDS = ("auth", "token", "secret", "password", "key", "cookie", "session", "signature", "credential")
"""A header whose name has one of these holds a credential."""
_SIGNATURE_WORDS = ("signature", "hmac", "timestamp", "webhook")
"""A header whose name has one of these can be one of a scheme that a connection describes."""
_CREDENTIAL_HEADERS = frozenset({"authorization", "cookie"})
_RESERVED_PREFIXES = ("x-service-hook", "x-servicehook", "proxy-")

MIN_KEY_CHARACTERS = 16
"""The shortest key that a body may hold: it cannot be guessed from the hash of the body, which records have."""
AUTO = "auto"
"""The key format of a connection that leaves it to the scheme."""


class _Titles(Mapping[str, str]):
    """What the form shows for the rows of a table; those of entry points are loaded only when they are needed."""

    def __init__(self, rows: Mapping[str, Signer] | Mapping[str, Format]) -> None:
        self._rows = rows

    def __getitem__(self, name: str) -> str:
        return self._rows[name].title or name

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


SERVICE_HOOK = ConnectionType(
    name="service_hook",
    label="Service Hook: webhook endpoint",
    hook_class="airflow_provider_hooks.hooks.endpoint.EndpointHook",
    standard=(
        StandardField(
            name="host",
            label="URL (required)",
            description="Where events are delivered to, such as `https://hooks.example.com/airflow`.",
            placeholder="https://hooks.example.com/airflow",
        ),
        StandardField(
            name="password",
            label="Signing secret (or Secret variable)",
            description="The secret that deliveries are signed with. Empty where `secret_variable` names it. With the "
            "scheme `none` and a format such as `pagerduty`: the receiver's key, which is sent in the body.",
            placeholder="or name a Variable below",
        ),
    ),
    advice={"login": BASIC_AUTHENTICATION},
    extra=(
        ExtraField(
            name="scheme",
            label="Signing scheme",
            description="How deliveries are signed; the receiver verifies by the same scheme.",
            choices=_Titles(SCHEMES),
            default=DEFAULT_SCHEME,
            is_required=True,
        ),
        ExtraField(
            name="secret_variable",
            label="Secret variable",
            description="The Airflow Variable that registration writes the secret to, in place of the signing secret.",
        ),
        ExtraField(
            name="key_format",
            label="Key format",
            description="What of the secret is the key: as the scheme documents (auto), its characters (text), or what "
            "base64 after whsec_ encodes (whsec).",
            choices={
                AUTO: "as the signing scheme documents",
                "text": "text: its characters are the key",
                "whsec": "whsec: the base64 after whsec_ is the key",
            },
            default=AUTO,
            is_required=True,
        ),
        ExtraField(
            name=SIGNATURE_FIELD,
            label="Signature options",
            description='Options of the signing scheme, such as `{"header": "X-Partner-Signature", "value": '
            '"sha256={signature}"}` for `hmac`; docs/signing.md lists them.',
            type="object",
        ),
        ExtraField(
            name="events",
            label="Events",
            description="The event types that may go to this endpoint, separated by commas; `orders.*` stands for all "
            "that begin with `orders.`. Empty: all.",
        ),
        ExtraField(
            name="format",
            label="Format",
            description="How an event becomes a request. Empty: the documented payload of event.created and "
            "event.alert, and `standard_webhooks` for all other events.",
            choices=_Titles(FORMATS),
        ),
        ExtraField(
            name="template",
            label="Template",
            description="With the format `template`: the Jinja template of the body. It has `event` (`type`, `id`, "
            '`time`, `source`, `data`), such as `{"text": {{ event.data.message | tojson }}}`.',
        ),
        ExtraField(
            name="template_content_type",
            label="Template content type",
            description="What the template makes. Empty: `application/json`, which is checked.",
        ),
        ExtraField(
            name="disabled",
            label="Disabled",
            description="Nothing is sent to this endpoint: tasks that deliver to it are skipped.",
            type="boolean",
        ),
        ExtraField(
            name="auth_type",
            label="Authentication",
            description="How deliveries are authorized in addition to the signature.",
            choices={
                "basic": "basic: user name and password (RFC 7617)",
                "bearer": "bearer: a token that does not change (RFC 6750)",
                "oauth2": "oauth2: access tokens of the OAuth 2.0 client credentials grant (RFC 6749)",
            },
        ),
        ExtraField(
            name="auth_username",
            label="User name or client id",
            description="basic: the user name; oauth2: the client id.",
        ),
        ExtraField(
            name="auth_secret",
            label="Password, token or client secret",
            description="basic: the password; bearer: the token; oauth2: the client secret.",
        ),
        ExtraField(
            name="auth_variable",
            label="Variable of the authentication",
            description="The Airflow Variable that holds the password, the token or the client secret, in place of "
            "`auth_secret`.",
        ),
        ExtraField(
            name="auth_url",
            label="Token URL",
            description="oauth2: the token endpoint, such as `https://login.example.com/oauth2/token`.",
        ),
        ExtraField(
            name="auth_scope",
            label="Scope",
            description="oauth2: the scopes to request, separated by blanks. Empty: what the server grants by default.",
        ),
        ExtraField(
            name="auth_audience",
            label="Audience",
            description="oauth2: the receiver that the token is for, if the server needs it.",
        ),
        ExtraField(
            name="auth_method",
            label="Client authentication",
            description="oauth2: how the client id and the client secret are sent to the token endpoint. Empty: "
            "client_secret_basic.",
            choices={
                "client_secret_basic": "client_secret_basic: as Basic authentication",
                "client_secret_post": "client_secret_post: in the body",
            },
        ),
        ExtraField(
            name="client_certificate",
            label="Client certificate",
            description="For receivers that require one (mutual TLS): the path of a PEM file on the worker with the "
            "certificate and its chain.",
        ),
        ExtraField(
            name="client_key",
            label="Client key",
            description="The path of a PEM file with its private key, without a passphrase. Empty: the key is in the "
            "file of the certificate.",
        ),
        ExtraField(
            name="client_certificate_variable",
            label="Client certificate variable",
            description="In place of files: the Airflow Variable that holds certificate, chain and key as PEM text.",
        ),
        ExtraField(
            name="ca_certificates",
            label="CA certificates",
            description="PEM text, or the path of a PEM file, of authorities that are trusted for this endpoint in "
            "addition to the public ones and [service_hooks] ca_file.",
            format="multiline",
        ),
        ExtraField(
            name=PLAIN_HEADERS_FIELD,
            label="Headers",
            description='What to add to each delivery, such as `{"X-Team": "data"}`: X-… and those of [service_hooks] '
            "allowed_headers. Their values are not secrets.",
            type="object",
        ),
        ExtraField(
            name=HEADERS_FIELD,
            label="Secret headers",
            description='The same for values that are secrets, such as `{"X-Api-Key": "…"}`; Authorization too.',
            type="object",
        ),
        ExtraField(
            name="id_header",
            label="Id header",
            description="A header that carries the delivery id too, such as `Idempotency-Key`, for a receiver that "
            "ignores a repeated one.",
        ),
        ExtraField(
            name="timeout",
            label="Timeout",
            description="Seconds that one attempt may take in all. Empty: [service_hooks] timeout.",
            type="number",
        ),
    ),
)
"""The connection type of an endpoint."""


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
    """What it adds in addition, whose values are no secrets."""
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
        named = {name: _list_sensitive_parts(value) for name, value in self.headers.items()}
        secret = (part for name, parts in named.items() if is_credential(name) for part in parts)
        of_client = self.oauth2.sensitive_values if self.oauth2 is not None else ()
        every = (part for parts in named.values() for part in parts)
        object.__setattr__(self, "sensitive_headers", (*every, *of_client))
        object.__setattr__(self, "credentials", (*secret, *of_client))


def is_credential(header: str) -> bool:
    """Return whether a header holds a credential, by its name."""
    return any(word in header.lower() for word in _CREDENTIAL_WORDS)


def _list_sensitive_parts(value: str) -> list[str]:
    """Return a header's value, what follows its first word, and what Basic authentication encodes (RFC 7617)."""
    scheme, _, rest = value.partition(" ")
    parts = [value, *value.split(" ")[1:]]
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            decoded = base64.b64decode(rest.strip(), validate=True).decode()
            parts += [decoded, decoded.partition(":")[2]]
    return [part for part in parts if part]


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
    plain_headers = _read_plain_headers(fields.extra.get(PLAIN_HEADERS_FIELD), headers, allowed_headers, problems)
    ours = set(map(_as_received, scheme.header_names))
    for name in (*headers, *plain_headers, extra.get("id_header", "")):
        if _as_received(name) in ours:
            problems.add(f"extra.{SIGNATURE_FIELD}", f"has the header {safe_repr(name)}, which another field has too")
    authorization, oauth2 = _read_credentials(extra, headers, scheme, read_variable, problems)
    if authorization is not None:
        headers = {"Authorization": authorization, **headers}
    id_header = extra.get("id_header")
    named = {HEADERS_FIELD: headers, PLAIN_HEADERS_FIELD: plain_headers}
    if id_header and (problem := _find_id_header_problem(id_header, named, allowed_headers)):
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
        if "authorization" in map(_as_received, names):
            problems.add("extra.auth_type", f"is set, and so is the header Authorization, by {place}; use one of them")
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
        problems.add("extra.client_certificate_variable", "is set, and so is a file; use one of them")
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
        problems.add("password", "is set, and so is secret_variable; store the secret in one of them")
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
    named = _read_pairs(value)
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
        header_problem = _find_signature_header_problem(name, listed)
        if header_problem is not None:
            problems.add(f"{place} {safe_repr(name)}", header_problem)
    return scheme


def _find_signature_header_problem(name: str, listed: set[str]) -> str | None:
    """Return why a scheme that a connection describes cannot use a header, or ``None``."""
    if _is_of_a_scheme(_as_received(name)):
        return None
    is_usual = any(word in name.lower() for word in _SIGNATURE_WORDS)
    return _find_name_problem(name, {*listed, name.lower()} if is_usual else listed)


def _read_plain_headers(
    value: object, secret: Mapping[str, str], allowed: Iterable[str], problems: ValidationErrors
) -> dict[str, str]:
    """Return the headers whose values are no secrets; note each that holds credentials, or is a secret one too."""
    headers = read_headers(value, allowed=allowed, problems=problems, field=PLAIN_HEADERS_FIELD)
    others = set(map(_as_received, secret))
    for name in headers:
        place = f"extra.{PLAIN_HEADERS_FIELD} {safe_repr(name)}"
        if _as_received(name) in _CREDENTIAL_HEADERS:
            problems.add(place, f"holds credentials: use {HEADERS_FIELD}, or auth_type")
        elif _as_received(name) in others:
            problems.add(place, f"is in {HEADERS_FIELD} too; name it in one of them")
    return headers


def read_headers(
    value: object, *, allowed: Iterable[str], problems: ValidationErrors, field: str = HEADERS_FIELD
) -> dict[str, str]:
    """
    Return the headers that a connection adds; note each that it must not.

    :param value: a JSON object of names and values, or its text; nothing, or blank text, is no header
    :param allowed: the names that the deployment adds to ``Authorization`` and ``X-…``, in any case
    :param field: the field of the connection
    """
    named = _read_pairs(value)
    if named is None:
        problems.add(f"extra.{field}", 'must be a JSON object of names and values, such as {"X-Team": "data"}')
        return {}
    if len(named) > MAX_HEADERS:
        problems.add(f"extra.{field}", f"has {len(named)} headers; there can be {MAX_HEADERS}")
        return {}
    listed = {name.lower() for name in allowed}
    headers: dict[str, str] = {}
    for name, text in named:
        place = f"extra.{field} {safe_repr(name)}"
        problem = _find_name_problem(name, listed) or _find_value_problem(text)
        if _as_received(name) in map(_as_received, headers):
            problem = "is there more than once; names differ in more than their case, '-' and '_'"
        if problem is not None:
            problems.add(place, problem)
        else:
            headers[name] = str(text)
    return headers


def _read_pairs(value: object) -> list[tuple[str, object]] | None:
    """Return the pairs in their order, repeated names included, or ``None`` if there are no pairs in it."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [(str(name), text) for name, text in value.items()]
    if not isinstance(value, str):
        return None
    if not value.strip():
        return []
    try:
        pairs = json.loads(value, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return None
    return list(pairs) if isinstance(pairs, _Pairs) else None


class _Pairs(list[tuple[str, object]]):
    """What a JSON object holds, before repeated names are dropped."""


def _find_name_problem(name: str, listed: set[str], *, common: str = "Authorization") -> str | None:
    lower = name.lower()
    as_received = _as_received(name)
    if not is_header_name(name):
        return "is not the name of a header"
    if as_received in _RESERVED or as_received.startswith(_RESERVED_PREFIXES) or _is_of_a_scheme(as_received):
        return "is set by the provider or the connection itself and cannot be given"
    if lower != common.lower() and not lower.startswith("x-") and lower not in listed:
        return f"is not allowed: use {common} or X-…, or list it in allowed_headers (section service_hooks)"
    return None


def _find_id_header_problem(name: str, named: Mapping[str, Iterable[str]], allowed: Iterable[str]) -> str | None:
    """
    Return why a header cannot carry the delivery id, or ``None``.

    :param named: the headers that each field of the connection adds
    """
    for place, headers in named.items():
        if _as_received(name) in map(_as_received, headers):
            return f"is in {place} too; name it in one of them"
    return _find_name_problem(name, {other.lower() for other in allowed}, common=IDEMPOTENCY_HEADER)


def _is_of_a_scheme(as_received: str) -> bool:
    return any(as_received == _as_received(header) for scheme in SCHEMES.values() for header in scheme.header_names)


def _as_received(name: str) -> str:
    """Return the name of a header as WSGI and CGI servers see it: case, ``-`` and ``_`` make no difference."""
    return name.lower().replace("_", "-")


def _find_value_problem(value: object) -> str | None:
    """Return what is wrong with a value, in words that do not quote it."""
    if not isinstance(value, str):
        return "must have text as its value"
    if len(value) > MAX_VALUE_CHARACTERS:
        return f"has a value longer than {MAX_VALUE_CHARACTERS} characters"
    if not _VALUE.fullmatch(value):
        return "has a value that is empty, has blanks at an end, or is not printable ASCII"
    return None
