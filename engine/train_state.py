"""Everything besides weights and optimizer that a resumed run needs to continue as if never interrupted."""

from dataclasses import dataclass
from typing import Any

from torch.optim.lr_scheduler import LambdaLR

from engine.algorithms.kl import KLController
from engine.algorithms.normalisation import RunningMoments
from engine.data.order import PromptOrder
from engine.schedule import continue_schedule


@dataclass
class TrainState:
    """Global state, the same on every rank. `step` counts completed optimizer steps."""

    order: PromptOrder
    kl: KLController
    scheduler: LambdaLR
    moments: RunningMoments | None
    step: int = 0

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "order": self.order.state_dict(),
            "kl": self.kl.state_dict(),
            "scheduler_steps": self.scheduler.last_epoch,
            "moments": self.moments.state_dict() if self.moments else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.order.load_state_dict(state["order"])
        self.kl.load_state_dict(state["kl"])
        continue_schedule(self.scheduler, state["scheduler_steps"])
        if self.moments is not None and state["moments"] is not None:
            self.moments.load_state_dict(state["moments"])
