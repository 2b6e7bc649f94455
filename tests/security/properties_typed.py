# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""User input (connections, headers, ``airflow.cfg``) and output: any value is handled, and no secret is shown."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, quote_plus, urlencode

from hypothesis import strategies as st

from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.delivery.connection import HEADERS_FIELD, SERVICE_HOOK
from airflow_provider_hooks.delivery.endpoint import Endpoint, read_endpoint
from airflow_provider_hooks.delivery.headers import read_headers
from airflow_provider_hooks.delivery.request import merge_headers
from airflow_provider_hooks.exceptions import ValidationError, ValidationErrors
from airflow_provider_hooks.http.policy import NetworkPolicy
from airflow_provider_hooks.http.redact import redact
from airflow_provider_hooks.registries.connection import Registry, describe_connection_type, read_registry
from airflow_provider_hooks.sanitize import escape, safe_repr
from airflow_provider_hooks.settings import OPTIONS, parse_settings
from airflow_provider_hooks.signing.schemes import SCHEMES
from tests.registries.platform_data import PLATFORM_DATA
from tests.security.properties_data import (
    PropertyTable,
    call_expecting,
    hostile_texts,
    is_absent_from,
    is_safe_line,
    json_values,
    make_property,
    texts,
)
from tests.security.properties_network import network_texts

PRIVATE = "Zq7-private-9Xw"
COORDINATES: dict[str, list[str]] = {}
"""The valid values of the coordinates of all platforms, by their names."""
for _data in PLATFORM_DATA.values():
    for _name, _value in _data.coordinates.items():
        COORDINATES.setdefault(_name, []).append(_value)
SENDER_HEADERS = {"Content-Type": "application/json", "User-Agent": "u", "X-Service-Hook-Delivery": "d"}
RESERVED_HEADERS = (
    {"host", "content-length", "transfer-encoding", "expect", "connection", "content-type", "user-agent", "te",
     "trailer", "upgrade", "proxy-authorization"}
    | {name.lower() for scheme in SCHEMES.values() for name in scheme.header_names}
)  # fmt: skip
"""Headers that the sender or HTTP sets: a duplicate would change the request or the host, or forge a signature."""
ENCODERS: Mapping[str, Callable[[str], str]] = {
    "unchanged": str,
    "in another case": lambda value: "".join(one.swapcase() if one.isascii() else one for one in value),
    "URL": lambda value: quote(value, safe=""),
    "URL in lower case": lambda value: re.sub("%..", lambda found: found[0].lower(), quote(value, safe="")),
    "form": quote_plus,
    "query": lambda value: urlencode({"t": value})[2:],
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64 without padding": lambda value: base64.urlsafe_b64encode(value.encode()).decode().rstrip("="),
    "JSON": lambda value: json.dumps(value)[1:-1],
}
"""The encodings in which a receiver may return a value, with every encodable character encoded."""
URL_ENCODERS: Mapping[str, Callable[[str], str]] = {
    "path (quote)": quote,
    "encodeURIComponent": lambda value: quote(value, safe="-_.!~'()"),
    "encodeURI": lambda value: quote(value, safe=";,/?:@&=+$-_.!~'()#"),
}
"""Other encodings for URLs: RFC 3986 does not determine which reserved characters are encoded."""

private_values = st.text(
    alphabet=st.characters(exclude_categories=("C", "Z"), exclude_characters="*") | st.sampled_from(" /+&=%?~!'(é"),
    min_size=6,
    max_size=20,
)
"""Without an asterisk: a value of asterisks would be a part of the mask itself."""


def check_redaction(*, value: str, others: list[str], encoder: str, before: str, after: str) -> None:
    form = (ENCODERS | URL_ENCODERS)[encoder](value)
    shown = redact(before + form + after, [*others, value])
    assert form not in shown
    assert value not in shown


def check_text(*, value: object, limit: int) -> None:
    """Shown text is on one line and limited in length: a character becomes at most ten."""
    assert is_safe_line(safe_repr(value), limit=700)
    if isinstance(value, str):
        assert is_safe_line(escape(value, limit=limit), limit=10 * limit + 1)


