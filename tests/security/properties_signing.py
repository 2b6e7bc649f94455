# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Signatures: signed requests are verified, changed and forged ones are refused with ``SignatureError`` only."""

from __future__ import annotations

import base64
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import strategies as st

from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.http.urls import parse_url
from airflow_provider_hooks.registries.store import StoredHook, format_state, parse_state
from airflow_provider_hooks.signing import SCHEMES, Scheme, SignatureError, Signer, sign, verify
from airflow_provider_hooks.signing.keys import find_secret_problem
from airflow_provider_hooks.signing.secrets import parse_secrets
from tests.security.properties_data import (
    PropertyTable,
    call_expecting,
    is_safe_line,
    json_values,
    make_property,
    texts,
)

SIGNING = [name for name, scheme in SCHEMES.items() if scheme.signature_header]
PRIVATE = "Zq7-private-9Xw"
URL = "https://hooks.example.com:8443/airflow/a%20b?token=x&y="

text_secrets = st.text(min_size=1, max_size=40).filter(lambda secret: find_secret_problem(secret, "text") is None)
whsec_secrets = st.builds(
    lambda prefix, raw: prefix + base64.b64encode(raw).decode(),
    st.sampled_from(["whsec_", ""]),
    st.binary(min_size=24, max_size=64),
)
signing_keys = st.builds(
    lambda raw, is_pair: "whsk_" + base64.b64encode(raw + make_public(raw) if is_pair else raw).decode(),
    st.binary(min_size=32, max_size=32),
    st.booleans(),
)
bad_keys = st.builds(
    lambda prefix, text: prefix + text,
    st.sampled_from(["whsk_", "whpk_", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PUBLIC KEY-----"]),
    st.text(max_size=60) | st.binary(max_size=70).map(lambda raw: base64.b64encode(raw).decode()),
)
ids = st.text(alphabet=[chr(code) for code in range(0x21, 0x7F) if chr(code) != "."], min_size=1, max_size=40)
header_names = st.sampled_from(
    [
        change(name)
        for scheme in SCHEMES.values()
        for name in (*scheme.header_names, *([scheme.covered_id_header] if scheme.covered_id_header else []))
        for change in (str, str.lower, str.upper)
    ]
)
header_values = st.one_of(
    texts,
    st.none(),
    st.integers(),
    st.binary(),
    st.sampled_from(
        [
            "v1=",
            "v1,",
            "v1a,",
            "t=",
            "t=1700000000,v1=",
            "sig1=()",
            "sig1=:AAAA:",
            "sha-256=:AAAA:",
            "sha256=",
            "v1=" + "0" * 64,
            "0" * 64,
            "v1,AAAA v2,BBBB",
            "1700000000",
            "1e9",
            "nan",
        ]
    ),
    st.sampled_from(["v1,x ", "v1=é", "0"]).map(lambda part: part * 10_000),
)
numbers = st.one_of(
    st.none(), st.integers(), st.floats(), st.booleans(), texts, st.just(10).map(lambda ten: ten**5_000), st.just(1.7e9)
)


class Multimap:
    """Headers with duplicate names, as ``http.server`` has them, or an object that is not a mapping of headers."""

    def __init__(self, pairs: object) -> None:
        self._pairs = pairs

    def __repr__(self) -> str:
        return f"Multimap({self._pairs!r})"

    def items(self) -> object:
        return self._pairs


pairs = st.lists(st.tuples(header_names | texts | st.none() | st.integers() | st.binary(), header_values), max_size=5)
headers = pairs.map(Multimap) | pairs.map(dict) | json_values.map(Multimap) | json_values


def make_public(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def check_forged_request(
    *, scheme: object, headers: object, body: object, secrets: object, now: object, tolerance: object, method: object,
    url: object,
) -> None:  # fmt: skip
    """A request that was not signed with the secret is refused, with no other error than ``SignatureError``."""
    _, error = call_expecting(
        SignatureError, verify, scheme, headers=headers, body=body, secrets=secrets, now=now, tolerance=tolerance,
        method=method, url=url,
    )  # fmt: skip
    if error is not None:
        assert is_safe_line(str(error), limit=600)
        assert PRIVATE not in str(error)
    else:
        assert scheme == "none"


def check_changed_request(
    *, scheme: str, secret: str, whsec: str, whsk: str | None, body: bytes, delivery_id: str, timestamp: int, off: int,
    change: str, place: int, to: str,
) -> None:  # fmt: skip
    """A signed request is verified; with a changed byte in a signed part or the signature, or too late, it is not."""
    row = SCHEMES[scheme]
    key = whsk if whsk and row.takes_ed25519 else whsec if row.key_format == "whsec" else secret
    signed = sign(scheme, body=body, secrets=[key], delivery_id=delivery_id, timestamp=timestamp, url=URL)
    headers, received = {name.swapcase(): value for name, value in signed.items()}, body
    headers["cONTENT-tYPE"] = "application/json"
    where = {"method": "POST", "url": URL}
    verify(scheme, headers=headers, body=body, secrets=[key], now=timestamp + off, **where)
    if change == "clock":
        if not row.needs_timestamp:
            return
        off = (301 + place) * (1 if off > 0 else -1)
    elif change == "body":
        at = place % (len(body) + 1)
        received = body[:at] + bytes([(body[at] if at < len(body) else 0) ^ (ord(to) % 255 + 1)]) + body[at + 1 :]
    elif change in where:
        if row.covered_id_header is None:
            return
        at = place % len(where[change])
        where[change] = where[change][:at] + to + where[change][at + 1 :]
        if is_same_target(where):
            return
    else:
        changed = find_changed_header(row, change, place)
        if changed is None:
            return
        value = headers[changed.swapcase()]
        at = place % len(value)
        headers[changed.swapcase()] = value[:at] + to + value[at + 1 :]
        if to == value[at]:
            return
    try:
        verify(scheme, headers=headers, body=received, secrets=[key], now=timestamp + off, **where)
    except SignatureError:
        return
    raise AssertionError(f"a request with a changed {change} was verified")


def is_same_target(where: dict[str, str]) -> bool:
    """Return whether the changed method and URL are equivalent: a host in capitals, or with its default port."""
    try:
        return where["method"] == "POST" and parse_url(where["url"]) == parse_url(URL)
    except ValueError:
        return False


def find_changed_header(row: Signer, change: str, place: int) -> str | None:
    """Return a header that contains the signature or that it covers; ``None`` if there is none of this kind."""
    if not isinstance(row, Scheme):
        covered = {"id": row.covered_id_header, "timestamp": "Signature-Input", "signature": "Signature"}
        return covered[change] if place % 3 else "Content-Digest"
    if change in {"id", "timestamp"} and not row.signs(change):
        return None
    return {"signature": row.signature_header, "id": row.id_header, "timestamp": row.timestamp_header}[change]


def check_structured_field(*, text: str, other: str) -> None:
    """Any text in the headers of RFC 9421 is refused with ``SignatureError``."""
    headers = {"Signature-Input": text, "Signature": other, "Content-Digest": other, "Content-Type": "a"}
    _, error = call_expecting(
        SignatureError, verify, "http_message_signatures", headers=headers, body=b"", secrets=["a secret"], now=1,
        method="POST", url=URL,
    )  # fmt: skip
    assert error is not None
    assert is_safe_line(str(error), limit=600)


def check_options(*, scheme: str, options: dict[str, object], body: bytes) -> None:
    """Any options of a connection are refused, or a request that is signed with them is verified with them."""
    made, error = call_expecting(ValidationError, SCHEMES[scheme].with_options, options)
    if error is not None:
        assert is_safe_line(str(error), limit=4_000)
        assert PRIVATE not in str(error)
        return
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = sign(made, body=body, secrets=[secret], delivery_id="d-1", timestamp=1_700_000_000, url=URL)
    headers = {**signed, "Content-Type": "application/json"}
    arguments = {"secrets": [secret], "now": 1_700_000_000, "method": "POST", "url": URL}
    verify(made, headers=headers, body=body, **arguments)
    _, error = call_expecting(SignatureError, verify, made, headers=headers, body=body + b"x", **arguments)
    assert error is not None


def check_any_signing(
    *, scheme: object, body: object, secrets: object, delivery_id: object, timestamp: object, url: object
) -> None:
    """Signing any input returns printable ASCII headers or raises ``SignatureError``."""
    signed, error = call_expecting(
        SignatureError, sign, scheme, body=body, secrets=secrets, delivery_id=delivery_id, timestamp=timestamp, url=url
    )
    if error is not None:
        assert is_safe_line(str(error), limit=600)
        assert PRIVATE not in str(error)
        return
    for name, value in signed.items():
        assert name.isascii()
        assert value.isascii()
        assert value.isprintable()
        assert value


def check_variable_text(*, text: str) -> None:
    """Any text in a Variable is parsed, or refused with an error that does not quote it."""
    for parse in (parse_state, parse_secrets):
        _, error = call_expecting(ValueError, parse, text)
        if error is not None:
            assert type(error) is ValueError
            assert PRIVATE not in str(error)
    stored, _ = call_expecting(ValueError, parse_state, text)
    assert all(isinstance(value, str) for one in stored or () for value in vars(one).values())
    assert PRIVATE not in repr(stored)


def check_variable_round_trip(*, stored: list[dict[str, str]]) -> None:
    """Stored hooks are read back unchanged."""
    hooks = tuple(StoredHook(**fields) for fields in stored)
    identified = tuple(one for one in hooks if one.secret or one.hook_id or one.requested_at)
    assert parse_state(format_state(identified)) == identified


_stored_fields = st.fixed_dictionaries({}, optional=dict.fromkeys(StoredHook.__dataclass_fields__, texts))
_private_json = st.recursive(
    json_values | st.just(PRIVATE), lambda inner: st.lists(inner) | st.dictionaries(st.just("secrets") | texts, inner)
)
methods = st.sampled_from(["POST", "GET", "", "PO ST", None]) | texts
urls = st.sampled_from([URL, "https://h.example", "http://[::1]/", "/path", "https://h.example/\r\nX", None]) | texts
structured = st.lists(
    st.sampled_from(
        ['sig1=', "(", ")", '"@method"', '"@path"', '"content-digest"', " ", ";", ", ", "created=1", 'alg="ed25519"',
         'keyid="', "=", ":", ":AAAA:", '"', "\\", "?1", "-1.5", "@1", "a*", "\t", "é", "\n"]
    ),
    max_size=40,
).map("".join)  # fmt: skip
option_values = st.one_of(
    json_values,
    texts,
    st.just(PRIVATE),
    st.sampled_from(["X-A", "x-a", "X-B", "X-C", "{signature}", "t={timestamp},v1={signature}", "{body}", "hex",
                     "{timestamp}.{body}", "{id}.{timestamp}.{body}", "{body}.{id}", "sha512", "base64url", True]),
    st.lists(
        st.sampled_from(["{id}", "{timestamp}", "{body}", ".", ":", "0", "%s", "{", "}", "a"]), max_size=7
    ).map("".join),
)  # fmt: skip
bad_secrets = st.one_of(
    bad_keys, texts, json_values, st.lists(texts | st.just(f" {PRIVATE}\n") | json_values, max_size=3), st.binary()
)

PROPERTIES: PropertyTable = {
    "verify_forged_request": make_property(
        check_forged_request,
        scheme=st.sampled_from(list(SCHEMES)) | json_values,
        headers=headers,
        body=st.binary() | json_values,
        secrets=st.lists(text_secrets | whsec_secrets | signing_keys, min_size=1, max_size=3) | bad_secrets,
        now=numbers,
        tolerance=numbers,
        method=methods,
        url=urls,
    ),
    "verify_changed_request": make_property(
        check_changed_request,
        scheme=st.sampled_from(SIGNING),
        secret=text_secrets,
        whsec=whsec_secrets,
        whsk=st.none() | signing_keys,
        body=st.binary(max_size=60),
        delivery_id=ids,
        timestamp=st.integers(0, 10**12 - 1) | st.just(1_700_000_000),
        off=st.integers(-300, 300),
        change=st.sampled_from(["body", "signature", "id", "timestamp", "clock", "method", "url"]),
        place=st.integers(0, 10_000),
        to=st.characters() | st.characters(max_codepoint=127),
    ),
    "sign_anything": make_property(
        check_any_signing,
        scheme=st.sampled_from(list(SCHEMES)) | json_values,
        body=st.binary() | json_values,
        secrets=st.lists(text_secrets | whsec_secrets | signing_keys, min_size=1, max_size=3) | bad_secrets,
        delivery_id=ids | json_values,
        timestamp=st.integers(0, 10**12) | numbers,
        url=urls,
    ),
    "sign_structured_field": make_property(
        check_structured_field,
        text=structured | texts,
        other=st.just("sig1=:AAAA:") | structured | texts,
    ),
    "sign_options": make_property(
        check_options,
        scheme=st.sampled_from(list(SCHEMES)).filter(lambda name: SCHEMES[name].signature_header is not None),
        options=st.dictionaries(
            st.sampled_from(
                ["header", "value", "content", "hash", "encoding", "timestamp_header", "id_header", "keyid", "nonce"]
            )
            | texts,
            option_values,
            max_size=6,
        ),
        body=st.binary(max_size=40),
    ),
    "variable_text": make_property(
        check_variable_text,
        text=texts
        | st.builds(lambda before, after: f"{{{before}{PRIVATE}{after}", texts, texts)
        | _private_json.map(json.dumps)
        | st.sampled_from(['{"secrets": [{"secret": "x", "hook_id": 1}]}', '{"secrets": {"a": 1}}', "[[]]"])
        | st.just('{"secrets":').map(lambda part: part * 5_000),
    ),
    "variable_round_trip": make_property(check_variable_round_trip, stored=st.lists(_stored_fields, max_size=4)),
}
