"""All faulty seats by name. Each is the real node with one bad habit, so that it is as plausible as can be."""

from __future__ import annotations

from ordering import faulty_lives as lives
from ordering import faulty_peers as peers
from ordering import faulty_twins as twins
from ordering import faulty_vertices as vertices
from ordering.faulty_frames import FORGERIES
from ordering.node import SimNode
from ordering.world import World

STRATEGIES: dict[str, type[SimNode]] = {
    "silent": lives.Silent,
    "crash_with_log": lives.CrashesOften,
    "crash_without_log": lives.LosesItsDisk,
    "slow_reader": lives.SlowReader,
    "twins_equal_parents": twins.Equivocator,
    "twins_other_parents": twins.TwinsOtherParents,
    "three_twins": twins.ThreeTwins,
    "late_twin": twins.LateTwin,
    "half_and_half": twins.HalfAndHalf,
    "reveal_to_f": vertices.RevealsToF,
    "reveal_to_f_plus_1": vertices.RevealsToFPlusOne,
    "reveal_to_q_minus_1": vertices.RevealsToQMinusOne,
    "starve_one": vertices.StarvesOne,
    "stale_parents": vertices.StaleParents,
    "only_q_parents": vertices.OnlyQParents,
    "unknown_parents": vertices.UnknownParents,
    "dangling_links": vertices.DanglingLinks,
    "mismatched_links": vertices.MismatchedLinks,
    "released_late": vertices.ReleasedLate,
    "future_rounds": vertices.FutureRounds,
    **FORGERIES,
    "batches_without_bytes": vertices.NoBytes,
    "bytes_to_neighbours": vertices.BytesToNeighbours,
    "invalid_batches": vertices.InvalidBatches,
    "foreign_batches": vertices.ClaimsForeignBatches,
    "attests_unseen": vertices.AttestsUnseen,
    "attests_invalid": vertices.AttestsInvalid,
    "attests_nothing": vertices.AttestsNothing,
    "wrong_root": vertices.WrongRoot,
    "wrong_delta": vertices.WrongDelta,
    "bad_coin_share": vertices.BadCoinShare,
    "late_coin_share": vertices.LateCoinShare,
    "clock_ahead": vertices.ClockAhead,
    "clock_behind": vertices.ClockBehind,
    "serves_nothing": peers.ServesNothing,
    "serves_other_vertices": peers.ServesOtherVertices,
    "serves_false_batches": peers.ServesFalseBatches,
    "flood": peers.Floods,
}


def make_node(world: World, seat: int) -> SimNode:
    """The node of a seat, honest or with the habit that the scenario gives it."""
    habit = world.scenario.strategies.get(seat)
    return SimNode(world, seat) if habit is None else STRATEGIES[habit](world, seat)
