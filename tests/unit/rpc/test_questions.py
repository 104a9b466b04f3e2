"""Our own methods and REST: chain, status, proofs, waiting, paging, problems."""

from __future__ import annotations

import asyncio
import base64
import urllib.error
import urllib.request
from typing import Any

import msgspec
import pytest

from octra.circles.identity import origin_label, print_circle
from octra.codec import decode
from octra.consensus.certificate import BlockHeader
from octra.consensus.genesis import NO_KEY, GenesisKey
from octra.consensus.ledger import ops
from octra.consensus.ledger.records import Account
from octra.consensus.statetree import TreeProof, verify_key
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H, merkle_verify
from octra.node.rpc.facts import Level
from octra.node.rpc.limits import TOKENS_BURST, is_known_host
from octra.node.rpc.server import HttpServer, PortTaken, build_app
from octra.primitives import address_of, print_address

ALICE, BOB = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)
A = print_address(address_of(ALICE.public))
CIRCLE = b"\x00" + H("test.circle", b"counter")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_the_chain_says_who_made_its_keys(client: Any, node: Any) -> None:
    found = client.rpc("octra_chain")
    assert found["chain"] == node.genesis.chain.hex()
    assert (found["height"], found["epoch"], found["nodes"], found["secrecy"]) == (24, 2, 4, "none")
    assert found["key_origin"].startswith("dealer (test network, no secrecy")
    assert client.get("/api/v1/chain").json == found


def test_status_names_the_dealer_and_the_coin(client: Any) -> None:
    found = client.rpc("octra_status")
    assert found == client.get("/api/v1/status").json
    assert found["key"] == "dealer (test network, no secrecy against its operator)"
    assert found["coin"].startswith("dealt by one party")
    assert (found["state"], found["certified_height"], found["checkpointed_height"]) == ("synced", 23, 20)


def test_the_committee_shows_what_clients_seal_to(client: Any, node: Any) -> None:
    found = client.rpc("octra_committee")
    assert (found["n"], found["f"], found["quorum"], found["threshold"]) == (4, 1, 3, 2)
    seats = found["groups"][0]["seats"]
    assert [base64.b64decode(seat["x25519"]) for seat in seats] == [v.view_key for v in node.genesis.validators]


def test_raw_submission_is_idempotent_and_checks_the_chain(client: Any, node: Any) -> None:
    item = node.signed(BOB, 5, ops.Transfer(address_of(ALICE.public), 1))
    first = client.rpc("octra_submitRaw", b64(item))
    assert first == client.rpc("octra_submitRaw", b64(item))
    assert (first["status"], first["nonce"]) == ("accepted", 5)
    other = node.signed(BOB, 6, ops.Transfer(address_of(ALICE.public), 1), chain=b"\x09" * 32)
    error = client.rpc("octra_submitRaw", b64(other))
    assert (error["code"], error["data"][:8]) == (105, "OCT-2118")
    assert client.rpc("octra_submitRaw", "not base64!")["code"] == -32602
    assert client.rpc("octra_submitRaw", b64(b"junk"))["code"] == 105
    sent = client.post("/api/v1/transactions", item, content_type="application/octet-stream")
    assert (sent.status, sent.json["tx_id"]) == (202, first["tx_id"])


def test_of_many_submissions_each_is_accepted_or_told_why_not(client: Any, node: Any) -> None:
    good = [node.signed(BOB, nonce, ops.Transfer(address_of(ALICE.public), 1)) for nonce in (5, 6)]
    stranger = node.signed(BOB, 7, ops.Transfer(address_of(ALICE.public), 1), chain=b"\x09" * 32)
    duty = node.signed(BOB, 1, ops.EvaluationCommit(bytes(32), bytes(32)), fee=0)
    found = client.rpc(
        "octra_submitMany", [b64(good[0]), "not base64!", b64(stranger), b64(duty), b64(b"x"), b64(good[1])]
    )
    assert [one["status"] for one in found] == ["accepted", *["refused"] * 4, "accepted"]
    assert found[0]["tx_id"] == client.rpc("octra_submitRaw", b64(good[0]))["tx_id"]
    assert "OCT-2118" in str(found[2]["error"])
    assert len({str(one.get("error")) for one in found}) == 5


