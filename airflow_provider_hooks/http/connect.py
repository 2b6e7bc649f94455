# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Opens connections without blocking: DNS, a race of addresses, a proxy's tunnel, TLS.

The addresses of a host are tried with their families interleaved, the next one 250 ms after the one before or as soon
as that failed, and the first that is connected wins (RFC 8305). Through a proxy each attempt includes the tunnel. The
address that won is tried first for the life of the connector. Every address is checked before it is connected to, and
the peer again afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import select
import socket
import ssl
import threading
import time
from collections import deque
from functools import lru_cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import certifi
import msgspec

from airflow_provider_hooks.exceptions import BlockedAddressError, ConnectError, ProxyError, ResolverError
from airflow_provider_hooks.http.proxy import MAX_RESPONSE_BYTES, check_connect_response, make_connect_request
from airflow_provider_hooks.http.result import Phases
from airflow_provider_hooks.http.tls import TlsOptions, find_refusal
from airflow_provider_hooks.http.urls import is_address
from airflow_provider_hooks.outcomes import ErrorClass

if TYPE_CHECKING:
    from airflow_provider_hooks.http.policy import NetworkPolicy
    from airflow_provider_hooks.http.proxy import Proxy
    from airflow_provider_hooks.http.urls import Target

STAGGER_SECONDS = 0.25
"""How long an address is waited for before the next one is tried too (RFC 8305, section 5)."""
RESOLVED_SECONDS = 60.0
"""How long the addresses of a host are reused."""
_MAX_CANDIDATES = 32
_CLASS_BY_ERRNO = {
    errno.ECONNREFUSED: ErrorClass.CONNECTION_REFUSED,
    errno.ENETUNREACH: ErrorClass.NETWORK_UNREACHABLE,
    errno.EHOSTUNREACH: ErrorClass.NETWORK_UNREACHABLE,
    errno.EADDRNOTAVAIL: ErrorClass.NETWORK_UNREACHABLE,
    errno.ECONNRESET: ErrorClass.CONNECTION_RESET,
    errno.ETIMEDOUT: ErrorClass.TIMEOUT,
}
_UNKNOWN_AUTHORITY = frozenset({18, 19, 20, 21})
"""OpenSSL's codes of self-signed certificates and unknown issuers (``openssl verify``)."""
_EXPIRED = 10
_CLASS_BY_TYPE = (
    (BlockedAddressError, ErrorClass.BLOCKED_ADDRESS),
    (ResolverError, ErrorClass.DNS_ERROR),
    (ProxyError, ErrorClass.PROXY_ERROR),
    (TimeoutError, ErrorClass.TIMEOUT),
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError), ErrorClass.CONNECTION_RESET),
    (ssl.SSLError, ErrorClass.TLS_ERROR),
)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one attempt, and the certificates that receivers are verified with."""

    timeout: float
    """Seconds for the whole attempt: DNS, connecting, TLS, request and response."""
    connect_timeout: float
    """Seconds of these for DNS, connecting and TLS."""
    ca_file: str | None = None
    """PEM certificates that are trusted too."""
    ca_file_only: bool = False
    """Whether only those of ``ca_file`` are trusted, not the public bundle."""
    tls: TlsOptions | None = None
    """What the endpoint adds: a client certificate, and private authorities."""


class OpenConnection(NamedTuple):
    """A connection that is ready for a request."""

    sock: socket.socket
    """Does not block."""
    peer: str
    """The address that was checked; through a proxy, the address that the tunnel leads to."""
    phases: Phases


class Poller:
    """An ``epoll`` that knows which object each file descriptor belongs to."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.owners: dict[int, object] = {}

    def add(self, descriptor: int, events: int, owner: object) -> None:
        """Watch a descriptor."""
        self.epoll.register(descriptor, events)
        self.owners[descriptor] = owner

    def watch(self, descriptor: int, events: int) -> None:
        """Change what a descriptor is watched for."""
        self.epoll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        """Stop watching a descriptor, if it is watched."""
        if self.owners.pop(descriptor, None) is not None:
            self.epoll.unregister(descriptor)

    def close(self) -> None:
        """Close the ``epoll``; the descriptors stay open."""
        self.owners.clear()
        self.epoll.close()


