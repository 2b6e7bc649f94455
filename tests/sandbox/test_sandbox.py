# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The sandbox over real HTTP: its APIs behave as the platforms document, and its receiver verifies signatures."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import requests

from airflow_provider_hooks.registries.platforms import load_platforms
from airflow_provider_hooks.sandbox import serve_sandbox
from airflow_provider_hooks.sandbox.__main__ import describe_settings, main
from airflow_provider_hooks.sandbox.server import MAX_BODY_BYTES, SandboxError, open_listener
from airflow_provider_hooks.sandbox.state import APIS
from airflow_provider_hooks.signing import SCHEMES, sign
from tests.events_data import ALERT, CREATED
from tests.registries.platform_data import name_connection

EXAMPLES = Path(__file__).parent.parent.parent / "dags"

EVENTS = ["event.alert", "event.created"]


@pytest.fixture
def api(sandbox):
    class Api:
        url = f"{sandbox.find_api_url('sentry')}/projects/org/project/hooks/"
        session = requests.Session()

        def __call__(self, method, path="", token=sandbox.state.sentry.token, **options):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            return self.session.request(method, self.url + path, headers=headers, timeout=5, **options)

    with Api.session:
        yield Api()


def register(api, url="https://example.com/hook"):
    return api("POST", json={"url": url, "events": EVENTS})


def test_hook_is_registered_read_changed_and_deleted_as_documented(api):
    created = register(api)
    assert created.status_code == 201
    hook = created.json()
    assert set(hook) == {"id", "url", "secret", "status", "events", "dateCreated"}
    assert (len(hook["id"]), len(hook["secret"]), hook["status"]) == (32, 64, "active")
    assert api("GET", f"{hook['id']}/").json() == hook
    changed = api("PUT", f"{hook['id']}/", json={"isActive": False, "events": ["event.alert"]})
    assert changed.json() == {**hook, "status": "disabled", "events": ["event.alert"]}
    assert api("GET", "?status=active").json() == []
    assert api("DELETE", f"{hook['id']}/").status_code == 204
    for method in ("GET", "PUT", "DELETE"):
        assert api(method, f"{hook['id']}/", json={}).status_code == 404


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, {"url", "events"}),
        ({"url": "nope", "events": ["event.deleted"]}, {"url", "events"}),
        ({"url": 7, "events": "event.alert"}, {"url", "events"}),
        ({"url": "https://example.com/" + "x" * 500, "events": [], "isActive": "no"}, {"url", "isActive"}),
    ],
)
def test_invalid_body_returns_400_with_the_names_of_the_fields(api, body, names):
    response = api("POST", json=body)
    assert response.status_code == 400
    assert set(response.json()) == names
    if body.get("events") == ["event.deleted"]:
        assert response.json()["events"] == ["Invalid event name: event.deleted"], "the documented message"
    assert api("POST", data=b"{").status_code == 400


@pytest.mark.parametrize("token", ["wrong", ""])
def test_wrong_or_missing_token_returns_401(api, token):
    assert api("GET", token=token).status_code == 401
    assert api("POST", token=token, json={}).status_code == 401


def test_missing_feature_returns_403_with_the_documented_error(api, sandbox):
    sandbox.state.sentry.features.clear()
    response = register(api)
    assert response.status_code == 403
    assert response.json()["error_type"] == "unavailable_feature"


def test_hooks_are_listed_page_by_page_from_newest_to_oldest():
    with serve_sandbox(page_size=2) as sandbox:
        urls = [f"https://example.com/{number}" for number in range(5)]
        for url in urls:
            sandbox.state.sentry.add_hook(("org", "project"), url=url, events=EVENTS)
        found, query = [], {}
        while True:
            response = requests.get(
                f"{sandbox.find_api_url('sentry')}/projects/org/project/hooks/",
                params=query,
                headers={"Authorization": f"Bearer {sandbox.state.sentry.token}"},
                timeout=5,
            )
            found += [hook["url"] for hook in response.json()]
            following = response.links["next"]
            if following["results"] == "false":
                break
            query = {"cursor": following["cursor"]}
    assert found == urls[::-1]


@pytest.mark.parametrize("cursor", ["x", "0:²:0", "0:99999999999:0", "0:1:7"])
def test_invalid_cursor_returns_400(api, cursor):
    assert api("GET", f"?cursor={cursor}").status_code == 400


