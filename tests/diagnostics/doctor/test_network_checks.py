"""Every check of the network on a good and on a bad recorded host."""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from diagnostics.doctor.checks import children
from diagnostics.doctor.checks.network import CHECKS
from diagnostics.doctor.host import Interface
from diagnostics.doctor.recorded import Recorded
from diagnostics.doctor.this_host import ThisHost
from tests.diagnostics.doctor.judged import MACHINE, answered, assert_found, hardware, judge

PORT = "/sys/class/infiniband/mlx5_{}/ports/1"
INTERFACES = (Interface("eth0", True, ("10.0.0.7",)), Interface("ib0", False), Interface("lo", True))
HUB = "/venv/bin/python -m diagnostics.doctor.probes.hub model Qwen/Qwen2.5-9B"
NOT_CACHED = MACHINE.but(config={"model": {"pretrain": "Qwen/Qwen2.5-9B"}})


def infiniband(*ports: dict[str, str]) -> Recorded:
    """Ports with `state`, `link_layer`, `type` of the first address, `link_downed`."""
    names = tuple(PORT.format(i) for i in range(len(ports)))
    files: dict[str, str | None] = {}
    globs: dict[str, tuple[str, ...]] = {
        "/sys/class/infiniband/*": ("mlx5_0",),
        "/sys/class/infiniband/*/ports/*": names,
    }
    for name, port in zip(names, ports, strict=True):
        files[f"{name}/state"] = port.get("state", "4: ACTIVE\n")
        files[f"{name}/link_layer"] = port.get("link_layer", "InfiniBand\n")
        files[f"{name}/counters/link_downed"] = port.get("link_downed", "0\n")
        files[f"{name}/counters/symbol_error"] = files[f"{name}/counters/port_rcv_errors"] = "0\n"
        globs[f"{name}/gid_attrs/types/*"] = (f"{name}/gid_attrs/types/0",)
        files[f"{name}/gid_attrs/types/0"] = port.get("type", "RoCE v2\n")
    return MACHINE.but(files=files, globs=globs)


GOOD = {
    "net.port": MACHINE.but(ports={"127.0.0.1:29500": None}),
    "net.hostname": MACHINE.but(names={"node7": ("10.0.0.7",)}),
    "net.ifname": MACHINE.but(
        environ={"NCCL_SOCKET_IFNAME": "eth", "GLOO_SOCKET_IFNAME": "eth0"}, interfaces=INTERFACES
    ),
    "net.reach": MACHINE.but(
        environ={"MASTER_ADDR": "node0", "MASTER_PORT": "29501"}, connections={"node0:29501": None}
    ),
    "net.ib": infiniband({}, {"link_layer": "Ethernet\n"}),
    "net.proxy": MACHINE.but(environ={"http_proxy": "http://p:1", "no_proxy": "localhost, 127.0.0.1"}),
    "net.hub": NOT_CACHED.but(runs={HUB: answered(state="there", said="https://…")}),
    "ras.port": MACHINE.but(hardware=hardware(8), ports={"127.0.0.1:28028": None}),
}
HELD = "Address already in use, held by pid 4242 (python train.py)"
BAD = [
    (
        "net.port",
        MACHINE.but(
            config={"parallel": {"master_port": 29500}},
            ports={"127.0.0.1:29500": HELD, "127.0.0.1:29501": HELD, "127.0.0.1:29502": None},
        ),
        "error",
        ("pid 4242", "29502"),
    ),
    (
        "net.port",
        MACHINE.but(environ={"MASTER_PORT": "http"}),
        "error",
        ("'http' is not a port", "unset MASTER_PORT"),
    ),
    (
        "net.port",
        MACHINE.but(ports={"127.0.0.1:29500": HELD, "127.0.0.1:29501": None}),
        "info",
        ("rft launch picks a free one", "--master-port 29501"),
    ),
    (
        "net.hostname",
        MACHINE.but(environ={"NNODES": "2"}, names={"node7": ("127.0.1.1",)}),
        "error",
        ("127.0.1.1 only", "/etc/hosts"),
    ),
    ("net.hostname", MACHINE.but(names={"node7": ()}), "info", ("does not resolve",)),
    (
        "net.ifname",
        MACHINE.but(environ={"NCCL_SOCKET_IFNAME": "ib0"}, interfaces=INTERFACES),
        "error",
        ("ib0 matches no network interface that is up", "export NCCL_SOCKET_IFNAME=eth0"),
    ),
    (
        "net.ifname",
        MACHINE.but(environ={"GLOO_SOCKET_IFNAME": "eth"}, interfaces=INTERFACES),
        "error",
        ("whole names", "GLOO_SOCKET_IFNAME=eth0"),
    ),
    (
        "net.reach",
        MACHINE.but(
            environ={"MASTER_ADDR": "node0"},
            connections={"node0:29500": "timed out"},
            names={"node0": ("10.0.0.1",)},
        ),
        "error",
        ("no answer within 3 s from 10.0.0.1", "nc -vz -w 3 node0 29500"),
    ),
    (
        "net.reach",
        MACHINE.but(
            environ={"MASTER_ADDR": "node0"},
            connections={"node0:29500": "Connection refused"},
            names={"node0": ("10.0.0.1",)},
        ),
        "error",
        ("nothing listens there",),
    ),
    (
        "net.ib",
        infiniband({}, {"state": "1: DOWN\n"}),
        "warning",
        ("mlx5_1:1: 1: DOWN", "NCCL_IB_HCA=mlx5_0"),
    ),
    ("net.ib", infiniband({"state": "2: INIT\n"}), "error", ("NCCL finds none that works", "ibstat")),
    ("net.ib", infiniband({"link_downed": "17\n"}), "warning", ("mlx5_0:1: link_downed 17",)),
    (
        "net.ib",
        infiniband({"link_layer": "Ethernet\n", "type": "IB/RoCE v1\n"}),
        "warning",
        ("RoCE without an address of version 2", "NCCL_IB_GID_INDEX"),
    ),
    (
        "net.proxy",
        MACHINE.but(environ={"HTTP_PROXY": "http://p:1", "no_proxy": "localhost,.intra"}),
        "warning",
        ("does not name 127.0.0.1", "no_proxy=intra,localhost,127.0.0.1"),
    ),
    (
        "net.hub",
        NOT_CACHED.but(environ={"HF_HUB_OFFLINE": "1"}),
        "error",
        ("HF_HUB_OFFLINE forbids", "unset HF_HUB_OFFLINE"),
    ),
    (
        "net.hub",
        NOT_CACHED.but(runs={HUB: answered(state="unreachable", said="ConnectError: no route")}),
        "error",
        ("cannot be reached", "HF_ENDPOINT", "no route"),
    ),
    (
        "net.hub",
        NOT_CACHED.but(runs={HUB: answered(state="gated", said="401")}),
        "error",
        ("https://huggingface.co/Qwen/Qwen2.5-9B", "hf auth login"),
    ),
    (
        "ras.port",
        MACHINE.but(hardware=hardware(8), ports={"127.0.0.1:28028": HELD}),
        "info",
        ("pid 4242", "NCCL_RAS_ADDR=localhost:28029"),
    ),
]


