import pytest

from diagnostics.knowledge.lines import clean, parse

CASES = [
    ("[pod/grpo-0/node] ValueError: x", "pod/grpo-0/node", -1, "", "ValueError: x"),
    ("trainer-1  | ValueError: x", "trainer-1", -1, "", "ValueError: x"),
    ("loss_1 0.3 | kl 0.1", "", -1, "", "loss_1 0.3 | kl 0.1"),
    ("[rank3]: ValueError: x", "rank 3", 3, "", "ValueError: x"),
    ("[1,3]<stderr>:ValueError: x", "rank 3", 3, "", "ValueError: x"),
    ("[default7]:loss 1", "rank 7", 7, "", "loss 1"),
    ("[2]: Traceback (most recent call last):", "rank 2", 2, "", "Traceback (most recent call last):"),
    (
        '(WorkerDict pid=81, ip=10.0.2.8)   File "a.py", line 3',
        "WorkerDict pid=81, ip=10.0.2.8",
        -1,
        "",
        '  File "a.py", line 3',
    ),
    (
        "(VllmWorker rank=1 pid=99) ERROR 05-26 08:10:26 [core.py:396] RuntimeError: y",
        "VllmWorker rank=1 pid=99",
        1,
        "E",
        "RuntimeError: y",
    ),
    (
        "(EngineCore_0 pid=12) INFO 02-16 22:10:30 __init__.py:190] ready",
        "EngineCore_0 pid=12",
        -1,
        "I",
        "ready",
    ),
    (
        'ERROR 05-26 08:10:26 [core.py:396]   File "b.py", line 1, in f',
        "",
        -1,
        "E",
        '  File "b.py", line 1, in f',
    ),
    (
        "[rank1]:[E314 15:01:45.172185860 ProcessGroupNCCL.cpp:607] [Rank 1] Watchdog",
        "rank 1",
        1,
        "E",
        "[Rank 1] Watchdog",
    ),
    (
        "(WorkerDict pid=5) [rank38]:[E809 15:30:30.411 ProcessGroupNCCL.cpp:629] x",
        "WorkerDict pid=5",
        38,
        "E",
        "x",
    ),
    ("[E ProcessGroupNCCL.cpp:458] [Rank 7] Watchdog caught", "rank 7", 7, "E", "[Rank 7] Watchdog caught"),
    (
        "[PG ID 2 PG GUID 5(mesh_tp) Rank 6] Watchdog",
        "rank 6",
        6,
        "",
        "[PG ID 2 PG GUID 5(mesh_tp) Rank 6] Watchdog",
    ),
    (
        "W0327 08:11:02.911000 8120 torch/distributed/elastic/multiprocessing/api.py:897] Sending",
        "",
        -1,
        "W",
        "Sending",
    ),
    (
        "[2025-03-12 09:14:20 TP0] Scheduler hit an exception: x",
        "TP0",
        -1,
        "",
        "Scheduler hit an exception: x",
    ),
    ("[2023-04-07 15:11:33,201] [INFO] [launch.py:318:sigkill_handler] Killing", "", -1, "I", "Killing"),
    ("2025-02-12 17:20:11,402\tINFO worker.py:1654 -- Connecting", "", -1, "I", "Connecting"),
    ("[INFO|deepspeed.py:449] 2022-05-15 01:12:20,447 >> Attempting", "", -1, "I", "Attempting"),
    (
        "host-1:14605:14673 [0] NCCL WARN Connect failed",
        "host-1:14605:14673",
        -1,
        "",
        "NCCL WARN Connect failed",
    ),
    ("Mar 12 10:00:00 node7 kernel: Out of memory", "", -1, "", "kernel: Out of memory"),
    (
        "  1%| | 1021/100000 [45:39<51:20:53,  1.87s/it][rank2]:[E723 01:58:45.5 a.cpp:6] [Rank 2] Watchdog",
        "rank 2",
        2,
        "E",
        "[Rank 2] Watchdog",
    ),
    ("  5%|5 | 1/20 [00:24<27:11, 24.37s/it]NaN or Inf found", "", -1, "", "NaN or Inf found"),
    ("3: RuntimeError: of srun --label", "rank 3", 3, "", "RuntimeError: of srun --label"),
    ("10.0.0.7: [rank9]: x", "10.0.0.7", 9, "", "x"),
    (
        "worker-1: Traceback (most recent call last):",
        "worker-1",
        -1,
        "",
        "Traceback (most recent call last):",
    ),
    ("2025-05-26T10:00:00.123456789Z stderr F [rank0]: y", "rank 0", 0, "", "y"),
    ("Aug 17 18:42:18 vllm vllm[8052]: (APIServer pid=8052)   File", "APIServer pid=8052", -1, "", "  File"),
    ("2025-01-01 10:00:00,123 - root - ERROR - boom", "", -1, "E", "boom"),
    ("2025-01-01 10:00:00.123 | ERROR    | trainer:fit:12 - boom", "", -1, "E", "boom"),
    ("ERROR:torch.distributed.elastic:failed", "", -1, "E", "failed"),
    ("RuntimeError: [1] is not a prefix", "", -1, "", "RuntimeError: [1] is not a prefix"),
]


@pytest.mark.parametrize(("text", "process", "rank", "level", "said"), CASES)
def test_prefixes_tell_who_wrote_a_line_and_leave_what_it_says(
    text: str, process: str, rank: int, level: str, said: str
):
    line = parse(text)
    assert (line.process, line.rank, line.level, line.text) == (process, rank, level, said)


def test_times_of_all_formats_compare():
    full = parse("[2025-03-14 15:01:45] a").t
    glog = parse("[E314 15:01:45.500000000 x.cpp:1] a").t
    vllm = parse("INFO 03-14 15:01:46 x.py:1] a").t
    assert full is not None and glog is not None and vllm is not None
    assert glog == pytest.approx(vllm - 0.5)
    assert parse("2025-03-14T15:01:45Z a").t == full
    assert parse("no time").t is None
    assert parse("[2025-13-44 15:01:45] not a date").t is None


def test_the_file_tells_the_rank_where_the_line_does_not():
    assert parse("x", rank=5)[1:3] == ("rank 5", 5)
    assert parse("[rank3]: x", rank=5).rank == 3


def test_colour_codes_and_other_encodings_do_no_harm():
    assert clean(b"\x1b[1;36m(A pid=1)\x1b[0;0m \x1b[31mError\x1b[0m: x") == "(A pid=1) Error: x"
    assert clean("é".encode("latin-1") + b" ok") == "é ok"
    assert clean("é 中".encode()) == "é 中"
