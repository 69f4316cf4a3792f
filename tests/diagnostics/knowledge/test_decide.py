"""Root, symptom, cascade and noise told apart, on a small knowledge base of the tests."""

from pathlib import Path

import pytest

from diagnostics.knowledge.diagnose import diagnose
from diagnostics.knowledge.diagnosis import Diagnosis
from diagnostics.knowledge.load import Knowledge, read_file, together

OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 5.55 GiB."
SAMPLING = "RuntimeError: probability tensor contains either `inf`, `nan` or element < 0"
DIED = "ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task."
STEP = "step:{} - actor/loss:0.1"
TRACE = 'Traceback (most recent call last):\n  File "/x/train.py", line 3, in main\n    run()\n'


def steps(count: int, prefix: str = "") -> str:
    return "".join(f"{prefix}{STEP.format(number)}\n" for number in range(count))


@pytest.fixture(scope="module")
def known() -> Knowledge:
    return together([read_file(Path(__file__).parent / "starter.yaml")])


class Look:
    """Diagnoses texts with the knowledge of the tests."""

    def __init__(self, folder: Path, known: Knowledge) -> None:
        self.folder, self.known = folder, known

    def at(self, text: str) -> Diagnosis:
        path = self.folder / "train.log"
        path.write_text(text)
        return diagnose(str(path), known=self.known)

    def causes(self, text: str) -> list[str]:
        return [finding.cause for finding in self.at(text).findings]

    def in_files(self, **texts: str) -> Diagnosis:
        for name, text in texts.items():
            (self.folder / f"{name}.log").write_text(text)
        return diagnose(str(self.folder), known=self.known)


@pytest.fixture
def look(tmp_path: Path, known: Knowledge) -> Look:
    return Look(tmp_path, known)


def test_a_healthy_log_has_no_findings(look: Look):
    assert look.causes(steps(300)) == []
    assert (
        look.causes("[W socket.cpp:401] [c10d] cannot be initialized on [::]:29500 (errno: 97 - x).\n") == []
    )


def test_a_root_names_its_cause_and_fills_its_numbers_in(look: Look):
    found = look.at(steps(5) + f"[rank3]: {TRACE}[rank3]: {OOM}\n{DIED}\n").findings[0]
    assert (found.cause, found.group, found.signature) == ("cuda-oom-train", "memory", "oom")
    assert found.meaning == "It wanted 5.55 GiB."
    assert [(fix.text, fix.set) for fix in found.fixes] == [
        ("free 5.55 GiB", {"batch.micro_train_batch_size": "smaller"})
    ]
    assert [(e.line, e.rank) for e in found.evidence] == [(9, 3)]
    assert [e.text for e in found.ruled_out] == [DIED]
    assert found.confidence > 0.7


def test_a_symptom_counts_only_without_a_root(look: Look):
    assert look.causes(SAMPLING + "\n") == ["nan-loss"]
    assert look.causes(f"{SAMPLING}\n{OOM}\n")[0] == "cuda-oom-train"


def test_a_cascade_is_never_the_cause(look: Look):
    assert look.causes(f"{DIED}\n") == ["worker-died-unknown"]
    assert look.causes(f"{DIED}\n{OOM}\n")[0] == "cuda-oom-train"


def test_workers_that_go_when_the_training_is_over_are_no_failure(look: Look):
    done = "Training Progress: 100%|##########| 435/435 [7:31:12<00:00, 62.23s/it]\n"
    assert look.causes(f"{done}{DIED}\n") == []
    assert look.causes("Loading checkpoint shards:  50%|#### | 2/4 [00:01<00:01]\n" + DIED) != []


def test_words_in_the_source_lines_of_a_traceback_are_no_messages(look: Look):
    text = (
        TRACE
        + '  File "a.py", line 9, in f\n    raise ValueError("CUDA out of memory. Tried to allocate 1 GiB")\n'
    )
    assert look.causes(text + "ValueError: the real one\n") == ["unknown"]


def test_a_traceback_that_was_pasted_without_its_indentation(look: Look):
    text = 'File “/x/a.py”, line 9, in f\nraise ValueError("CUDA out of memory. Tried to allocate 1 GiB")\n'
    assert look.causes(text + "ValueError: the real one\n") == ["unknown"]
    assert look.causes('File "<stdin>", line 9, in f\n' + OOM + "\n") == ["cuda-oom-train"]


def test_lines_nearby_decide_in_their_order(look: Look):
    frame = '(W pid=1)   File "a.py", line 9, in generate_sequences\n'
    assert look.causes(f"{frame}(W pid=1) {OOM}\n") == ["cuda-oom-rollout"]
    assert look.causes(f"(V pid=2)   {frame}(W pid=1) {OOM}\n") == ["cuda-oom-train"]
    assert look.causes(f"serving only\n{steps(200)}{OOM}\n") == ["cuda-oom-rollout"]
    assert look.causes(f"(W pid=1) probing the batch size\n{steps(200)}(W pid=1) {OOM}\n") == []
    assert look.causes(f"(V pid=2) probing the batch size\n(W pid=1) {OOM}\n") == ["cuda-oom-train"]


