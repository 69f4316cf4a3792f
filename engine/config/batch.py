"""The arithmetic between RBS, n, TBS, micro-batches and ranks; one place for rules, planner and words."""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from engine.config.sections import RunConfig


def generate_max_len(config: RunConfig) -> int:
    """Longest response in tokens: as set, else what the longest prompt leaves of `max_len`."""
    rollout = config.rollout
    return rollout.generate_max_len or rollout.max_len - rollout.prompt_max_len


def responses_per_rollout(config: RunConfig) -> int:
    """RBS × n."""
    return config.batch.rollout_batch_size * config.batch.n_samples_per_prompt


def responses_trained(config: RunConfig) -> int:
    """Responses that one rollout feeds to optimizer steps: RBS × n × max_epochs."""
    return responses_per_rollout(config) * config.optim.max_epochs


def steps_per_rollout(config: RunConfig) -> Fraction:
    """Optimizer steps per rollout, RBS × n × max_epochs / TBS; below 1 when a step spans several rollouts."""
    return Fraction(responses_trained(config), config.batch.train_batch_size)


def off_policy_steps(config: RunConfig) -> int:
    """Steps per rollout taken after the policy has moved on from the one that sampled: all but the first."""
    return max(0, math.ceil(steps_per_rollout(config)) - 1)


def data_parallel(config: RunConfig, world_size: int) -> int:
    """Groups of ranks that train on responses of their own: the ranks of a sequence group share theirs."""
    return max(1, world_size // config.parallel.sp_size)


def step_quantum(config: RunConfig, world_size: int) -> int:
    """What TBS must be a multiple of: micro_train_batch_size (1 with a token budget) × groups.

    And of the ranks, because each brings the same share of the responses.
    """
    batch = config.batch
    micro = 1 if batch.max_tokens_per_micro_batch else batch.micro_train_batch_size
    return math.lcm(world_size, micro * data_parallel(config, world_size))


def replicas(config: RunConfig, world_size: int) -> int:
    """Data-parallel engine replicas, which share the prompts of a rollout."""
    return max(1, world_size // config.rollout.engine_tp_size)


def divides_evenly(config: RunConfig) -> bool:
    """Whether rollouts and optimizer steps line up: one holds a whole number of the other."""
    steps = steps_per_rollout(config)
    return steps.denominator == 1 or steps.numerator == 1


class Grid(NamedTuple):
    """The values a batch size may have: some `divisors`, and every multiple of `period`."""

    divisors: tuple[int, ...]
    period: int

    def below(self, value: int) -> int | None:
        """The largest allowed value < `value`; None if there is none."""
        candidates = [d for d in self.divisors if d < value]
        if value > self.period:
            candidates.append((value - 1) // self.period * self.period)
        return max(candidates, default=None)

    def above(self, value: int) -> int:
        """The smallest allowed value > `value`."""
        return min([d for d in self.divisors if d > value] + [(value // self.period + 1) * self.period])


def tbs_grid(config: RunConfig, world_size: int) -> Grid:
    """The values of TBS that satisfy every relation, all else as it is."""
    trained, quantum = responses_trained(config), step_quantum(config, world_size)
    return Grid(tuple(d for d in _divisors(trained) if d % quantum == 0), math.lcm(quantum, trained))


def rbs_grid(config: RunConfig, world_size: int) -> Grid:
    """The values of RBS that divide among replicas and line up with TBS, all else as it is."""
    tbs, shared = config.batch.train_batch_size, replicas(config, world_size)
    per_prompt = config.batch.n_samples_per_prompt * config.optim.max_epochs
    whole_steps = math.lcm(shared, tbs // math.gcd(tbs, per_prompt))
    if tbs % per_prompt:
        return Grid((), whole_steps)
    return Grid(tuple(d for d in _divisors(tbs // per_prompt) if d % shared == 0), whole_steps)


def batch_words(config: RunConfig, world_size: int) -> str:
    """The arithmetic of a run in words, for a person to check."""
    batch, optim = config.batch, config.optim
    sampled, steps = responses_per_rollout(config), steps_per_rollout(config)
    words = [
        f"a rollout samples {_count(batch.rollout_batch_size, 'prompt')} × "
        f"{_count(batch.n_samples_per_prompt, 'response')} = {_count(sampled, 'response')}"
    ]
    if optim.max_epochs > 1:
        words.append(f"each is trained on {optim.max_epochs} times")
    if steps < 1:
        words.append(
            f"an optimizer step takes {batch.train_batch_size}, gathered over {_number(1 / steps)} rollouts"
        )
    else:
        words.append(
            f"{_number(steps)} optimizer step{'s' * (steps != 1)} of {batch.train_batch_size} per rollout"
        )
    if late := off_policy_steps(config):
        words.append(f"{late} of them off-policy")
    elif steps == 1:
        words.append("strictly on-policy")
    groups = data_parallel(config, world_size)
    share = Fraction(batch.train_batch_size, groups)
    if batch.max_tokens_per_micro_batch:
        micro = f"in micro-batches of at most {batch.max_tokens_per_micro_batch} tokens"
    else:
        count = share / batch.micro_train_batch_size
        micro = f"in {_number(count)} micro-batch{'es' * (count != 1)} of {batch.micro_train_batch_size}"
    who = _count(groups, "rank")
    if config.parallel.sp_size > 1:
        who = f"{_count(groups, 'group')} of {config.parallel.sp_size} sequence-parallel ranks"
    words.append(f"{who} × {_count(share, 'response')} per step, {micro}")
    return "; ".join(words)


def _divisors(number: int) -> Iterator[int]:
    for low in range(1, math.isqrt(number) + 1):
        if number % low == 0:
            yield low
            if low * low != number:
                yield number // low


def _count(number: int | Fraction, noun: str) -> str:
    return f"{_number(number)} {noun}{'s' * (number != 1)}"


def _number(number: int | Fraction) -> str:
    return f"{float(number):g}" if number != int(number) else str(int(number))
