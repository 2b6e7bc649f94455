# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``verify``, ``schemes`` and ``sandbox``: the commands that contact neither an endpoint nor a platform."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING, cast

from airflow_provider_hooks._runtime.airflow import read_variable
from airflow_provider_hooks.cli._run import command, exit_with, read_input, show
from airflow_provider_hooks.cli.commands import ExitCode
from airflow_provider_hooks.events.schema import parse_time
from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.sanitize import HEADER_NAME, safe_repr
from airflow_provider_hooks.signing import SCHEMES, Scheme, SignatureError, verify
from airflow_provider_hooks.signing.secrets import parse_secrets

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.signing import Signer

SECRET_VARIABLE_NAME = "SERVICE_HOOK_SECRET"  # noqa: S105  (the name of an environment variable)

_ANY_AGE = 10**12
"""Seconds; longer than any timestamp that a scheme can carry."""
_DEFAULT_TOLERANCE = 300
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_REQUEST_LINE = re.compile(r"[A-Z]{1,20} \S+ HTTP/[0-9.]{1,5}", re.ASCII)
_UNIX_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]+)?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class SavedRequest:
    """A request that was saved to a file."""

    method: str
    target: str = field(repr=False)
    """What is in the request line: a path with its query, or a URL; empty if there is no request line."""
    headers: Message = field(repr=False)
    """A ``Message`` and not a mapping, because it keeps repeated headers."""
    body: bytes = field(repr=False)


@command
def verify_request(args: Namespace) -> ExitCode:
    """Verify a saved request and print the result, with the reason if it is not verified."""
    if args.ignore_age and args.now:
        raise ValidationError("the time", {"--now": "cannot be combined with --ignore-age; give one"})
    if args.file == "-" == args.secret_file:
        raise ValidationError("the secret", {"--secret-file": "and FILE cannot both be standard input"})
    scheme = SCHEMES[args.scheme]
    if args.key_format:
        scheme = scheme.with_key_format(args.key_format)
    if args.signature:
        scheme = scheme.with_options(_parse_options(args.signature))
    secrets = _read_secrets(scheme, variable=args.secret_variable, file=args.secret_file)
    request = _parse_saved_request(read_input(args.file))
    reason: str | None = None
    try:
        verify(
            scheme,
            headers=cast("Mapping[str, str]", request.headers),  # verify() reads its items() only
            body=request.body,
            secrets=secrets,
            now=_parse_time(args.now) if args.now else None,
            tolerance=_ANY_AGE if args.ignore_age else _DEFAULT_TOLERANCE,
            method=request.method,
            url=args.url or _find_url(request),
        )
    except SignatureError as error:
        reason = f"{error}{_describe_length_mismatch(request)}"
    digest = hashlib.sha256(request.body).hexdigest()
    details = {"reason": reason, "scheme": scheme.name, "body_bytes": len(request.body), "body_sha256": digest}
    show({"verified": reason is None, **details}, args.output)
    return ExitCode.DONE if reason is None else ExitCode.REFUSED


@command
def list_schemes(args: Namespace) -> ExitCode:
    """Print every signing scheme: what it signs, and which headers it sends."""
    show([_scheme_to_row(scheme) for scheme in SCHEMES.values()], args.output)
    return ExitCode.DONE


def run_sandbox(args: Namespace) -> None:
    """Serve the sandbox until interrupted; its warnings are logged."""
    from airflow_provider_hooks.sandbox.__main__ import serve  # noqa: PLC0415  (FastAPI and uvicorn, for it alone)

    def run() -> ExitCode:
        serve(host=args.host, port=args.port, anywhere=args.anywhere, answer=args.answer)
        return ExitCode.DONE

    exit_with(run)


