#!/usr/bin/env python3
"""Checks an Octra proof file against a genesis: python verify_proof.py genesis.json proof.json

Needs Python and pyblst, no node and nothing of Octra's own code: docs/spec/proofs.md, written down a second time. Exit
code 0: the file proves what is printed. 1: it does not, for the reason printed.
"""

import base64
import binascii
import json
import sys
from hashlib import blake2b, sha512
from itertools import pairwise
from pathlib import Path


class Refused(Exception):
    """The file does not prove what it claims."""


def need(condition, reason):
    if not condition:
        raise Refused(reason)


# --- MessagePack, canonical: what is read must encode to the same bytes again ---


def pack(value):
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        need(0 <= value < 2**64, "an integer is out of range")
        if value < 128:
            return bytes([value])
        size = next(size for size in (1, 2, 4, 8) if value < 256**size)
        return bytes([0xCB + size.bit_length()]) + value.to_bytes(size, "big")
    if isinstance(value, list):
        head = _head(len(value), 0x90, 16, {2: 0xDC, 4: 0xDD})
        return head + b"".join(map(pack, value))
    if isinstance(value, str):
        return _head(len(value.encode()), 0xA0, 32, {1: 0xD9, 2: 0xDA, 4: 0xDB}) + value.encode()
    return _head(len(value), 0, 0, {1: 0xC4, 2: 0xC5, 4: 0xC6}) + value


def _head(length, short, short_below, sizes):
    if length < short_below:
        return bytes([short | length])
    size = next(size for size in sizes if length < 256**size)
    return bytes([sizes[size]]) + length.to_bytes(size, "big")


def unpack(data, what):
    try:
        value, end = _read(data, 0, 0)
    except (IndexError, UnicodeDecodeError) as error:
        raise Refused(f"{what} is not MessagePack") from error
    need(end == len(data) and pack(value) == data, f"{what} is not in its canonical form")
    return value


def _read(data, at, depth):
    head, at = data[at], at + 1
    need(depth < 16, "too deeply nested")
    if head < 0x80:
        return head, at
    if head in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[head], at
    if 0xCC <= head <= 0xCF:
        end = at + (1 << head - 0xCC)
        return int.from_bytes(_take(data, at, end), "big"), end
    if 0x90 <= head < 0xC0:  # short arrays, then short texts
        kind, length = ("array", head & 15) if head < 0xA0 else ("text", head & 31)
    else:
        kinds = {0xC4: ("bytes", 1), 0xC5: ("bytes", 2), 0xC6: ("bytes", 4), 0xD9: ("text", 1), 0xDA: ("text", 2)}
        kinds |= {0xDB: ("text", 4), 0xDC: ("array", 2), 0xDD: ("array", 4)}
        need(head in kinds, "a type that no proof has")
        kind, size = kinds[head]
        length, at = int.from_bytes(_take(data, at, at + size), "big"), at + size
    if kind == "array":
        items = []
        for _ in range(length):
            item, at = _read(data, at, depth + 1)
            items.append(item)
        return items, at
    raw = _take(data, at, at + length)
    return (raw if kind == "bytes" else raw.decode()), at + length


def _take(data, start, end):
    if end > len(data):
        raise IndexError
    return data[start:end]


def struct(value, shape, what):
    """The fields of an array. One letter each: u integer, h 32 bytes, b bytes, s text, a array, o array or nil."""
    tests = {"u": lambda v: type(v) is int, "h": lambda v: type(v) is bytes and len(v) == 32}
    tests |= {"b": lambda v: type(v) is bytes, "s": lambda v: type(v) is str, "a": lambda v: type(v) is list}
    tests["o"] = lambda v: v is None or type(v) is list
    need(type(value) is list and len(value) == len(shape), f"{what} has not its {len(shape)} fields")
    need(
        all(tests[letter](field) for letter, field in zip(shape, value, strict=True)),
        f"{what} has a field of the wrong type",
    )
    return value


# --- hashes and trees ---


def H(tag, data):  # noqa: N802 - its name in the specification
    return blake2b(data, digest_size=32, person=tag.encode()).digest()


