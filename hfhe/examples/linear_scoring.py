"""Private scoring with a linear model: the service sees no applicant's numbers, the applicants no weights.

    python -m octra.hfhe.examples.linear_scoring

The owner of the data encrypts a table column by column, one row a slot, so that thousands of rows cost as much as one.
The service multiplies each column by its weight and adds up; it holds the public key only. Scores are exact as long as
they stay within +-393216. What this does not hide: whoever may ask for enough scores learns a linear model, and the
noise of a result tells its reader something about the weights.
"""

from __future__ import annotations

from collections.abc import Sequence

from octra.hfhe.bfv import BfvKey, BfvPublicKey, BfvVector

WEIGHTS = (12, -7, 3, 25)  # income, debts, age, years as a customer
OFFSET = -500
ROWS = ((52, 10, 31, 4), (18, 25, 55, 0), (91, 2, 44, 12), (33, 33, 27, 1))


def encrypt_table(public: BfvPublicKey, rows: Sequence[Sequence[int]]) -> list[bytes]:
    """One encrypted vector for each column."""
    return [BfvVector.encrypt(public, column).encode() for column in zip(*rows, strict=True)]


def score(public_key: bytes, columns: Sequence[bytes], weights: Sequence[int], offset: int) -> bytes:
    """What the service does: the encrypted scores of all rows."""
    public = BfvPublicKey.decode(public_key)
    # The sender owns the key: if he lies about his vectors' noise, he only spoils his own scores.
    vectors = [BfvVector.decode(public, column, believe_depth=True) for column in columns]
    total, *others = [vector * weight for vector, weight in zip(vectors, weights, strict=True)]
    for other in others:
        total = total + other
    return (total + offset).encode()


def main() -> None:
    """Both sides in one process."""
    key = BfvKey.generate(4096)
    public = key.public()
    answer = score(public.encode(), encrypt_table(public, ROWS), WEIGHTS, OFFSET)
    scores = BfvVector.decode(public, answer, believe_depth=True).decrypt(key)
    for row, points in zip(ROWS, scores, strict=True):
        print(f"{row}: {points} points")


if __name__ == "__main__":
    main()
