"""Model FLOP utilisation: what the training phase did against what the device can do."""

from engine.footprint.devices import known_device


def peak_flops(device_name: str) -> float | None:
    """Peak FLOP/s of a device in bfloat16 by its CUDA name; None when unknown."""
    device = known_device(device_name)
    return device.peak if device else None


def training_flops(n_parameters: int, n_tokens: int, *, frozen: bool = False) -> float:
    """FLOPs of forward and backward over `n_tokens`: 6 per parameter and token (Kaplan et al. 2020).

    `frozen`: 4, where the parameters themselves get no gradient (a LoRA base). Attention's quadratic part and
    recomputation are left out, as is customary for MFU.
    """
    return (4.0 if frozen else 6.0) * n_parameters * n_tokens


def mfu(
    n_parameters: int, n_tokens: int, seconds: float, device_name: str, *, frozen: bool = False
) -> float | None:
    """Share of the device's peak that one rank used for training; None when the device is unknown."""
    peak = peak_flops(device_name)
    if peak is None or seconds <= 0:
        return None
    return training_flops(n_parameters, n_tokens, frozen=frozen) / seconds / peak


def throughput_metrics(
    values: dict[str, float], n_parameters: int, world_size: int, device_name: str, *, frozen: bool = False
) -> dict[str, float]:
    """Metrics of an iteration from its global sums.

    `values` holds `time/<phase>` and `time/step` in seconds, and the totals `samples`, `response_tokens`,
    `tokens`, `trained_tokens` (each pass over a token counts) and `forwarded_tokens` (those that really went
    through the model in updates: a shared prompt once) over all ranks. Adds tokens and samples per
    second, and MFU where the device's peak is known.
    """
    totals = ("samples", "response_tokens", "tokens", "trained_tokens", "forwarded_tokens")
    samples, response_tokens, tokens, trained_tokens, forwarded_tokens = (values.pop(name) for name in totals)
    rates = {
        "throughput/samples_per_s": _rate(samples, values["time/step"]),
        "throughput/tokens_per_s": _rate(response_tokens, values["time/step"]),
        "throughput/rollout_tokens_per_s": _rate(response_tokens, values.get("time/rollout", 0.0)),
        "throughput/update_tokens_per_s": _rate(trained_tokens, values.get("time/update", 0.0)),
    }
    if values.get("time/logprob"):
        rates["throughput/logprob_tokens_per_s"] = _rate(tokens, values["time/logprob"])
    tokens_per_rank = int(forwarded_tokens / world_size)
    seconds = values.get("time/update", 0.0)
    share = mfu(n_parameters, tokens_per_rank, seconds, device_name, frozen=frozen)
    if share is not None:
        rates["throughput/mfu"] = share
    return {**values, **rates}


def _rate(amount: float, seconds: float) -> float:
    return amount / seconds if seconds > 0 else 0.0
