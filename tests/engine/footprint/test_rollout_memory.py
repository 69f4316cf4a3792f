"""The engine's share of memory against published logs, and how much its cache holds."""

import pytest

from engine.footprint import rollout_hf, rollout_vllm
from engine.footprint.catalog import find_model
from engine.footprint.rollout import engine_states, kv_capacity
from engine.footprint.terms import Term
from tests.engine.footprint.jobs import CPU, GB, GIB, LLAMA_8B, QWEN_7B, job, place


def total(terms: tuple[Term, ...]) -> int:
    return sum(term.bytes for term in terms)


@pytest.mark.parametrize(
    ("card", "util", "others", "kv"),
    [(79.33, 0.9, (9.69, 1.27, 2.95), 57.48), (15.77, 0.9, (7.51, 0.39, 2.53), 3.76)],
)
def test_what_published_logs_leave_for_the_cache(
    card: float, util: float, others: tuple[float, ...], kv: float
) -> None:
    left = rollout_vllm.kv_left(int(card * util * GIB), int(sum(others) * GIB))
    assert left / GIB == pytest.approx(kv, abs=0.02)


def test_weights_of_one_rank_by_hand() -> None:
    shape = find_model(QWEN_7B)
    assert rollout_vllm.weight_bytes(shape, 1, 2) == pytest.approx(2 * shape.params, rel=1e-4)
    layer_norms = 1  # replicated, which the closed form divides: well below 0.1 %
    assert rollout_vllm.weight_bytes(shape, 4, 2) * 4 == pytest.approx(
        2 * shape.params * layer_norms, rel=1e-3
    )
    eight = rollout_vllm.weight_bytes(shape, 8, 2)
    copied = 2 * 2 * shape.layers * shape.hidden * 4 * 128  # K and V of 4 heads on 8 ranks: twice
    assert eight * 8 == pytest.approx(2 * shape.params + copied, rel=1e-3)


def test_fp8_leaves_embedding_and_head_as_they_are() -> None:
    shape = find_model(QWEN_7B)
    ends = 2 * 152_064 * 3584
    expected = 2 * ends + (shape.params - ends)
    assert rollout_vllm.weight_bytes(shape, 1, 2, fp8=True) == pytest.approx(expected, rel=1e-4)


def test_a_tied_embedding_is_one_tensor() -> None:
    shape = find_model("Qwen/Qwen2.5-0.5B")
    assert rollout_vllm.weight_bytes(shape, 1, 2) == pytest.approx(2 * 494_032_768, rel=1e-3)


def test_the_share_is_divided_up_completely() -> None:
    for tp, util in ((1, 0.4), (2, 0.6), (4, 0.9)):
        each = job(rollout={"engine_tp_size": tp, "engine_mem_util": util})
        assert total(engine_states(each).starting) == rollout_vllm.budget(each)


def test_graphs_count_inside_the_share_since_0_21() -> None:
    assert not rollout_vllm.semantics("0.20.3").graphs_in_share
    assert rollout_vllm.semantics("0.21.0").graphs_in_share
    assert rollout_vllm.semantics("0.32.1.dev3+cpu").keeps_graphs_asleep
    assert not rollout_vllm.semantics("0.33").keeps_graphs_asleep
    assert rollout_vllm.semantics("0.11") is rollout_vllm.VERSIONS[0]


def test_without_graphs_the_cache_is_larger_by_them() -> None:
    with_graphs, eager = job(), job(rollout={"engine_enforce_eager": True})
    assert rollout_vllm.graphs(eager) == ()
    larger = rollout_vllm.kv_share(eager) - rollout_vllm.kv_share(with_graphs)
    assert larger == total(rollout_vllm.graphs(with_graphs))


def test_graphs_are_near_what_was_reported() -> None:
    one = job("meta-llama/Llama-3.2-1B", place("A100-80", 1))
    per_graph = total(rollout_vllm.graphs(one)) / 51
    assert 35 * per_graph == pytest.approx(0.21 * GIB, rel=0.1)


def test_large_cards_get_larger_batches_but_not_the_a100() -> None:
    assert rollout_vllm.batch_limits(job(where=place("H100"))) == (16384, 1024)
    assert rollout_vllm.batch_limits(job()) == (8192, 256)
    assert rollout_vllm.batch_limits(job(where=place("RTX4090"))) == (8192, 256)
    assert rollout_vllm.batch_limits(job(where=place(CPU), rollout={"engine_tp_size": 2})) == (8192, 512)


