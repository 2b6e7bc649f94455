# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``schemes``: the table of signing schemes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_hooks.cli._run import command
from airflow_provider_hooks.cli.exit_codes import ExitCode
from airflow_provider_hooks.cli.output import show
from airflow_provider_hooks.signing import SCHEMES, Scheme

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.signing import Signer


@command
def list_schemes(args: Namespace) -> ExitCode:
    """Print every signing scheme: what it signs, and in which headers that travels."""
    show([_describe(scheme) for scheme in SCHEMES.values()], args.output)
    return ExitCode.DONE


def _describe(scheme: Signer) -> JsonObject:
    """Return the columns of a scheme; what only a row declares is empty for a ``Signer`` of another package."""
    row = scheme if isinstance(scheme, Scheme) else None
    return {
        "scheme": scheme.name,
        "signature_header": scheme.signature_header,
        "signed": ".".join(row.signed_parts) or None if row else None,
        "encoding": row.encoding if row and row.signature_header else None,
        "key_format": scheme.key_format if scheme.signature_header else None,
        "id_header": row.id_header if row else None,
        "timestamp_header": row.timestamp_header if row else None,
        "several_signatures": row.several_signatures if row else None,
    }