@lru_cache(maxsize=64)
def _load_tls_context(
    ca_file: str | None, ca_file_only: bool, tls: TlsOptions | None, _versions: tuple[float, ...]
) -> ssl.SSLContext:
    """Build a context from explicit settings alone, so that it is the same on every Python and in every environment."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 adds VERIFY_X509_STRICT by default, which refuses the certificates of many private CAs.
    context.verify_flags = ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST
    context.set_alpn_protocols(["http/1.1"])
    if not (ca_file and ca_file_only):
        context.load_verify_locations(certifi.where())
    if ca_file:
        context.load_verify_locations(ca_file)
    if tls is not None:
        tls.add_to(context)
    return context


def make_tls_context(limits: Limits) -> ssl.SSLContext:
    """
    Return the context of connections to a receiver; it is built once for each version of the files in it.

    :raises OSError: if the CA file cannot be read or holds no certificate
    :raises ValidationError: naming each field of the endpoint that cannot be used
    """
    version = Path(limits.ca_file).stat().st_mtime if limits.ca_file else 0.0
    versions = (version,) if limits.tls is None else (version, *limits.tls.read_versions())
    return _load_tls_context(limits.ca_file, limits.ca_file_only, limits.tls, versions)


class _Candidate(NamedTuple):
    """One way to reach the target."""

    address: str
    """Of the target."""
    place: tuple[str, int]
    """What is connected to: the target, or the proxy."""
    proxy: Proxy | None


class Connector:
    """
    Opens connections to one target.

    :param target: where the URL leads
    :param limits: ``connect_timeout`` bounds DNS, connecting and TLS together
    :param tls: whether TLS is negotiated for ``https``; a caller that negotiates it itself passes ``False``
    :param resolved_seconds: how long the addresses of a host are reused; 0 asks DNS for every connection
    """

    def __init__(
        self,
        target: Target,
        *,
        policy: NetworkPolicy,
        limits: Limits,
        tls: bool = True,
        resolved_seconds: float = RESOLVED_SECONDS,
    ) -> None:
        self.target, self.policy, self.limits = target, policy, limits
        self.resolved_seconds = resolved_seconds
        self.uses_tls = tls and target.scheme == "https"
        self._known: list[_Candidate] | Exception | None = None
        self._resolved_at = 0.0
        self._lookup: queue.SimpleQueue[list[_Candidate] | Exception] | None = None
        self._preferred: _Candidate | None = None
        self._wake_up, self._woken = socket.socketpair()
        self._wake_up.setblocking(False)
        self._woken.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when a DNS lookup is finished."""
        return self._woken.fileno()

    def close(self) -> None:
        """Close what the connector itself has open."""
        self._wake_up.close()
        self._woken.close()

    def read_wake_ups(self) -> None:
        """Clear the descriptor of ``fileno``."""
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(64):
                pass

    def find_candidates(self, now: float, *, since: float) -> list[_Candidate] | Exception | None:
        """
        Return the ways to reach the target, best first, an error, or ``None`` while the host is being resolved.

        :param since: when the caller began to wait: the error of an earlier lookup is not its own
        """
        if self._lookup is None and (self._known is None or now - self._resolved_at > self.resolved_seconds):
            self._start_lookup()
        if self._lookup is not None and not self._lookup.empty():
            self._known, self._lookup, self._resolved_at = self._lookup.get(), None, now
        if self._lookup is not None:
            return None
        if isinstance(self._known, Exception) and self._resolved_at < since:
            self._known = None
            return self.find_candidates(now, since=now)
        if isinstance(self._known, list) and self._preferred in self._known:
            return [self._preferred, *(one for one in self._known if one != self._preferred)]
        return self._known

    def remember(self, candidate: _Candidate) -> None:
        """Try this one first from now on."""
        self._preferred = candidate

    def forget(self) -> None:
        """Ask DNS again for the next connection: none of the known addresses answers."""
        self._known, self._preferred = None, None

    def _start_lookup(self) -> None:
        """Resolve in a thread, since the system's resolver has no deadline; an address needs none."""
        self._lookup = queue.SimpleQueue()
        if self.target.is_address and self.policy.proxy is None:
            self._lookup.put(self._try_resolve())
            return
        thread = threading.Thread(target=self._look_up, args=(self._lookup,), daemon=True, name="service-hook-resolver")
        try:
            thread.start()
        except RuntimeError as error:
            self._lookup.put(error)

    def _look_up(self, found: queue.SimpleQueue[list[_Candidate] | Exception]) -> None:
        found.put(self._try_resolve())
        with contextlib.suppress(OSError):  # the connector was closed meanwhile, or has wake-ups enough
            self._wake_up.send(b"\0")

    def _try_resolve(self) -> list[_Candidate] | Exception:
        try:
            return self._resolve()
        except Exception as error:  # noqa: BLE001  (an error that is not reported would block every connection)
            return error

    def _resolve(self) -> list[_Candidate]:
        target, policy = self.target, self.policy
        policy.check_target(target)
        addresses = _find_addresses(target.host, target.port)
        policy.check_addresses(addresses, target=target)
        candidates: list[_Candidate] = []
        proxies: list[str] | None = None
        for address in addresses:
            proxy = policy.find_proxy(address, target=target)
            if proxy is None:
                candidates.append(_Candidate(address, (address, target.port), None))
                continue
            if proxies is None:
                proxies = _find_addresses(proxy.host, proxy.port)
            candidates += [_Candidate(address, (place, proxy.port), proxy) for place in proxies]
        return candidates[:_MAX_CANDIDATES]