def test_the_block_of_a_line_holds_lines_of_its_own_process_only(look: Look):
    between = "".join(f"(V pid={n}) step {n}\n" for n in range(300))
    frame = '(W pid=1)   File "a.py", line 9, in generate_sequences\n'
    assert look.causes(f"{frame}{between}(W pid=1) {OOM}\n") == ["cuda-oom-rollout"]


def test_patterns_may_span_lines(look: Look):
    text = (
        "RuntimeError: Version mismatch: The cluster was started with:\n    Ray: 2.12.0\n    Python: 3.11\n"
    )
    found = look.at(text).findings[0]
    assert (found.cause, found.numbers["theirs"]) == ("ray-version", "2.12.0")


def test_digits_matter_to_raw_signatures(look: Look):
    other = "NVRM: Xid (PCI:0000:3b:00): 43, Ch 00000010\n"
    fatal = "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen\n"
    assert look.causes(other * 3000) == []
    found = look.at(other * 3000 + fatal).findings[0]
    assert (found.cause, found.numbers["xid"], found.evidence[0].line) == ("xid-hardware", "79", 3001)


def test_the_earlier_of_two_processes_wins_and_the_more_specific_in_one_block(look: Look):
    weak = "AttributeError: 'X' object has no attribute 'y'"
    assert look.causes(f"(A pid=1) {weak}\n(B pid=2) {OOM}\n")[0] == "cuda-oom-train"
    assert look.causes(weak + "\n") == ["library-version-mismatch"]
    assert look.causes(f"(A pid=1) {OOM}\n(B pid=2) NVRM: Xid (PCI:0): 79, x\n")[0] == "cuda-oom-train"


def test_an_exception_that_was_caught_and_survived_is_no_failure(look: Look):
    caught = f"WARNING 05-26 08:10:26 [a.py:3] {OOM}\nWARNING 05-26 08:10:26 [a.py:4] retrying with half\n"
    assert look.causes(caught + steps(300)) == []
    assert look.causes(caught) == ["cuda-oom-train"]
    assert look.causes(f"{OOM}\n" + steps(300)) == ["cuda-oom-train"]


def test_an_unknown_exception_that_its_process_outlived_is_no_failure(look: Look):
    lost = TRACE + "mylib.StrangeError: lost\n"
    assert look.causes(lost + steps(300)) == []
    assert look.causes(lost) == ["unknown"]
    assert look.causes(
        "".join(f"[rank1]: {line}\n" for line in lost.splitlines()) + steps(300, "[rank0]: ")
    ) == ["unknown"]


def test_progress_of_others_excuses_no_exception_where_a_process_died(look: Look):
    lost = TRACE + "mylib.StrangeError: lost\n"
    assert look.causes(lost + DIED + "\n" + steps(300)) == ["unknown"]


def test_unknown_quotes_the_first_exception_of_the_earliest_process(look: Look):
    text = f"{TRACE}mylib.StrangeError: first\n{TRACE}ValueError: second\n{DIED}\n"
    found = look.at(text).findings[0]
    assert (found.cause, found.group) == ("unknown", "unknown")
    assert found.evidence[0].text == "mylib.StrangeError: first"
    assert [e.text for e in found.ruled_out] == ["ValueError: second", DIED]
    assert found.confidence <= 0.3


def test_an_error_line_without_exception_is_unknown_only_when_nothing_goes_on(look: Look):
    assert look.causes("[2025-01-01 10:00:00] [ERROR] [x.py:3] the frobnicator is jammed\n") == ["unknown"]
    assert look.causes("ERROR: pip's resolver did not take into account\n" + steps(100)) == []


def test_a_run_that_a_person_ended_did_not_fail(look: Look):
    assert look.causes("step:1 - loss:1\n" + TRACE + "KeyboardInterrupt\n") == []


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Fatal Python error: Segmentation fault", "a crash in native code"),
        ("[ERROR] slurmstepd: *** JOB 1 ON n1 CANCELLED DUE TO TIME LIMIT ***", "a time limit ended the run"),
    ],
)
def test_ends_without_a_cause_of_the_taxonomy_are_named(look: Look, text: str, title: str):
    assert [finding.title for finding in look.at(text + "\n").findings] == [title]


def test_between_files_the_time_decides(look: Look):
    late = f"2025-01-01 10:00:09,000 ERROR x {OOM}\n"
    early = "2025-01-01 10:00:01,000 ERROR NVRM: Xid (PCI:0): 48, x\n"
    found = look.in_files(a_late=late, b_early=early)
    assert found.findings[0].cause == "xid-hardware"
    assert found.findings[0].evidence[0].file.endswith("b_early.log")


def test_advice_is_no_evidence(look: Look):
    advice = "There are some potential root causes. (1) CUDA out of memory. Tried to allocate 2 GiB\n"
    assert look.causes(f"{advice}{DIED}\n") == ["worker-died-unknown"]
