# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
``sign`` and ``verify``, and the signing schemes: rows for simple HMACs, and what other packages add by entry point.

A new HMAC scheme is a new row; ``sign`` and ``verify``, the connection form, the CLI and the docs follow the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from airflow_provider_hooks.entry_points import ExtensibleTable
from airflow_provider_hooks.exceptions import SignatureError, drop_frames
from airflow_provider_hooks.sanitize import safe_repr
from airflow_provider_hooks.signing.hmac_scheme import Scheme, is_delivery_id
from airflow_provider_hooks.signing.message_signatures import HttpMessageSignatures
from airflow_provider_hooks.signing.options import HmacScheme
from airflow_provider_hooks.signing.signer import ReceivedRequest, RequestTarget, Signer, read_target

ENTRY_POINT_GROUP = "airflow_provider_hooks.signing_schemes"
"""The entry points of other packages: each is a ``Scheme`` or a subclass of ``Signer``."""

_STANDARD_WEBHOOKS = Scheme(
    name="standard_webhooks",
    title="Standard Webhooks (standard_webhooks)",
    description="Base64 HMAC of id, timestamp and body in webhook-signature, or an ed25519 signature by a key whsk_…, "
    "as Standard Webhooks specifies",
    source="https://www.standardwebhooks.com/",
    signature_header="webhook-signature",
    signature_prefix="v1,",
    signed_content="{id}.{timestamp}.{body}",
    encoding="base64",
    key_format="whsec",
    ed25519_prefix="v1a,",
    id_header="webhook-id",
    timestamp_header="webhook-timestamp",
    several_signatures=True,
)
_SVIX = replace(
    _STANDARD_WEBHOOKS, signature_header="svix-signature", id_header="svix-id", timestamp_header="svix-timestamp"
)
"""The names that Svix sends, where Standard Webhooks comes from."""

_ROWS: tuple[Signer, ...] = (
    Scheme(
        name="sentry",
        title="Sentry, as its documentation says (sentry)",
        description="Hex HMAC of the body in X-Sentry-Hook-Signature, as Sentry documents service hooks",
        source="https://docs.sentry.io/ (service hooks)",
        signature_header="X-Sentry-Hook-Signature",
    ),
    Scheme(
        name="sentry_servicehook",
        title="Sentry, as its server sends (sentry_servicehook)",
        description="Hex HMAC of the body in X-ServiceHook-Signature, as Sentry's server sends; the GUID is ours",
        source="https://github.com/getsentry/sentry (service hook task)",
        signature_header="X-ServiceHook-Signature",
        id_header="X-ServiceHook-GUID",
        timestamp_header="X-ServiceHook-Timestamp",
    ),
    Scheme(
        name="sentry_integration",
        title="Sentry, as its integrations send (sentry_integration)",
        description="Hex HMAC of the body in Sentry-Hook-Signature, as Sentry documents integration webhooks",
        source="https://docs.sentry.io/organization/integrations/integration-platform/webhooks/",
        signature_header="Sentry-Hook-Signature",
        id_header="Request-ID",
        timestamp_header="Sentry-Hook-Timestamp",
        event_header="Sentry-Hook-Resource",
        event_separator="_",
    ),
    Scheme(
        name="zstack",
        title="ZStack (zstack)",
        description="Hex HMAC of timestamp and body in X-Webhook-Signature, as ZStack documents webhook security",
        source="ZStack API: GET /api/v1/alerting/docs/webhook-security",
        signature_header="X-Webhook-Signature",
        signature_prefix="v1=",
        signed_content="{timestamp}.{body}",
        timestamp_header="X-Webhook-Timestamp",
    ),
    replace(_STANDARD_WEBHOOKS, alias=_SVIX),
    Scheme(
        name="github",
        title="GitHub (github)",
        description="Hex HMAC of the body in X-Hub-Signature-256, as GitHub documents webhook deliveries",
        source="https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
        signature_header="X-Hub-Signature-256",
        signature_prefix="sha256=",
        id_header="X-GitHub-Delivery",
        event_header="X-GitHub-Event",
    ),
    Scheme(
        name="slack",
        title="Slack (slack)",
        description="Hex HMAC of v0, timestamp and body in X-Slack-Signature, as Slack documents signed requests",
        source="https://docs.slack.dev/authentication/verifying-requests-from-slack/",
        signature_header="X-Slack-Signature",
        signature_prefix="v0=",
        signed_content="v0:{timestamp}:{body}",
        timestamp_header="X-Slack-Request-Timestamp",
    ),
    Scheme(
        name="stripe",
        title="Stripe (stripe)",
        description="Hex HMAC of timestamp and body, with the timestamp in Stripe-Signature, as Stripe documents",
        source="https://docs.stripe.com/webhooks/signature",
        signature_header="Stripe-Signature",
        signature_prefix="v1=",
        timestamp_prefix="t=",
        item_separator=",",
        signed_content="{timestamp}.{body}",
        several_signatures=True,
    ),
    HmacScheme(
        name="hmac",
        title="HMAC, as signature describes (hmac)",
        description="HMAC that the connection's field signature describes; by default hex, of the body, in X-Signature",
        source="https://www.rfc-editor.org/rfc/rfc2104",
        signature_header="X-Signature",
    ),
    HttpMessageSignatures(),
    Scheme(
        name="none",
        title="no signature (none)",
        description="No signature: for receivers that authenticate in another way",
        signature_header=None,
        signed_content="",
    ),
)


def _read_scheme(loaded: object) -> Signer:
    """Return the scheme that an entry point loads: a scheme, or a subclass of ``Signer``."""
    scheme = loaded() if isinstance(loaded, type) and issubclass(loaded, Signer) else loaded
    if not isinstance(scheme, Signer):
        raise TypeError("it is neither a Scheme nor a Signer")
    scheme.check_definition()
    return scheme