def _find_addresses(host: str, port: int) -> list[str]:
    return [host] if is_address(host) else interleave_families(resolve(host, port))


def interleave_families(addresses: list[str]) -> list[str]:
    """Return addresses with IPv6 and IPv4 in turn, beginning with the family of the first (RFC 8305, section 4)."""
    if not addresses:
        return []
    first = [one for one in addresses if (":" in one) == (":" in addresses[0])]
    other = [one for one in addresses if one not in first]
    return [one for one in chain.from_iterable(zip_longest(first, other)) if one is not None]


class _Attempt:
    """One candidate that is being connected to, with the proxy's tunnel if it has one."""

    __slots__ = ("_answer", "_is_open", "_request", "candidate", "events", "sock")

    def __init__(self, candidate: _Candidate, port: int) -> None:
        self.candidate = candidate
        self.events = select.EPOLLOUT
        """What the socket is to be watched for."""
        self._is_open = False
        self._answer = bytearray()
        self._request = b""
        if candidate.proxy is not None:
            self._request = make_connect_request(candidate.proxy, address=candidate.address, port=port)
        self.sock = socket.socket(socket.AF_INET6 if ":" in candidate.place[0] else socket.AF_INET, socket.SOCK_STREAM)
        try:
            self.sock.setblocking(False)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _raise_for_code(self.sock.connect_ex(candidate.place))
        except BaseException:
            self.sock.close()
            raise

    def advance(self) -> bool:
        """
        Go on when the socket is ready; return whether it leads to the target now.

        :raises OSError: if it cannot be connected
        """
        if not self._is_open:
            _raise_for_code(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            self._is_open = True
        if self.candidate.proxy is None:
            return True
        try:
            if self._request:
                self._request = self._request[self.sock.send(self._request) :]
                if self._request:
                    return False
                self.events = select.EPOLLIN
            while not self._answer.endswith(b"\r\n\r\n"):
                part = self.sock.recv(1)  # not a byte more: what follows belongs to the target behind the proxy
                if not part or len(self._answer) >= MAX_RESPONSE_BYTES:
                    raise ProxyError("the proxy's response is not HTTP")
                self._answer += part
        except BlockingIOError:
            return False
        check_connect_response(bytes(self._answer))
        return True


def _raise_for_code(code: int) -> None:
    if code not in {0, errno.EINPROGRESS}:
        raise OSError(code, os.strerror(code))


class Dial:
    """One connection that is being opened; ``advance`` and ``check_time`` move it on until it is finished."""

    def __init__(self, connector: Connector, poller: Poller, now: float) -> None:
        self._connector, self._poller = connector, poller
        self.started = self._resolved = self._connected = now
        limits = connector.limits
        self._timeout = min(limits.connect_timeout, limits.timeout)
        self._waiting: deque[_Candidate] | None = None
        """The candidates that were not tried yet; ``None`` while the host is being resolved."""
        self._attempts: list[_Attempt] = []
        self._next_attempt = 0.0
        self._error: Exception = OSError(f"{connector.target.host} has no address")
        self._tls: ssl.SSLSocket | None = None
        self._peer = ""

    def close(self) -> None:
        """Give up what is open."""
        for attempt in self._attempts:
            self._poller.remove(attempt.sock.fileno())
            attempt.sock.close()
        self._attempts.clear()
        if self._tls is not None:
            self._poller.remove(self._tls.fileno())
            self._tls.close()

    def find_delay(self, now: float) -> float:
        """Return the seconds until ``check_time`` has something to do."""
        due = self.started + self._timeout
        if self._waiting:
            due = min(due, self._next_attempt)
        return max(0.0, due - now)

    def check_time(self, now: float) -> OpenConnection | Exception | None:
        """Begin what is due; return the connection or an error if this finishes the dial."""
        if now >= self.started + self._timeout:
            message = self._describe_timeout()
            self.close()
            return TimeoutError(message)
        if self._waiting is None:
            found = self._connector.find_candidates(now, since=self.started)
            if found is None:
                return None
            if isinstance(found, Exception):
                return found
            self._resolved, self._waiting = now, deque(found)
        if self._tls is None and self._waiting and (now >= self._next_attempt or not self._attempts):
            return self._begin_attempts(now)
        return None

    def advance(self, descriptor: int, now: float) -> OpenConnection | Exception | None:
        """Go on with a socket that is ready; return the connection or an error if this finishes the dial."""
        if self._tls is not None:
            return self._handshake()
        attempt = next((one for one in self._attempts if one.sock.fileno() == descriptor), None)
        if attempt is None:
            return None
        try:
            if attempt.advance():
                return self._take(attempt, now)
            self._poller.watch(descriptor, attempt.events)
        except OSError as error:
            self._drop(attempt, error)
            return self._begin_attempts(now)
        except BlockedAddressError as error:
            self.close()
            return error
        return None

    def _describe_timeout(self) -> str:
        target, seconds = self._connector.target, f"within {self._timeout:g} s"
        if self._waiting is None:
            return f"{target.host} was not resolved {seconds}"
        return f"TLS with {target.host} was not set up {seconds}" if self._tls else f"no connection {seconds}"

    def _begin_attempts(self, now: float) -> Exception | None:
        """Try the next candidate; one that fails at once leaves its turn to the one after it."""
        while self._waiting:
            candidate = self._waiting.popleft()
            try:
                attempt = _Attempt(candidate, self._connector.target.port)
            except OSError as error:
                self._error = error
                continue
            self._attempts.append(attempt)
            self._poller.add(attempt.sock.fileno(), select.EPOLLOUT, self)
            self._next_attempt = now + STAGGER_SECONDS
            return None
        if self._attempts:
            return None
        self._connector.forget()
        return self._error

    def _drop(self, attempt: _Attempt, error: OSError) -> None:
        self._error = error
        self._attempts.remove(attempt)
        self._poller.remove(attempt.sock.fileno())
        attempt.sock.close()

    def _take(self, winner: _Attempt, now: float) -> OpenConnection | Exception | None:
        """End the race, check the peer, and begin TLS."""
        connector, sock, candidate = self._connector, winner.sock, winner.candidate
        self._peer = candidate.address if candidate.proxy else str(sock.getpeername()[0])
        connector.policy.check_address(self._peer, target=connector.target)
        self._attempts.remove(winner)
        self._poller.remove(sock.fileno())
        self.close()
        self._waiting = deque()
        self._connected = now
        connector.remember(candidate)
        if not connector.uses_tls:
            return self._finish(sock, tls_seconds=None)
        try:
            self._tls = make_tls_context(connector.limits).wrap_socket(
                sock, server_hostname=connector.target.host, do_handshake_on_connect=False
            )
        except (OSError, ValueError) as error:
            sock.close()
            return error
        self._poller.add(self._tls.fileno(), select.EPOLLOUT, self)
        return self._handshake()

    def _handshake(self) -> OpenConnection | Exception | None:
        tls = self._tls
        assert tls is not None  # noqa: S101  (for mypy: only called once TLS has begun)
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self._poller.watch(tls.fileno(), select.EPOLLIN)
            return None
        except ssl.SSLWantWriteError:
            self._poller.watch(tls.fileno(), select.EPOLLOUT)
            return None
        except (OSError, ValueError) as error:
            self.close()
            refusal = find_refusal(error, self._connector.limits.tls)
            return error if refusal is None else ConnectError(ErrorClass.TLS_ERROR, refusal)
        self._poller.remove(tls.fileno())
        self._tls = None
        return self._finish(tls, tls_seconds=time.monotonic() - self._connected)

    def _finish(self, sock: socket.socket, *, tls_seconds: float | None) -> OpenConnection:
        phases = Phases(
            dns=to_milliseconds(self._resolved - self.started),
            connect=to_milliseconds(self._connected - self._resolved),
            tls=None if tls_seconds is None else to_milliseconds(tls_seconds),
        )
        return OpenConnection(sock, self._peer, phases)


def to_connect_error(error: Exception) -> ConnectError:
    """Return the error of a dial with its class."""
    if isinstance(error, ConnectError):
        return error
    for kind, error_class in _CLASS_BY_TYPE:
        if isinstance(error, kind):
            return ConnectError(error_class, f"{error}{_advise(error)}")
    if isinstance(error, OSError):
        return ConnectError(_CLASS_BY_ERRNO.get(error.errno or 0, ErrorClass.CONNECTION_FAILED), str(error))
    return ConnectError(ErrorClass.SETUP_FAILED, str(error))


def _advise(error: Exception) -> str:
    """Return what to do about a certificate that is not trusted or not valid any more."""
    code = getattr(error, "verify_code", None)
    if code in _UNKNOWN_AUTHORITY:
        return "; if the authority is a private one, set ca_certificates, or ca_file (section service_hooks)"
    return "; it is the receiver's certificate, or one of ca_certificates or ca_file" if code == _EXPIRED else ""


def open_connection(connector: Connector) -> OpenConnection:
    """
    Open one connection, and block until that is done.

    :raises BlockedAddressError: if any address may not be sent to
    :raises ResolverError: if there is no address
    :raises OSError: if none can be connected to, TLS fails, or time is up
    """
    poller = Poller()
    poller.add(connector.fileno(), select.EPOLLIN, connector)
    dial = Dial(connector, poller, time.monotonic())
    try:
        done = dial.check_time(time.monotonic())
        while done is None:
            for descriptor, _ in poller.epoll.poll(dial.find_delay(time.monotonic())):
                if poller.owners.get(descriptor) is connector:
                    connector.read_wake_ups()
                else:
                    done = done or dial.advance(descriptor, time.monotonic())
            done = done or dial.check_time(time.monotonic())
    finally:
        dial.close()
        poller.close()
    if isinstance(done, Exception):
        raise done
    return done


def connect_checked(target: Target, *, policy: NetworkPolicy, timeout: float) -> tuple[socket.socket, str]:
    """
    Connect to a target, directly or through the proxy, and block until that is done; TLS is left to the caller.

    :param timeout: seconds for all of it
    :returns: the connection, whose timeout is what is left, and the address that it leads to
    :raises BlockedAddressError: if any address may not be sent to
    :raises ResolverError: if there is no address
    :raises OSError: if none can be connected to
    """
    end = time.monotonic() + timeout
    connector = Connector(target, policy=policy, limits=Limits(timeout=timeout, connect_timeout=timeout), tls=False)
    try:
        opened = open_connection(connector)
    finally:
        connector.close()
    opened.sock.settimeout(max(0.001, end - time.monotonic()))
    return opened.sock, opened.peer


def resolve(host: str, port: int) -> list[str]:
    """
    Return every address of a host, each once, in the order that the system prefers (RFC 6724).

    It blocks for as long as the system's resolver takes, which knows no deadline.

    :raises ResolverError: if there is none
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ResolverError(f"{host} could not be resolved: {error}") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def to_milliseconds(seconds: float) -> float:
    """Return seconds in milliseconds, to the microsecond."""
    return round(seconds * 1000, 3)
