# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Signatures: what was signed verifies, one changed byte does not, and a stranger's request meets one error only."""

from __future__ import annotations

import base64
import json

from hypothesis import strategies as st

from airflow_provider_hooks.registries.store import StoredHook, format_state, parse_state
from airflow_provider_hooks.signing import SCHEMES, SignatureError, sign, verify
from airflow_provider_hooks.signing.keys import find_secret_problem
from airflow_provider_hooks.signing.secrets import parse_secrets
from tests.security.properties_data import PropertyTable, attempt, is_one_safe_line, json_values, state, texts

SIGNING = [name for name, scheme in SCHEMES.items() if scheme.signature_header]
PRIVATE = "Zq7-private-9Xw"

text_secrets = st.text(min_size=1, max_size=40).filter(lambda secret: find_secret_problem(secret, "text") is None)
whsec_secrets = st.builds(
    lambda prefix, raw: prefix + base64.b64encode(raw).decode(),
    st.sampled_from(["whsec_", ""]),
    st.binary(min_size=24, max_size=64),
)
ids = st.text(alphabet=[chr(code) for code in range(0x21, 0x7F) if chr(code) != "."], min_size=1, max_size=40)
header_names = st.sampled_from(
    [change(name) for scheme in SCHEMES.values() for name in (scheme.signature_header, scheme.id_header,
     scheme.timestamp_header) if name for change in (str, str.lower, str.upper)]
)  # fmt: skip
header_values = st.one_of(
    texts,
    st.none(),
    st.integers(),
    st.binary(),
    st.sampled_from(
        ["v1=", "v1,", "sha256=", "v1=" + "0" * 64, "0" * 64, "v1,AAAA v2,BBBB", "1700000000", "1e9", "nan"]
    ),
    st.sampled_from(["v1,x ", "v1=é", "0"]).map(lambda part: part * 10_000),
)
numbers = st.one_of(
    st.none(), st.integers(), st.floats(), st.booleans(), texts, st.just(10).map(lambda ten: ten**5_000), st.just(1.7e9)
)


class Multimap:
    """Headers as ``http.server`` has them, with a name there twice, or of something that only looks like headers."""

    def __init__(self, pairs: object) -> None:
        self._pairs = pairs

    def __repr__(self) -> str:
        return f"Multimap({self._pairs!r})"

    def items(self) -> object:
        return self._pairs


pairs = st.lists(st.tuples(header_names | texts | st.none() | st.integers() | st.binary(), header_values), max_size=5)
headers = pairs.map(Multimap) | pairs.map(dict) | json_values.map(Multimap) | json_values


def check_strangers_request(
    *, scheme: object, headers: object, body: object, secrets: object, now: object, tolerance: object
) -> None:
    """Nobody who does not know the secret gets a request through, and nothing but ``SignatureError`` comes of it."""
    _, error = attempt(
        SignatureError, verify, scheme, headers=headers, body=body, secrets=secrets, now=now, tolerance=tolerance
    )
    if error is not None:
        assert is_one_safe_line(str(error), limit=600)
        assert PRIVATE not in str(error)
    else:
        assert scheme == "none"


def check_changed_request(
    *, scheme: str, secret: str, whsec: str, body: bytes, delivery_id: str, timestamp: int, off: int, change: str,
    place: int, to: str,
) -> None:  # fmt: skip
    """What was signed verifies; with one byte of a signed part or the signature changed, or too late, it does not."""
    row = SCHEMES[scheme]
    key = whsec if row.key_format == "whsec" else secret
    signed = sign(scheme, body=body, secrets=[key], delivery_id=delivery_id, timestamp=timestamp)
    headers, received = {name.swapcase(): value for name, value in signed.items()}, body
    verify(scheme, headers=headers, body=body, secrets=[key], now=timestamp + off)
    if change == "clock":
        if not row.needs_timestamp:
            return
        off = (301 + place) * (1 if off > 0 else -1)
    elif change == "body":
        at = place % (len(body) + 1)
        received = body[:at] + bytes([(body[at] if at < len(body) else 0) ^ (ord(to) % 255 + 1)]) + body[at + 1 :]
    else:
        changed = {"signature": row.signature_header, "id": row.id_header, "timestamp": row.timestamp_header}[change]
        if changed is None or (change in {"id", "timestamp"} and not row.signs(change)):
            return
        value = headers[changed.swapcase()]
        at = place % len(value)
        headers[changed.swapcase()] = value[:at] + to + value[at + 1 :]
        if to == value[at]:
            return
    try:
        verify(scheme, headers=headers, body=received, secrets=[key], now=timestamp + off)
    except SignatureError:
        return
    raise AssertionError(f"a request with a changed {change} was verified")


