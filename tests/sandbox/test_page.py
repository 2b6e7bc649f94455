# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The page of the sandbox's receiver: it shows the deliveries, escapes received text, and loads only its own assets."""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser

import pytest
import requests

from airflow_provider_hooks.sandbox import serve_sandbox
from airflow_provider_hooks.sandbox.page import ASSETS, MAX_SHOWN
from airflow_provider_hooks.signing import SCHEMES, sign
from tests.events_data import CREATED

SECRET = "whsec_" + "QUJD" * 8
HOSTILE = "</pre></dd><script>alert(1)</script><img src=x onerror=alert(1)>\"'&<!--"


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def get(sandbox, path: str = "/", **headers) -> requests.Response:
    return requests.get(f"http://{sandbox.address}{path}", headers=headers, timeout=5)


def read(sandbox) -> Page:
    return Page(get(sandbox).text)


def post(sandbox, path: str = "/receiver/airflow", body: bytes = b"{}", **headers) -> requests.Response:
    return requests.post(f"http://{sandbox.address}{path}", data=body, headers=headers, timeout=5)


@pytest.fixture
def receiver():
    with serve_sandbox(receiver_secrets=(SECRET,)) as running:
        yield running


def deliver(sandbox, scheme: str, *, path: str = "airflow", secret: str = SECRET, body: bytes = b"{}", **headers):
    url = f"http://{sandbox.address}/receiver/{path}"
    signed = sign(scheme, body=body, secrets=[secret], delivery_id="d-1", timestamp=int(time.time()), url=url)
    return post(sandbox, f"/receiver/{path}", body, **{"Content-Type": "application/json", **signed, **headers})


def test_empty_page_shows_the_url_of_the_receiver(sandbox):
    text = read(sandbox).text
    assert "No delivery yet" in text
    assert sandbox.receiver_url in text


def test_deliveries_are_shown_newest_first_with_their_details(receiver):
    body = json.dumps({**CREATED, "id": "event-1"}).encode()
    headers = {
        "X-Service-Hook-Event": "event.created",
        "X-Service-Hook-Delivery": "d-1",
        "X-Service-Hook-Redelivery": "true",
    }
    assert deliver(receiver, "github", body=body, **headers).status_code == 200
    assert deliver(receiver, "github", secret="another-secret").status_code == 401
    page = read(receiver)
    assert [attributes["id"] for tag, attributes in page.tags if tag == "details"] == ["delivery-2", "delivery-1"]
    newest, oldest = page.text.split("#1")
    assert "not verified github" in newest
    assert "401" in newest
    for shown in (
        "verified github",
        "event.created",
        "event-1",
        "redelivery",
        "200",
        "X-Service-Hook-Delivery".lower(),
    ):
        assert shown in oldest
    assert '"project_name": ' in oldest, "the body is indented JSON"


@pytest.mark.parametrize("name", [name for name, scheme in SCHEMES.items() if scheme.signature_header])
def test_every_scheme_is_verified_by_its_path_or_its_header(receiver, name):
    for path in (name, f"{name}/orders", "airflow", ""):
        assert deliver(receiver, name, path=path).json() == {"received": 1, "verified": True, "reason": None}, path
        receiver.state.reset()
    other = next(one for one in SCHEMES if one not in {name, "none"})
    assert deliver(receiver, name, path=other).status_code == 401


def test_svix_headers_are_verified_as_a_standard_webhook(receiver):
    signed = sign("standard_webhooks", body=b"{}", secrets=[SECRET], delivery_id="d", timestamp=int(time.time()))
    renamed = {header.replace("webhook-", "svix-"): value for header, value in signed.items()}
    assert post(receiver, **renamed).json()["verified"]


@pytest.mark.parametrize("secrets", [("x" * 20, SECRET), (SECRET, "x" * 20)])
@pytest.mark.parametrize("key_format", ["text", "whsec"])
def test_any_secret_verifies_in_any_key_format(secrets, key_format):
    with serve_sandbox(receiver_secrets=secrets) as running:
        for name in ("github", "standard_webhooks"):
            scheme = SCHEMES[name].with_key_format(key_format)
            signed = sign(scheme, body=b"{}", secrets=[SECRET], delivery_id="d", timestamp=int(time.time()))
            assert post(running, **signed).json()["verified"]


def test_unsigned_request_is_accepted_only_at_the_path_of_the_scheme_none(sandbox):
    assert post(sandbox).status_code == 401
    assert post(sandbox, "/receiver/none/slack").status_code == 200
    assert "unsigned" in read(sandbox).text
    summary = sandbox.state.summarize()
    assert (summary["verified"], summary["delivered"]) == (0, 0)


# Hostile requests and content


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (HOSTILE.encode(), {}),
        (json.dumps({"id": HOSTILE, HOSTILE: HOSTILE}).encode(), {}),
        (json.dumps(HOSTILE).encode(), {}),
        (b"{}", {"X-Service-Hook-Event": HOSTILE}),
        (b"{}", {"X-Service-Hook-Delivery": HOSTILE}),
        (b"{}", {"X-Other": HOSTILE}),
        (b"\xff\x00\x1b[31m", {}),
        (json.dumps({"a": "\u202eevil\x00"}).encode(), {}),
    ],
)
def test_received_text_is_escaped(sandbox, body, headers):
    post(sandbox, "/receiver/" + requests.utils.quote(HOSTILE, safe=""), body, **headers)
    source = get(sandbox).text
    page = Page(source)
    assert [attributes for tag, attributes in page.tags if tag == "script"] == [
        {"src": "/assets/page.js", "defer": None}
    ]
    assert not {"img", "iframe", "style", "form", "object"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]
    assert "<!--" not in source
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", source)
    if HOSTILE.encode() in body:
        assert HOSTILE in page.text