def test_no_check_is_without_a_good_and_a_bad_host():
    ids = {check.id for check in CHECKS}
    assert ids == GOOD.keys() == {id for id, *_ in BAD}


@pytest.mark.parametrize("id", GOOD)
def test_a_good_host_passes(id: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HOME", "/nowhere")
    assert judge(CHECKS, id, GOOD[id]).status == "ok"


@pytest.mark.parametrize(("id", "recorded", "severity", "words"), BAD)
def test_a_bad_host_is_told_what_to_do(
    id: str, recorded: Recorded, severity: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_HOME", "/nowhere")
    assert_found(judge(CHECKS, id, recorded), severity, *words)


def test_no_proxy_and_no_named_interface_are_fine():
    assert judge(CHECKS, "net.proxy", MACHINE).status == "ok"
    assert judge(CHECKS, "net.ifname", MACHINE).status == "ok"


@pytest.mark.parametrize(
    ("value", "status"),
    [("^lo,docker", "ok"), ("=eth0", "ok"), ("=eth", "error"), ("eth0:1", "ok"), ("^eth,lo", "error")],
)
def test_names_of_interfaces_are_read_as_nccl_reads_them(value: str, status: str):
    recorded = MACHINE.but(environ={"NCCL_SOCKET_IFNAME": value}, interfaces=INTERFACES)
    assert judge(CHECKS, "net.ifname", recorded).status == status


class Hub(BaseHTTPRequestHandler):
    """Answers like the hub."""

    ANSWERS: ClassVar = {"gated": (403, "GatedRepo"), "gone": (404, "RepoNotFound")}

    def do_HEAD(self) -> None:
        name = self.path.split("/")[2]
        status, code = self.ANSWERS.get(name, (200, ""))
        self.send_response(status)
        for header, value in (("X-Error-Code", code), ("ETag", '"a"'), ("X-Repo-Commit", "c" * 40)):
            self.send_header(header, value)
        self.send_header("Content-Length", "10")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


def test_the_hub_is_asked_in_a_child_process(tmp_path: Path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    there = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "NO_PROXY": "127.0.0.1"}
    gone = {**there, "HF_ENDPOINT": "http://127.0.0.1:9"}
    asked = [("fine", there), ("gated", there), ("gone", there), ("fine", gone)]
    answers = [
        children.ask(ThisHost(tmp_path, environ=environ), "hub", "model", f"org/{name}", limit_s=30)["state"]
        for name, environ in asked
    ]
    server.shutdown()
    assert answers == ["there", "gated", "unknown", "unreachable"]


def test_what_does_not_apply_is_no_pass():
    assert judge(CHECKS, "net.reach", MACHINE).status == "not-applicable"
    assert (
        judge(CHECKS, "net.ib", MACHINE.but(globs={"/sys/class/infiniband/*": ()})).status == "not-applicable"
    )
    off = MACHINE.but(hardware=hardware(2), environ={"NCCL_RAS_ENABLE": "0"})
    assert judge(CHECKS, "ras.port", off).status == "not-applicable"


def test_what_is_not_told_is_not_checked():
    result = judge(CHECKS, "net.port", MACHINE.but(refused={"port_error 29500": "no sockets here"}))
    assert result.status == "unchecked"