def test_operations_of_seats_are_not_taken_from_outside(client: Any, node: Any) -> None:
    item = node.signed(BOB, 1, ops.EvaluationCommit(bytes(32), bytes(32)), fee=0)
    assert client.rpc("octra_submitRaw", b64(item))["code"] == -32602
    assert not any(item == waiting for waiting in node.pool.values())


def test_a_chain_without_a_network_key_says_so_and_refuses_private_operations_by_name(
    client: Any, node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = GenesisKey(NO_KEY, "T", bytes(32), bytes(32))
    monkeypatch.setattr(node, "genesis", msgspec.structs.replace(node.genesis, key=none))
    assert client.rpc("octra_status")["key"] == "none (public operations only)"
    assert client.rpc("octra_status")["secrecy"] == "none"
    sealed = ops.PrivateTransfer(bytes(32), ops.InputDealing(50, 0, (bytes(32),), bytes(32)))
    for op in (ops.Encrypt(1), ops.Decrypt(1), ops.Collect(), ops.ViewRequest((bytes(32),), bytes(32)), sealed):
        refusal = client.rpc("octra_submitRaw", b64(node.signed(BOB, 1, op)))
        assert refusal["code"] == 116
        assert op.name in refusal["data"]


def test_simulation_tells_the_first_broken_rule_without_sending(client: Any, node: Any) -> None:
    def simulate(nonce: int, amount: int, fee: int = 2_000) -> Any:
        return client.rpc("octra_simulate", b64(node.signed(ALICE, nonce, ops.Transfer(b"\x05" * 32, amount), fee=fee)))

    before = dict(node.pool)
    assert simulate(6, 5)["ok"] is True
    assert simulate(5, 5)["error"]["code"] == "OCT-2102"
    assert simulate(900, 5)["error"]["code"] == "OCT-2103"
    assert simulate(6, 10**12)["error"]["code"] == "OCT-2104"
    assert simulate(6, 5, fee=999)["error"]["code"] == "OCT-2113"
    assert simulate(6, 5)["strangers_see"]
    assert node.pool == before


def test_waiting_asks_for_the_level_and_at_most_25_seconds(client: Any, node: Any, ids: dict[str, bytes]) -> None:
    assert client.rpc("octra_wait", ids["transfer"].hex())["status"] == "ok"
    pending = client.rpc("octra_wait", ids["waiting"].hex(), "checkpointed", 2)
    assert pending == {"id": ids["waiting"].hex(), "status": "pending"}
    assert [(level, seconds) for _, level, seconds in node.waited] == [(Level.CERTIFIED, 25), (Level.CHECKPOINTED, 2)]
    assert client.rpc("octra_wait", ids["waiting"].hex(), "ordered", 26)["code"] == -32602
    assert client.rpc("octra_wait", ids["waiting"].hex(), "soon")["code"] == -32602


def test_a_state_proof_verifies_with_nothing_but_the_answer(client: Any, node: Any) -> None:
    for name, exists in ((A, True), (print_address(b"\x42" * 32), False)):
        found = client.rpc("octra_proof", "account", name)
        assert found["height"] == node.certified
        header = decode(base64.b64decode(found["header"]), BlockHeader)
        assert header.state_root.hex() == found["state_root"]
        proof = decode(base64.b64decode(found["proof"]), TreeProof)
        value = None if found["value"] is None else base64.b64decode(found["value"])
        assert (value is not None) == exists
        assert verify_key(header.state_root, base64.b64decode(found["key"]), value, proof)
        assert not verify_key(header.state_root, base64.b64decode(found["key"]), b"forged", proof)
        if value is not None:
            assert decode(value, Account).balance == 9_987_500_000
    assert client.rpc("octra_proof", "account", A, 3)["height"] == 3
    assert client.rpc("octra_proof", "account", A, 999)["code"] == 112
    assert client.rpc("octra_proof", "nonsense", A)["code"] == -32602
    assert client.get(f"/api/v1/proofs/account/{A}").json == client.rpc("octra_proof", "account", A)


def test_an_inclusion_proof_leads_to_the_header(client: Any, ids: dict[str, bytes]) -> None:
    found = client.rpc("octra_proof", "transaction", ids["hostile"].hex())
    header = decode(base64.b64decode(found["header"]), BlockHeader)
    path = [base64.b64decode(node) for node in found["path"]]
    assert merkle_verify(header.tx_root, ids["hostile"], found["index"], found["count"], path)
    assert client.rpc("octra_proof", "transaction", ids["waiting"].hex())["code"] == 112


def test_handles_and_jobs_tell_everything_but_the_value(client: Any) -> None:
    name = H("test.handle").hex()
    found = client.rpc("octra_handle", name)
    assert (found["status"], found["type_bits"], found["readers"]) == ("certified", 64, [A])
    assert client.get(f"/api/v1/handles/{name}").json == found
    job = client.rpc("octra_job", found["origin"])
    assert (job["state"], job["evaluators"], job["bootstraps"]) == ("certified", [2, 0], 249)
    assert len({tuple(reveal["digests"]) for reveal in job["revealed"]}) == 1
    assert client.rpc("octra_handle", "00" * 32)["code"] == 112


def test_circles_are_listed_page_by_page_and_viewed(client: Any, node: Any) -> None:
    first = client.get("/api/v1/circles?limit=1").json
    second = client.get(f"/api/v1/circles?limit=1&cursor={first['next']}").json
    names = [page["items"][0]["circle"] for page in (first, second)]
    assert names == [print_circle(CIRCLE), print_circle(b"\x01" + CIRCLE[1:])]
    assert client.get(f"/api/v1/circles?limit=1&cursor={second['next']}").json["items"] == []
    found = client.rpc("circle_info", names[0])
    assert (found["name"], found["version"], found["methods"]["get"]) == ("counter", "1.2.0", "query")
    answer = client.rpc("circle_view", names[0], "get", [1, "two", None, {"hex": "00ff"}])
    assert (answer["status"], answer["value"], answer["gas"]) == ("ok", 42, 1_234)
    assert node.views == [("get", (1, "two", None, b"\x00\xff"))]
    body = b'{"method":"get","arguments":[true]}'
    assert client.post(f"/api/v1/circles/{names[0]}/view", body).json["value"] == 42
    assert client.rpc("circle_view", names[0], "get", [2**63])["code"] == -32602
    assert client.rpc("circle_info", "oct1")["code"] == 109


def test_pages_of_a_list_neither_repeat_nor_skip(client: Any) -> None:
    for path, name in (
        ("/api/v1/heights", "height"),
        ("/api/v1/epochs", "epoch"),
        (f"/api/v1/accounts/{A}/transactions", "id"),
        ("/api/v1/transactions", "id"),
    ):
        whole = [item[name] for item in client.get(f"{path}?limit=100").json["items"]]
        assert len(whole) == len(set(whole)) > 2
        seen: list[object] = []
        cursor = ""
        while True:
            page = client.get(f"{path}?limit=2{cursor}").json
            seen += [item[name] for item in page["items"]]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert seen == whole


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/transactions/zz", 400, "OCT-4001"),
        ("/api/v1/transactions/" + "00" * 32, 404, "OCT-4041"),
        ("/api/v1/accounts/oct1", 400, "OCT-1202"),
        ("/api/v1/heights/99999", 404, "OCT-4041"),
        ("/api/v1/heights/-1", 400, "OCT-4001"),
        ("/api/v1/heights/1e3", 400, "OCT-4001"),
        ("/api/v1/epochs?limit=0", 400, "OCT-4001"),
        ("/api/v1/epochs?limit=101", 400, "OCT-4001"),
        ("/api/v1/epochs?cursor=AAAA", 400, "OCT-4001"),
        ("/api/v1/heights?cursor=%ff", 400, "OCT-4001"),
        ("/api/v1/nothing", 404, "OCT-4041"),
        ("/api/v1/proofs/account/oct1", 400, "OCT-1202"),
    ],
)
def test_problems_are_documents_that_never_repeat_the_request(client: Any, path: str, status: int, code: str) -> None:
    answer = client.get(path)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json
    assert (document["code"], document["status"], document["type"]) == (code, status, f"/errors/{code}")
    assert document["hint"]
    assert len(document["request_id"]) == 12
    assert "zz" not in answer.text