class TestReceiver:
    def deliver(self, sandbox, secret, payload=CREATED, scheme="sentry", **headers):
        body = json.dumps(payload).encode()
        url = sandbox.receiver_url
        signed = sign(scheme, body=body, secrets=[secret], delivery_id="d-1", timestamp=int(time.time()), url=url)
        headers = {"Content-Type": "application/json", **signed, **headers}
        return requests.post(url, data=body, headers=headers, timeout=5)

    @pytest.fixture
    def secret(self, sandbox):
        return sandbox.state.sentry.add_hook(("o", "p"), url=sandbox.receiver_url, events=EVENTS).secret

    def summary(self, sandbox):
        return requests.get(f"http://{sandbox.address}/deliveries", timeout=5).json()

    def test_a_signed_delivery_is_verified_and_listed(self, sandbox, secret):
        assert self.deliver(sandbox, secret).status_code == 200
        assert self.deliver(sandbox, secret, ALERT).status_code == 200
        summary = self.summary(sandbox)
        counts = {name: summary[name] for name in ("registered", "received", "delivered", "verified", "duplicates")}
        assert counts == {"registered": 1, "received": 2, "delivered": 2, "verified": 2, "duplicates": 0}
        assert [one["event_type"] for one in summary["deliveries"]] == ["event.created", "event.alert"]
        assert secret not in json.dumps(summary)

    def test_repeated_event_is_counted_as_a_duplicate(self, sandbox, secret):
        self.deliver(sandbox, secret)
        self.deliver(sandbox, secret)
        summary = self.summary(sandbox)
        assert (summary["received"], summary["delivered"], summary["duplicates"]) == (2, 2, 1)

    def test_wrong_or_missing_signature_returns_401(self, sandbox, secret):
        assert self.deliver(sandbox, "another-secret").status_code == 401
        assert requests.post(sandbox.receiver_url, json=CREATED, timeout=5).status_code == 401
        assert requests.post(sandbox.receiver_url, data=b"\xff", timeout=5).status_code == 401
        summary = self.summary(sandbox)
        assert (summary["received"], summary["verified"], summary["delivered"]) == (3, 0, 0)

    def test_every_scheme_is_verified(self):
        secret = "whsec_" + "QUJD" * 8
        with serve_sandbox(receiver_secrets=(secret,)) as sandbox:
            for scheme in SCHEMES.values():
                if scheme.signature_header:
                    assert self.deliver(sandbox, secret, scheme=scheme.name).status_code == 200
                    assert sandbox.state.list_deliveries()[-1].scheme == scheme.name

    def test_configured_status_is_returned(self, sandbox, secret):
        sandbox.state.answer_status = 503
        assert self.deliver(sandbox, secret).status_code == 503

    @pytest.mark.parametrize(("end", "status"), [("/answer/500", 500), ("/answer/204", 204), ("/answer/1", 200)])
    def test_end_of_the_path_sets_the_response_status(self, sandbox, end, status):
        url = f"http://{sandbox.address}/receiver/none{end}"
        assert requests.post(url, json=CREATED, timeout=5).status_code == status

    def test_a_request_without_a_response_is_listed(self, sandbox):
        with pytest.raises(requests.ReadTimeout):
            requests.post(f"http://{sandbox.address}/receiver/none/answer/none", json=CREATED, timeout=0.5)
        assert self.summary(sandbox)["deliveries"][0]["answered"] == 0
        assert "no response" in requests.get(f"http://{sandbox.address}/", timeout=5).text


@pytest.mark.parametrize(
    ("host", "status"),
    [("attacker.example", 421), ("[::1]:80", 200), ("localhost:1", 200), ("127.0.0.1", 200), ("[", 421)],
)
def test_deliveries_are_served_only_to_loopback_host_headers(sandbox, host, status):
    response = requests.get(f"http://{sandbox.address}/deliveries", headers={"Host": host}, timeout=5)
    assert response.status_code == status


def test_oversized_body_is_refused_and_old_deliveries_are_dropped(sandbox, monkeypatch):
    url = sandbox.receiver_url
    assert requests.post(url, data=b"x" * (MAX_BODY_BYTES + 1), timeout=5).status_code == 413
    assert requests.post(url, data=iter([b"x" * 1_000_000] * 5), timeout=5).status_code == 413
    monkeypatch.setattr("airflow_provider_hooks.sandbox.state.MAX_STORED", 2)
    monkeypatch.setattr("airflow_provider_hooks.sandbox.state.MAX_STORED_BYTES", 1_000)
    for size in (100, 200, 300, 700):
        requests.post(url, data=b"x" * size, timeout=5)
    summary = sandbox.state.summarize()
    assert (summary["received"], [one["body_bytes"] for one in summary["deliveries"]]) == (4, [700])


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "example.com", "::"])
def test_sandbox_listens_on_loopback_only_by_default(host, capsys):
    with pytest.raises(SandboxError, match="loopback only"):
        open_listener(host, 0)
    assert main(["--host", host]) == 2
    assert "--anywhere" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--port", "99999"], ["--port", "-1"]])