def check_endpoint(*, fields: Mapping[str, object], variable: str | None, allowed: list[str]) -> None:
    """A connection becomes an endpoint or an error, and neither shows a secret."""
    endpoint, error = call_expecting(
        ValidationError,
        read_endpoint,
        ConnectionFields(conn_id="c", **fields),
        default_timeout=10.0,
        read_variable=lambda name: variable,
        allowed_headers=allowed,
    )
    if error is not None:
        assert is_absent_from(PRIVATE, str(error), repr(error))
        assert str(error).isprintable()
        return
    assert isinstance(endpoint, Endpoint)
    assert 0 < endpoint.timeout <= 3_600
    assert bool(endpoint.secrets) == (endpoint.scheme.signature_header is not None)
    assert is_absent_from(PRIVATE, endpoint)
    check_endpoint_headers(endpoint.headers)


def check_registry(*, fields: Mapping[str, object]) -> None:
    """A connection becomes a registry or an error, and neither shows the token."""
    registry, error = call_expecting(
        ValidationError, read_registry, ConnectionFields(conn_id="c", **fields), default_timeout=10.0
    )
    if error is not None:
        assert is_absent_from(PRIVATE, str(error), repr(error))
        assert str(error).isprintable()
        return
    assert isinstance(registry, Registry)
    assert registry.token.isascii()
    assert registry.token.isprintable()


def check_headers(*, value: object, allowed: list[str]) -> None:
    """Input becomes valid headers that the sender does not set itself, and every other header is named in the error."""
    problems = ValidationErrors("connection 'c'")
    headers = read_headers(value, allowed=allowed, problems=problems)
    check_endpoint_headers(headers)
    listed = {name.lower() for name in allowed}
    assert all(name.lower() in listed | {"authorization"} or name.lower().startswith("x-") for name in headers)
    merged = merge_headers(headers, SENDER_HEADERS)
    assert len({name.lower() for name in merged}) == len(merged)
    assert SENDER_HEADERS.items() <= merged.items()
    given = value if isinstance(value, Mapping) else {}
    _, error = call_expecting(ValidationError, problems.raise_if_any)
    if error is not None:
        assert str(error).isprintable()
        assert PRIVATE not in str(error)
    else:
        assert len(headers) == len(given) or isinstance(value, str)


def check_endpoint_headers(headers: Mapping[str, str]) -> None:
    for name, text in headers.items():
        assert re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name, re.ASCII)
        assert re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", text, re.ASCII)
        assert name.lower() not in RESERVED_HEADERS
        assert not name.lower().startswith(("x-service-hook", "x-servicehook"))
    assert len({name.lower() for name in headers}) == len(headers)


def check_settings(*, options: Mapping[str, str]) -> None:
    """The section becomes valid settings, or every invalid option is named."""
    settings, error = call_expecting(ValidationError, parse_settings, options)
    if error is None:
        policy, error = call_expecting(ValidationError, settings.build_policy)
    if error is not None:
        assert str(error).isprintable()
        assert PRIVATE not in str(error)
        return
    assert isinstance(policy, NetworkPolicy)
    assert 0 < settings.timeout < 10**9
    assert 0 < settings.connect_timeout < 10**9
    assert type(settings.max_payload_bytes) is int
    assert settings.max_payload_bytes > 0
    assert all(0 < port < 65_536 for port in settings.allowed_ports)
    assert PRIVATE not in repr(settings)


