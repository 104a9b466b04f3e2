"""The peer of `benchmarks/hfhe.py`: OpenFHE's wheel in an interpreter of its own, asked line by line.

Runs under CPython 3.10, for which the wheel's extension is built, and needs nothing but `openfhe`.

    python openfhe_peer.py CORE

Prints one JSON object a line: first the methods with their dimensions, then for each line `METHOD COUNT` on standard
input the seconds of so many gates.
"""

import importlib.metadata
import json
import os
import sys
import time

import openfhe


def main():
    """Keys for every method, then gates on request."""
    os.sched_setaffinity(0, {int(sys.argv[1])})
    methods = {
        "GINX": make(openfhe.STD128, openfhe.GINX),
        "LMKCDEY": make(openfhe.STD128_LMKCDEY, openfhe.LMKCDEY),
    }
    facts = {name: {"n": context.Getn(), "q": context.Getq()} for name, (context, _) in methods.items()}
    answer({"openfhe": importlib.metadata.version("openfhe"), "python": sys.version.split()[0], "methods": facts})
    for line in sys.stdin:
        name, count = line.split()
        answer([gate(*methods[name]) for _ in range(int(count))])


def make(parameters, method):
    """A context with its keys."""
    context = openfhe.BinFHEContext()
    context.GenerateBinFHEContext(parameters, method)
    secret = context.KeyGen()
    context.BTKeyGen(secret)
    return context, secret


def gate(context, secret):
    """Processor seconds of one AND gate, whose result must be right. Two ciphertexts: it refuses one object given twice."""
    left, right = context.Encrypt(secret, 1), context.Encrypt(secret, 1)
    started = time.process_time()
    result = context.EvalBinGate(openfhe.AND, left, right)
    seconds = time.process_time() - started
    if context.Decrypt(secret, result) != 1:
        raise SystemExit("the peer's gate is wrong")
    return seconds


def answer(value):
    """One line."""
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
