# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What an endpoint adds to TLS: a client certificate and private authorities; and what a server's alerts say about them.

A server that requires a client certificate reports a missing one by an alert. With TLS 1.2 the handshake fails. With
TLS 1.3 the client's handshake is complete before the server has read the client's certificate, so the alert comes
later, in place of a response. Sources: RFC 5246, section 7.2.2; RFC 8446, sections 4.4.2.4 and 6.2.
"""

from __future__ import annotations

import contextlib
import os
import select
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_hooks.exceptions import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator

ALERT_SECONDS = 0.4
"""How long the test of a connection waits for an alert after the handshake: some round trips."""
PEM_BEGIN = "-----BEGIN "
"""What a text of certificates begins with, and a path does not."""
_CERTIFICATE_ALERTS = frozenset(
    {
        *("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_REVOKED"),
        *("CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN", "UNKNOWN_CA"),
    }
)
"""The alerts about the certificate of the peer. TLS 1.3 has them in the handshake only."""
_UNSPECIFIC_ALERT = "HANDSHAKE_FAILURE"
"""What TLS 1.2 has for a missing certificate, among other things."""
_CHECK = "check that it is valid and of an authority that the server trusts"
_NO_CERTIFICATE = "set client_certificate and client_key, or client_certificate_variable, in the connection"


class TlsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """
    The client certificate of an endpoint, and the authorities that it trusts in addition to those of the deployment.

    :param conn_id: the connection that errors name
    :param certificate_file: a PEM file with the certificate and its chain
    :param key_file: a PEM file with the private key; ``None``: it is in ``certificate_file``
    :param certificate_pem: certificate, chain and key as PEM text, in place of files
    :param ca_certificates: PEM text, or the path of a PEM file
    """

    conn_id: str
    certificate_file: str | None = None
    key_file: str | None = None
    certificate_pem: str | None = None
    ca_certificates: str | None = None

    def __repr__(self) -> str:
        """Show nothing that is secret."""
        return f"TlsOptions(conn_id={self.conn_id!r})"

    @property
    def has_certificate(self) -> bool:
        """Whether the client has a certificate."""
        return bool(self.certificate_file or self.certificate_pem)

    def without_certificate(self) -> TlsOptions | None:
        """Return the options for another host, which gets no client certificate; ``None`` where nothing is left."""
        if self.ca_certificates is None:
            return None
        return TlsOptions(conn_id=self.conn_id, ca_certificates=self.ca_certificates)

    def read_versions(self) -> tuple[int, ...]:
        """Return when each file was changed, so that a renewed certificate is loaded for the next connection."""
        files = (self.certificate_file, self.key_file, None if self._has_ca_text else self.ca_certificates)
        return tuple(map(_read_version, filter(None, files)))

    def add_to(self, context: ssl.SSLContext) -> None:
        """
        Load certificates and key into a context.

        :raises ValidationError: naming each field that cannot be used
        """
        problems: dict[str, str] = {}
        if self.ca_certificates is not None:
            problem = self._load_authorities(context, self.ca_certificates)
            if problem:
                problems["extra.ca_certificates"] = problem
        if self.certificate_pem is not None:
            with _open_in_memory(self.certificate_pem) as file:
                found = _load_certificate(context, file, None)
            if found:
                problems["extra.client_certificate_variable"] = f"the Variable {found[1]}"
        elif self.certificate_file is not None:
            found = _load_certificate(context, self.certificate_file, self.key_file)
            if found:
                name = "client_key" if found[0] == "key" and self.key_file else "client_certificate"
                problems[f"extra.{name}"] = found[1]
        if problems:
            raise ValidationError(f"connection '{self.conn_id}'", problems)

    @property
    def _has_ca_text(self) -> bool:
        return (self.ca_certificates or "").lstrip().startswith(PEM_BEGIN)

    def _load_authorities(self, context: ssl.SSLContext, certificates: str) -> str | None:
        try:
            if self._has_ca_text:
                context.load_verify_locations(cadata=certificates)
            else:
                context.load_verify_locations(cafile=certificates)
        except ssl.SSLError:
            return "holds no certificate in PEM format"
        except (OSError, ValueError) as error:
            return f"is neither PEM text nor a file that can be read ({_describe(error)})"
        return None


def _read_version(file: str) -> int:
    try:
        return Path(file).stat().st_mtime_ns
    except (OSError, ValueError):
        return 0  # loading it reports why


@contextlib.contextmanager
def _open_in_memory(text: str) -> Iterator[str]:
    """Provide a text as a file that exists in the memory of this process only: ``ssl`` loads keys from files only."""
    descriptor = os.memfd_create("client-certificate")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


class _EncryptedKeyError(Exception):
    """The private key has a passphrase."""


def _refuse_passphrase() -> str:
    raise _EncryptedKeyError  # without this function OpenSSL asks the terminal for it


def _load_certificate(context: ssl.SSLContext, certificate: str, key: str | None) -> tuple[str, str] | None:
    """Load a certificate and its key; return ``certificate`` or ``key`` and what is wrong with it, in words."""
    for part, file in (("certificate", certificate), ("key", key)):
        try:
            if file is not None:
                with open(file, "rb"):  # noqa: PTH123  (the name of a file is the user's)
                    pass
        except (OSError, ValueError) as error:
            return part, f"is not a file that can be read ({_describe(error)})"
    try:
        context.load_cert_chain(certificate, key, password=_refuse_passphrase)
    except _EncryptedKeyError:
        return "key", "has an encrypted private key; store it without a passphrase, readable by the worker only"
    except (OSError, ValueError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            return "key", "has a private key that does not belong to the client certificate"
        if not _holds_certificate(certificate):
            return "certificate", "holds no certificate in PEM format"
        return "key", "holds no private key in PEM format that can be used"
    return None


def _holds_certificate(file: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except (OSError, ValueError):
        return False
    return True


def _describe(error: Exception) -> str:
    return getattr(error, "strerror", None) or "not a path"


def find_refusal(error: Exception, tls: TlsOptions | None) -> str | None:
    """Return what an alert of a server says about the client's certificate, and what to do; else ``None``."""
    alert = _read_alert(error)
    if alert not in _CERTIFICATE_ALERTS and alert != _UNSPECIFIC_ALERT:
        return None
    shown = f"TLS alert {alert.lower().replace('_', ' ')}"
    has_certificate = tls is not None and tls.has_certificate
    if alert == _UNSPECIFIC_ALERT:
        advice = f"it may not accept the client certificate: {_CHECK}"
        if not has_certificate:
            advice = f"it may require a client certificate: {_NO_CERTIFICATE}"
        return f"the server refused the TLS handshake ({shown}); {advice}"
    if has_certificate:
        return f"the server did not accept the client certificate ({shown}): {_CHECK}"
    return f"the server requires a client certificate ({shown}): {_NO_CERTIFICATE}"


