# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The parsers of the registries: any response becomes a result or a ``RegistryError``."""

from __future__ import annotations

import json
import math

from hypothesis import strategies as st

from airflow_provider_hooks.exceptions import RegistryError
from airflow_provider_hooks.http.retry_after import describe_time, read_retry_at
from airflow_provider_hooks.registries.model import (
    HookSpec,
    Operation,
    Page,
    Request,
    Response,
    Security,
    ServiceHook,
    Stat,
)
from tests.registries.platform_data import ID_1, PLATFORM_DATA, SECRET, URL, make_api
from tests.security.properties_data import (
    LONGEST_DIGITS,
    Property,
    PropertyTable,
    call_expecting,
    is_absent_from,
    is_safe_line,
    json_values,
    make_property,
    mutations_of,
    texts,
)

REFUSALS = (
    {"detail": "no"},
    {"detail": ["no", "never"]},
    {"url": ["Enter a valid URL."], "events": ["x", {"a": SECRET}]},
    {"message": "bad data", "errors": []},
    {"error": {"code": "SYS.1001", "description": "invalid url", "details": "no host"}},
)
SECURITY = {
    "algorithm": "HMAC-SHA256",
    "signatureFormat": "v1=<hex-digest>",
    "headerTimestamp": "X-Webhook-Timestamp",
    "headerSignature": "X-Webhook-Signature",
    "payloadFormat": "timestamp.body",
    "replayWindowSec": 300,
}


def list_documents(platform: str, reader: str) -> list[object]:
    """Return the documented responses of a platform to a call."""
    if reader == "read_page":
        return [PLATFORM_DATA[platform].page]
    if reader == "read_stats":
        return [[{"ts": 1_700_000_000, "total": 3}]]
    if reader == "read_security":
        return [SECURITY]
    hooks = [PLATFORM_DATA[platform].hook, *PLATFORM_DATA[platform].more_hooks]
    return [*hooks, {"_id": ID_1}] if reader == "read_created" else hooks


READERS = {
    "read_created": Operation.CREATE,
    "read_page": Operation.LIST,
    "read_hook": Operation.GET,
    "read_deletion": Operation.DELETE,
    "read_stats": Operation.STATS,
    "read_rotated": Operation.ROTATE,
    "read_security": Operation.SECURITY,
}


APIS = {name: make_api(name) for name in PLATFORM_DATA}
PAIRS = [
    (platform, reader)
    for platform, api in APIS.items()
    for reader, operation in READERS.items()
    if operation in api.platform.operations
]


def check_reader(*, pair: tuple[str, str], status: int, headers: dict[str, str], body: bytes) -> None:
    platform, reader = pair
    request = Request(operation=READERS[reader], method="GET", path="/x")
    response = Response(status_code=status, headers=headers, body=body, received_at=1.7e9)
    result, error = call_expecting(RegistryError, getattr(APIS[platform], reader), request, response)
    if error is not None:
        assert is_safe_line(str(error), limit=5_000)
        assert is_absent_from(SECRET, str(error), repr(error))
        assert error.status_code == status
        assert error.retry_at is None or math.isfinite(error.retry_at)
        assert str(error.with_message(error.message)) == str(error)
        assert not (error.not_found and status not in {404, 410})
        return
    assert 200 <= status < 300 or (reader == "read_deletion" and status in {404, 410} and result is False)
    check_result(APIS[platform], result)


def check_result(api: object, result: object) -> None:
    """Use a result as its callers do: compare it, print it, send its parts back."""
    if isinstance(result, list):
        assert all(isinstance(step, Stat) and type(step.timestamp) is type(step.total) is int for step in result)
        return
    if isinstance(result, Page):
        assert result.next_cursor is None or isinstance(result.next_cursor, str)
        api.list_hooks(result.next_cursor)
    for hook in result.hooks if isinstance(result, Page) else [result]:
        if isinstance(hook, ServiceHook):
            shown = json.dumps(hook.as_json())
            assert is_absent_from(SECRET, hook, shown)
            assert all(isinstance(text, str) and text.isprintable() for text in (hook.hook_id, hook.url, hook.name))
            assert all(isinstance(event, str) for event in hook.events)
            api.find_differences(HookSpec(url=URL, events=("a",), name="n", headers={}, is_active=True), hook)
        else:
            assert hook is None or isinstance(hook, bool | Security)


