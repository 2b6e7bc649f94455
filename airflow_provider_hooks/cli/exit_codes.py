# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What the exit status of a command says. Imports nothing heavy: the help of every command shows it."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class ExitCode(IntEnum):
    """The exit status of a command of ``airflow service-hooks``."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    REJECTED = 3
    NOT_SENT = 4
    UNKNOWN = 5
    REGISTRY = 6


MEANINGS: Mapping[ExitCode, str] = MappingProxyType(
    {
        ExitCode.DONE: "done: delivered, verified, reached, or as it was asked for",
        ExitCode.REFUSED: "refused before anything was sent: an event, a connection, a file or an option that cannot "
        "be used; or a request that is not verified",
        ExitCode.USAGE: "the command line cannot be understood",
        ExitCode.REJECTED: "rejected: the endpoint answered, and not with 2xx",
        ExitCode.NOT_SENT: "not sent: no byte of the request left",
        ExitCode.UNKNOWN: "unknown: the request may have arrived, and no answer tells",
        ExitCode.REGISTRY: "a platform refused a call or could not be reached, or it cannot be told which hook "
        "is meant",
    }
)
"""What each status says, for the help and the docs."""


def describe_exit_codes(*codes: ExitCode) -> str:
    """Return what some statuses say, a line each."""
    return "exit status:\n" + "\n".join(f"  {code.value}  {MEANINGS[code]}" for code in codes)