def draw_extra(*names: str, **known: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    """Draw the ``extra`` of a connection: known fields with any JSON, and unknown fields."""
    anything = {name: known.get(name, st.nothing()) | json_values for name in (*names, *known)}
    unknown = st.just({}) | st.dictionaries(texts, json_values, max_size=2)
    return st.builds(lambda own, other: {**other, **own}, st.fixed_dictionaries({}, optional=anything), unknown)


secrets = st.one_of(
    st.none(),
    st.just(PRIVATE),
    st.builds("{}{}{}".format, texts, st.just(PRIVATE), texts),
    st.sampled_from(["", "whsec_", "whsec_" + "QUJD" * 8, f"whsec_{PRIVATE}"]),
)
variable_texts = secrets | st.sampled_from(
    ['["Zq7-private-9Xw"]', '{"secrets": ["Zq7-private-9Xw"]}', '["Zq7-private-9Xw", 1]', '{"Zq7-private-9Xw', "[]"]
)
hosts = texts | st.sampled_from(
    ["https://example.com/hook", "https://127.0.0.1/", f"https://example.com/?t={PRIVATE}", f"https://u:{PRIVATE}@a.com/",
     f"https://{PRIVATE} /", f"https://example.com:{PRIVATE}/", f"{PRIVATE}://a"]
)  # fmt: skip
unusual_names = texts | st.sampled_from(
    [change(name) for name in (*RESERVED_HEADERS, "Authorization", "X-Team", "X-Service-Hook-Delivery", "Api-Key",
                               "Cookie", "X-A\r\nHost", "X-é", "X-Servicehook", "X-\u212aey", "Proxy-X")
     for change in (str.lower, str.upper, str.title)]
)  # fmt: skip
good_names = st.sampled_from(["X-Team", "x-team", "X-TEAM", "Authorization", "authorization", "X-Other"])
unusual_values = (
    texts | json_values | st.sampled_from([f"Bearer {PRIVATE}", f"{PRIVATE}\r\nX: y", f" {PRIVATE}", "a b"])
)
header_names = st.booleans().flatmap(lambda good: good_names if good else unusual_names)
header_values = st.booleans().flatmap(lambda good: st.just("a b") if good else unusual_values)
header_objects = st.dictionaries(header_names, header_values, max_size=3)
header_inputs = st.one_of(
    header_objects,
    header_objects.map(json.dumps),
    st.lists(st.tuples(header_names, header_values), max_size=3).map(
        lambda pairs: "{" + ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in pairs) + "}"
    ),
    st.integers(30, 40).map(lambda count: {f"X-{number}": "a" for number in range(count)}),
    json_values,
)
schemes = st.sampled_from(list(SCHEMES))
allowed_names = st.lists(header_names, max_size=4)
unused = st.lists(st.sampled_from(["login", "port", "schema"]), max_size=2).map(tuple)
numbers = st.one_of(st.integers(-1, 4_000), st.floats(), st.sampled_from(["10", "1e400", "nan", "٣", "1_0", "-0"]))
number_texts = numbers.map(str)
huge_integers = st.integers(4_298, 5_000).map(lambda digits: 10**digits)

PROPERTIES: PropertyTable = {
    "redaction": make_property(
        check_redaction,
        value=private_values,
        others=st.lists(private_values | hostile_texts, max_size=2),
        encoder=st.sampled_from(list(ENCODERS)),
        before=st.text(max_size=8),
        after=st.text(max_size=8),
    ),
    "redaction_any_url_encoding": make_property(
        check_redaction,
        examples=[
            {"value": "abc/def (g)", "others": [], "encoder": encoder, "before": "/", "after": "?"}
            for encoder in URL_ENCODERS
        ],
        value=private_values,
        others=st.just([]),
        encoder=st.sampled_from(list(URL_ENCODERS)),
        before=st.text(max_size=8),
        after=st.text(max_size=8),
    ),
    "text": make_property(
        check_text, value=texts | json_values | st.binary() | huge_integers, limit=st.integers(0, 300)
    ),
    "endpoint": make_property(
        check_endpoint,
        examples=[
            {
                "fields": {"host": "", "password": None, "extra": {"secret_variable": "v\r\nX"}, "unused": ()},
                "variable": None,
                "allowed": [],
            }
        ],
        fields=st.fixed_dictionaries(
            {
                "host": hosts,
                "password": secrets,
                "extra": draw_extra(
                    *(field.name for field in SERVICE_HOOK.extra),
                    scheme=schemes,
                    timeout=numbers,
                    **{
                        HEADERS_FIELD: header_inputs,
                        "secret_variable": st.just("v"),
                        "events": st.just("event.created"),
                    },
                ),
                "unused": unused,
            }
        ),
        variable=variable_texts,
        allowed=allowed_names,
    ),
    "registry_connection": make_property(
        check_registry,
        fields=st.fixed_dictionaries(
            {
                "host": hosts,
                "password": secrets,
                "extra": draw_extra(
                    *(field.name for field in describe_connection_type().extra),
                    platform=st.sampled_from(list(PLATFORM_DATA)),
                    timeout=numbers,
                    **{name: st.just("a") | st.sampled_from(values) for name, values in sorted(COORDINATES.items())},
                ),
                "unused": unused,
            }
        ),
    ),
    "headers": make_property(check_headers, value=header_inputs, allowed=allowed_names),
    "settings": make_property(
        check_settings,
        options=st.fixed_dictionaries(
            {},
            optional={option.name: texts | number_texts for option in OPTIONS}
            | {
                "allowed_networks": st.lists(network_texts, max_size=3).map(", ".join),
                "allowed_ports": texts | st.lists(number_texts, max_size=3).map(",".join),
                "proxy": texts
                | st.builds(
                    "{}://{}:{}@{}{}".format,
                    st.sampled_from(["http", "https", "socks5"]),
                    texts,
                    st.just(PRIVATE),
                    network_texts,
                    texts,
                ),
            },
        ),
    ),
}
