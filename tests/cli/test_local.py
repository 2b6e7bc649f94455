# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``verify``: saved requests, unchanged and changed; where the secret comes from; the age of a request."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_hooks.cli.local import _parse_saved_request
from airflow_provider_hooks.signing import SCHEMES, sign
from tests.cli.cli_secrets import SECRET
from tests.events_data import ALERT
from tests.growth import assert_grows_linearly

WHSEC = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLKfaKkO4b2vj"
SIGNED = [name for name, scheme in SCHEMES.items() if scheme.signature_header]
BODY = json.dumps(ALERT).encode() + b"\r\n\r\n\x00\xff after a blank line"


def save(tmp_path, scheme="sentry", *, body=BODY, secret=SECRET, timestamp=None, end="\r\n", first="POST /x HTTP/1.1"):
    headers = sign(
        scheme,
        body=body,
        secrets=[secret],
        delivery_id="an-id",
        timestamp=timestamp or int(time.time()),
        url="https://x/x",
    )
    added = ["Host: x", "Content-Type: application/json"]
    lines = [*([first] if first else []), *added, *(f"{name}: {value}" for name, value in headers.items())]
    path = tmp_path / "saved.http"
    path.write_bytes((end.join(lines) + 2 * end).encode() + body)
    return str(path)


def secret_of(scheme: str) -> str:
    return WHSEC if scheme == "standard_webhooks" else SECRET


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("scheme", SIGNED)
def test_signed_request_is_verified_and_a_changed_body_is_not(run, tmp_path, monkeypatch, scheme, end):
    monkeypatch.setenv("SERVICE_HOOK_SECRET", secret_of(scheme))
    path = save(tmp_path, scheme, secret=secret_of(scheme), end=end)
    done = run("verify", "--scheme", scheme, path, "-o", "json")
    assert (done.code, done.json["verified"], done.json["reason"], done.json["body_bytes"]) == (
        0,
        True,
        None,
        len(BODY),
    )
    Path(path).write_bytes(Path(path).read_bytes() + b" ")
    done = run("verify", "--scheme", scheme, path, "-o", "json")
    assert (done.code, done.json["verified"]) == (1, False)
    assert ("no signature in" in done.json["reason"]) or ("Content-Digest is not" in done.json["reason"])
    assert secret_of(scheme) not in done.out + done.err


def test_request_shown_by_a_dry_run_is_verified(run, endpoint, tmp_path, monkeypatch):
    shown = run(
        "deliver",
        endpoint("https://hooks.example.com/", scheme="zstack"),
        "--dry-run",
        stdin=json.dumps(ALERT).encode(),
    )
    monkeypatch.setenv("SERVICE_HOOK_SECRET", SECRET)
    assert run("verify", "--scheme", "zstack", "-", stdin=shown.out.encode()).code == 0
    changed = shown.out.replace("Rule Name", "Rule Game").encode()
    assert run("verify", "--scheme", "zstack", "-", stdin=changed).code == 1
    ended = run("verify", "--scheme", "zstack", "-", "-o", "json", stdin=shown.out.encode() + b"\n")
    size = len(shown.out.partition("\n\n")[2].encode())
    assert f"its Content-Length is {size}, but the saved body has {size + 1} bytes" in ended.json["reason"]