SCHEMES: Mapping[str, Signer] = ExtensibleTable(
    _ROWS, group=ENTRY_POINT_GROUP, title="signing scheme", read=_read_scheme
)
"""Every scheme by its name."""

DEFAULT_SCHEME = "sentry"
"""The scheme of an endpoint whose connection names none."""


@drop_frames
def sign(
    scheme: Signer | str,
    *,
    body: bytes,
    secrets: Sequence[str],
    delivery_id: str,
    timestamp: int,
    method: str = "POST",
    url: str | None = None,
    content_type: str = "application/json",
) -> Mapping[str, str]:
    """
    Return the headers that prove who sent ``body``.

    With several secrets the headers carry a signature by each of them if the scheme can, else by the newest.
    ``http_message_signatures`` also signs ``X-Service-Hook-Delivery``, which is returned too, and needs ``url``.

    Example:

    ```python
    import time

    from airflow_provider_hooks.signing import sign

    headers = sign(
        "standard_webhooks",
        body=b'{"order":7}',
        secrets=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        delivery_id="5b1e0c1e-0000-5000-8000-000000000000",
        timestamp=int(time.time()),
    )
    assert set(headers) == {"webhook-id", "webhook-timestamp", "webhook-signature"}
    ```

    :param scheme: a scheme of ``SCHEMES`` or its name
    :param body: exactly the bytes that are sent
    :param secrets: the secrets, newest first; the scheme ``none`` ignores them
    :param delivery_id: the delivery's id; 1 to 256 characters of printable ASCII without blanks and full stops
    :param timestamp: the time of sending, in unix seconds
    :param method: the method of the request; only ``http_message_signatures`` signs it, and the two that follow
    :param url: where the request goes
    :param content_type: its header ``Content-Type``
    :raises SignatureError: if the scheme is unknown or an argument cannot be signed
    """
    known = _find_scheme(scheme)
    if not isinstance(body, bytes):
        raise SignatureError("the body to sign must be bytes")
    if known.signature_header is None:
        return {}
    if not is_delivery_id(delivery_id):
        raise SignatureError("the delivery id must be 1 to 256 characters of printable ASCII without '.'")
    if isinstance(timestamp, bool) or not isinstance(timestamp, int) or not 0 <= timestamp < 10**12:
        raise SignatureError("the timestamp must be whole unix seconds")
    checked = _check_secrets(known, secrets, find_problem=known.find_signing_problem)
    if url is not None:
        known = known.with_target(RequestTarget(method=method, url=read_target(url), content_type=content_type))
    headers = known.bind(checked)(body, delivery_id=delivery_id, timestamp=timestamp)
    return headers if known.covered_id_header is None else {known.covered_id_header: delivery_id, **headers}


@drop_frames
def verify(
    scheme: Signer | str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    now: float | None = None,
    tolerance: int = 300,
    method: str | None = None,
    url: str | None = None,
) -> None:
    """
    Return if ``headers`` prove that ``body`` was signed with one of ``secrets``; raise otherwise.

    The time is checked if the scheme sends one. In ``sentry_servicehook`` it is not signed, so that check stops only a
    careless replay. Comparison takes the same time wherever two signatures differ.

    Example:

    ```python
    from airflow_provider_hooks.signing import SignatureError, verify


    def receive(headers, body):
        try:
            verify("standard_webhooks", headers=headers, body=body, secrets=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
        except SignatureError:
            return 401
        return 204


    assert receive({}, b'{"order":7}') == 401
    ```

    :param scheme: a scheme of ``SCHEMES`` or its name; ``none`` proves nothing and always returns
    :param headers: the request's headers, names in any case: a mapping, or anything with its ``items()``, such as the
        headers of ``http.server``
    :param body: the request's body as received, before any parsing
    :param secrets: every secret that is valid now
    :param now: unix seconds; the time of the clock if ``None``
    :param tolerance: how many seconds the sender's clock may differ, either way
    :param method: the method of the request; only ``http_message_signatures`` needs it, and ``url``
    :param url: the URL as the sender wrote it, such as ``https://hooks.example.com/airflow?x=1``
    :raises SignatureError: whatever is wrong, and nothing else, whatever the input
    """
    try:
        known = _find_scheme(scheme)
        if known.signature_header is None:
            return
        request = ReceivedRequest(headers, _copy_body(body), now=now, tolerance=tolerance, method=method, url=url)
        checked = _check_secrets(known, secrets, find_problem=known.find_secret_problem)
        known.verify([known.derive_key(secret) for secret in checked], request)
    except SignatureError:
        raise
    except Exception:  # noqa: BLE001  (a request from outside must not cause another error)
        raise SignatureError("the request cannot be verified: a header, the body or a secret is malformed") from None


def _copy_body(body: object) -> bytes:
    if not isinstance(body, bytes | bytearray | memoryview):
        raise SignatureError("the body to verify must be bytes")
    return bytes(body)


def _find_scheme(scheme: object) -> Signer:
    if isinstance(scheme, Signer):
        return scheme
    if isinstance(scheme, str) and scheme in SCHEMES:
        return SCHEMES[scheme]
    raise SignatureError(f"{safe_repr(scheme)} is not a signing scheme; there are {', '.join(SCHEMES)}")


def _check_secrets(scheme: Signer, secrets: object, *, find_problem: Callable[[object], str | None]) -> Sequence[str]:
    if isinstance(secrets, str | bytes) or not isinstance(secrets, Sequence) or not secrets:
        raise SignatureError(f"the scheme {scheme.name} needs a list with at least one secret")
    for secret in secrets:
        problem = find_problem(secret)
        if problem is not None:
            raise SignatureError(f"the secret {problem}")
    return secrets
