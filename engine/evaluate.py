"""Held-out evaluation with its own sampling settings, which training's random state never notices."""

from collections.abc import Sequence

import torch

from engine.algorithms.stats import StatsAccumulator
from engine.config.batch import generate_max_len
from engine.config.sections import RunConfig
from engine.data.types import Prompt
from engine.experience_maker import ExperienceMaker, Rollout
from engine.metrics import reduce_stats
from engine.rollout.base import SamplingParams
from engine.strategy import Strategy


class Evaluator:
    """Scores one response per held-out prompt at each of `eval_temperatures`."""

    def __init__(
        self, config: RunConfig, strategy: Strategy, maker: ExperienceMaker, prompts: Sequence[Prompt]
    ) -> None:
        self.config = config
        self.strategy = strategy
        self.maker = maker
        self.prompts = prompts

    def run(self) -> dict[str, float]:
        """`eval/accuracy`, `eval/reward`, `eval/length_mean` for the first temperature; `…_t<T>` for others.

        Accuracy is the share of responses whose first reward component exceeds one half. Collective.
        """
        metrics: dict[str, float] = {}
        for i, temperature in enumerate(self.config.eval.eval_temperatures):
            suffix = "" if i == 0 else f"_t{temperature:g}"
            last = i == len(self.config.eval.eval_temperatures) - 1
            metrics |= {f"eval/{k}{suffix}": v for k, v in self._at(temperature, last).items()}
        return metrics

    def _at(self, temperature: float, last: bool) -> dict[str, float]:
        params = SamplingParams(
            n=1,
            temperature=temperature,
            top_p=self.config.eval.eval_top_p,
            top_k=-1,
            max_tokens=generate_max_len(self.config),
            min_tokens=0,
        )
        generator = torch.Generator(self.strategy.device)
        generator.manual_seed(self.config.run.seed + self.strategy.rank)
        mine = self.strategy.deal(self.prompts)
        experiences = self.maker.generate(mine, params, generator, sleep_engine=last)
        return self._measure(self.maker.score(mine, experiences, n=1))

    def _measure(self, rollout: Rollout) -> dict[str, float]:
        stats = StatsAccumulator(self.strategy.device)
        first = next(iter(rollout.scores.parts.values()))
        stats.add_mean("accuracy", sum(score > 0.5 for score in first), len(first))
        stats.add_mean("reward", rollout.rewards.double().sum(), rollout.rewards.numel())
        stats.add_mean("length_mean", rollout.lengths.double().sum(), rollout.lengths.numel())
        return reduce_stats(stats, self.strategy)
