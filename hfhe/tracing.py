"""Python functions of words become circuits: the function runs once, on words that only remember what was done."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from octra.hfhe.builder import Builder
from octra.hfhe.hypergraph import Graph, evaluate
from octra.hfhe.words import NotACircuit, WidthMismatch, Word, from_bits, to_bits


class Circuit:
    """A Python function as a circuit. Call it with numbers to run it in the clear, with words to use it inside."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.name = function, function.__name__
        self.__doc__ = function.__doc__

    @cached_property
    def graph(self) -> Graph:
        """The circuit, traced once. A single result is the output `r`; a tuple gives `r0`, `r1`, and so on."""
        hints = typing.get_type_hints(self.function)
        result_hint = hints.pop("return", None)
        builder = Builder(self.name)
        words = []
        for name in inspect.signature(self.function).parameters:
            kind = hints.get(name)
            if not (isinstance(kind, type) and issubclass(kind, Word)):
                raise NotACircuit(f"argument {name} of {self.name} needs a word type such as U16")
            words.append(kind(builder, builder.input(name, kind.type_name)))
        result = self.function(*words)
        results = result if isinstance(result, tuple) else (result,)
        wanted = typing.get_args(result_hint) if isinstance(result, tuple) else (result_hint,)
        for i, word in enumerate(results):
            if not isinstance(word, Word):
                raise NotACircuit(f"{self.name} returns {type(word).__name__}, not a word")
            if i < len(wanted) and isinstance(wanted[i], type) and wanted[i] is not type(word):
                raise WidthMismatch(wanted[i].__name__, word.type_name)
            builder.output(f"r{i}" if isinstance(result, tuple) else "r", word.type_name, word.literals)
        return builder.build()

    def __call__(self, *arguments: Any) -> Any:  # numbers or words, as many as the function takes
        if any(isinstance(argument, Word) for argument in arguments):
            return self.function(*arguments)
        results = evaluate_words(self.graph, arguments)
        return results[0] if len(results) == 1 else results


def circuit(function: Callable[..., Any]) -> Circuit:
    """Decorator: the function of words becomes a `Circuit`."""
    return Circuit(function)


def evaluate_words(graph: Graph, values: Sequence[int]) -> tuple[int, ...]:
    """The circuit on numbers, in the clear."""
    if len(values) != len(graph.inputs):
        raise NotACircuit(f"{graph.name} takes {len(graph.inputs)} numbers, got {len(values)}")
    bits = [bit for word, value in zip(graph.inputs, values, strict=True) for bit in to_bits(value, word.type)]
    outputs = iter(evaluate(graph, bits))
    return tuple(from_bits([next(outputs) for _ in word.literals], word.type) for word in graph.outputs)
