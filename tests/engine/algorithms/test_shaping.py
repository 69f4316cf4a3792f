"""Reward and advantage clipping, and the soft overlong punishment."""

import pytest
import torch

from engine.algorithms.shaping import clip_symmetric, overlong_penalty


def test_clip_symmetric() -> None:
    values = torch.tensor([-3.0, -1.0, 0.0, 2.0])
    assert clip_symmetric(values, 1.5).tolist() == [-1.5, -1.0, 0.0, 1.5]
    assert clip_symmetric(values, 0).tolist() == values.tolist()


def test_overlong_penalty_by_hand() -> None:
    lengths = torch.tensor([0, 80, 81, 90, 95, 100])
    expected = [0, 0, -0.1, -1.0, -1.5, -2.0]
    assert overlong_penalty(lengths, 100, 20, 2.0).tolist() == pytest.approx(expected)
    assert overlong_penalty(lengths, 100, 0, 2.0).tolist() == [0.0] * 6


def test_overlong_buffer_longer_than_the_response_is_refused() -> None:
    with pytest.raises(ValueError, match="overlong_buffer_len 101 exceeds generate_max_len 100"):
        overlong_penalty(torch.tensor([5]), 100, 101, 1.0)
