"""From a genesis to the values that ordering and ledger start with."""

from __future__ import annotations

from octra.consensus import circuits
from octra.consensus.checkpoint import Validator, registered_root
from octra.consensus.coin_dealing import CoinKey
from octra.consensus.epoch import Committee, EpochRecord
from octra.consensus.genesis import DrawnGenesis, Genesis
from octra.consensus.ledger import epochs, fees, ops
from octra.consensus.ledger.params import LOCALNET_LIMITS, LedgerParams, Limits, Seat
from octra.consensus.ledger.transactions import NODE_OP_NONCE, build, sign
from octra.crypto.hash import EMPTY_ROOT, H, merkle_root
from octra.hfhe import params as fhe_params
from octra.node.facts import Facts
from octra.primitives import NodeId, address_of

OP_EXPIRY_EPOCHS = 64


def genesis_record(genesis: Genesis) -> EpochRecord:
    """Epoch record 0: its id is the anchor that binds every vertex to this chain and committee."""
    return EpochRecord(
        version=1,
        chain_id=genesis.chain_id,
        epoch=0,
        previous=genesis.chain,
        close_height=0,
        close_block=EMPTY_ROOT,
        state_root=EMPTY_ROOT,
        close_time_ms=genesis.time_ms,
        beacon=H("octra.beacon", genesis.chain),
        beacon_signature=b"",
        seats_next=tuple(validator.node_id for validator in genesis.validators),
        coin_group_key_next=genesis.coin.group_key,
        coin_commitments_next=merkle_root(list(genesis.coin.share_keys)),
        seats_after_next=tuple(validator.node_id for validator in genesis.validators),
        registered_root=registered_root(registered_of(genesis)),
        scores_id=EMPTY_ROOT,
        params_id=EMPTY_ROOT,
    )


def registered_of(genesis: Genesis) -> tuple[Validator, ...]:
    """The registered validators in the order of their node ids: those who sign checkpoints."""
    return tuple(
        sorted((Validator(v.node_id, v.bls_key) for v in genesis.validators), key=lambda validator: validator.node)
    )


def committee_of(genesis: Genesis) -> Committee:
    """The seats of the founders: those of the first epoch, or for the life of the chain."""
    return Committee(
        anchor=genesis_record(genesis).id,
        seats=tuple(NodeId(validator.node_id) for validator in genesis.validators),
        coin_group_key=genesis.coin.group_key,
        coin_share_keys=genesis.coin.share_keys,
    )


def epoch_rows_of(genesis: Genesis) -> dict[bytes, bytes]:
    """What stands in the first state about epochs: nothing where the committee is fixed."""
    if not isinstance(genesis, DrawnGenesis):
        return {}
    coin = CoinKey(genesis.coin.group_key, genesis.coin.share_keys)
    params = ledger_params_of(genesis)
    return epochs.genesis_rows(genesis_record(genesis), genesis.epochs, params, coin, genesis.coin_keys)


def sign_node_op(facts: Facts, epoch: int, op: ops.Op) -> bytes:
    """A node's own free operation, ready to submit."""
    body = build(
        chain=facts.genesis.chain,
        sender=facts.keys.node.public,
        nonce=NODE_OP_NONCE,
        expiry_epoch=epoch + OP_EXPIRY_EPOCHS,
        fee=0,
        op=op,
    )
    return sign(body, facts.keys.node)


def ledger_params_of(genesis: Genesis) -> LedgerParams:
    """What the rules need to know of the genesis."""
    seats = tuple(
        Seat(validator.node_id, validator.bls_key, validator.view_key, address_of(validator.node_id))
        for validator in genesis.validators
    )
    faults = (len(seats) - 1) // 3
    return LedgerParams(
        chain=genesis.chain,
        chain_id=genesis.chain_id,
        seats=seats,
        key_id=genesis.key.key_id,
        key_set=genesis.key.parameters,
        failure_bits=genesis.key.failure_bits,
        prices=fees.Prices(evaluators=faults + 1, work=_work_of(genesis)),
        epoch_ms=genesis.epoch_ms,
        legacy_signing=genesis.legacy_signing,
        limits=LOCALNET_LIMITS if genesis.is_localnet else Limits(),
        rules_version=genesis.rules_version,
    )


def _work_of(genesis: Genesis) -> fees.WorkTable:
    """What evaluations cost under the network key's parameters."""
    key = genesis.key
    if not key.exists:
        return fees.WORK_128
    return circuits.work_table(fhe_params.get(key.parameters, allow_insecure=genesis.is_localnet), key.failure_bits)