def test_liveness_and_readiness(client: Any) -> None:
    assert client.get("/health").status == 200
    assert client.get("/readyz").json == {"state": "synced", "lag": 0, "reasons": []}


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost:8080", True), ("LOCALHOST", True), ("127.0.0.1:1", True), ("[::1]:80", True), ("10.1.2.3", True),
        ("evil.example", False), ("localhost.evil.example", False), ("", False), ("127.0.0.1.evil.example", False),
        ("node.example:443", True), ("[evil]", False),
    ],
)  # fmt: skip
def test_a_host_name_that_is_not_ours_is_refused(client: Any, node: Any, host: str, known: bool) -> None:
    assert is_known_host(host, {"node.example"}) is known
    if host != "node.example:443":
        client.host = host
        assert (client.get("/api/v1/chain").status == 200) is known


def test_a_public_listener_keeps_a_budget_for_each_host(node: Any, ids: dict[str, bytes], client: Any) -> None:
    now = [0]
    public = type(client)(build_app(node, public=True, now_ms=lambda: now[0]))
    statuses = [public.get("/api/v1/chain").status for _ in range(TOKENS_BURST + 5)]
    assert statuses == [200] * TOKENS_BURST + [429] * 5
    assert public.get("/health").status == 200
    assert public.get("/api/v1/chain").headers["retry-after"] == "1"
    now[0] += 50  # gives 5 tokens: the batch below costs 6, and its first one is gone when that shows
    one, two = b'{"jsonrpc":"2.0","id":1,"method":"octra_simulate"}', b'{"jsonrpc":"2.0","id":2,"method":"octra_chain"}'
    batch = b"[" + one + b"," + two + b"]"
    assert public.post("/rpc", batch).status == 429
    assert public.get("/api/v1/chain").status == 200
    assert client.get("/api/v1/chain").status == 200