def check_any_signing(*, scheme: object, body: object, secrets: object, delivery_id: object, timestamp: object) -> None:
    """Whatever is signed, what comes of it are plain headers or ``SignatureError``."""
    signed, error = attempt(
        SignatureError, sign, scheme, body=body, secrets=secrets, delivery_id=delivery_id, timestamp=timestamp
    )
    if error is not None:
        assert is_one_safe_line(str(error), limit=600)
        assert PRIVATE not in str(error)
        return
    for name, value in signed.items():
        assert name.isascii()
        assert value.isascii()
        assert value.isprintable()
        assert value


def check_variable_text(*, text: str) -> None:
    """Whatever a person wrote into the Variable, it is read or refused without being shown."""
    for parse in (parse_state, parse_secrets):
        _, error = attempt(ValueError, parse, text)
        if error is not None:
            assert type(error) is ValueError
            assert PRIVATE not in str(error)
    kept, _ = attempt(ValueError, parse_state, text)
    assert all(isinstance(value, str) for one in kept or () for value in vars(one).values())
    assert PRIVATE not in repr(kept)


def check_variable_round_trip(*, kept: list[dict[str, str]]) -> None:
    """What is kept is read back as it was."""
    hooks = tuple(StoredHook(**fields) for fields in kept)
    known = tuple(one for one in hooks if one.secret or one.hook_id or one.requested_at)
    assert parse_state(format_state(known)) == known


_kept_fields = st.fixed_dictionaries({}, optional=dict.fromkeys(StoredHook.__dataclass_fields__, texts))
_private_json = st.recursive(
    json_values | st.just(PRIVATE), lambda inner: st.lists(inner) | st.dictionaries(st.just("secrets") | texts, inner)
)
bad_secrets = st.one_of(
    texts, json_values, st.lists(texts | st.just(f" {PRIVATE}\n") | json_values, max_size=3), st.binary()
)

PROPERTIES: PropertyTable = {
    "verify_strangers_request": state(
        check_strangers_request,
        scheme=st.sampled_from(list(SCHEMES)) | json_values,
        headers=headers,
        body=st.binary() | json_values,
        secrets=st.lists(text_secrets | whsec_secrets, min_size=1, max_size=3) | bad_secrets,
        now=numbers,
        tolerance=numbers,
    ),
    "verify_changed_request": state(
        check_changed_request,
        scheme=st.sampled_from(SIGNING),
        secret=text_secrets,
        whsec=whsec_secrets,
        body=st.binary(max_size=60),
        delivery_id=ids,
        timestamp=st.integers(0, 10**12 - 1) | st.just(1_700_000_000),
        off=st.integers(-300, 300),
        change=st.sampled_from(["body", "signature", "id", "timestamp", "clock"]),
        place=st.integers(0, 10_000),
        to=st.characters() | st.characters(max_codepoint=127),
    ),
    "sign_anything": state(
        check_any_signing,
        scheme=st.sampled_from(list(SCHEMES)) | json_values,
        body=st.binary() | json_values,
        secrets=st.lists(text_secrets | whsec_secrets, min_size=1, max_size=3) | bad_secrets,
        delivery_id=ids | json_values,
        timestamp=st.integers(0, 10**12) | numbers,
    ),
    "variable_text": state(
        check_variable_text,
        text=texts
        | st.builds(lambda before, after: f"{{{before}{PRIVATE}{after}", texts, texts)
        | _private_json.map(json.dumps)
        | st.sampled_from(['{"secrets": [{"secret": "x", "hook_id": 1}]}', '{"secrets": {"a": 1}}', "[[]]"])
        | st.just('{"secrets":').map(lambda part: part * 5_000),
    ),
    "variable_round_trip": state(check_variable_round_trip, kept=st.lists(_kept_fields, max_size=4)),
}