def _parse_saved_request(content: bytes) -> SavedRequest:
    """
    Parse a request: an optional request line, headers, a blank line, and every byte after it as the body.

    :raises ValidationError: if it has another form
    """
    found = _BLANK_LINE.search(content)
    if found is None:
        raise ValidationError("the saved request", {"FILE": "has no blank line between headers and body"})
    headers, method, target = Message(), "POST", ""
    for number, line in enumerate(content[: found.start()].decode("latin-1").splitlines(), start=1):
        if number == 1 and _REQUEST_LINE.fullmatch(line):
            method, target = line.split(" ")[:2]
            continue
        name, colon, value = line.partition(":")
        if not colon or not HEADER_NAME.fullmatch(name):
            problem = f"has no 'Name: value' in line {number}, before the blank line"
            raise ValidationError("the saved request", {"FILE": problem})
        headers.add_header(name, value.strip(" \t"))
    return SavedRequest(method=method, target=target, headers=headers, body=content[found.end() :])


def _find_url(request: SavedRequest) -> str | None:
    """Return where a saved request was sent, by https unless its first line has the whole URL, or ``None``."""
    if request.target.startswith(("https://", "http://")):
        return request.target
    host = request.headers.get("Host")
    return f"https://{host}{request.target}" if host and request.target else None


def _read_secrets(scheme: Signer, *, variable: str | None, file: str | None) -> tuple[str, ...]:
    """
    Return the secrets from a Variable, a file, or by default the environment; no error quotes one.

    :raises ValidationError: if none is found, or one is malformed
    """
    if variable and file:
        raise ValidationError("the secret", {"--secret-file": "cannot be combined with --secret-variable; give one"})
    text: str | None
    if variable:
        source, text = f"the Variable {safe_repr(variable)}", read_variable(variable)
    elif file:
        source, text = "--secret-file", read_input(file).decode(errors="replace")
    else:
        source, text = SECRET_VARIABLE_NAME, os.environ.get(SECRET_VARIABLE_NAME)
    try:
        secrets = parse_secrets(text or "")
    except ValueError as error:
        raise ValidationError("the secret", {source: str(error)}) from None
    if not secrets:
        reason = "holds no secret" if text is not None else "is not set"
        hint = "" if variable or file else "; give --secret-variable or --secret-file, or set it in the environment"
        raise ValidationError("the secret", {source: reason + hint})
    problems = [problem for secret in secrets if (problem := scheme.find_secret_problem(secret))]
    if problems:
        raise ValidationError("the secret", {source: problems[0]})
    return secrets


def _parse_options(text: str) -> dict[str, object]:
    """
    Return the options of a scheme.

    :raises ValidationError: if they are no JSON object
    """
    try:
        options = json.loads(text)
    except (ValueError, RecursionError):
        options = None
    if not isinstance(options, dict):
        raise ValidationError("the scheme", {"--signature": 'must be a JSON object, such as {"header": "X-Signature"}'})
    return options


def _parse_time(text: str) -> float:
    """
    Return a time in Unix seconds, from a number or from ISO 8601 with a time zone.

    :raises ValidationError: if it is neither
    """
    if _UNIX_SECONDS.fullmatch(text):
        return float(text)
    try:
        return parse_time(text).timestamp()
    except ValueError:
        problem = f"must be Unix seconds or ISO 8601 with a time zone, not {safe_repr(text)}"
        raise ValidationError("the time", {"--now": problem}) from None


def _describe_length_mismatch(request: SavedRequest) -> str:
    """Name the likely cause of a failed verification: the file's body is not as long as its Content-Length."""
    length = str(request.headers.get("Content-Length", "")).strip()
    if not length.isdecimal() or int(length[:12]) == len(request.body):
        return ""
    return f"; its Content-Length is {length[:12]}, but the saved body has {len(request.body)} bytes"


def _scheme_to_row(scheme: Signer) -> JsonObject:
    """Return the columns of a scheme; those that only a table row declares are empty for another ``Signer``."""
    row = scheme if isinstance(scheme, Scheme) else None
    return {
        "scheme": scheme.name,
        "signature_header": scheme.signature_header,
        "signed": scheme.signed_content or None,
        "hash": row.hash_name if row and row.signature_header else None,
        "encoding": row.encoding if row and row.signature_header else None,
        "key_format": scheme.key_format if scheme.signature_header else None,
        "id_header": row.id_header if row else None,
        "timestamp_header": row.timestamp_header if row else None,
        "event_header": scheme.event_header,
        "several_signatures": scheme.several_signatures,
    }
