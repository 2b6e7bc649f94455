# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``verify``: whether a saved request was signed with a secret."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, cast

from airflow_provider_hooks.cli._input import read_input, read_saved_request, read_secrets, read_time
from airflow_provider_hooks.cli._run import command
from airflow_provider_hooks.cli.exit_codes import ExitCode
from airflow_provider_hooks.cli.output import show
from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.signing import SCHEMES, SignatureError, verify

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from airflow_provider_hooks.cli._input import SavedRequest

_ANY_AGE = 10**12
"""Seconds: longer than any time that a scheme can say."""
_USUAL_AGE = 300


@command
def verify_request(args: Namespace) -> ExitCode:
    """Verify a saved request and print whether it is, and else why not."""
    if args.ignore_age and args.now:
        raise ValidationError("the time", {"--now": "is given beside --ignore-age; give one"})
    if args.file == "-" == args.secret_file:
        raise ValidationError("the secret", {"--secret-file": "and FILE cannot both be standard input"})
    scheme = SCHEMES[args.scheme]
    if args.key_format:
        scheme = scheme.with_key_format(args.key_format)
    secrets = read_secrets(scheme, variable=args.secret_variable, file=args.secret_file)
    request = read_saved_request(read_input(args.file))
    reason: str | None = None
    try:
        verify(
            scheme,
            headers=cast("Mapping[str, str]", request.headers),  # its items() are what is read
            body=request.body,
            secrets=secrets,
            now=read_time(args.now) if args.now else None,
            tolerance=_ANY_AGE if args.ignore_age else _USUAL_AGE,
        )
    except SignatureError as error:
        reason = f"{error}{_find_change(request)}"
    digest = hashlib.sha256(request.body).hexdigest()
    told = {"reason": reason, "scheme": scheme.name, "body_bytes": len(request.body), "body_sha256": digest}
    show({"verified": reason is None, **told}, args.output)
    return ExitCode.DONE if reason is None else ExitCode.REFUSED


def _find_change(request: SavedRequest) -> str:
    """Say what is plain to see: that the body is not as long as its request said, as when an editor ended the line."""
    length = str(request.headers.get("Content-Length", "")).strip()
    if not length.isdecimal() or int(length[:12]) == len(request.body):
        return ""
    return f"; its Content-Length is {length[:12]}, but the body that was saved has {len(request.body)} bytes"
