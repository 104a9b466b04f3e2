"""Shows what is about to be signed, and what strangers will see of it; then asks."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from octra.cli import output, settings
from octra.cli.address import check_words
from octra.primitives import InvalidAddress, address_of, parse_address, print_address, print_amount


@dataclass(frozen=True, slots=True)
class Preview:
    """Everything that a signature commits its owner to. `units` is None where no amount moves."""

    operation: str
    sender_key: bytes
    receiver: str
    units: int | None
    fee: int
    nonce: int
    expiry_epoch: int
    chain_id: str
    strangers_see: str
    notes: tuple[str, ...] = ()

    @property
    def sender(self) -> str:
        """The printed address that signs."""
        return print_address(address_of(self.sender_key))

    def text(self) -> str:
        """The lines for people."""
        rows = [("operation", self.operation), ("from", _with_words(self.sender))]
        if self.receiver:
            rows.append(("to", _with_words(self.receiver)))
        if self.units is not None:
            rows.append(("amount", f"{print_amount(self.units)} OCT"))
        rows += [
            ("highest fee", f"{print_amount(self.fee)} OCT"),
            ("nonce", str(self.nonce)),
            ("expires", f"after epoch {self.expiry_epoch}"),
            ("chain", self.chain_id),
            ("strangers see", self.strangers_see),
        ]
        rows += [("note", note) for note in self.notes]
        return "\n".join(f"  {name:<13} {value}" for name, value in rows)

    def data(self) -> dict[str, Any]:
        """The same as JSON, without the amount: an envelope ends up in files, and the amount may be private."""
        return {
            "operation": self.operation,
            "from": self.sender,
            "to": self.receiver or None,
            "fee_units_max": str(self.fee),
            "nonce": self.nonce,
            "expiry_epoch": self.expiry_epoch,
            "strangers_see": self.strangers_see,
            "notes": list(self.notes),
        }


def confirm(preview: Preview, word: str = "") -> None:
    """Show the preview, then ask: for a yes, or for `word` where much is at stake. --yes skips the question alone."""
    if not settings.current.json:
        print(preview.text(), file=sys.stderr, flush=True)
    if word:
        output.confirm_word("This is more than half of what the account holds.", word)
    else:
        output.confirm("Sign and send?")


def _with_words(address: str) -> str:
    """The address with its check words. The id of a Circle may be above all addresses: then it has none."""
    try:
        return f"{address}  ({check_words(parse_address(address))})"
    except InvalidAddress:
        return address