def merkle_root(leaves):
    level = [H("octra.leaf", leaf) for leaf in leaves] or [bytes(32)]
    while len(level) > 1:
        pairs = [H("octra.node", a + b) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[2 * len(pairs) :]
    return level[0]


def merkle_fold(leaf, index, count, path):
    """The root that a path leads to; every hash of it is used exactly once."""
    need(0 <= index < count, "the index lies outside the tree")
    node, rest = H("octra.leaf", leaf), list(path)
    while count > 1:
        if index ^ 1 < count:
            need(rest and len(rest[0]) == 32, "a path is too short")
            other = rest.pop(0)
            node = H("octra.node", other + node if index % 2 else node + other)
        index, count = index // 2, (count + 1) // 2
    need(not rest, "a path is too long")
    return node


def check_tree(root, key, value, encoded):
    """The sparse Merkle tree: `value` at `key`, or absence where it is None."""
    kind, bits, siblings, other = struct(encoded, "ubbb", "the tree path")
    path = H("octra.st.key", key)
    reason = "the path does not lead to the state root"
    need(len(siblings) == 32 * len(bits) and all(a < b for a, b in pairwise(bits)), reason)
    if kind == 2:  # empty tree
        need(value is None and root == bytes(32) and not (bits or siblings or other), reason)
        return
    if kind == 0:  # present
        need(value is not None and not other, reason)
        node = H("octra.st.leaf", path + H("octra.st.value", value))
    else:  # another leaf stands where the key would be
        need(kind == 1 and value is None and len(other) == 64 and other[:32] != path, reason)
        need(all(_bit(path, bit) == _bit(other, bit) for bit in bits), reason)
        node = H("octra.st.leaf", other)
    for level in reversed(range(len(bits))):
        sibling, bit = siblings[32 * level : 32 * level + 32], bits[level]
        pair = sibling + node if _bit(path, bit) else node + sibling
        node = H("octra.st.node", bit.to_bytes(2, "big") + pair)
    need(node == root, reason)


def _bit(path, bit):
    return path[bit // 8] >> (7 - bit % 8) & 1


# --- Ed25519 by ZIP-215: 8 s B = 8 R + 8 h A ---

P, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, ROOT = -121665 * pow(121666, -1, P) % P, pow(2, (P - 1) // 4, P)


def _point(raw):
    sign, y = raw[31] >> 7, (int.from_bytes(raw, "little") & 2**255 - 1) % P  # y >= p is allowed
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if (v * x * x - u) % P:
        x = x * ROOT % P
    if (v * x * x - u) % P:
        return None
    x = P - x if x & 1 != sign else x
    return x % P, y, 1, x * y % P


def _add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * D * p[3] * q[3] % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(scalar, point):
    total = (0, 1, 1, 0)
    for bit in bin(scalar)[2:]:
        total = _add(total, total)
        if bit == "1":
            total = _add(total, point)
    return total


def ed25519(key, signature, message):
    if len(key) != 32 or len(signature) != 64:
        return False
    a, r, s = _point(key), _point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER:
        return False
    h = int.from_bytes(sha512(signature[:32] + key + message).digest(), "little") % ORDER
    left, right = _times(8 * s, _point(b"\x58" + b"\x66" * 31)), _times(8, _add(r, _times(h, a)))
    return all((left[i] * right[2] - right[i] * left[2]) % P == 0 for i in (0, 1))


# --- BLS12-381: keys in G2, signatures in G1 ---

SUITE = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
G2 = bytes.fromhex(
    "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
    "024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
)


def bls(keys, signature, message):
    """Did all of `keys` sign? The identity is refused as a key, as their sum and as a signature."""
    from pyblst import BlstP1Element, BlstP2Element, final_verify, miller_loop

    if not keys or len(signature) != 48 or any(len(key) != 96 for key in keys):
        return False
    try:
        points = [BlstP2Element().uncompress(key) for key in keys]
        point = BlstP1Element().uncompress(signature)
    except (ValueError, OverflowError):
        return False
    total = points[0]
    for other in points[1:]:
        total = total + other
    if point == BlstP1Element() or any(one == BlstP2Element() for one in (*points, total)):
        return False
    hashed = BlstP1Element().hash_to_group(message, SUITE)
    return final_verify(miller_loop(point, BlstP2Element().uncompress(G2)), miller_loop(hashed, total))


# --- trust: the genesis, then links ---


class Trust:
    """Chain name, committee (anchor and seats), registered validators, and how far trust has come."""

    def __init__(self, document):
        data = decoded(document, "bytes")
        genesis = unpack(data, "the genesis")
        need(type(genesis) is list and len(genesis) >= 10, "the genesis is too short")
        chain, validators = H("octra.genesis", data), genesis[3]
        need(document.get("chain") == chain.hex(), "the genesis file names another chain")
        self.chain_id = f"octra:{genesis[1]}-{chain[:4].hex()}"
        self.seats = [validator[0] for validator in validators]
        self.registered = sorted([validator[0], validator[1]] for validator in validators)
        group_key, share_keys = genesis[5][1:]
        record = [1, self.chain_id, 0, chain, 0, bytes(32), bytes(32), genesis[2], H("octra.beacon", chain), b""]
        record += [self.seats, group_key, merkle_root(share_keys), self.seats]
        record += [merkle_root(map(pack, self.registered)), bytes(32), bytes(32)]
        self.anchor, self.epoch, self.height = H("octra.epoch", pack(record)), 0, 0

    def follow(self, link):
        """A checkpoint, signed by the registered set trusted so far, hands over to the set and seats it names."""
        checkpoint, registered, record = struct(link, "aao", "a link")
        _, chain_id, epoch, height, _, _, epoch_record, root, count = self.check_checkpoint(checkpoint)
        need(chain_id == self.chain_id, "checkpoint of another chain")
        need(epoch >= self.epoch and height > self.height, "checkpoint is not newer than what is trusted")
        for validator in registered:
            struct(validator, "hb", "a validator")
        nodes = [node for node, _ in registered]
        need(nodes == sorted(set(nodes)), "registered set is not in order")
        need(count == len(registered), "registered set is not the one the checkpoint names")
        need(root == merkle_root(map(pack, registered)), "registered set is not the one the checkpoint names")
        if record is None:
            need(epoch_record == self.anchor, "the checkpoint names another committee, and its epoch record is missing")
        else:
            struct(record, "usuhuhhuhbabhahhh", "the epoch record")
            need(H("octra.epoch", pack(record)) == epoch_record, "epoch record is not the one the checkpoint names")
            self.anchor, self.seats = epoch_record, record[10]
        self.registered, self.epoch, self.height = registered, epoch, height

    def check_checkpoint(self, checkpoint):
        """Its body, if more than two thirds of the registered validators signed; exactly two thirds is not enough."""
        body, bits, aggregate = struct(checkpoint, "abb", "the checkpoint")
        need(struct(body, "usuuhhhhu", "the checkpoint")[0] == 1, "checkpoint of an unknown version")
        count, number = len(self.registered), int.from_bytes(bits, "little")
        need(len(bits) == (count + 7) // 8 and not number >> count, "bitmap does not fit the registered set")
        signers = [key for i, (_, key) in enumerate(self.registered) if number >> i & 1]
        need(3 * len(signers) > 2 * count, f"{len(signers)} of {count} registered validators signed the checkpoint")
        message = b"octra.checkpoint" + pack(body)
        need(bls(signers, aggregate, message), "aggregate signature of the checkpoint")
        return body

    def check_certificate(self, certificate):
        """(height, block id, state root) that n - f seats of the committee signed in their vertex headers."""
        anchor, headers = struct(certificate, "ha", "the certificate")
        need(anchor == self.anchor, "certificate of another committee")
        quorum = len(self.seats) - (len(self.seats) - 1) // 3
        need(len(headers) == quorum, f"{len(headers)} seats signed, expected {quorum}")
        claims, last = set(), -1
        for signed in headers:
            raw, signature = struct(signed, "bb", "a signed header")
            header = struct(unpack(raw, "a vertex header"), "uhuuhuhhu", "a vertex header")
            seat = header[2]
            need(header[1] == self.anchor and last < seat < len(self.seats), "seats are not distinct and ascending")
            need(ed25519(self.seats[seat], signature, b"octra.vertex".ljust(16, b"\0") + raw), f"signature of {seat}")
            last = seat
            claims.add(tuple(header[5:8]))
        need(len(claims) == 1, "the seats name different blocks")
        return claims.pop()


# --- facts ---


def decoded(document, name):
    try:
        return base64.b64decode(document[name], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise Refused(f"{name} is missing or not base64") from error


def part(document, name):
    return unpack(decoded(document, name), name)


def check_block(trust, document):
    """The header that the file proves, as a list of fields."""
    follow_all(trust, document)
    header = struct(part(document, "header"), "usuuhuhhhhhhu", "the header")
    need(header[1] == trust.chain_id, "block of another chain")
    claim = (header[2], H("octra.block", pack(header)), header[9])
    by_checkpoint = document.get("checkpoint") is not None
    need(by_checkpoint != (document.get("certificate") is not None), "one of certificate and checkpoint proves a block")
    if by_checkpoint:
        body = trust.check_checkpoint(part(document, "checkpoint"))
        need(body[1] == trust.chain_id, "checkpoint of another chain")
        need(tuple(body[3:6]) == claim, "the checkpoint names another block")
    else:
        named = trust.check_certificate(part(document, "certificate"))
        need(named == claim, "the certificate names another block")
    return header


def follow_all(trust, document):
    links = document.get("links", [])
    need(type(links) is list, "links is no list")
    for number in range(len(links)):
        trust.follow(part(dict(enumerate(links)), number))


def check_state(trust, document):
    header, key = check_block(trust, document), decoded(document, "key")
    if document["kind"] == "account":
        need(
            key == b"\x01" + key[1:33] and document.get("address") == print_address(key[1:]), "it is of another account"
        )
    value = None if document.get("value") is None else decoded(document, "value")
    check_tree(header[9], key, value, part(document, "proof"))
    where = f"at height {header[2]} of {trust.chain_id}"
    if key[:1] == b"\x01" and len(key) == 33:
        if value is not None:
            balance, nonce, _ = struct(unpack(value, "the account"), "uuu", "the account")
        held = "does not exist" if value is None else f"holds {balance} units, nonce {nonce}"
        return f"account {print_address(key[1:])} {held}, {where}"
    return f"key {key.hex()} {'is absent' if value is None else 'has the value ' + value.hex()}, {where}"


def check_transaction(trust, document):
    header, receipt = check_block(trust, document), part(document, "receipt")
    tx, height, index, status, code, detail, fee = struct(receipt, "huususuuabh", "the receipt")[:7]
    need(not detail, "the receipt carries a text that nobody signs")
    need(document.get("id") == tx.hex(), "the receipt is of another transaction")
    count, receipt_count = document.get("count"), document.get("receipt_count")
    need(type(count) is int and type(receipt_count) is int, "a count is missing")
    if document.get("earlier") is None:
        roots = [header[2], header[8], header[7]]
        need(count == header[12], "the block holds another number of transactions")
    else:
        roots, path = struct(part(document, "earlier"), "aa", "the earlier block")
        struct(roots, "uhh", "the earlier roots")
        check_tree(header[9], b"\x10" + (roots[0] % 65536).to_bytes(2, "big"), pack(roots), path)
    need(height == roots[0], "the receipt is of another height")
    named = merkle_fold(tx, index, count, path_of(document, "path"))
    need(named == roots[2], "the path does not lead to the block's transactions")
    named = merkle_fold(pack(receipt), index, receipt_count, path_of(document, "receipt_path"))
    need(named == roots[1], "the path does not lead to the block's receipts")
    outcome = status if not code else f"{status} (code {code})"
    return f"transaction {tx.hex()}: {outcome}, fee {fee} units, number {index} of height {height} of {trust.chain_id}"


def check_chain(trust, document):
    follow_all(trust, document)
    counts = f"{len(trust.seats)} seats, {len(trust.registered)} registered validators"
    return f"checkpoint of epoch {trust.epoch} at height {trust.height} of {trust.chain_id}: {counts}"


def path_of(document, name):
    items = document.get(name)
    need(type(items) is list, f"{name} is no list")
    return [decoded(dict(enumerate(items)), number) for number in range(len(items))]


def print_address(raw):
    value, text = int.from_bytes(raw, "big"), ""
    while value:
        value, digit = divmod(value, 58)
        text = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[digit] + text
    return "oct" + text.rjust(44, "1")


def verify(genesis, document):
    """What the parsed proof file proves on the chain of the parsed genesis file; raises `Refused`."""
    need(type(document) is dict and document.get("schema") == "octra.proof-file/v1", "not a proof file")
    checks = {"transaction": check_transaction, "checkpoint": check_chain}
    return checks.get(document.get("kind"), check_state)(Trust(genesis), document)


def main(arguments):
    if len(arguments) != 2:
        print(__doc__)
        return 1
    try:
        genesis, document = (json.loads(Path(name).read_bytes()) for name in arguments)
        print("proven:", verify(genesis, document))
    except (Refused, OSError, ValueError, RecursionError) as error:
        print("refused:", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