class TestSecret:
    def test_secret_can_be_in_a_file(self, run, tmp_path):
        (tmp_path / "secret").write_text(f"{SECRET}\n")
        path = save(tmp_path)
        assert run("verify", "--scheme", "sentry", "--secret-file", str(tmp_path / "secret"), path).code == 0
        (tmp_path / "secret").write_text("another-secret")
        assert run("verify", "--scheme", "sentry", "--secret-file", str(tmp_path / "secret"), path).code == 1

    def test_secret_can_be_in_a_variable_with_several(self, run, tmp_path, monkeypatch):
        monkeypatch.setenv("AIRFLOW_VAR_OURS", json.dumps(["a-newer-secret", SECRET]))
        assert run("verify", "--scheme", "sentry", "--secret-variable", "ours", save(tmp_path)).code == 0

    def test_secret_can_be_text_for_a_base64_scheme(self, run, tmp_path, monkeypatch):
        monkeypatch.setenv("SERVICE_HOOK_SECRET", SECRET)
        path = save(tmp_path, replace(SCHEMES["standard_webhooks"], key_format="text"))
        assert run("verify", "--scheme", "standard_webhooks", "--key-format", "text", path).code == 0

    def test_the_options_of_the_scheme_are_those_of_the_connection(self, run, tmp_path, monkeypatch):
        monkeypatch.setenv("SERVICE_HOOK_SECRET", SECRET)
        options = {"header": "X-Partner", "value": "sha512={signature}", "hash": "sha512"}
        path = save(tmp_path, SCHEMES["hmac"].with_options(options))
        assert run("verify", "--scheme", "hmac", "--signature", json.dumps(options), path).code == 0
        assert run("verify", "--scheme", "hmac", path).code == 1
        for text, error in (("[", "--signature: must be a JSON object"), ('{"hash": "md5"}', "hash: must be one of")):
            done = run("verify", "--scheme", "hmac", "--signature", text, path)
            assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
            assert error in done.err

    @pytest.mark.parametrize(
        ("first", "arguments", "code"),
        [
            ("POST /x HTTP/1.1", [], 0),
            ("POST https://x/x HTTP/1.1", [], 0),
            ("POST /y HTTP/1.1", [], 1),
            ("PUT /x HTTP/1.1", [], 1),
            ("POST /y HTTP/1.1", ["--url", "https://x/x"], 0),
            (None, ["--url", "https://x/x"], 0),
            (None, [], 1),
        ],
    )
    def test_the_url_of_a_scheme_that_signs_it_is_saved_or_given(
        self, run, tmp_path, monkeypatch, first, arguments, code
    ):
        monkeypatch.setenv("SERVICE_HOOK_SECRET", SECRET)
        path = save(tmp_path, "http_message_signatures", first=first)
        assert run("verify", "--scheme", "http_message_signatures", path, *arguments).code == code

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ([], "SERVICE_HOOK_SECRET: is not set; give --secret-variable or --secret-file"),
            (["--secret-variable", "nowhere"], "the Variable 'nowhere': is not set"),
            (["--secret-file", "/nowhere/x"], "cannot be read"),
            (["--secret-file", "/dev/null"], "is empty"),
            (["--secret-file", "{secret}", "--secret-variable", "x"], "give one"),
            (["--secret-file", "{blank}"], "holds no secret"),
            (["--secret-file", "{json}"], "begins like JSON"),
            (["--secret-file", "{secret}", "--key-format", "whsec"], "is not base64"),
        ],
    )
    def test_an_invalid_secret_is_one_line_that_does_not_quote_it(self, run, tmp_path, arguments, error):
        files = {"secret": SECRET, "blank": " \n", "json": f'{{"{SECRET}'}
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        named = [argument.format(**{name: tmp_path / name for name in files}) for argument in arguments]
        done = run("verify", "--scheme", "sentry", save(tmp_path), *named)
        assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
        assert error in done.err
        assert SECRET not in done.err

    def test_secret_cannot_be_an_argument(self, run, tmp_path):
        assert run("verify", "--scheme", "sentry", "--secret", SECRET, save(tmp_path)).code in (1, 2)
        done = run("verify", "--help")
        assert "--secret-file" in done.out
        assert "--secret " not in done.out


class TestAge:
    OLD = 1_700_000_000

    def verify(self, run, tmp_path, monkeypatch, *arguments):
        monkeypatch.setenv("SERVICE_HOOK_SECRET", SECRET)
        path = save(tmp_path, "zstack", timestamp=self.OLD)
        return run("verify", "--scheme", "zstack", path, "-o", "json", *arguments)

    def test_an_old_request_is_not_verified(self, run, tmp_path, monkeypatch):
        done = self.verify(run, tmp_path, monkeypatch)
        assert done.code == 1
        assert "300 seconds off" in done.json["reason"]

    @pytest.mark.parametrize(
        "arguments",
        [["--ignore-age"], ["--now", "1700000100"], ["--now", "2023-11-14T22:15:00Z"], ["--now", "1699999999.5"]],
    )
    def test_an_old_request_is_verified_if_its_age_is_ignored_or_a_time_given(
        self, run, tmp_path, monkeypatch, arguments
    ):
        assert self.verify(run, tmp_path, monkeypatch, *arguments).code == 0

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            (["--now", "yesterday"], "--now: must be Unix seconds or ISO 8601 with a time zone, not 'yesterday'"),
            (["--now", "2023-11-14T22:15:00"], "with a time zone"),
            (["--now", "1700000000", "--ignore-age"], "give one"),
        ],
    )
    def test_an_invalid_time_is_one_line(self, run, tmp_path, monkeypatch, arguments, error):
        done = self.verify(run, tmp_path, monkeypatch, *arguments)
        assert (done.code, done.out) == (1, "")
        assert error in done.err


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "is empty"),
        (b"{}", "no blank line"),
        (b"POST /x HTTP/1.1\nHost x\n\n{}", "no 'Name: value' in line 2"),
        (b"nonsense\n\n{}", "no 'Name: value' in line 1"),
        (b"X: 1\n folded\n\n{}", "no 'Name: value' in line 2"),
        (b"POST /x HTTP/1.1\r\n\r\n{}", "X-Sentry-Hook-Signature is missing"),
        (b"X-Sentry-Hook-Signature: a\nx-sentry-hook-signature: b\n\n{}", "there more than once"),
        ("X-Sentry-Hook-Signature: \u00e9\n\n{}".encode(), "not ASCII"),
        (b"\n\n", "X-Sentry-Hook-Signature is missing"),
    ],
)
def test_unreadable_or_unsigned_request_exits_with_1(run, monkeypatch, content, error):
    monkeypatch.setenv("SERVICE_HOOK_SECRET", SECRET)
    done = run("verify", "--scheme", "sentry", "-", "-o", "json", stdin=content)
    assert done.code == 1
    assert error in done.out + done.err


def test_the_scheme_none_cannot_be_verified(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SERVICE_HOOK_SECRET", SECRET)
    assert run("verify", "--scheme", "none", save(tmp_path)).code == 2


def test_saved_headers_are_parsed_in_linear_time():
    assert_grows_linearly(
        lambda size: _parse_saved_request(b"POST / HTTP/1.1\r\nX-A: x" + b" " * size + b"y\r\n\r\n{}"), start=100_000
    )