def proves_unread(error: Exception, version: str | None) -> bool:
    """
    Return whether an alert on a new connection proves that the server read no byte of what was sent after TLS.

    With TLS 1.3 a server reads such bytes only after the client's certificate and its Finished, both of which come in
    the handshake: there is no renegotiation, and this client offers no authentication after it (RFC 8446, sections 4.4
    and 4.6.2). With TLS 1.2 a server may read a request and then renegotiate to get a certificate.

    :param version: what ``SSLSocket.version`` returned after the handshake
    """
    return version == "TLSv1.3" and _read_alert(error) in _CERTIFICATE_ALERTS


def _read_alert(error: Exception) -> str:
    """Return the name of an alert that OpenSSL received, such as ``CERTIFICATE_REQUIRED``; empty if it is none."""
    reason = getattr(error, "reason", None) if isinstance(error, ssl.SSLError) else None
    return str(reason or "").rpartition("ALERT_")[2] if "ALERT_" in str(reason) else ""


def wait_for_alert(sock: ssl.SSLSocket, seconds: float = ALERT_SECONDS) -> None:
    """
    Wait until a server had time to refuse the client's certificate; with TLS 1.2 it had it in the handshake.

    Session tickets end the wait: a server that requires a certificate sends them after it has accepted one.

    :param sock: a connection that does not block, right after its handshake
    :raises OSError: if the server closed the connection or sent an alert
    """
    if sock.version() != "TLSv1.3" or not (sock.pending() or select.select([sock], [], [], seconds)[0]):
        return
    try:
        if not sock.recv(1):
            raise ssl.SSLZeroReturnError(
                ssl.SSL_ERROR_ZERO_RETURN, "the server closed the connection after the TLS handshake"
            )
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return
