"""Writes down what a step did: metrics, a few samples, trajectories, and a line on the console."""

from typing import Any, Literal

from sqlalchemy.exc import SQLAlchemyError

from engine.alerts import Alerts, Say
from engine.config.sections import RunConfig
from engine.data.experience import present
from engine.events import Alert, Metric, Sample
from engine.experience_maker import Rollout
from engine.findings import Finding, Fix, render
from engine.strategy import Strategy
from engine.telemetry import Telemetry
from engine.token_differences import token_differences
from engine.trajectories import TrajectorySaver, label_text

SAMPLES_PER_STEP = 2
SAMPLE_CHARACTERS = 2000


def say_on_rank_0(strategy: Strategy, telemetry: Telemetry) -> Say:
    """What `Alerts` calls: an event of rank 0, and a line on its console."""

    def say(state: Literal["raised", "cleared"], finding: Finding, step: int) -> None:
        if strategy.rank == 0:
            telemetry.emit(Alert, state=state, finding=finding, step=step)
        if state == "raised":
            strategy.print(render(finding))

    return say


class Recorder:
    """Rank 0 writes; every rank calls, because trajectories are gathered."""

    def __init__(
        self,
        config: RunConfig,
        strategy: Strategy,
        telemetry: Telemetry,
        trajectories: TrajectorySaver | None,
        alerts: Alerts,
        tokenizer: Any,
    ) -> None:
        self.config = config
        self.strategy = strategy
        self.telemetry = telemetry
        self.trajectories = trajectories
        self.alerts = alerts
        self.tokenizer = tokenizer

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """One metric event from rank 0."""
        if self.strategy.rank == 0:
            self.telemetry.emit(Metric, step=step, values=values)

    def responses(self, step: int, rollout: Rollout) -> None:
        """The first responses of a rollout, evenly from all ranks, to the trajectory database. Collective."""
        wanted = self.config.logging.num_trajectories_to_save
        if wanted == 0:
            return
        share = -(-wanted // self.strategy.world_size)
        gathered = self.strategy.gather_objects(self._rows(step, rollout, share))
        if gathered is None or self.trajectories is None:
            return
        rows = [row for rank_rows in gathered for row in rank_rows][:wanted]
        self._keep(self.trajectories, rows, step)
        for row in rows[:SAMPLES_PER_STEP]:
            self.telemetry.emit(
                Sample,
                step=step,
                prompt=row["prompt"][:SAMPLE_CHARACTERS],
                response=row["response"][:SAMPLE_CHARACTERS],
                reward=row["reward"],
                label=row["label"],
                truncated=row["truncated"],
            )

    def _rows(self, step: int, rollout: Rollout, count: int) -> list[dict[str, Any]]:
        n = rollout.rewards.shape[1] if rollout.rewards.numel() else 1
        return [self._row(step, rollout, i, n) for i in range(min(count, len(rollout.experiences)))]

    def _row(self, step: int, rollout: Rollout, i: int, n: int) -> dict[str, Any]:
        experience, prompt, response = rollout.experiences[i], rollout.prompts[i // n], rollout.responses[i]
        mean = tokens = None  # where another rank trained on this response
        if experience.old_logprobs is not None:
            differences = experience.old_logprobs - experience.engine_logprobs
            mean = float(differences.abs().mean())
            tokens = token_differences(self.tokenizer, experience.response_ids, response, differences)
        return {
            "step": step,
            "prompt_index": prompt.index,
            "sample": i % n,
            "prompt": prompt.text,
            "response": response,
            "label": label_text(prompt.label),
            "reward": float(rollout.scores.total[i]),
            "reward_parts": {name: float(part[i]) for name, part in rollout.scores.parts.items()},
            "advantage": float(present(experience.advantages).mean()),
            "response_tokens": len(experience.response_ids),
            "truncated": experience.truncated,
            "logprob_diff": mean,
            "tokens": tokens,
        }

    def _keep(self, trajectories: TrajectorySaver, rows: list[dict[str, Any]], step: int) -> None:
        """Save rows. A database that refuses them (full disk) raises an alert and does not end the run."""
        refused: list[Finding] = []
        try:
            trajectories.save(rows)
        except SQLAlchemyError as error:
            refused.append(_not_saved(error))
        self.alerts.update("trajectories", refused, step)

    def line(self, step: int, total_steps: int, values: dict[str, float]) -> None:
        """A line of the most telling metrics on the console."""
        shown = " ".join(f"{name} {values[key]:.4g}" for key, name in _LINE_METRICS.items() if key in values)
        self.strategy.print(f"step {step}/{total_steps} {shown}")

    def forget_after(self, step: int) -> None:
        """Drop trajectories of steps that a resumed run makes again."""
        if self.trajectories is not None:
            self.trajectories.forget_after(step)

    def close(self) -> None:
        """Let go of the database."""
        if self.trajectories is not None:
            self.trajectories.close()


_LINE_METRICS = {
    "reward/mean": "reward",
    "kl/ref": "kl",
    "policy/entropy": "entropy",
    "response/length_mean": "length",
    "grad/norm": "grad",
    "time/step": "seconds",
}


def _not_saved(error: SQLAlchemyError) -> Finding:
    return Finding(
        id="trajectories.not-saved",
        severity="warning",
        cause="The trajectory database takes no more responses; training goes on without.",
        evidence=tuple(str(error).splitlines()[:1]),
        param="logging.trajectory_url",
        fixes=(Fix("Make room where the database is, or see to its server."),),
    )
