"""Assembles a trainer from a configuration: tokenizer, models, engine, data, rewards, checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from engine.alerts import Alerts
from engine.algorithms.kl import make_kl_controller
from engine.algorithms.normalisation import RunningMoments
from engine.checkpoint.manager import CheckpointManager
from engine.config.choices import choice_words
from engine.config.rules import check
from engine.config.sections import RunConfig
from engine.config.setting_rules import REWARDS
from engine.data.order import PromptOrder
from engine.data.prompts import load_prompts
from engine.data.types import Prompt
from engine.evaluate import Evaluator
from engine.events import CheckpointEvent, Status
from engine.experience_maker import ExperienceMaker
from engine.findings import raise_errors, render
from engine.models.actor import Actor
from engine.models.compile import compile_layers
from engine.models.load_once import Loaded, load_once
from engine.models.loading import ModelSource, load_source, recompute_activations
from engine.models.lora import add_adapters
from engine.recorder import Recorder, say_on_rank_0
from engine.rewards.base import Part, Scorer, build_scorer
from engine.rewards.functions import adapt
from engine.rollout.start import start_engine
from engine.schedule import Plan, make_scheduler, plan_run
from engine.strategy import Strategy
from engine.telemetry import Telemetry
from engine.train_state import TrainState
from engine.trainer import Models, SPMDPPOTrainer
from engine.trajectories import TrajectorySaver


def build_trainer(
    config: RunConfig,
    run_dir: Path,
    strategy: Strategy,
    telemetry: Telemetry,
    *,
    reward_fn: Callable[..., list[float]] | None = None,
    trainer_class: type[SPMDPPOTrainer] = SPMDPPOTrainer,
) -> SPMDPPOTrainer:
    """A trainer ready to `fit`. `reward_fn` is used instead of the configured rewards. Collective.

    Raises FindingsError for what is wrong with the model, the data or the reward.
    """
    torch.manual_seed(config.run.seed)
    own = [Part("reward_fn", adapt(reward_fn, "reward_fn"))] if reward_fn else []
    scorer = Scorer(own) if own else build_scorer(config.reward)
    strategy.print(choice_words(config))
    with telemetry.phase("load"):
        source = load_source(config, strategy, lambda line: _announce(strategy, telemetry, line))
        prompts = _training_prompts(config, source)
        _check(config, source, strategy, len(prompts), own_reward=bool(own))
        plan = plan_run(config, len(prompts))
        models = build_models(config, source, strategy, plan)
        strategy.group_checks.check()  # those that sharding has made
        if strategy.rank == 0:
            telemetry.emit(Status, state="loaded", message="the weights are there, the rollout engine starts")
        strategy.setup_inference_engine(start_engine(config, source, strategy))
    maker = ExperienceMaker(strategy, source.tokenizer, scorer)
    held_out = _held_out_prompts(config, source)
    return trainer_class(
        config,
        run_dir=run_dir,
        strategy=strategy,
        models=models,
        maker=maker,
        prompts=prompts,
        evaluator=Evaluator(config, strategy, maker, held_out) if held_out else None,
        plan=plan,
        state=_state(config, models, len(prompts)),
        checkpoints=_checkpoints(config, run_dir, source, strategy, telemetry),
        telemetry=telemetry,
        recorder=_recorder(config, run_dir, source, strategy, telemetry),
    )


def _check(
    config: RunConfig, source: ModelSource, strategy: Strategy, n_prompts: int, *, own_reward: bool
) -> None:
    """All rules, now that model and data are known: errors are raised, warnings printed."""
    strategy.print(f"attention: {source.attention.reason}")
    findings = check(
        config,
        world_size=strategy.world_size,
        dataset_size=n_prompts,
        model_config=source.config.to_dict(),
        broken=REWARDS if own_reward else (),
    )
    raise_errors(findings)
    for finding in (*findings, *source.attention.findings):
        strategy.print(render(finding))


def _announce(strategy: Strategy, telemetry: Telemetry, line: str) -> None:
    if strategy.rank == 0:
        strategy.print(line)
        telemetry.emit(Status, state="warmup", message=line)


def _training_prompts(config: RunConfig, source: ModelSource) -> list[Prompt]:
    data = config.data
    return load_prompts(
        data.prompt_data,
        data=data,
        split=data.prompt_split,
        tokenizer=source.tokenizer,
        prompt_max_len=config.rollout.prompt_max_len,
        limit=data.max_samples,
        seed=config.run.seed,
    )


def _held_out_prompts(config: RunConfig, source: ModelSource) -> list[Prompt]:
    if config.eval.eval_data is None:
        return []
    return load_prompts(
        config.eval.eval_data,
        data=config.data.model_copy(update={"prompt_data_probs": None}),
        split=config.eval.eval_split,
        tokenizer=source.tokenizer,
        prompt_max_len=config.rollout.prompt_max_len,
        limit=config.eval.max_eval_samples,
        seed=config.run.seed,
    )


def build_models(config: RunConfig, source: ModelSource, strategy: Strategy, plan: Plan) -> Models:
    """Actor, reference model and optimizer, sharded and in their places. Collective."""
    lora = config.model.lora_rank > 0
    loaded = _load(source, strategy.compute_dtype if lora else torch.float32, strategy, trainable=True)
    model = loaded.model
    if config.memory.gradient_checkpointing:
        recompute_activations(model)
    n_parameters = sum(p.numel() for p in model.parameters())
    actor = _actor(config, model, strategy)
    if lora:
        add_adapters(model, config.model, base=source.name, seed=config.run.seed)
    strategy.prepare_model(actor, trainable=True, from_rank_0=not loaded.whole)
    reference = None
    if config.algorithm.init_kl_coef > 0 and not lora:
        loaded = _load(source, strategy.compute_dtype, strategy, trainable=False)
        reference = _actor(config, loaded.model, strategy)
        strategy.prepare_model(reference, trainable=False, from_rank_0=not loaded.whole)
    optimizer = strategy.make_optimizer(actor, lr=config.optim.actor_learning_rate)
    strategy.maybe_offload_optimizer(optimizer)  # masters of `use_mp_opt` are states from the start
    scheduler = make_scheduler(optimizer, config.optim, plan.total_steps)
    return Models(actor, reference, optimizer, scheduler, source.pad_token_id, n_parameters)


def _load(source: ModelSource, dtype: torch.dtype, strategy: Strategy, *, trainable: bool) -> Loaded:
    if strategy.fills_from_rank_0(trainable=trainable):
        return load_once(source, dtype, strategy)
    return Loaded(source.load(dtype), whole=True)


def _actor(config: RunConfig, model: Any, strategy: Strategy) -> Actor:
    actor = Actor(
        model,
        temperature=config.rollout.temperature,
        chunk_size=config.memory.chunk_size,
        fused=config.memory.fused_linear_logprob,
        packing=config.memory.packing_samples,
        sequence_group=strategy.sequence_group,
    )
    if config.model.torch_compile:
        compile_layers(actor)
    return actor


def _state(config: RunConfig, models: Models, n_prompts: int) -> TrainState:
    algorithm, reward = config.algorithm, config.reward
    moments = RunningMoments(minus_mean=reward.reward_running_norm_minus_mean)
    return TrainState(
        order=PromptOrder(n_prompts, config.batch.rollout_batch_size, config.run.seed),
        kl=make_kl_controller(algorithm.init_kl_coef, algorithm.kl_target, algorithm.kl_horizon),
        scheduler=models.scheduler,
        moments=moments if reward.reward_running_norm else None,
    )


def _checkpoints(
    config: RunConfig, run_dir: Path, source: ModelSource, strategy: Strategy, telemetry: Telemetry
) -> CheckpointManager:
    settings = config.checkpoint
    return CheckpointManager(
        Path(settings.save_path) if settings.save_path else run_dir / "checkpoints",
        max_num=settings.max_ckpt_num,
        max_gb=settings.max_ckpt_mem,
        rank=strategy.rank,
        world_size=strategy.world_size,
        on_event=lambda **fields: telemetry.emit(CheckpointEvent, **fields),
        hf_assets=source.save_assets,
        access=strategy.checkpoint_access,
    )


def _recorder(
    config: RunConfig, run_dir: Path, source: ModelSource, strategy: Strategy, telemetry: Telemetry
) -> Recorder:
    saver = None
    if strategy.rank == 0 and config.logging.num_trajectories_to_save > 0:
        saver = TrajectorySaver(config.logging.trajectory_url or f"sqlite:///{run_dir / 'trajectories.db'}")
    alerts = Alerts(say_on_rank_0(strategy, telemetry))
    return Recorder(config, strategy, telemetry, saver, alerts, source.tokenizer)
