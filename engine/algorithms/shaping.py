"""What happens to rewards before the estimator and to advantages after it.

The order, each step optional: `clip_symmetric` (reward_clip), `RunningMoments` (reward_running_norm),
`overlong_penalty` added; then the estimator; then `whiten` (advantages_norm), `clip_symmetric`
(advantage_clip).
"""

import torch
from torch import Tensor


def clip_symmetric(values: Tensor, limit: float) -> Tensor:
    """Values clipped to ± `limit`; 0 is off."""
    return values.clamp(-limit, limit) if limit > 0 else values


def overlong_penalty(lengths: Tensor, generate_max_len: int, buffer_len: int, penalty: float) -> Tensor:
    """DAPO's soft overlong punishment (arXiv:2503.14476): float32 to add to the rewards, never positive.

    0 up to `generate_max_len − buffer_len` response tokens, then linear to −`penalty` at
    `generate_max_len`. `lengths`: response tokens, any shape. `buffer_len` 0 is off.
    """
    if buffer_len == 0:
        return torch.zeros(lengths.shape, device=lengths.device)
    if buffer_len > generate_max_len:
        raise ValueError(f"overlong_buffer_len {buffer_len} exceeds generate_max_len {generate_max_len}")
    over = lengths.float() - (generate_max_len - buffer_len)
    return -penalty * (over / buffer_len).clamp(0, 1)
