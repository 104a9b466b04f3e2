"""Where cases can be counted, all are tried; `./run sim --twins` does the long half."""

from __future__ import annotations

import pytest
from ordering.exhaustive import explore_slot
from ordering.twins import PARTITIONS, SEATS, explore_cores, explore_rule, sequences


def test_no_pattern_of_votes_and_certificates_of_a_slot_lets_two_views_disagree() -> None:
    findings = explore_slot()
    assert findings.problems == []
    assert findings.patterns == 27
    assert findings.decisions > 40_000


def test_five_instances_can_be_parted_in_sixteen_ways() -> None:
    assert len(set(PARTITIONS)) == 2 ** (len(SEATS) - 1)
    short = list(sequences(1))
    assert len(short) == 8  # how many honest seats are with the first copy, and whether the second one is
    assert {len(one & {2, 3, 4}) for (one,) in short} == {0, 1, 2, 3}


def test_a_share_of_all_partitions_of_twins_decides_every_slot_alike() -> None:
    findings = explore_rule(stride=60)
    assert findings.problems == []
    assert findings.decisions > 10_000


def test_cores_under_one_key_cannot_divide_the_others() -> None:
    findings = explore_cores(stride=250)
    assert findings.problems == []
    assert findings.decisions > 2_000


@pytest.mark.long
def test_all_partitions_of_twins_decide_every_slot_alike() -> None:
    assert explore_rule().problems == []
