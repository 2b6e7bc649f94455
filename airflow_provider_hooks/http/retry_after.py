# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Parses when a receiver or a platform takes requests again. No I/O, and no clock."""

from __future__ import annotations

import math
import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_DIGITS = re.compile(r"[0-9]{1,12}", re.ASCII)


def read_retry_at(headers: Mapping[str, str], *, received_at: float) -> float | None:
    """
    Return when calls are taken again, in unix seconds, or ``None`` where the answer does not say.

    ``X-RateLimit-Reset`` is unix seconds, as Smartsheet documents it; ``Retry-After`` is seconds or a date (RFC 9110,
    section 10.2.3). Where both are there the later one counts.

    :param headers: names in lower case
    :param received_at: when the answer came, in unix seconds
    """
    reset, after = headers.get("x-ratelimit-reset", "").strip(), headers.get("retry-after", "").strip()
    candidates = [float(reset)] if _DIGITS.fullmatch(reset) else []
    if _DIGITS.fullmatch(after):
        candidates.append(received_at + int(after))
    elif after:
        candidates += _read_date(after)
    return max(candidates) if candidates else None


def describe_time(moment: float) -> str:
    """Return unix seconds as ISO 8601 in UTC, rounded up to a second."""
    try:
        return datetime.fromtimestamp(math.ceil(moment), tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return "a time that is not valid"


def _read_date(text: str) -> list[float]:
    try:
        moment = parsedate_to_datetime(text)
        return [moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp()]
    except (ValueError, TypeError, OverflowError, IndexError):
        return []
