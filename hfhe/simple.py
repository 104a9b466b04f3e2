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
from collections.abc import Callable
from typing import Any

from octra.hfhe import params
from octra.hfhe.backend import Backend, PreparedKey, choose
from octra.hfhe.builder import Builder
from octra.hfhe.encrypted import EncryptedWord, decrypt_words, encrypt_words, run_circuit
from octra.hfhe.execute import LocalExecutor
from octra.hfhe.keys import EvaluationKey, SecretKey
from octra.hfhe.words import NotACircuit, Word, word_type


class Keys:
    """A secret key with all that computes under it. Prints as `<secret>`."""

    def __init__(self, secret: SecretKey, evaluation: EvaluationKey) -> None:
        self._secret, self.evaluation = secret, evaluation
        self._backend: Backend = choose()
        self._prepared: PreparedKey = self._backend.prepare(evaluation)
        self._executor = LocalExecutor(self._backend, self._prepared)

    def encrypt(self, value: int, bits: int = 32) -> EncryptedWord:
        """An unsigned number of 8, 16, 32 or 64 bits, encrypted."""
        return encrypt_words(self.evaluation.public, [(f"u{bits}", value)], os.urandom(32)).word(0)

    def run(self, function: Callable[..., Any], *operands: EncryptedWord) -> Any:  # one word or many
        """What `function` gives on the encrypted operands: one encrypted word, or a tuple of them."""
        builder = Builder("function")
        words = [
            word_type(operand.type)(builder, builder.input(f"x{number}", operand.type))
            for number, operand in enumerate(operands)
        ]
        result = function(*words)
        results = result if isinstance(result, tuple) else (result,)
        for number, word in enumerate(results):
            if not isinstance(word, Word):
                raise NotACircuit(f"the function returns {type(word).__name__}, not a word")
            builder.output(f"r{number}", word.type_name, word.literals)
        named = {f"x{number}": operand for number, operand in enumerate(operands)}
        done = run_circuit(self._executor, self._backend, self._prepared, builder.build(), named).words
        found = tuple(done.word(number) for number in range(len(results)))
        return found if isinstance(result, tuple) else found[0]

    def decrypt(self, word: EncryptedWord) -> int:
        """The number behind an encrypted word; a comparison gives 0 or 1."""
        numbers, _ = decrypt_words(self._secret, word.words, self.evaluation.key_id)
        return numbers[word.index]

    def __repr__(self) -> str:
        return "<secret>"


def keygen(parameters: str = "S") -> Keys:
    """Fresh keys of a secure set; S is for keys that one user owns."""
    chosen = params.get(parameters)
    seed = os.urandom(32)
    secret = SecretKey.generate(chosen, seed)
    return Keys(secret, EvaluationKey.generate(secret, seed))
