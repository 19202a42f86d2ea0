"""TLS without a socket: one way to build a context, to check a certificate, and to turn octets into octets.

Strategy: ``ssl.SSLObject`` over memory BIOs, so that both drivers move opaque octets and one ``recv`` of a large buffer
feeds many records. With a fingerprint the certificate is compared with it instead of with the authorities, before the
first octet of ours goes through.

Invariant: a layer that is ``complete`` was verified; every failure is a TlsFailed where the two do not agree, a
ConnectionLost where a server is in trouble or a stream was damaged, a ConfigurationError where a file of ours is the
cause.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import ssl

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import MD5, SHA1

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import ConfigurationError, ConnectionLost, Pop3Error, TlsFailed
from airflow_pop3_gateway.pop3.dialogues import Protection, TlsInfo

_SERVERS_OWN = "alert internal error"
_PLAIN = re.compile("wrong version number|packet length too long|record layer failure")
"""What OpenSSL calls octets that are no record of TLS, by its version."""
_OUR_CERTIFICATE = re.compile(r"alert .*(certificate|unknown ca|access denied)")


def fingerprint_of(site: RemoteSite) -> str:
    """The pin as 64 lower-case hexadecimal digits, ``""`` without one; colons and spaces are forgiven.

    :raises ConfigurationError: it is no SHA-256.
    """
    digits = re.sub(r"[:\s]", "", site.fingerprint).lower()
    if digits and not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise ConfigurationError("fingerprint is not a SHA-256 in hexadecimal.", field="fingerprint")
    return digits


def context_for(site: RemoteSite) -> ssl.SSLContext:
    """TLS 1.2 or newer, verified: by the pin if there is one, else by the site's CA file, else by the system's.

    :raises ConfigurationError: a file is missing, unreadable, or not what it should be.
    """
    pinned = bool(fingerprint_of(site))
    try:
        context = ssl.create_default_context(cafile=site.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"ca_file {site.ca_file!r} cannot be used: {error}.", field="ca_file"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if pinned:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if site.client_certificate:
        try:
            context.load_cert_chain(site.client_certificate, site.client_key or None, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            name = site.client_certificate
            raise ConfigurationError(
                f"client_certificate {name!r}: {error}.", field="client_certificate"
            ) from None
    return context


def _no_password() -> str:
    """Without this OpenSSL would ask the terminal."""
    return ""


class TlsLayer:
    """The TLS state of one connection; ciphertext in by :meth:`feed`, out by :meth:`outgoing`."""

    def __init__(self, context: ssl.SSLContext, hostname: str, fingerprint: str = "") -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._hostname = hostname
        self._fingerprint = fingerprint
        try:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=hostname)
        except ValueError as error:
            raise ConfigurationError(
                f"server_hostname {hostname!r}: {error}.", field="server_hostname"
            ) from None
        self.agreed: Protection | None = None

    @property
    def complete(self) -> bool:
        """The handshake is done and the server is the one asked for."""
        return self.agreed is not None

    def feed(self, data: memoryview) -> None:
        """Ciphertext from the server."""
        self._incoming.write(data)

    def feed_eof(self) -> None:
        """The server will send nothing more."""
        self._incoming.write_eof()

    def outgoing(self) -> bytes:
        """Ciphertext for the server."""
        return self._outgoing.read()

    def write(self, data: bytes | bytearray) -> None:
        """Encrypt."""
        self._tls.write(data)

    def handshake(self) -> None:
        """Go on as far as the octets at hand allow.

        :raises TlsFailed: no agreement, or not the certificate asked for.
        :raises ConnectionLost: the server has trouble of its own.
        """
        try:
            self._tls.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return  # an end has two names, by Python's version; the link knows whether more will come
        except ssl.SSLCertVerificationError as error:
            raise TlsFailed(
                f"the certificate of {self._hostname} is not trusted: {error.verify_message.rstrip('.')}. Set ca_file, "
                "fingerprint or server_hostname if it is the right server."
            ) from None
        except ssl.SSLError as error:
            kind: type[Pop3Error] = ConnectionLost if _SERVERS_OWN in _reason(error) else TlsFailed
            other = (
                " What came is no TLS: set security=starttls, or another port."
                if _PLAIN.search(_reason(error))
                else ""
            )
            raise kind(f"no TLS with {self._hostname}: {_reason(error)}.{other}") from None
        if self._fingerprint:
            found = hashlib.sha256(self._certificate()).hexdigest()
            if not hmac.compare_digest(found, self._fingerprint):
                raise TlsFailed(
                    f"the certificate of {self._hostname} has the fingerprint {found}, not the one pinned.",
                    sha256=found,
                )
        self.agreed = self._protection()  # now: OpenSSL forgets it at a fatal alert

    def read_into(self, space: memoryview) -> tuple[int, bool]:
        """Decrypt what is at hand, up to the space: octets, and whether the server closed the stream.

        :raises TlsFailed: the server wants another certificate of ours; with TLS 1.3 it says so after the handshake.
        :raises ConnectionLost: the server ended TLS with another alert, or a record was damaged.
        """
        got, room, read = 0, len(space), self._tls.read
        try:
            while got < room:
                count: int = read(room - got, space[got:])  # type: ignore[assignment, unused-ignore]
                if not count:
                    return got, True
                got += count
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return got, True
        except ssl.SSLError as error:
            kind: type[Pop3Error] = TlsFailed if _OUR_CERTIFICATE.search(_reason(error)) else ConnectionLost
            raise kind(f"TLS with {self._hostname} broke: {_reason(error)}.") from None
        return got, False

    def _protection(self) -> Protection:
        """What was agreed; SASL may bind to ``tls-exporter`` or ``tls-unique`` where Python has them for the version
        spoken, else to the certificate (``tls-server-end-point``, RFC 5929 §4)."""
        octets, version = self._certificate(), self._tls.version() or ""
        bindings: dict[str, bytes] = {}
        live = "tls-exporter" if version == "TLSv1.3" else "tls-unique"  # tls-unique is undefined from 1.3 on
        if live in ssl.CHANNEL_BINDING_TYPES:
            value = self._tls.get_channel_binding(live)
            if value:
                bindings[live] = value
        subject = issuer = not_after = ""
        try:
            certificate = x509.load_der_x509_certificate(octets)
            subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
            not_after = certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
            if (algorithm := certificate.signature_hash_algorithm) is not None:
                digest = "sha256" if isinstance(algorithm, MD5 | SHA1) else algorithm.name
                bindings["tls-server-end-point"] = hashlib.new(digest, octets).digest()
        except (ValueError, UnsupportedAlgorithm):
            pass  # OpenSSL took it; what it says of itself cannot be shown, or bound to
        cipher = self._tls.cipher()
        info = TlsInfo(
            version,
            cipher[0] if cipher else "",
            hashlib.sha256(octets).hexdigest(),
            subject,
            issuer,
            not_after,
        )
        return Protection(info, bindings)

    def _certificate(self) -> bytes:
        return self._tls.getpeercert(True) or b""


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
