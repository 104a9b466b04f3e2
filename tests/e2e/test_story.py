"""A network of processes over libp2p, used as people use it: by the command line and a browser."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import time
from pathlib import Path

import pytest

from octra.codec import decode, encode
from octra.consensus.ledger import ops
from octra.consensus.ledger.records import Account
from octra.consensus.ledger.transactions import build, sign
from octra.crypto.ed25519 import SigningKey

pytestmark = pytest.mark.process

OCT = 1_000_000


def test_a_public_payment_is_final_in_one_command(world) -> None:
    world.person("ann")
    ben = world.person("ben", coins=False)
    done = world.octra("send", ben, "25", "--memo", "rent", wallet="ann").data
    assert (done["status"], done["level"], done["fee_units"]) == ("ok", "certified", "1000")
    assert world.public("ben") == 25 * OCT
    assert world.public("ann") == 975 * OCT - 1000
    shown = world.octra("tx", "show", done["tx_id"]).data["transaction"]
    assert (shown["op"]["kind"], shown["op"]["memo"], shown["height"]) == ("transfer", "rent", done["height"])
    assert done["tx_id"] in [row["hash"] for row in world.octra("tx", "list", wallet="ben").data["transactions"]]


def test_every_node_tells_the_same_state_root(world) -> None:
    height = int(world.ask("octra_chain")["certified_height"])
    roots = set()
    for name in ("node0", "node1", "node2", "node3"):
        wait_for_height(world, name, height)
        roots.add(world.ask("octra_getBlock", height, node=world.url(name))["state_root"])
    assert len(roots) == 1


def test_a_private_payment_moves_exactly_what_was_dealt(world) -> None:
    """Zero, the exact balance, one unit too much, to oneself: the ledger is right each time, and the supply stays."""
    supply = world.ask("octra_supply")
    cat, dan = world.person("cat"), world.person("dan")
    world.octra("encrypt", "60", wallet="cat")
    assert world.private("cat") == 60 * OCT
    assert world.pay("cat", dan, "0").code == 0
    assert (world.private("cat"), world.private("dan")) == (60 * OCT, 0)
    assert world.pay("cat", dan, "12.5").code == 0
    assert (world.private("cat"), world.private("dan")) == (47_500_000, 12_500_000)
    assert world.pay("cat", dan, "47.500001").code == 0, "nobody learns that it was too much"
    assert (world.private("cat"), world.private("dan")) == (47_500_000, 12_500_000)
    assert world.pay("cat", cat, "7").code == 0
    assert world.private("cat") == 47_500_000
    assert world.octra("collect", wallet="cat").code == 0
    assert world.pay("cat", dan, "47.5").code == 0
    assert (world.private("cat"), world.private("dan")) == (0, 60 * OCT)
    assert world.octra("collect", wallet="dan").code == 0
    assert world.octra("decrypt", "60", wallet="dan").code == 0
    assert world.private("dan") == 0
    after = world.ask("octra_supply")
    assert [after[part] for part in ("total", "encrypted")] == [supply[part] for part in ("total", "encrypted")]


def test_two_private_payments_in_flight_are_both_right(world) -> None:
    eva, fay = world.person("eva"), world.person("fay")
    world.octra("encrypt", "10", wallet="eva")
    sent = [world.pay("eva", fay, amount, "--no-wait").data["tx_id"] for amount in ("3", "4")]
    for tx_id in sent:
        assert world.octra("tx", "wait", tx_id, wallet="eva").data["status"] == "ok"
    assert (world.private("eva"), world.private("fay")) == (3 * OCT, 7 * OCT)
    assert eva != fay


def test_evaluators_of_a_private_payment_agree_byte_for_byte(world) -> None:
    gil = world.person("gil")
    world.octra("encrypt", "5", wallet="gil")
    jobs = world.pay("gil", world.person("hal", coins=False), "1").data["jobs"]
    assert jobs
    for name in jobs:
        job = world.ask("octra_job", name)
        digests = {tuple(reveal["digests"]) for reveal in job["revealed"]}
        assert (job["state"], len(digests), len(job["revealed"]) >= 2) == ("certified", 1, True)
    assert gil


def test_more_than_is_held_in_private_is_not_decrypted(world) -> None:
    world.person("ida")
    world.octra("encrypt", "5", wallet="ida")
    world.pay("ida", world.people["ida"], "1")  # from here on the balance is no public constant
    refused = world.octra("decrypt", "5", wallet="ida")  # 4 can be spent, 1 waits to be collected
    assert refused.error == (5, "OCT-2104")
    assert world.private("ida") == 5 * OCT


def test_a_stranger_does_not_see_what_the_owner_sees(world) -> None:
    jim = world.person("jim")
    world.octra("encrypt", "5", wallet="jim")
    world.pay("jim", jim, "1")
    world.person("kim")
    assert world.octra("balance", jim, "--reveal", wallet="kim").error == (6, "OCT-4031")
    assert world.private("jim") == 5 * OCT


def test_a_memo_reaches_the_receiver_alone(world) -> None:
    lea, max_ = world.person("lea"), world.person("max")
    world.octra("send", lea, "1", wallet="max")  # so that the chain knows the key of max
    world.octra("encrypt", "5", wallet="lea")
    tx_id = world.pay("lea", max_, "2", "--memo", "for the boat").data["tx_id"]
    note = world.octra("tx", "show", tx_id, "--open", wallet="max").data["note"]
    assert note == {"claimed_units": "2000000", "memo": "for the boat"}
    assert world.octra("tx", "show", tx_id, "--open", wallet="lea").code != 0
    assert "boat" not in json.dumps(world.ask("octra_getTransaction", tx_id))


def test_a_circle_goes_from_an_empty_folder_to_its_own_web_address(world, tmp_path: Path) -> None:
    world.person("nia")
    world.octra("circle", "new", "visits", cwd=tmp_path)
    deployed = world.octra("circle", "deploy", wallet="nia", cwd=tmp_path / "visits").data
    circle = deployed["circle_id"]
    for node in ("node0", "node1", "node2"):
        assert world.octra("circle", "call", circle, "inc", wallet="nia", node=world.url(node)).code == 0
    assert world.octra("circle", "view", circle, "get").data["value"] == 3
    assert circle in [found["circle"] for found in world.octra("circle", "list").data["circles"]]
    host = deployed["url"].removeprefix("http://").rstrip("/")
    status, headers, page = get(world.network.place("node0").http, "/", host)
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert b"<html" in page.lower()
    assert get(world.network.place("node0").http, "/", "unknown.localhost")[0] in (400, 404)
    assert world.octra("circle", "call", circle, "get", wallet="nia").error == (5, "OCT-6004")
    assert world.octra("circle", "call", circle, "inc", "1", wallet="nia").error == (2, "OCT-1002")


def test_a_light_node_believes_a_proof_and_nothing_else(world, tmp_path: Path) -> None:
    oli, light, file = world.person("oli"), world.url("light0"), tmp_path / "proof.json"
    found = world.octra("verify", oli, node=light).data
    assert (found["verified"], found["signers"] >= 3) == (True, True)
    deadline = time.monotonic() + 60

    def proven() -> str:
        """What the newest proof shows. For a moment there may be none, or one of a block before the coins came."""
        if world.octra("verify", oli, "--save", str(file)).code:
            return ""
        return str(world.octra("verify", oli, "--proof", str(file), node=light).data["balance_units"])

    while proven() != str(1000 * OCT):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    honest = json.loads(file.read_text())
    account = decode(base64.b64decode(honest["value"]), Account)
    richer = base64.b64encode(encode(Account(account.balance + 1, account.nonce, account.used))).decode()
    for forged in ({"value": richer}, {"value": None}, {"certificate": flipped(honest["certificate"])},
                   {"header": flipped(honest["header"])}, {"proof": flipped(honest["proof"])}):  # fmt: skip
        file.write_text(json.dumps(honest | forged))
        code, name = world.octra("verify", oli, "--proof", str(file), node=light).error
        assert code != 0
        assert name in ("OCT-3010", "OCT-2105")


def test_a_killed_node_catches_up_and_loses_no_acknowledged_transaction(world) -> None:
    world.person("pam")
    quin = world.person("quin", coins=False)
    tx_id = world.octra("send", quin, "3", "--no-wait", wallet="pam", node=world.url("node3")).data["tx_id"]
    world.network.kill("node3")
    done = world.octra("send", quin, "4", wallet="pam")
    world.network.spawn("node3")
    world.network.wait_ready("node3")
    waited = world.octra("tx", "wait", tx_id, "--timeout", "120", wallet="pam", node=world.url("node3"))
    assert waited.data["status"] == "ok"
    assert done.code in (0, 5), done.envelope  # 5: node0 had not heard of the first one and took the same nonce
    wait_for_height(world, "node3", int(world.ask("octra_chain")["certified_height"]))
    expected = 3 * OCT + (4 * OCT if done.code == 0 else 0)
    assert world.public("quin") == expected


def test_a_node_that_dies_while_we_wait_is_an_unknown_outcome_not_a_failure(world) -> None:
    world.person("ray")
    sue = world.person("sue", coins=False)
    node, address = world.url("node2"), world.people["ray"]
    wait_for_height(world, "node2", int(world.ask("octra_chain")["height"]))
    process = world.start("send", sue, "2", "--timeout", "4", wallet="ray", node=node)
    try:
        while world.ask("octra_getAccount", address, node=node)["pending_nonce"] == 0:
            assert process.poll() is None
        time.sleep(0.1)  # long enough to acknowledge it, mostly; too short to make it final
        world.network.kill("node2")
        ended = world.end(process)
    finally:
        world.network.spawn("node2")
        world.network.wait_ready("node2")
    if ended.code == 0:
        pytest.skip("it was final before the node was gone")
    assert ended.error == (7, "OCT-2122")
    error = ended.envelope["error"]
    if "while it took" in error["message"]:
        return  # never acknowledged: the node may have lost it, and the wallet says so
    waited = world.octra("tx", "wait", error["details"]["tx_id"], "--timeout", "120", wallet="ray")
    assert waited.data["status"] == "ok"
    assert world.public("sue") == 2 * OCT


def test_each_mistake_is_one_clear_line_and_a_documented_exit_code(world, tmp_path: Path) -> None:
    tom = world.person("tom")
    wrong = tmp_path / "wrong"
    wrong.write_text("not the passphrase\n")
    ann = world.people.get("ann") or world.person("ann")
    line = [*world.command("send", ann, "1", wallet="tom"), "--passphrase-file", str(wrong)]
    assert run(line) == (6, "OCT-1101")
    assert world.octra("send", "oct123", "1", wallet="tom").error == (2, "OCT-1202")
    too_much = world.octra("send", ann, "5000", "--confirm", ann[-4:], wallet="tom")
    assert too_much.error == (5, "OCT-2104")
    assert world.octra("send", ann, "1", "--chain", "octra:main-00000000", wallet="tom").error == (4, "OCT-3005")
    assert world.octra("send", ann, "1", wallet="tom", node="http://127.0.0.1:1").error == (4, "OCT-3006")
    assert world.octra("balance", wallet="nobody").error == (6, "OCT-1107")
    assert world.octra("node", "start").error == (3, "OCT-1003")
    place = world.network.place("node1")
    assert run([*world.command("node", "start"), "--home", str(place.directory)]) == (3, "OCT-1007")
    port = place.http.rpartition(":")[2]
    line = [*world.command("localnet", "--parameters", "TEST", "--http-port", port), "--home", str(tmp_path / "other")]
    assert run(line) == (3, "OCT-1110")
    other = tmp_path / "other" / "localnet" / "node0" / "genesis.json"
    line = [*world.command("node", "init", "--genesis", str(other)), "--home", str(place.directory)]
    assert run(line) == (3, "OCT-1004")
    assert tom


def test_an_expired_transaction_and_one_of_another_chain_are_refused(world) -> None:
    facts, key = world.ask("octra_chain"), SigningKey(b"expired transactions of a stranger"[:32])
    chain, epoch = bytes.fromhex(facts["chain"]), int(facts["epoch"])
    op = ops.Transfer(bytes(32), 1)
    for fields, code in (((chain, epoch - 1), 2119), ((chain, epoch + 5_000), 2119), ((bytes(32), epoch + 9), 2118)):
        if fields[1] < 0:
            continue
        body = build(chain=fields[0], sender=key.public, nonce=1, expiry_epoch=fields[1], fee=1000, op=op)
        with pytest.raises(Exception) as refused:  # noqa: PT011 - its code is what counts
            world.ask("octra_submitRaw", base64.b64encode(sign(body, key)).decode())
        assert getattr(refused.value, "oct_code", None) == code


def test_help_and_explain_work_without_any_network(world) -> None:
    assert world.octra("explain", "OCT-2122").data["exit"] == 7
    checks = world.octra("doctor").data["checks"]
    assert all(check["ok"] for check in checks if check["needed"])


# --- small things ---


def wait_for_height(world, name: str, height: int) -> None:
    """A node that lags gets a while to come to the height."""
    deadline = time.monotonic() + 120
    while int(world.ask("octra_chain", node=world.url(name))["height"]) < height:
        assert time.monotonic() < deadline, f"{name} does not catch up"
        time.sleep(0.2)


def get(node: str, path: str, host: str) -> tuple[int, dict[str, str], bytes]:
    """A page as a browser asks for it."""
    connection = http.client.HTTPConnection(node, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def flipped(text: str) -> str:
    """Base64 of the same bytes with one bit changed in the middle."""
    raw = bytearray(base64.b64decode(text))
    raw[len(raw) // 2] ^= 1
    return base64.b64encode(raw).decode()


def run(line: list[str]) -> tuple[int, str]:
    """Exit code and catalogue code of a command line."""
    done = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, json.loads(done.stdout)["error"]["code"]
