"""A deploy is several transactions: code and files in parts, then the Circle itself, then the list of its files."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from octra.circles.identity import print_circle
from octra.circles.package import SITE, Package
from octra.cli import client, network, preview, signing, wallets
from octra.cli.network import Network
from octra.cli.output import CommandFailed, say
from octra.cli.signing import Sender
from octra.consensus.circles import blob_hash, circle_id
from octra.consensus.ledger import fees, keys, ops
from octra.crypto.ed25519 import SigningKey
from octra.primitives import parse_address, print_amount

WINDOW = 32  # transactions sent before their outcome is asked for; the chain bears 64 of one sender


@dataclass(frozen=True, slots=True)
class DeployPlan:
    """Everything that will be signed, in three steps that each need the one before."""

    package: Package
    uploads: tuple[ops.CircleBlobPut, ...]
    deploy: ops.CircleDeploy
    assets: ops.CircleAssets | None
    circle: bytes  # the id that the deploy will give, 33 bytes
    deploy_fee: int
    fees: tuple[tuple[str, int], ...]  # what each step costs

    @property
    def total(self) -> int:
        """The highest fee of all steps together."""
        return sum(units for _, units in self.fees)


def plan(chain: Network, who: Sender, package: Package, metered_bytes: int) -> DeployPlan:
    """What a deploy of `package` sends; blobs that the chain holds already are left out."""
    contents = {"code": package.code} | {
        path.removeprefix(SITE.rstrip("/")): data for path, data in package.files.items() if path.startswith(SITE)
    }
    uploads = tuple(
        part
        for blob, data in {blob_hash(data): data for data in contents.values()}.items()
        if not _is_known(blob)
        for part in _parts(blob, data)
    )
    deploy = ops.CircleDeploy(package.root, package.manifest.canonical(), package.code_hash, package.assets_root)
    circle = circle_id(parse_address(who.address), who.nonce + len(uploads), package.root)
    files = tuple(ops.Asset(asset.path, asset.media, asset.encoding, asset.blob) for asset in package.assets)
    assets = ops.CircleAssets(circle, files) if files else None
    deploy_fee = fees.minimum_fee(deploy, chain.prices) + fees.DEPLOY_PRICE_PER_KIB * -(-metered_bytes // 1_024)
    costs = [
        ("code and files", sum(fees.minimum_fee(part, chain.prices) for part in uploads)),
        ("Circle", deploy_fee),
        ("site", fees.minimum_fee(assets, chain.prices) if assets else 0),
    ]
    return DeployPlan(package, uploads, deploy, assets, circle, deploy_fee, tuple(costs))


def show(chain: Network, who: Sender, planned: DeployPlan) -> preview.Preview:
    """What the owner confirms once for all steps."""
    count = len(planned.uploads) + 1 + (planned.assets is not None)
    costs = ", ".join(f"{name} {print_amount(units)}" for name, units in planned.fees)
    return preview.Preview(
        operation=f"deploy Circle {planned.package.manifest.circle.name} in {count} transactions",
        sender_key=who.key,
        receiver=print_circle(planned.circle),
        units=None,
        fee=planned.total,
        nonce=who.nonce,
        expiry_epoch=chain.epoch + signing.EXPIRES_IN,
        chain_id=chain.chain_id,
        strangers_see="everything: code, files, and who deployed them",
        notes=(f"fees: {costs} OCT",),
    )


def carry_out(chain: Network, who: Sender, planned: DeployPlan) -> network.Transaction:
    """Sign and send all steps, each after what it needs; the deploy's own transaction."""
    key, expiry = wallets.open_wallet().key, chain.epoch + signing.EXPIRES_IN
    nonce = who.nonce
    for group in _groups(planned.uploads):
        say(f"uploading {sum(len(part.data) for part in group):,} bytes")
        sent = []
        for part in group:
            fee = fees.minimum_fee(part, chain.prices)
            sent.append(signing.submit(signing.sign_item(chain, key, nonce, part, fee, expiry)))
            nonce += 1
        for tx_id in sent:
            signing.wait(tx_id, signing.patience(evaluated=False), "ordered")
    say("creating the Circle")
    deployed = _send(chain, key, nonce, planned.deploy, planned.deploy_fee, expiry)
    if planned.assets is not None:
        say("publishing its site")
        _send(chain, key, nonce + 1, planned.assets, fees.minimum_fee(planned.assets, chain.prices), expiry)
    return deployed


def _send(chain: Network, key: SigningKey, nonce: int, op: ops.Op, fee: int, expiry: int) -> network.Transaction:
    tx_id = signing.submit(signing.sign_item(chain, key, nonce, op, fee, expiry))
    return signing.wait(tx_id, signing.patience(evaluated=False))


def _is_known(blob: bytes) -> bool:
    answer = client.call("octra_state", base64.b64encode(keys.blob(blob)).decode())
    return answer.get("value") is not None


def _parts(blob: bytes, data: bytes) -> Iterator[ops.CircleBlobPut]:
    pieces = [data[start : start + ops.BLOB_PART_BYTES] for start in range(0, len(data), ops.BLOB_PART_BYTES)]
    size_max = ops.BLOB_PARTS_MAX * ops.BLOB_PART_BYTES
    if not 1 <= len(pieces) <= ops.BLOB_PARTS_MAX:
        raise CommandFailed(6003, f"a file of {len(data):,} bytes; the chain takes 1 to {size_max:,}")
    return (ops.CircleBlobPut(blob, index, piece) for index, piece in enumerate(pieces))


def _groups(parts: tuple[ops.CircleBlobPut, ...]) -> Iterator[tuple[ops.CircleBlobPut, ...]]:
    for start in range(0, len(parts), WINDOW):
        yield parts[start : start + WINDOW]
