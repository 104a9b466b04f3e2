"""What a file of the `octra fhe` commands is, by its content."""

from __future__ import annotations

from octra import keystore
from octra.errors import OctraError
from octra.hfhe import wire
from octra.hfhe.encrypted import decode_words

_ANY = wire.Gate(allow_insecure=True)  # looking is harmless


def describe(data: bytes) -> dict[str, object] | None:
    """Facts about a key or ciphertext file, or None for anything else."""
    for reader in (_key_file, _words, _public_key, _evaluation_key):
        try:
            return reader(data)
        except OctraError:
            continue  # another kind of file
    return None


def _key_file(data: bytes) -> dict[str, object]:
    header = keystore.read_header(data)
    return {"kind": f"key file ({header.kind})", "name": header.name, "key_id": header.public_key.hex(),
            "created": header.created_at}  # fmt: skip


def _words(data: bytes) -> dict[str, object]:
    words = decode_words(data, _ANY)
    listed = " ".join(f"{name}:{kind}" for name, kind in zip(words.names[:16], words.types[:16], strict=True))
    return {
        "kind": "ciphertext",
        "set": words.params.name,
        "key_id": words.key_id.hex(),
        "words": len(words.types),
        "types": listed + (" ..." if len(words.types) > 16 else ""),
        "bits": sum(part.count for part in words.packed),
        "ciphertexts": len(words.packed),
    }


def _public_key(data: bytes) -> dict[str, object]:
    public = wire.decode_public_key(data, _ANY)
    return {"kind": "public key", "set": public.params.name, "key_id": public.key_id.hex()}


def _evaluation_key(data: bytes) -> dict[str, object]:
    key = wire.decode_evaluation_key(data, _ANY)
    return {"kind": "evaluation key", "set": key.params.name, "key_id": key.key_id.hex()}