def test_a_circle_has_its_own_origin_and_the_node_keeps_its_pages_off_it(client: Any) -> None:
    client.host = f"{origin_label(CIRCLE)}.localhost:8080"
    page = client.get("/")
    assert (page.status, page.body) == (200, b"<h1>my circle</h1>")
    assert "trusted-types" not in page.headers["content-security-policy"]
    assert client.get("/.octra/view/get").json["value"] == 42
    assert b"chain_id" not in client.get("/api/v1/chain").body
    assert b"chain_id" not in client.post("/rpc", b'{"jsonrpc":"2.0","id":1,"method":"octra_chain"}').body
    assert "access-control-allow-origin" not in page.headers
    client.host = origin_label(b"\x00" + b"\x09" * 32) + ".localhost:8080"
    assert client.get("/").status == 404


def test_preflight_is_answered_for_shared_paths_only(client: Any) -> None:
    assert client.ask("OPTIONS", "/rpc").headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in client.get("/about").headers


def test_the_server_listens_answers_and_stops_inside_a_running_loop(node: Any, ids: dict[str, bytes]) -> None:
    async def scenario() -> None:
        server = HttpServer(node, "127.0.0.1", 0)
        await server.start()

        def get(path: str) -> bytes:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
                return bytes(answer.read())

        assert b"octra:localnet" in await asyncio.to_thread(get, "/api/v1/chain")
        assert b"<h1>" in await asyncio.to_thread(get, "/")
        with pytest.raises(PortTaken):
            await HttpServer(node, "127.0.0.1", server.port).start()
        await server.stop()
        with pytest.raises(urllib.error.URLError):
            await asyncio.to_thread(get, "/health")

    asyncio.run(scenario())


def test_who_waits_when_the_server_stops_is_told_to_ask_again(
    node: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        asked = asyncio.Event()

        async def never(*_: object) -> bool:
            asked.set()
            await asyncio.Event().wait()
            return True

        monkeypatch.setattr(node, "wait", never)
        server = HttpServer(node, "127.0.0.1", 0)
        await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        body = b'{"jsonrpc":"2.0","id":1,"method":"octra_wait","params":["%s"]}' % (b"00" * 32)
        writer.write(b"POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await asked.wait()
        await server.stop()
        assert b"OCT-5041" in await reader.read()
        writer.close()

    asyncio.run(scenario())
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_who_comes_while_the_server_stops_waits_no_longer_than_the_others(
    node: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> bool:
        await asyncio.Event().wait()
        return True

    async def stop() -> None:
        client.app.hurry(0.1)

    monkeypatch.setattr(node, "wait", never)
    asyncio.run(stop())
    body = b'{"jsonrpc":"2.0","id":1,"method":"octra_wait","params":["%s"]}' % (b"00" * 32)
    assert client.post("/rpc", body).json["code"] == "OCT-5041"