def test_the_sampler_decides_on_a_large_card() -> None:
    term = rollout_vllm.profiled(job(where=place("H100")))
    assert "sampler" in term.formula
    assert term.bytes == 1024 * 152_064 * 20
    assert "temporaries" in rollout_vllm.profiled(job()).formula


def test_a_share_too_small_for_a_sequence_does_not_start() -> None:
    small = job(rollout={"engine_mem_util": 0.22, "max_len": 32768})
    capacity = kv_capacity(small)
    assert not capacity.starts and capacity.tokens < 32768
    cache = rollout_vllm.kv_cache(small)
    assert cache.bytes == 32768 * 57_344 and "one sequence" in cache.formula
    assert kv_capacity(job(rollout={"engine_mem_util": 0.5})).starts


def test_capacity_is_the_cache_over_the_bytes_of_a_token() -> None:
    each = job(
        LLAMA_8B, batch={"rollout_batch_size": 256, "n_samples_per_prompt": 8, "train_batch_size": 2048}
    )
    capacity = kv_capacity(each)
    assert capacity.tokens == rollout_vllm.kv_share(each) // 131_072
    assert capacity.demand == 256 * 8 // 8
    assert capacity.sequences(1e6) == 1
    assert capacity.sequences(1) == 256
    assert capacity.sequences(capacity.tokens / 10) == 10


def test_kv_heads_below_tp_do_not_shrink_the_cache_of_a_token() -> None:
    four, eight = (job(rollout={"engine_tp_size": tp}) for tp in (4, 8))
    assert rollout_vllm.one_sequence(four) == rollout_vllm.one_sequence(eight)


def test_the_hf_engine_by_hand() -> None:
    each = job(
        rollout={"engine_type": "hf", "max_len": 1024, "prompt_max_len": 512, "generate_max_len": 512},
        batch={
            "rollout_batch_size": 64,
            "n_samples_per_prompt": 8,
            "train_batch_size": 512,
            "micro_rollout_batch_size": 16,
        },
    )
    assert rollout_hf.rows(each) == 16
    assert rollout_hf.columns(each) == 512 + 512 + 64
    assert rollout_hf.weights(each).bytes == 2 * 7_615_616_512
    assert rollout_hf.kv_cache(each).bytes == 16 * 1088 * (57_344 + 12)
    assert rollout_hf.prefilled(each) == 2
    assert rollout_hf.prompts_cache(each).bytes == 2 * 512 * 57_344
    states = engine_states(each)
    assert total(states.outside) == 0
    assert total(states.awake) == total(states.synced) == 2 * 7_615_616_512
    assert all(term.where == "torch" for term in states.generating)
    capacity = kv_capacity(each)
    assert (capacity.most, capacity.demand, capacity.starts) == (16, 64, True)


def test_a_batch_larger_than_the_rollout_takes_only_what_there_is() -> None:
    each = job(rollout={"engine_type": "hf"}, batch={"micro_rollout_batch_size": 1000})
    assert rollout_hf.rows(each) == 64 * 4 // 8


def test_sglang_takes_its_share_of_what_is_free() -> None:
    half, most = (job(rollout={"engine_type": "sglang", "engine_mem_util": util}) for util in (0.5, 0.8))
    assert kv_capacity(half).tokens < kv_capacity(most).tokens
    taken = total(engine_states(half).generating)
    assert 0.5 * 70 * GB < taken < 0.5 * 85 * GB + 12 * GB


def test_layers_with_a_window_keep_no_more_than_that() -> None:
    """Gemma 2: every other of 42 layers sees 4,096 tokens."""
    each = job("google/gemma-2-9b")
    assert (each.shape.window, each.shape.windowed_layers) == (4096, 21)
    per_token = each.shape.kv_bytes(1, 2)
    assert rollout_vllm.sequence_bytes(each, 4096) == 4096 * per_token
    assert rollout_vllm.sequence_bytes(each, 8192) == 6144 * per_token


def test_the_hf_engine_always_has_room_for_what_it_is_asked() -> None:
    one = job(
        rollout={"engine_type": "hf", "max_len": 4096, "prompt_max_len": 64, "generate_max_len": 64},
        batch={"micro_rollout_batch_size": 1},
    )
    assert kv_capacity(one).starts