def check_retry_at(*, headers: dict[str, str], received_at: float) -> None:
    """For all headers the result is ``None`` or a time that is finite and printable."""
    moment = read_retry_at(headers, received_at=received_at)
    if moment is not None:
        assert math.isfinite(moment)
        assert is_safe_line(describe_time(moment), limit=60)


def write_documents(pair: tuple[str, str]) -> st.SearchStrategy[bytes]:
    """Draw the documented bodies of a platform, with changes."""
    return mutations_of(*list_documents(*pair)).map(json.dumps).map(str.encode)


@st.composite
def _exchanges(draw: st.DrawFn, platform: str) -> dict[str, object]:
    """Draw a request to a platform and a response: a success or a refusal with changes, or an arbitrary one."""
    pair = draw(st.sampled_from([pair for pair in PAIRS if pair[0] == platform]))
    kind = draw(st.sampled_from(["good", "refusal", "anything"]))
    bodies = {
        "good": write_documents(pair),
        "refusal": mutations_of(*REFUSALS).map(json.dumps).map(str.encode),
        "anything": write_documents(pair) | unusual_bodies,
    }
    return {
        "pair": pair,
        "status": 200 if kind == "good" else draw(statuses),
        "headers": draw(answer_headers),
        "body": draw(bodies[kind]),
    }


unusual_bodies = st.one_of(
    mutations_of(*REFUSALS).map(json.dumps).map(lambda text: text.encode()[:-1]),
    json_values.map(json.dumps).map(lambda text: text.encode("utf-16")),
    st.binary(),
    st.builds(
        lambda part, times: part * times,
        st.sampled_from([b"[", b'{"a":', b'{"url":', b'{"detail":[']),
        st.integers(900, 5_000),
    ),
    st.integers(0, 2_000).map(lambda levels: b'{"url":[' + b"[" * levels + b"]" * levels + b"]}"),
)
times = st.one_of(
    texts,
    st.from_regex(r"[0-9]{1,14}", fullmatch=True),
    st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{1,5} [0-9]{2}:[0-9]{2}:[0-9]{2} (GMT|[+-][0-9]{4})"),
    st.sampled_from(["1e99", "-1", "nan", "inf", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 +2359",
                     "Sun, 06 Nov 1994 08:49:37 +99999999999", "Sunday, 06-Nov-94 08:49:37 GMT"]),
)  # fmt: skip
links = texts | st.sampled_from(
    ['<https://evil.example/>; rel="next"; results="true"; cursor="0:100:0"', 'rel="next"; results="true"; cursor=""']
)
answer_headers = st.fixed_dictionaries(
    {}, optional={"retry-after": times, "x-ratelimit-reset": times, "link": links, "content-type": texts}
)
statuses = st.sampled_from([200, 200, 200, 201, 204, 400, 401, 403, 404, 409, 410, 429, 500]) | st.integers(0, 999)

EXAMPLES = {
    "sentry": [
        {
            "pair": ("sentry", "read_created"),
            "status": 400,
            "headers": {},
            "body": json.dumps({"url": [{"secret": SECRET}]}).encode(),
        }
    ],
    "smartsheet_rm": [
        {
            "pair": ("smartsheet_rm", "read_page"),
            "status": 200,
            "headers": {},
            "body": b'{"data": [], "paging": {"next": "/x", "page": %s}}' % (b"9" * LONGEST_DIGITS),
        }
    ],
}

PROPERTIES: PropertyTable = {
    **{
        f"registry_{platform}": Property(
            strategy=_exchanges(platform), check=check_reader, examples=EXAMPLES.get(platform, ())
        )
        for platform in PLATFORM_DATA
    },
    "registry_retry_at": make_property(
        check_retry_at, headers=answer_headers, received_at=st.floats(0, 4e9) | st.just(1_700_000_000.5)
    ),
}
