# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``sign`` and ``verify``: every scheme, over bytes that are never parsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_hooks.exceptions import SignatureError
from airflow_provider_hooks.sanitize import safe_repr
from airflow_provider_hooks.signing.schemes import SCHEMES, is_delivery_id
from airflow_provider_hooks.signing.signer import ReceivedRequest, Signer


def sign(
    scheme: Signer | str, *, body: bytes, secrets: Sequence[str], delivery_id: str, timestamp: int
) -> Mapping[str, str]:
    """
    Return the headers that prove who sent ``body``.

    With several secrets the headers carry a signature by each of them if the scheme can, else by the newest.

    :param scheme: a scheme of ``SCHEMES`` or its name
    :param body: exactly the bytes that are sent
    :param secrets: the secrets, newest first; the scheme ``none`` ignores them
    :param delivery_id: the delivery's id; 1 to 256 characters of printable ASCII without blanks and full stops
    :param timestamp: the time of sending, in unix seconds
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
    bound = known.bind(_check_secrets(known, secrets))
    return bound(body, delivery_id=delivery_id, timestamp=timestamp)


def verify(
    scheme: Signer | str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    now: float | None = None,
    tolerance: int = 300,
) -> None:
    """
    Return if ``headers`` prove that ``body`` was signed with one of ``secrets``; raise otherwise.

    The time is checked if the scheme sends one. In ``sentry_servicehook`` it is not signed, so that check stops only a
    careless replay. Comparison takes the same time wherever two signatures differ.

    :param scheme: a scheme of ``SCHEMES`` or its name; ``none`` proves nothing and always returns
    :param headers: the request's headers, names in any case: a mapping, or anything with its ``items()``, such as the
        headers of ``http.server``
    :param body: the request's body as received, before any parsing
    :param secrets: every secret that is valid now
    :param now: unix seconds; the time of the clock if ``None``
    :param tolerance: how many seconds the sender's clock may differ, either way
    :raises SignatureError: whatever is wrong, and nothing else, whatever the input
    """
    try:
        known = _find_scheme(scheme)
        if known.signature_header is None:
            return
        request = ReceivedRequest(headers, _copy_body(body), now=now, tolerance=tolerance)
        known.verify([known.derive_key(secret) for secret in _check_secrets(known, secrets)], request)
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


def _check_secrets(scheme: Signer, secrets: object) -> Sequence[str]:
    if isinstance(secrets, str | bytes) or not isinstance(secrets, Sequence) or not secrets:
        raise SignatureError(f"the scheme {scheme.name} needs a list with at least one secret")
    for secret in secrets:
        problem = scheme.find_secret_problem(secret)
        if problem is not None:
            raise SignatureError(f"the secret {problem}")
    return secrets
