# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The scheme ``hmac``: an HMAC whose header, content and form a connection describes, for receivers without a row."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.signing.hmac_scheme import ENCODINGS, HASHES, Scheme

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

MAX_OPTION_CHARACTERS = 256

_VALUE = re.compile(
    r"(?:(?P<timestamp_prefix>[^{}]*)\{timestamp\}(?P<item_separator>[,; ]))?(?P<signature_prefix>[^{}]*)\{signature\}"
)
_FIELDS = {
    "header": "signature_header",
    "content": "signed_content",
    "hash": "hash_name",
    "encoding": "encoding",
    "timestamp_header": "timestamp_header",
    "id_header": "id_header",
}
"""The field of ``Scheme`` that an option is; ``value`` is several of them."""
_OPTIONS = {
    **{field: option for option, field in _FIELDS.items()},
    "header_names": "header",
    "signature_prefix": "value",
    "timestamp_prefix": "value",
    "item_separator": "value",
}
"""The option that a field of ``Scheme`` comes from."""


@dataclass(frozen=True, kw_only=True)
class HmacScheme(Scheme):
    """An HMAC that the options of a connection describe; ``with_options`` returns the scheme that they make."""

    options = {  # noqa: RUF012  (a field with a default would be an argument)
        "header": "The header of the signature.",
        "value": "What that header carries, such as `sha256={signature}` or `t={timestamp},v1={signature}`.",
        "content": "What is signed: `{body}`, and `{timestamp}` and `{id}` with text between them, such as "
        "`{timestamp}.{body}`.",
        "hash": f"One of {', '.join(f'`{name}`' for name in HASHES)}.",
        "encoding": f"One of {', '.join(f'`{name}`' for name in ENCODINGS)}; `base64url` has no padding.",
        "timestamp_header": "The header of the time of sending, in unix seconds.",
        "id_header": "The header of the delivery id.",
    }

    def with_options(self, options: Mapping[str, object]) -> HmacScheme:
        """
        Return the scheme that the options describe.

        :raises ValidationError: naming each option that cannot be used
        """
        problems = self.find_unknown_options(options)
        fields: dict[str, Any] = {}
        for name in self.options:
            text = options.get(name)
            if text is None:
                continue
            if not isinstance(text, str) or not 0 < len(text) <= MAX_OPTION_CHARACTERS or text != text.strip():
                problems.add(
                    name, f"must be 1 to {MAX_OPTION_CHARACTERS} characters of text without blanks at its ends"
                )
            elif name != "value":
                fields[_FIELDS[name]] = text
            elif found := _VALUE.fullmatch(text):
                fields.update({field: part for field, part in found.groupdict().items() if part is not None})
            else:
                problems.add(
                    name, "must end with {signature}; before it can be {timestamp} and one of ',', ';' and ' '"
                )
        try:
            made = replace(self, **fields)
        except ValidationError as error:
            for field, problem in error.problems.items():
                problems.add(_OPTIONS.get(field, field), problem)
            made = self
        problems.raise_if_any()
        return made
