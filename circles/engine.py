"""The wasm engine, configured so that a module has one result everywhere; our checker decides before it is asked."""

from __future__ import annotations

from typing import Literal

import wasmtime

from octra.circles import limits
from octra.circles.errors import EngineDisagrees
from octra.circles.wasm.meter import MeteredModule

Backend = Literal["cranelift", "pulley"]  # the compiler, and the interpreter that gives the second opinion

_REFUSED_PROPOSALS = (
    "wasm_threads",
    "wasm_simd",
    "wasm_memory64",
    "wasm_multi_memory",
    "wasm_tail_call",
    "wasm_exceptions",
    "wasm_stack_switching",
    "wasm_gc",
    "wasm_function_references",
    "wasm_wide_arithmetic",
    "wasm_custom_page_sizes",
    "wasm_component_model",
)


def new_engine(backend: Backend = "cranelift") -> wasmtime.Engine:
    """An engine that accepts no more than our checker does, with canonical NaNs."""
    config = wasmtime.Config()
    config.cranelift_nan_canonicalization = True
    config.parallel_compilation = False
    config.max_wasm_stack = limits.WORKER_WASM_STACK
    config.wasm_relaxed_simd = False  # before SIMD: the engine refuses one without the other
    for proposal in _REFUSED_PROPOSALS:
        setattr(config, proposal, False)
    # Reference types stay on although the checker refuses them: without them this release aborts the process.
    if backend == "pulley":
        config.target = "pulley64"
    return wasmtime.Engine(config)


def validate(engine: wasmtime.Engine, module: MeteredModule) -> None:
    """Asks the engine about both forms of a module that we accept; its refusal is this node's fault."""
    for code in (module.checked.code, module.code):
        try:
            wasmtime.Module.validate(engine, code)
        except wasmtime.WasmtimeError as error:
            raise EngineDisagrees(str(error).splitlines()[0]) from error


def new_store(engine: wasmtime.Engine) -> wasmtime.Store:
    """A store for one call, fenced to the limits that the checker has already enforced."""
    store = wasmtime.Store(engine)
    store.set_limits(
        memory_size=limits.MEMORY_PAGES_MAX * limits.PAGE,
        table_elements=limits.TABLE_ENTRIES_MAX,
        instances=1,
        tables=1,
        memories=1,
    )
    return store