@pytest.mark.parametrize(
    "host", ["attacker.example", "attacker.example:80", "169.254.169.254", "127.0.0.1.attacker.example", "["]
)
@pytest.mark.parametrize("path", ["/", "/assets/page.js", "/deliveries", "/deliveries?limit=0"])
def test_request_with_a_foreign_host_header_gets_421(sandbox, host, path):
    post(sandbox, body=b"a-private-body")
    response = get(sandbox, path, Host=host)
    assert response.status_code == 421
    assert "private" not in response.text


def test_page_loads_only_its_own_assets_by_its_content_security_policy(sandbox):
    response = get(sandbox)
    policy = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    page = Page(response.text)
    loaded = [attributes.get("src") or attributes.get("href") for _, attributes in page.tags]
    assert {url for url in loaded if url} == {
        "/assets/page.css",
        "/assets/page.js",
        "/deliveries",
        "/calls",
        "data:,",
    }
    for name, (content, media_type) in ASSETS.items():
        asset = get(sandbox, f"/assets/{name}")
        assert (asset.status_code, asset.text) == (200, content)
        assert asset.headers["Content-Type"].startswith(media_type)
        assert asset.headers["X-Content-Type-Options"] == "nosniff"
        assert not re.search(r"https?://|@import|innerHTML|eval\(", content)
    assert get(sandbox, "/assets/server.py").status_code == 404
    assert get(sandbox, "/assets/..%2fserver.py").status_code == 404


def test_page_refreshes_without_javascript(sandbox):
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in get(sandbox).text


def test_credentials_are_masked(receiver):
    token = "t0ken-of-a-sender"
    key = "e93facc04764012d7bfb002500d5d1a6"
    body = json.dumps({"routing_key": key, "event_action": "trigger"}).encode()
    headers = {"Authorization": f"Bearer {token}", "X-Api-Key": token, "Cookie": token, "X-Note": f"is {SECRET} known"}
    deliver(receiver, "github", body=body, **headers)
    text = get(receiver).text + json.dumps(receiver.state.summarize()["deliveries"][0]["headers"])
    assert [one for one in (token, SECRET, key) if one in text] == []
    assert "x-hub-signature-256" in text
    assert "sha256=" in text
    assert "&quot;routing_key&quot;: &quot;***&quot;" in text


# Bounds


def test_size_of_the_page_is_bounded(sandbox):
    post(sandbox, body=b'{"a": "' + b"x" * 1_000_000 + b'"}', **{f"X-{number}": "y" * 3_000 for number in range(15)})
    post(sandbox, body=b'{"routing_key": "' + b"k" * 1_000_000 + b'"}')
    post(sandbox, body=b"[" * 100_000)
    assert len(get(sandbox).text) < 120_000
    for number in range(MAX_SHOWN + 5):
        post(sandbox, body=str(number).encode())
    page = read(sandbox)
    assert len([tag for tag, _ in page.tags if tag == "details"]) == MAX_SHOWN
    assert "8 older ones are not shown" in page.text


def test_stored_part_of_a_request_is_bounded(sandbox):
    body = json.dumps({"id": "i" * 1_000_000}).encode()
    headers = {"X-Service-Hook-Event": "e" * 5_000, "X-Service-Hook-Delivery": "d" * 5_000}
    post(sandbox, "/receiver/" + "p" * 5_000, body, **headers, **{f"X-{number}": "v" for number in range(80)})
    (delivery,) = sandbox.state.list_deliveries()
    texts = (delivery.path, delivery.event_type, delivery.event_id, delivery.delivery_id)
    assert {len(text) for text in texts} == {1_000}
    assert len(delivery.headers) == 64
    assert post(sandbox, "/receiver/" + "p" * 5_000, body, **headers).json()["received"] == 2
    assert sandbox.state.list_deliveries()[1].duplicate, "paths and ids are compared in full"


def test_deliveries_are_listed_page_by_page(sandbox):
    for _ in range(5):
        post(sandbox)

    def list_numbers(query: str) -> list[int]:
        return [one["number"] for one in get(sandbox, f"/deliveries{query}").json()["deliveries"]]

    assert list_numbers("") == [1, 2, 3, 4, 5]
    assert list_numbers("?after=3") == [4, 5]
    assert list_numbers("?limit=2") == [4, 5]
    assert list_numbers("?after=1&limit=9") == [2, 3, 4, 5]
    assert list_numbers("?limit=0") == []
    assert get(sandbox, "/deliveries?limit=0").json()["received"] == 5
    assert get(sandbox, "/deliveries?limit=-1").status_code == 422


def test_deeply_nested_body_is_not_indented(receiver):
    body = b"[" * 900 + b"1" * 1_000 + b"]" * 900
    post(receiver, body=body)
    text = read(receiver).text
    assert "[" * 900 in text
    assert len(text) < 50_000
