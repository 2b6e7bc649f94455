# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Schemes of other packages: ``Signer`` classes and ``Scheme`` rows, loaded by entry points."""

from __future__ import annotations

import hmac
import json
import logging
import re
import subprocess
import sys
from argparse import Namespace
from base64 import b64encode, urlsafe_b64encode
from dataclasses import replace

import pytest

from airflow_provider_hooks.cli.local import list_schemes
from airflow_provider_hooks.delivery.headers import read_headers
from airflow_provider_hooks.exceptions import SignatureError, ValidationError, ValidationErrors
from airflow_provider_hooks.get_provider_info import get_provider_info
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator
from airflow_provider_hooks.signing import SCHEMES, Scheme, sign, verify
from airflow_provider_hooks.signing.schemes import ENTRY_POINT_GROUP
from tests.airflow_context import SECRET, make_context
from tests.security.deliveries import split_request
from tests.servers import OK, raw_server
from tests.signing import example_signers
from tests.signing.example_signers import (
    BadNameSigner,
    FailingSigner,
    SlackSigner,
    SplittingSigner,
    StripeSigner,
    UndeclaredSigner,
)

NOW = 1_700_000_000
BODY = b'{"hello":"world"}'
OTHER = "another secret"
CLASSES = [StripeSigner, SlackSigner]
every_class = pytest.mark.parametrize("signer", [kind() for kind in CLASSES], ids=lambda signer: signer.name)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution with these entry points during a test."""

    def add(**entry_points: str) -> None:
        folder = tmp_path / "other_schemes-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: other-schemes\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in entry_points.items()]
        (folder / "entry_points.txt").write_text("\n".join([f"[{ENTRY_POINT_GROUP}]", *lines, ""]))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(SCHEMES, "_all", None)

    return add


@pytest.fixture
def examples(install):
    install(**{kind.name: f"{kind.__module__}:{kind.__name__}" for kind in CLASSES})


def signed(signer, *secrets: str, body: bytes = BODY) -> dict[str, str]:
    return dict(sign(signer, body=body, secrets=secrets or [SECRET], delivery_id="d-1", timestamp=NOW))


@every_class
class TestExamples:
    def test_signed_request_is_verified(self, signer):
        verify(signer, headers=signed(signer), body=BODY, secrets=[OTHER, SECRET], now=NOW)

    @pytest.mark.parametrize(
        "change", [{"body": BODY + b" "}, {"secrets": [OTHER]}, {"now": NOW + 301}, {"now": NOW - 301}, {"headers": {}}]
    )
    def test_changed_request_is_refused(self, signer, change):
        request = {"headers": signed(signer), "body": BODY, "secrets": [SECRET], "now": NOW, **change}
        with pytest.raises(SignatureError):
            verify(signer, **request)

    def test_signature_and_digest_are_masked(self, signer):
        headers = signed(signer)
        value = headers[signer.signature_header]
        sensitive = list(signer.sensitive_values(headers, [SECRET]))
        assert {value, value.rpartition("=")[2], SECRET.removeprefix("whsec_")} <= set(sensitive)

    def test_secret_can_be_base64(self, signer):
        by_base64 = signer.with_key_format("whsec")
        assert signed(by_base64) != signed(signer)
        verify(by_base64, headers=signed(by_base64), body=BODY, secrets=[SECRET], now=NOW)
        assert signer.key_format == "text"

    def test_endpoint_delivers_with_the_scheme(self, signer, examples, connect):
        with raw_server(OK) as receiver:
            connect(receiver.url, scheme=signer.name)
            record = DeliverEventAlertOperator(
                task_id="a_task", message="It broke", triggering_rules=["A rule"]
            ).execute(make_context())
        assert (record["outcome"], record["scheme"]) == ("delivered", signer.name)
        headers, body = split_request(receiver.requests[0])
        verify(signer, headers=headers, body=body, secrets=[SECRET])
        with pytest.raises(SignatureError):
            verify(signer, headers=headers, body=body, secrets=[OTHER])

    def test_connection_cannot_set_headers_of_the_scheme(self, signer, examples):
        problems = ValidationErrors("a connection")
        read_headers({signer.header_names[0].upper(): "forged"}, allowed=signer.header_names, problems=problems)
        with pytest.raises(ValidationError, match="set by the provider"):
            problems.raise_if_any()


def test_several_secrets_sign_in_one_header_of_the_stripe_like_scheme():
    headers = signed(StripeSigner(), SECRET, OTHER)
    assert headers["Stripe-Signature"].count("v1=") == 2
    verify(StripeSigner(), headers=headers, body=BODY, secrets=[OTHER], now=NOW)


def test_signature_echoed_by_a_receiver_is_masked_in_the_record(examples, connect):
    def echo(connection):
        answer = receiver.requests[0].partition(b"\r\n\r\n")[0]
        connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)

    with raw_server(echo) as receiver:
        connect(receiver.url, scheme="stripe_like")
        operator = DeliverEventAlertOperator(task_id="a_task", message="It broke", triggering_rules=["A rule"])
        with pytest.raises(Exception, match="rejected") as caught:
            operator.execute(make_context())
    value = split_request(receiver.requests[0])[0]["Stripe-Signature"]
    stored = json.dumps(caught.value.record)
    assert "***" in stored
    assert value not in stored
    assert value.rpartition("=")[2] not in stored


class TestEntryPoints:
    def test_schemes_are_listed_in_the_form_and_by_the_cli(self, examples, capsys, monkeypatch):
        monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")  # a command sets it for the rest of its process
        (form,) = [
            kind for kind in get_provider_info()["connection-types"] if kind["connection-type"] == "service_hook"
        ]
        assert form["conn-fields"]["scheme"]["schema"]["enum"][-2:] == ["stripe_like", "slack_like"]
        list_schemes(Namespace(output="json", verbose=False))
        rows = {row["scheme"]: row for row in json.loads(capsys.readouterr().out)}
        assert rows["stripe_like"]["signature_header"] == "Stripe-Signature"
        assert rows["slack_like"]["key_format"] == "text"

    def test_entry_point_can_be_a_scheme_row(self, install, monkeypatch):
        row = replace(SCHEMES["sentry"], name="gitea", signature_header="X-Gitea-Signature")
        monkeypatch.setattr(example_signers, "gitea", row, raising=False)
        install(gitea="tests.signing.example_signers:gitea")
        assert SCHEMES["gitea"] is row
        assert list(SCHEMES)[-1] == "gitea"

    @pytest.mark.parametrize(
        ("entry_point", "reason"),
        [
            ("no_such_module:Signer", "No module named"),
            ("tests.signing.example_signers:not_a_scheme", "it is neither a Scheme nor a Signer"),
            ("tests.signing.example_signers:BadNameSigner", "lower-case letters"),
            ("tests.signing.example_signers:ShadowSigner", "the name is taken"),
        ],
    )
    def test_unusable_entry_point_is_logged_and_ignored(self, install, caplog, entry_point, reason):
        install(other=entry_point)
        with caplog.at_level(logging.WARNING, "airflow_provider_hooks"):
            assert not [name for name in SCHEMES if name in {"other", "Bad Name"}]
        assert reason in caplog.text
        assert isinstance(SCHEMES["sentry"], Scheme)

    def test_built_in_scheme_is_found_without_reading_entry_points(self):
        code = (
            "import sys\n"
            "from airflow_provider_hooks.delivery.connection import SERVICE_HOOK\n"
            "from airflow_provider_hooks.signing import SCHEMES, sign\n"
            "sign('zstack', body=b'x', secrets=['y'], delivery_id='d', timestamp=1)\n"
            "print(SCHEMES._all)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "None"


PACKAGE = """
import hmac

