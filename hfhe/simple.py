"""Encrypted numbers in five lines: keys, encrypt, run a Python function on ciphertexts, decrypt.

    from octra.hfhe import simple

    keys = simple.keygen()
    a, b = keys.encrypt(40, bits=16), keys.encrypt(2, bits=16)
    total, smaller = keys.run(lambda x, y: (x + y, x < y), a, b)
    print(keys.decrypt(total), keys.decrypt(smaller))  # 42 0

The function is traced into a circuit once, then evaluated without the secret key. Whoever evaluates for others keeps
to `octra.hfhe.encrypted` and needs only the evaluation key.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from octra.hfhe import params
from octra.hfhe.backend import Backend, PreparedKey, choose, why_slow
from octra.hfhe.builder import Builder
from octra.hfhe.encrypted import EncryptedWord, WordsMismatch, decrypt_words, encrypt_words, run_circuit
from octra.hfhe.execute import LocalExecutor, Progress
from octra.hfhe.hypergraph import Graph
from octra.hfhe.keys import EvaluationKey, SecretKey
from octra.hfhe.words import NotACircuit, Word, word_type


class Keys:
    """A secret key with all that computes under it. Prints as `<secret>`."""

    def __init__(self, secret: SecretKey, evaluation: EvaluationKey) -> None:
        self._secret, self.evaluation = secret, evaluation
        self._backend: Backend = choose()
        if reason := why_slow(self._backend):
            warnings.warn(f"NumPy computes, several times slower than the compiled kernel: {reason}", stacklevel=3)
        self._prepared: PreparedKey = self._backend.prepare(evaluation)
        self._executor = LocalExecutor(self._backend, self._prepared)

    def encrypt(self, value: int, bits: int = 32, *, signed: bool = False) -> EncryptedWord:
        """A number of 1 to 64 bits, encrypted; negative ones need `signed`."""
        return encrypt_words(self.evaluation.public, [(f"{'i' if signed else 'u'}{bits}", value)], os.urandom(32)).word(
            0
        )

    def run(
        self, function: Callable[..., Any] | Graph, *operands: EncryptedWord,
        on_progress: Callable[[Progress], None] | None = None, cancelled: Callable[[], bool] | None = None,
    ) -> Any:  # fmt: skip  # one word or many
        """What a Python function, or a circuit, gives on the encrypted operands: one encrypted word or a tuple.

        `on_progress` is told after every block of bootstraps; `cancelled` is asked, and may end it by `Cancelled`.
        """
        graph = function if isinstance(function, Graph) else _traced(function, operands)
        if len(operands) != len(graph.inputs):
            raise WordsMismatch(f"circuit {graph.name} takes {len(graph.inputs)} words, got {len(operands)}")
        named = {word.name: operand for word, operand in zip(graph.inputs, operands, strict=True)}
        done = run_circuit(
            self._executor, self._backend, self._prepared, graph, named, on_progress=on_progress, cancelled=cancelled
        ).words
        found = tuple(done.word(number) for number in range(len(graph.outputs)))
        return found if len(found) > 1 else found[0]

    def decrypt(self, word: EncryptedWord) -> int:
        """The number behind an encrypted word; a comparison gives 0 or 1."""
        numbers, _ = decrypt_words(self._secret, word.words, self.evaluation.key_id)
        return numbers[word.index]

    def __repr__(self) -> str:
        return "<secret>"


def _traced(function: Callable[..., Any], operands: Sequence[EncryptedWord]) -> Graph:
    """The circuit of a function whose arguments have the types of the operands."""
    builder = Builder("function")
    words = [
        word_type(operand.type)(builder, builder.input(f"x{number}", operand.type))
        for number, operand in enumerate(operands)
    ]
    result = function(*words)
    for number, word in enumerate(result if isinstance(result, tuple) else (result,)):
        if not isinstance(word, Word):
            raise NotACircuit(f"the function returns {type(word).__name__}, not a word")
        builder.output(f"r{number}", word.type_name, word.literals)
    return builder.build()


def keygen(parameters: str = "S") -> Keys:
    """Fresh keys of a secure set; S is for keys that one user owns."""
    chosen = params.get(parameters)
    seed = os.urandom(32)
    secret = SecretKey.generate(chosen, seed)
    return Keys(secret, EvaluationKey.generate(secret, seed))
