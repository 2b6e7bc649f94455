# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The connection type of an endpoint: its fields, for the form in the UI, the docs and the parsing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_provider_hooks.connection_form import ConnectionType, ExtraField, StandardField
from airflow_provider_hooks.events.formats import FORMATS
from airflow_provider_hooks.http.urls import BASIC_AUTHENTICATION
from airflow_provider_hooks.signing.schemes import DEFAULT_SCHEME, SCHEMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_hooks.events.format_base import Format
    from airflow_provider_hooks.signing.signer import Signer

HEADERS_FIELD = "secret_headers"
"""The field that holds secret headers. Airflow masks the values of a field whose name holds "secret"."""
PLAIN_HEADERS_FIELD = "headers"
"""The field that holds headers whose values are not secrets."""
SIGNATURE_FIELD = "signature"
"""The field that holds the options of the signing scheme."""
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
            '"sha256={signature}"}` for `hmac`; docs/reference/signing.md lists them.',
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