from airflow_provider_hooks.signing import Signer


class UrlSigner(Signer):
    name = "signed_url"
    description = "Hex HMAC of the URL, the time and the body, in X-Url-Signature"
    header_names = ("X-Url-Signature", "X-Url-Time")
    target = None

    def with_target(self, target):
        bound = type(self)()
        bound.target = target
        return bound

    def sign(self, keys, *, body, delivery_id, timestamp):
        url = self.target.url
        signature = self._digest(keys[0], url.authority + url.request_target, timestamp, body)
        return {"X-Url-Signature": signature, "X-Url-Time": str(timestamp)}

    def verify(self, keys, request):
        time, url = request.header("X-Url-Time"), request.target
        request.check_timestamp(time, source="X-Url-Time")
        expected = [self._digest(key, url.authority + url.request_target, time, request.body) for key in keys]
        request.check_signatures([request.header("X-Url-Signature")], expected=expected, source="X-Url-Signature")

    @staticmethod
    def _digest(key, url, timestamp, body):
        return hmac.digest(key, f"{url} {timestamp} ".encode() + body, "sha256").hex()
"""


def test_small_package_adds_a_scheme_that_signs_the_url(install, tmp_path, connect):
    assert len([line for line in PACKAGE.splitlines() if line]) < 30
    (tmp_path / "url_signing.py").write_text(PACKAGE)
    install(signed_url="url_signing:UrlSigner")
    with raw_server(OK) as receiver:
        connect(receiver.url + "?token=x", scheme="signed_url")
        record = DeliverEventAlertOperator(task_id="t", message="It broke", triggering_rules=["A rule"]).execute(
            make_context()
        )
    assert (record["outcome"], record["scheme"]) == ("delivered", "signed_url")
    headers, body = split_request(receiver.requests[0])
    request = {"headers": headers, "body": body, "secrets": [SECRET], "url": receiver.url + "?token=x"}
    verify("signed_url", **request)
    for changed in ({"body": body + b" "}, {"secrets": [OTHER]}, {"url": receiver.url}, {"url": None}):
        with pytest.raises(SignatureError):
            verify("signed_url", **{**request, **changed})


class TestFaultySchemes:
    def test_exception_of_a_signer_is_a_signature_error_without_the_key(self):
        for call in (
            lambda: signed(FailingSigner()),
            lambda: verify(FailingSigner(), headers={}, body=BODY, secrets=[SECRET], now=NOW),
        ):
            with pytest.raises(SignatureError) as caught:
                call()
            assert SECRET not in str(caught.value)
            assert caught.value.__suppress_context__

    @pytest.mark.parametrize("kind", [SplittingSigner, UndeclaredSigner])
    def test_headers_that_would_change_the_request_are_refused(self, kind):
        with pytest.raises(SignatureError, match="headers that cannot be sent"):
            signed(kind())

    @pytest.mark.parametrize(
        ("attributes", "field"),
        [
            ({"header_names": ("X-A", "x-a")}, "header_names"),
            ({"header_names": ("X A",)}, "header_names"),
            ({"header_names": "X-A"}, "header_names"),
            ({"signature_header": "X-B"}, "signature_header"),
            ({"description": "two\nlines"}, "description"),
        ],
    )
    def test_invalid_definition_is_refused(self, attributes, field):
        kind = type("Changed", (StripeSigner,), {"signature_header": "Stripe-Signature", **attributes})
        with pytest.raises(ValidationError, match=field):
            kind().check_definition()

    def test_name_that_a_connection_cannot_use_is_refused(self):
        with pytest.raises(ValidationError, match="lower-case letters"):
            BadNameSigner().check_definition()


class TestRows:
    def test_two_values_in_one_header_are_refused_by_the_row(self):
        with pytest.raises(ValidationError, match=r"names one header twice .*needs a Signer class"):
            Scheme(
                name="stripe",
                description="A row that would send its time in place of its signature",
                signature_header="Stripe-Signature",
                timestamp_header="stripe-signature",
                signed_content="{timestamp}.{body}",
            )

    @pytest.mark.parametrize("part", ["id", "timestamp"])
    def test_signed_part_that_is_not_sent_is_refused(self, part):
        with pytest.raises(ValidationError, match=f"{part}_header"):
            Scheme(name="a", description="x", signature_header="X-A", signed_content=f"{{{part}}}.{{body}}")

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("{id}:{timestamp}.{body}", "needs a full stop between {id} and the next part"),
            ("{body}:{id}", "needs a full stop between {id} and the next part"),
            ("{timestamp}{body}", "needs text that is not a digit between {timestamp} and {body}"),
            ("{timestamp}0.{body}", "needs text that is not a digit between {timestamp} and {body}"),
            ("{body}.0{timestamp}", "needs text that is not a digit between {body} and {timestamp}"),
            ("{timestamp}", "must have {body} once"),
            ("{body}.{body}", "must have {body} once"),
            ("", "must have {body} once"),
            ("{timestamp}.{timestamp}.{body}", "each once, and no other braces"),
            ("{time}.{body}", "no other braces"),
        ],
    )
    def test_ambiguous_content_or_content_without_a_body_is_refused(self, content, problem):
        with pytest.raises(ValidationError, match=f"signed_content: .*{re.escape(problem)}"):
            Scheme(
                name="a",
                description="x",
                signature_header="X-A",
                id_header="X-Id",
                timestamp_header="X-Time",
                signed_content=content,
            )

    @pytest.mark.parametrize("content", ["100%s {id}.{timestamp}/{body}%", "{body}.{timestamp}", "{timestamp}: {body}"])
    @pytest.mark.parametrize("hash_name", ["sha256", "sha384", "sha512"])
    @pytest.mark.parametrize("encoding", ["hex", "base64", "base64url"])
    @pytest.mark.parametrize("secret", ["short", "long" * 50])
    def test_content_hash_and_encoding_match_the_standard_library(self, content, hash_name, encoding, secret):
        scheme = Scheme(
            name="a",
            description="x",
            signature_header="X-A",
            id_header="X-Id",
            timestamp_header="X-Time",
            signed_content=content,
            hash_name=hash_name,
            encoding=encoding,
        )
        expected = content.replace("{id}", "d-1").replace("{timestamp}", str(NOW)).replace("{body}", BODY.decode())
        digest = hmac.digest(secret.encode(), expected.encode(), hash_name)
        encode = {"hex": bytes.hex, "base64": b64encode, "base64url": urlsafe_b64encode}[encoding]
        encoded = encode(digest) if encoding == "hex" else encode(digest).decode()
        headers = signed(scheme, secret)
        assert headers["X-A"] == (encoded.rstrip("=") if encoding == "base64url" else encoded)
        verify(scheme, headers=headers, body=BODY, secrets=[secret], now=NOW)
        with pytest.raises(SignatureError):
            verify(scheme, headers=headers, body=BODY + b" ", secrets=[secret], now=NOW)

    @pytest.mark.parametrize(
        ("fields", "problem"),
        [
            ({"hash_name": "sha1"}, "hash_name: must be one of sha256, sha384, sha512"),
            ({"encoding": "base32"}, "encoding: must be one of hex, base64, base64url"),
            ({"item_separator": "-"}, "item_separator: must be a space, a comma or a semicolon"),
            ({"timestamp_prefix": "t ="}, "item_separator: must not be in the text before the time"),
            ({"timestamp_prefix": "t=", "timestamp_header": "X-Time"}, "would send the time twice"),
        ],
    )
    def test_other_invalid_fields_are_refused(self, fields, problem):
        with pytest.raises(ValidationError, match=problem):
            Scheme(name="a", description="x", signature_header="X-A", **fields)

    @pytest.mark.parametrize("attribute", ["signed_content", "signature_prefix", "event_separator"])
    @pytest.mark.parametrize("value", ["é", "\n", None])
    def test_constant_text_must_be_printable_ascii(self, attribute, value):
        with pytest.raises(ValidationError, match=f"{attribute}: must be printable ASCII text"):
            Scheme(name="a", description="x", signature_header="X-A", **{attribute: value})

    @pytest.mark.parametrize(
        ("scheme", "header"),
        [
            ("github", {"X-GitHub-Event": "orders.loaded.v2"}),
            ("sentry_integration", {"Sentry-Hook-Resource": "orders_loaded_v2"}),
            ("sentry", {}),
        ],
    )
    def test_event_type_is_in_the_header_of_the_scheme(self, scheme, header):
        assert SCHEMES[scheme].make_event_headers("orders.loaded.v2") == header
        assert set(header) <= set(SCHEMES[scheme].header_names)

    def test_undeclared_event_header_is_refused(self):
        class UndeclaredSigner(StripeSigner):
            event_header = "X-Event"

        with pytest.raises(ValidationError, match="event_header: must be one of header_names"):
            UndeclaredSigner().check_definition()

    @pytest.mark.parametrize(("header", "content"), [(None, "{body}"), ("X-A", "")])
    def test_signature_without_a_header_or_content_is_refused(self, header, content):
        with pytest.raises(ValidationError, match="signed_content"):
            Scheme(name="a", description="x", signature_header=header, signed_content=content)
