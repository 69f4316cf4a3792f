"""What events add up to: spans of steps, waits of ranks, tokens, the most that a GPU held."""

from engine.events import Collective, Gpu, Header, Heartbeat, Metric, Phase, Status
from rftui.runs.state import KEEP_WAIT_STEPS, RunState


def phase(step: int, name: str, begin: float, end: float) -> list[Phase]:
    return [
        Phase(t=begin, rank=0, step=step, name=name, state="begin"),
        Phase(t=end, rank=0, step=step, name=name, state="end", seconds=end - begin),
    ]


def state_of(*events: object) -> RunState:
    state = RunState()
    state.apply(events)  # type: ignore[arg-type]
    return state


def test_a_step_spans_until_the_next_begins_but_not_across_a_restart() -> None:
    state = state_of(
        *phase(1, "rollout", 10, 14),
        *phase(1, "update", 14, 16),
        *phase(2, "rollout", 17, 20),
        Header(t=500.0, rank=0),
        *phase(3, "rollout", 501, 505),
    )
    assert state.step_spans == {1: (10, 17), 2: (17, 20), 3: (501, 505)}


def test_tokens_add_up_and_are_taken_back_with_their_steps() -> None:
    def metric(step: int) -> Metric:
        return Metric(t=step, rank=0, step=step, values={"throughput/tokens_per_s": 50.0, "time/step": 2.0})

    state = state_of(*(metric(step) for step in range(1, 5)))
    assert list(state.tokens.values) == [100, 200, 300, 400]
    state.apply([Status(t=9.0, rank=0, state="resumed", step=2), metric(3)])
    assert list(zip(state.tokens.steps, state.tokens.values, strict=True)) == [(1, 100), (2, 200), (3, 300)]
    state.apply([Metric(t=10.0, rank=0, step=4, values={"time/step": 2.0})])
    assert len(state.tokens) == 3


def test_waits_are_of_collectives_that_need_all_ranks_and_of_the_newest_steps() -> None:
    def collective(step: int, op: str) -> Collective:
        return Collective(t=step, rank=1, step=step, group="world", op=op, size=1, seconds=0.5)

    state = state_of(*(collective(step, op) for step in range(40) for op in ("all_reduce", "gather_objects")))
    waited = state.ranks[1].waited
    assert len(waited) == KEEP_WAIT_STEPS and list(waited)[-1] == 39 and set(waited.values()) == {0.5}


def test_the_last_heartbeat_and_the_most_memory_of_a_gpu_are_kept() -> None:
    used = [
        Gpu(t=t, host="n", index=0, memory_used=m) for t, m in ((1.0, 5), (2.0, 9), (3.0, 7), (4.0, None))
    ]
    beat = Heartbeat(
        t=5.0, rank=0, step=1, phase="update", op="all_reduce", group="world", seq=3, waiting=1.5
    )
    state = state_of(*used, beat)
    assert state.gpu_peaks == {("n", 0): 9}
    assert state.ranks[0].heartbeat == beat
