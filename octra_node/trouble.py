"""Trouble on purpose, for local networks under test: cut links and a slow disk, in a real node process.

Off unless the environment has `OCTRA_TROUBLE`, and refused on every chain that is no localnet. The node then follows a
file in its own directory, `trouble.json`:

    {"cut": ["node id in hex", ...], "sync_ms": 300}

`cut`: what this node sends to these peers is held back, and they are not dialled. What they send still arrives: to cut
a link both ways, tell both ends. `sync_ms`: so much longer does every wait for the disk take.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from octra.node.config import InvalidConfig
from octra.node.p2p.faulty import Faults
from octra.primitives import NodeId
from octra.storage.kv import Batch, Family, KeyValue, ReadView, Row

VARIABLE: Final = "OCTRA_TROUBLE"
FILE: Final = "trouble.json"
LOOK_S: Final = 0.2


class TroubleRefused(InvalidConfig):
    """Somebody asks for trouble on a chain that others rely on."""

    def __init__(self, chain_id: str) -> None:
        super().__init__(f"{VARIABLE} is set, but {chain_id} is no local network")
        self.chain_id = chain_id


class Trouble:
    """What troubles this node now."""

    def __init__(self, directory: Path) -> None:
        self.faults = Faults()
        self.sync_ms = 0
        self._file = directory / FILE
        self._seen: tuple[int, int] | None = None
        self.look()

    @classmethod
    def if_asked(cls, directory: Path, chain_id: str, *, localnet: bool) -> Trouble | None:
        """None in a healthy environment; raises `TroubleRefused` where trouble has no place."""
        if not os.environ.get(VARIABLE):
            return None
        if not localnet:
            raise TroubleRefused(chain_id)
        return cls(directory)

    async def follow(self) -> None:
        """Do what the file says, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Read the file if it is another one than before; none means no trouble."""
        try:
            stat = self._file.stat()
            seen = (stat.st_mtime_ns, stat.st_ino)
        except FileNotFoundError:
            seen = None
        if seen == self._seen:
            return
        self._seen = seen
        wanted = json.loads(self._file.read_text()) if seen else {}
        self.sync_ms = int(wanted.get("sync_ms", 0))
        self.faults.cut_only(NodeId(bytes.fromhex(peer)) for peer in wanted.get("cut", ()))

    def sync(self, file: int) -> None:
        """`os.fdatasync`, on the disk as it is now."""
        self.wait()
        os.fdatasync(file)

    def wait(self) -> None:
        """What a sync takes longer; blocks, as a disk does."""
        if self.sync_ms:
            time.sleep(self.sync_ms / 1_000)


def tell(directory: Path, *, cut: Sequence[NodeId] = (), sync_ms: int = 0) -> None:
    """Trouble the node of `directory` from now on, and with nothing else than this."""
    fresh = directory / (FILE + ".new")
    fresh.write_text(json.dumps({"cut": [peer.hex() for peer in cut], "sync_ms": sync_ms}))
    fresh.rename(directory / FILE)


class SlowStore:
    """A `KeyValue` whose durable writes wait for a slow disk."""

    def __init__(self, store: KeyValue, trouble: Trouble) -> None:
        self._store, self._trouble = store, trouble

    def get(self, family: Family, key: bytes) -> bytes | None:
        return self._store.get(family, key)

    def get_many(self, family: Family, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._store.get_many(family, keys)

    def scan(
        self, family: Family, lower: bytes, upper: bytes | None, *, limit: int, reverse: bool = False
    ) -> Iterator[Row]:
        return self._store.scan(family, lower, upper, limit=limit, reverse=reverse)

    def view(self) -> AbstractContextManager[ReadView]:
        return self._store.view()

    def write(self, batch: Batch, *, durable: bool) -> None:
        if durable:
            self._trouble.wait()
        self._store.write(batch, durable=durable)

    def close(self) -> None:
        self._store.close()
