"""Exact field types of consensus structs: the decoder itself refuses a hash of 31 bytes or a negative height."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Hash32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature64 = Annotated[bytes, Meta(min_length=64, max_length=64)]
U8 = Annotated[int, Meta(ge=0, le=2**8 - 1)]
U16 = Annotated[int, Meta(ge=0, le=2**16 - 1)]
U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
U48 = Annotated[int, Meta(ge=0, le=2**48 - 1)]
U63 = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # heights: u64 on paper, and msgspec bounds end at 2^63 - 1
