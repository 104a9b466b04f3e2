"""A certificate that says nothing: TLS wants one, and who a peer is follows from the handshake above (`handshake.py`).

It is self-signed with a key that lives as long as the process. Its hash binds the handshake to the TLS channel: only
who holds this key can be the acceptor of a connection on which the certificate was seen.
"""

from __future__ import annotations

import base64
import os
import ssl

from octra.crypto.ed25519 import SigningKey

ALPN = "octra/1"

_INTEGER, _BITS, _OCTETS, _TEXT, _UTC, _TIME, _SEQUENCE, _SET, _EXPLICIT = 2, 3, 4, 12, 23, 24, 48, 49, 160
_OBJECT_ED25519 = bytes.fromhex("06032b6570")  # 1.3.101.112, RFC 8410
_OBJECT_COMMON_NAME = bytes.fromhex("0603550403")


def self_signed(key: SigningKey) -> bytes:
    """The DER bytes of an X.509 v3 certificate for `key` without any claim in it (RFC 5280, RFC 8410)."""
    algorithm = _der(_SEQUENCE, _OBJECT_ED25519)
    name = _der(_SEQUENCE, _der(_SET, _der(_SEQUENCE, _OBJECT_COMMON_NAME, _der(_TEXT, b"octra"))))
    for_ever = _der(_SEQUENCE, _der(_UTC, b"200101000000Z"), _der(_TIME, b"99991231235959Z"))
    public = _der(_SEQUENCE, algorithm, _der(_BITS, b"\0", key.public))
    version_3, serial = _der(_EXPLICIT, _der(_INTEGER, b"\2")), _der(_INTEGER, b"\1")
    body = _der(_SEQUENCE, version_3, serial, algorithm, name, for_ever, name, public)
    return _der(_SEQUENCE, body, algorithm, _der(_BITS, b"\0", key.sign(body)))


def server_context(key: SigningKey, certificate: bytes) -> ssl.SSLContext:
    """TLS 1.3 for the side that is dialled."""
    context = _restricted(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    context.num_tickets = 0  # each connection shows the certificate: nothing is resumed
    secret = _der(
        _SEQUENCE, _der(_INTEGER, b"\0"), _der(_SEQUENCE, _OBJECT_ED25519), _der(_OCTETS, _der(_OCTETS, key.seed()))
    )
    # OpenSSL reads keys from files only; this one has no name and never meets a disk.
    file = os.memfd_create("octra-tls")
    try:
        os.write(file, _pem("CERTIFICATE", certificate) + _pem("PRIVATE KEY", secret))
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
    return context


def client_context() -> ssl.SSLContext:
    """TLS 1.3 for the side that dials. It takes any certificate: the handshake above decides."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _restricted(context)


def _restricted(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([ALPN])
    return context


def _der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    length = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + body


def _pem(label: str, der: bytes) -> bytes:
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), base64.encodebytes(der), label.encode())
