# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Signing schemes that a ``Scheme`` row cannot describe, as another package would define them."""

from __future__ import annotations

import hmac

from airflow_provider_hooks.signing import ReceivedRequest, Signer


class StripeSigner(Signer):
    """Time and signatures in one header: ``t=1700000000,v1=…,v1=…`` (Stripe, "Verify webhook signatures manually")."""

    name = "stripe_like"
    description = "Hex HMAC of time and body, both in Stripe-Signature"
    source = "https://docs.stripe.com/webhooks"
    header_names = ("Stripe-Signature",)

    def sign(self, keys, *, body, delivery_id, timestamp):
        signatures = [f"v1={self._digest(key, str(timestamp), body)}" for key in keys]
        return {"Stripe-Signature": ",".join([f"t={timestamp}", *signatures])}

    def verify(self, keys, request: ReceivedRequest) -> None:
        items = [item.partition("=") for item in request.header("Stripe-Signature").split(",")]
        times = [value for name, _, value in items if name == "t"]
        timestamp = times[0] if len(times) == 1 else ""
        request.check_timestamp(timestamp, source="t of Stripe-Signature")
        request.check_signatures(
            [value for name, _, value in items if name == "v1"],
            expected=[self._digest(key, timestamp, request.body) for key in keys],
            source="Stripe-Signature",
        )

    @staticmethod
    def _digest(key: bytes, timestamp: str, body: bytes) -> str:
        return hmac.digest(key, b"%s.%s" % (timestamp.encode("ascii"), body), "sha256").hex()


class SlackSigner(Signer):
    """Version, time and body joined with colons (Slack, "Verifying requests from Slack")."""

    name = "slack_like"
    description = "Hex HMAC of v0, time and body in X-Slack-Signature"
    source = "https://api.slack.com/authentication/verifying-requests-from-slack"
    header_names = ("X-Slack-Signature", "X-Slack-Request-Timestamp")

    def sign(self, keys, *, body, delivery_id, timestamp):
        return {
            "X-Slack-Signature": self._signature(keys[0], str(timestamp), body),
            "X-Slack-Request-Timestamp": str(timestamp),
        }

    def verify(self, keys, request: ReceivedRequest) -> None:
        timestamp = request.header("X-Slack-Request-Timestamp")
        request.check_timestamp(timestamp, source="X-Slack-Request-Timestamp")
        request.check_signatures(
            [request.header("X-Slack-Signature")],
            expected=[self._signature(key, timestamp, request.body) for key in keys],
            source="X-Slack-Signature",
        )

    @staticmethod
    def _signature(key: bytes, timestamp: str, body: bytes) -> str:
        return "v0=" + hmac.digest(key, b"v0:%s:%s" % (timestamp.encode("ascii"), body), "sha256").hex()


class FailingSigner(StripeSigner):
    """A scheme whose code fails, with the key in its message."""

    name = "failing"

    def sign(self, keys, *, body, delivery_id, timestamp):
        raise RuntimeError(f"cannot sign with {keys}")

    def verify(self, keys, request):
        raise RuntimeError(f"cannot verify with {keys}")


class SplittingSigner(StripeSigner):
    """A scheme that would add a header to the request by a line break."""

    name = "splitting"

    def sign(self, keys, *, body, delivery_id, timestamp):
        return {"Stripe-Signature": "v1=1\r\nX-Forged: 1"}


class UndeclaredSigner(StripeSigner):
    """A scheme that sends a header that it does not declare."""

    name = "undeclared"

    def sign(self, keys, *, body, delivery_id, timestamp):
        return {"Authorization": "Bearer x"}


class BadNameSigner(StripeSigner):
    """A scheme whose name cannot be used in a connection."""

    name = "Bad Name"


class ShadowSigner(StripeSigner):
    """A scheme with the name of a built-in one."""

    name = "sentry"


not_a_scheme = object()
