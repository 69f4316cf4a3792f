"""One optimizer step of the policy: micro-batches, loss, gradients, and everything measured on the way."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from engine.algorithms.advantages import ESTIMATORS
from engine.algorithms.kl import kl_loss
from engine.algorithms.losses import ppo_clip, token_weights, truncated_importance_weight
from engine.algorithms.stats import StatsAccumulator, add_policy_stats
from engine.config.batch import generate_max_len
from engine.config.sections import RunConfig
from engine.data.batching import agree_on_count, make_micro_batches
from engine.data.experience import Experience, collate, pad_rows, present
from engine.group_experiences import group_experiences
from engine.metrics import METRIC_NAMES, reduce_stats
from engine.models.actor import Actor
from engine.models.logprob_pass import prompts_of
from engine.strategy import Strategy


class PolicyUpdate:
    """Holds what an optimizer step needs; `step` performs one over this rank's share of TBS responses.

    Ranks that share sequences compute one loss together, over the responses of all of them.
    """

    def __init__(
        self,
        config: RunConfig,
        strategy: Strategy,
        actor: Actor,
        optimizer: Optimizer,
        scheduler: LambdaLR,
        pad_token_id: int,
    ) -> None:
        self.config = config
        self.strategy = strategy
        self.actor = actor
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.pad_token_id = pad_token_id
        self.forwarded_tokens = 0
        """Tokens put through the model in updates; whoever reads it sets it back."""
        self.counts = strategy.sequence_group.rank == 0
        """Whether this rank measures what its sequence group does, which must count once."""
        self.loss_agg = config.algorithm.loss_agg or ESTIMATORS[config.algorithm.advantage_estimator].loss_agg

    def step(self, experiences: Sequence[Experience], kl_coef: float) -> dict[str, float]:
        """Update the weights; returns the step's metrics, global over ranks.

        An experience without `old_logprobs` is on-policy: its own log-probabilities of this pass serve and
        are stored in it. Every mean is over the whole optimizer step, whatever the number of ranks and the
        split into micro-batches.
        """
        n_tokens = sum(len(e.response_ids) for e in experiences)
        totals = torch.tensor([len(experiences), n_tokens], dtype=torch.float64)
        n_sequences, n_tokens_all = self.strategy.all_reduce(totals, "sum").tolist()
        stats = StatsAccumulator(self.strategy.device)
        together, _ = group_experiences(experiences, self.strategy)
        batches = self._micro_batches(together)
        for i, batch in enumerate(batches, 1):
            self._micro_step(batch, n_sequences, n_tokens_all, kl_coef, stats, last=i == len(batches))
        learning_rate = self.optimizer.param_groups[0]["lr"]
        norm = self.strategy.optimizer_step(self.optimizer, self.actor, self.scheduler)
        measured = reduce_stats(stats, self.strategy)
        metrics = {METRIC_NAMES[name]: value for name, value in measured.items()}
        return {**metrics, "grad/norm": norm, "lr/actor": learning_rate}

    def _micro_batches(self, experiences: Sequence[Experience]) -> list[list[Experience]]:
        budget = self.config.batch.max_tokens_per_micro_batch
        batches = make_micro_batches(
            [len(e) for e in experiences],
            prompts_of(self.actor, experiences),
            max_sequences=self.config.batch.micro_train_batch_size,
            max_tokens=budget,
            packed=self.actor.packs_rows,
        )
        agreed = agree_on_count(batches, lambda n: int(self.strategy.all_reduce_number(n, "max")))
        return [[experiences[i] for i in batch] for batch in agreed]

    def _micro_step(
        self,
        experiences: list[Experience],
        n_sequences: float,
        n_tokens: float,
        kl_coef: float,
        stats: StatsAccumulator,
        *,
        last: bool,
    ) -> None:
        """Forward and backward of one micro-batch; an empty one adds zero but joins every collective."""
        algorithm = self.config.algorithm
        batch = collate(
            experiences,
            self.pad_token_id,
            self.strategy.device,
            share_prompts=self.actor.shares_prompts,
            pack=self.actor.packs_rows,
        )
        if self.counts:
            self.forwarded_tokens += batch.n_tokens
        mask = batch.mask
        flat_logprobs, flat_entropy = self.actor(batch, entropy_grad=algorithm.entropy_coef > 0)
        logprobs, entropy = batch.unflatten(flat_logprobs), batch.unflatten(flat_entropy)
        old = self._old_logprobs(experiences, logprobs, mask)
        engine = pad_rows([e.engine_logprobs for e in experiences], mask)
        advantages = pad_rows([present(e.advantages) for e in experiences], mask)

        policy = ppo_clip(
            logprobs,
            old,
            advantages,
            mask,
            clip_low=algorithm.clip_range,
            clip_high=algorithm.clip_range_higher or algorithm.clip_range,
            dual_clip=algorithm.dual_clip,
        )
        token_loss = policy.token_loss
        if algorithm.tis_cap is not None:
            token_loss = token_loss * truncated_importance_weight(old, engine, mask, algorithm.tis_cap)
        weights = token_weights(
            mask,
            self.loss_agg,
            n_sequences=n_sequences,
            n_tokens=n_tokens,
            generate_max_len=generate_max_len(self.config),
        )
        counted = mask & self.counts
        policy_loss = (token_loss.detach() * weights * counted).sum()
        kl = None
        if algorithm.init_kl_coef > 0:
            reference = pad_rows([present(e.ref_logprobs) for e in experiences], mask)
            kl = kl_loss(logprobs, reference, mask, algorithm.kl_estimator)
            token_loss = token_loss + kl_coef * kl
        if algorithm.entropy_coef > 0:
            token_loss = token_loss - algorithm.entropy_coef * entropy
        loss = (token_loss * weights).sum()
        self.strategy.backward(loss, self.actor, self.optimizer, last=last)
        add_policy_stats(
            stats,
            policy,
            counted,
            policy_loss=policy_loss,
            logprobs=logprobs,
            old_logprobs=old,
            engine_logprobs=engine,
            kl=kl,
            entropy=entropy,
            tis_cap=algorithm.tis_cap,
        )

    @staticmethod
    def _old_logprobs(experiences: list[Experience], logprobs: Tensor, mask: Tensor) -> Tensor:
        # Two epochs in one step: a micro-batch may mix responses met before in this step with new ones.
        stored = [e.old_logprobs for e in experiences if e.old_logprobs is not None]
        if stored and len(stored) == len(experiences):
            return pad_rows(stored, mask)
        old = logprobs.detach()
        rows = old.cpu()
        for i, e in enumerate(experiences):
            e.old_logprobs = rows[i, : len(e.response_ids)].clone()
        return old
