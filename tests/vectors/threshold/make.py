"""Print the frozen vectors of key shares: `python tests/vectors/threshold/make.py > tests/vectors/threshold/shares.json`.

A changed line means that nodes of two versions would no longer understand each other.
"""

from __future__ import annotations

import json
from hashlib import sha256

import numpy as np

from octra.hfhe.params import TEST, Q, T
from octra.hfhe.threshold import dealing, field, inputs, partial, prss, shamir
from octra.hfhe.threshold.dealer import deal

SEED, CONTEXT, RHO = b"vector seed of the key shares 01", b"c" * 32, b"r" * 32
BITS = [1, 0, 1, 1, 0]


def vectors() -> dict[str, object]:
    """Every value that must never change, small ones in full and long ones by their SHA-256."""
    dealt = dealing.deal_bits(BITS, 4, CONTEXT, SEED)
    rows = {k: dealing.check_row(body, len(BITS), CONTEXT, RHO) for k, body in enumerate(dealt.bodies, 1)}
    key = deal(TEST, SEED, 4)
    parts = {s.seat: inputs.input_part(s, dealt.bodies[s.seat - 1], len(BITS), CONTEXT) for s in key.seats}
    entry, _ = inputs.combine(parts, 4, len(BITS), CONTEXT, TEST, key.key_id)
    ciphertexts = field.uniform("octra.test", SEED, 3 * (TEST.M + 1)).astype(np.uint32).reshape(3, TEST.M + 1)
    noise_keys = prss.deal_keys(4, SEED)
    return {
        "xof": field.xof("octra.test", SEED, 32).hex(),
        "uniform": field.uniform("octra.test", SEED, 6).tolist(),
        "packed": field.pack(np.array([0, 1, Q - 1, 2**26, 12345])).hex(),
        "shares": shamir.share(np.array([0, 1, Q - 1]), 2, range(1, 5), SEED).tolist(),
        "body": dealt.bodies[0].hex(),
        "leaves": [leaf.hex() for leaf in dealt.leaves],
        "root": dealt.root.hex(),
        "challenge points": dealing.challenge_points(len(BITS), CONTEXT, RHO).tolist(),
        "check row": rows[3].hex(),
        "mask seed": inputs.mask_seed(CONTEXT).hex(),
        "mask row of TEST": inputs.mask_rows(CONTEXT, 2, TEST)[1].tolist(),
        "mask rows of T": sha256(inputs.mask_rows(CONTEXT, 2, T).tobytes()).hexdigest(),
        "input part": parts[2].hex(),
        "input bodies": entry.bodies.tolist(),
        "noise keys": [k.hex() for k in noise_keys],
        "flood terms": {n: prss.flood_term(noise_keys[0], 2**40, 3, prss.flood_bound(n)).tolist() for n in (4, 7, 10)},
        "input terms": prss.input_term(noise_keys[0], CONTEXT, 4).tolist(),
        "flood tables": {
            n: [sha256(t.tobytes()).hexdigest() for t in prss._tables(prss.flood_bound(n))] for n in (4, 10)
        },
        "seat share": sha256(key.seats[1].to_bytes()).hexdigest(),
        "opening part": partial.part(key.seats[1], ciphertexts, 5).hex(),
        "commitment": partial.commitment(CONTEXT, 2, bytes(16), b"part").hex(),
        "nullifier": partial.nullifier(ciphertexts[0]).hex(),
        "start group": partial.start_group(CONTEXT, 1, T),
    }


if __name__ == "__main__":
    print(json.dumps(vectors(), indent=1))
