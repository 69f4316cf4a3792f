"""What a free-text note says, in the words that sources use."""

import pytest

from diagnostics.trainers.notes import ABLATION, Note


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("evidence=measured; peak in gib", 2**30),
        ("evidence=measured; peak in gb as written", 10**9),
        ("evidence=reported; near full", None),
    ],
)
def test_the_unit_of_peaks(text: str, unit: int | None) -> None:
    assert Note(text).unit == unit


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("dynamic batch 24000 tokens per gpu", 24_000),
        ("dynamic batching (16k tokens per rank)", 16_384),
        ("ppo_max_token_len_per_gpu=8,192", 8192),
        ("8192 tokens", None),
    ],
)
def test_a_token_budget(text: str, tokens: int | None) -> None:
    assert Note(text).tokens == tokens


@pytest.mark.parametrize(
    ("text", "length"),
    [("packed 8192, liger", 8192), ("512000 tokens packed, sp8", 512_000), ("not packed, no liger", None)],
)
def test_a_packed_length(text: str, length: int | None) -> None:
    assert Note(text).packed_length == length


@pytest.mark.parametrize(
    ("text", "tp", "pp", "sp"),
    [
        ("optimizer offloaded; train tp8; peak in gib", 8, 1, 1),
        ("megatron tp4 pp2 ep8", 4, 2, 1),
        ("training: tp=2, context parallel 4", 2, 1, 4),
        ("tokens split over ulysses sp2; vllm tp 4", None, 1, 2),
        ("layers split over 2 cards", None, 2, 1),
        ("sequence parallel size 8", None, 1, 8),
    ],
)
def test_parallelism_of_the_trainer_is_not_the_engines(text: str, tp: int | None, pp: int, sp: int) -> None:
    note = Note(text)
    assert (note.tp, note.pp, note.sp) == (tp, pp, sp)


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("packed 8192, liger fused ce", "fused"),
        ("packed 8192, no liger: fp32 logits", "whole"),
        ("chunked ce", "chunked"),
        ("packed", None),
    ],
)
def test_how_logits_are_computed(text: str, head: str | None) -> None:
    assert Note(text).head == head


def test_a_cumulative_ablation_has_everything_up_to_its_step() -> None:
    note = Note("ablation, pure bf16, cumulative: + chunked ce; peak in gib")
    assert [note.climbed(step) for step in ABLATION] == [True] * 4 + [False] * 4
    assert note.head == "chunked" and note.compiled and not note.eight_bit_adam
    last = Note("ablation, cumulative: qlora")
    assert last.climbed("8-bit") and last.quantized


@pytest.mark.parametrize(
    ("text", "capacity"),
    [
        ("killed at 726 of 760 gb host memory", 760e9),
        ("96 gb node, ray kills the worker", 96e9),
        ("ram 1 tb; peak 70 gb", 1e12),
        ("one allocation of 34.83 gib: image tokens", None),
        ("used 60 of 80 gb on the card", None),
    ],
)
def test_host_memory_is_not_a_cards(text: str, capacity: float | None) -> None:
    assert Note(text).host_capacity == capacity


def test_cards_that_train_are_fewer_where_roles_have_their_own() -> None:
    note = Note("ranks split by role: the actor is sharded over 3 cards only (1 per node), reference 18")
    assert note.trainers == 3 and note.roles_apart and note.engine_elsewhere


@pytest.mark.parametrize("text", ["1.2.3 tokens per gpu", "tokens per gpu: ..", "sp", "packed ,", ""])
def test_text_without_sense_says_nothing(text: str) -> None:
    note = Note(text)
    assert (note.tokens, note.packed_length, note.sp, note.unit) == (None, None, 1, None)
