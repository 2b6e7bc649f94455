# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
How deliveries to an endpoint are authorized, read from its connection: Basic, a bearer token, or OAuth 2.0.

Sources: RFC 7617, section 2 (Basic); RFC 6750, section 2.1 (bearer); RFC 6749, section 4.4 (client credentials).
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, cast

from airflow_provider_hooks.http.urls import parse_url
from airflow_provider_hooks.sanitize import quote_setting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_hooks.exceptions import ValidationErrors
    from airflow_provider_hooks.http.oauth2 import ClientAuthentication, OAuth2Client

MAX_CHARACTERS = 4_096
_USES = {
    "basic": ("auth_username",),
    "bearer": (),
    "oauth2": ("auth_username", "auth_url", "auth_scope", "auth_audience", "auth_method"),
}
"""The fields of each type, in addition to the secret."""
_REQUIRED = {"basic": ("auth_username",), "bearer": (), "oauth2": ("auth_username", "auth_url")}
_TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)
_PRINTABLE = re.compile(r"[\x20-\x7e]*", re.ASCII)
"""RFC 6749, appendix A: client ids, client secrets and scopes."""


def read_credentials(
    extra: Mapping[str, str], *, read_variable: Callable[[str], str | None], problems: ValidationErrors
) -> tuple[str | None, OAuth2Client | None]:
    """
    Return the value of the header ``Authorization``, or the client that gets one token after the other.

    :param extra: the fields of the connection that are set
    :param read_variable: returns the text of an Airflow Variable, or ``None`` where there is none
    """
    kind = extra.get("auth_type")
    _check_fields(kind, extra, problems)
    if kind is None:
        return None, None
    place, secret = _read_secret(extra, kind, read_variable, problems)
    username = extra.get("auth_username", "")
    if not secret or not all(name in extra for name in _REQUIRED[kind]):
        return None, None
    if kind == "oauth2":
        return None, _read_client(extra, username, secret, place, problems)
    if kind == "bearer":
        if not _TOKEN.fullmatch(secret):
            problems.add(place, "must be a token without blanks, in printable ASCII")
        return f"Bearer {secret}", None
    if ":" in username or not username.isprintable():
        problems.add("extra.auth_username", "must be printable, without a colon (RFC 7617)")
        return None, None
    return f"Basic {base64.b64encode(f'{username}:{secret}'.encode()).decode('ascii')}", None


def _check_fields(kind: str | None, extra: Mapping[str, str], problems: ValidationErrors) -> None:
    """Note the fields that the type needs and that are missing, and those that it does not use."""
    given = [name for name in extra if name.startswith("auth_") and name != "auth_type"]
    if kind is None:
        problems.add("extra.auth_type", f"is not set, or is not a type, but {', '.join(given)} is")
        return
    for name in given:
        if name not in {*_USES[kind], "auth_secret", "auth_variable"}:
            problems.add(f"extra.{name}", f"is not used with auth_type {kind}")
    for name in _REQUIRED[kind]:
        if name not in extra:
            problems.add(f"extra.{name}", f"is needed with auth_type {kind}")


def _read_secret(
    extra: Mapping[str, str], kind: str, read_variable: Callable[[str], str | None], problems: ValidationErrors
) -> tuple[str, str]:
    """Return the place of the secret, for errors, and the secret; empty if there is a problem."""
    variable, place = extra.get("auth_variable"), "extra.auth_secret"
    secret: str | None = extra.get("auth_secret")
    if secret and variable:
        problems.add(place, "auth_variable is set too; store the secret in one of them")
        return place, ""
    if variable:
        place = f"the Variable {quote_setting(variable)} (extra.auth_variable)"
        text = read_variable(variable)
        secret = (text or "").strip()
        if not secret:
            problems.add(place, "does not exist" if text is None else "is empty")
    elif not secret:
        problems.add(place, f"is needed with auth_type {kind}, here or in an auth_variable")
    secret = secret or ""
    if secret and (not secret.isprintable() or len(secret) > MAX_CHARACTERS):
        problems.add(place, f"must be one line of at most {MAX_CHARACTERS} characters, without control characters")
        return place, ""
    return place, secret


def _read_client(
    extra: Mapping[str, str], username: str, secret: str, place: str, problems: ValidationErrors
) -> OAuth2Client | None:
    from airflow_provider_hooks.http.oauth2 import OAuth2Client  # noqa: PLC0415  (few endpoints need it)

    scope = extra.get("auth_scope", "")
    for name, text in (("extra.auth_username", username), (place, secret), ("extra.auth_scope", scope)):
        if not _PRINTABLE.fullmatch(text):
            problems.add(name, "must be printable ASCII (RFC 6749)")
    if not extra.get("auth_audience", "").isprintable():
        problems.add("extra.auth_audience", "must be printable")
    try:
        target = parse_url(extra["auth_url"])
    except ValueError as error:
        problems.add("extra.auth_url", str(error))
        return None
    return OAuth2Client(
        target=target,
        client_id=username,
        client_secret=secret,
        scope=scope or None,
        audience=extra.get("auth_audience"),
        method=cast("ClientAuthentication", extra.get("auth_method", "client_secret_basic")),
    )