def test_port_out_of_range_is_reported(arguments, capsys):
    assert main(arguments) == 2
    assert "the port must be 0 to 65535" in capsys.readouterr().err


def test_port_in_use_is_reported():
    with open_listener("127.0.0.1", 0) as listener, pytest.raises(SandboxError, match="Address already in use"):
        open_listener("127.0.0.1", listener.getsockname()[1])


def test_described_connections_have_both_connection_types(sandbox):
    described = sandbox.describe_connections()
    assert {connection["conn_type"] for connection in described.values()} == {"service_hook", "service_hook_registry"}


def test_every_platform_has_one_sandbox_api(sandbox):
    platforms = load_platforms()
    assert set(APIS) == set(platforms)
    for name, api in APIS.items():
        assert all(route.path.startswith(f"/{name}{api.base_path}/") for route in api.router.routes)
        connection = sandbox.describe_connections()[name_connection(name)]
        assert connection["host"] == f"http://{sandbox.address}/{name}{api.base_path}"
        assert {one.name for one in platforms[name].platform.coordinates} <= set(connection["extra"])


def test_ids_are_unique_and_start_again_after_a_reset(sandbox):
    for _ in range(2):
        for name, first in {"zstack": "wh-001", "smartsheet_rm": "123456"}.items():
            platform = sandbox.state.platforms[name]
            ids = [platform.add_hook(url="https://example.com/").hook_id for _ in range(3)]
            assert ids[0] == first
            assert len(set(ids)) == 3
        sandbox.state.reset()


def test_printed_settings_are_sufficient_for_the_example_dags(sandbox):
    """They include the connections and Variables that the Dags name. Environment variables have defaults."""
    printed = describe_settings(sandbox)
    exported = dict(re.findall(r"^  export (\w+)='?(.*?)'?(?:   #.*)?$", printed, re.MULTILINE))
    needed = {"AIRFLOW_CONN_SERVICE_HOOK_DEFAULT", "AIRFLOW_CONN_SERVICE_HOOK_REGISTRY_DEFAULT"}
    for path in EXAMPLES.glob("*.py"):
        source = path.read_text()
        needed |= {f"AIRFLOW_CONN_{name.upper()}" for name in re.findall(r'conn_id="(\w+)"', source)}
        needed |= {f"AIRFLOW_CONN_{name.upper()}" for name in re.findall(r"connection `(\w+)`", source)}
        needed |= {f"AIRFLOW_VAR_{name.upper()}" for name in re.findall(r"var\.value\.(\w+)", source)}
    assert len(needed) > 6
    needed.remove("AIRFLOW_CONN_MTLS_HOOK")  # the sandbox has no TLS
    assert needed <= exported.keys()
    assert all(json.loads(text)["conn_type"] for name, text in exported.items() if name.startswith("AIRFLOW_CONN"))


class Idle:
    """A server that handles no requests."""

    def run(self, sockets):
        for one in sockets:
            one.close()


def test_receiver_secret_and_token_come_from_the_environment_or_are_random(monkeypatch, capsys):
    sandboxes = []
    monkeypatch.setattr(
        "airflow_provider_hooks.sandbox.__main__.make_server", lambda sandbox: sandboxes.append(sandbox) or Idle()
    )
    for secret in ("whsec_" + "QUJD" * 8, ""):
        monkeypatch.setenv("SANDBOX_SECRET", secret)
        monkeypatch.setenv("SANDBOX_TOKEN", secret)
        assert main(["--port", "0"]) == 0
    configured, random = (sandbox.state.receiver_secrets[0] for sandbox in sandboxes)
    assert configured == "whsec_" + "QUJD" * 8
    assert {platform.token for platform in sandboxes[0].state.platforms.values()} == {configured}
    assert len({platform.token for platform in sandboxes[1].state.platforms.values()}) == len(APIS)
    assert SCHEMES["standard_webhooks"].find_secret_problem(random) is None
    printed = capsys.readouterr().out
    assert f"SANDBOX_SECRET={configured} " in printed
    assert f"SANDBOX_SECRET={random} " in printed


def test_long_url_is_validated_in_linear_time(sandbox):
    url, token = f"{sandbox.find_api_url('sentry')}/projects/o/p/hooks/", sandbox.state.sentry.token
    headers = {"Authorization": f"Bearer {token}"}
    for body in ({"url": "http://" + "a" * 500_000 + " "}, {"url": "http://" + "/" * 500_000}):
        started = time.monotonic()
        response = requests.post(url, json=body, headers=headers, timeout=30)
        assert response.json()["url"] == ["Ensure this field has no more than 512 characters."]
        assert time.monotonic() - started < 5
