"""The torchrun command of a run and the environment it gets. Pure: nothing is started or looked up here."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.health import flight_recorder

ENGINE_MODULE = "engine.train"
RUN_DIR_VARIABLE = "RFTUI_RUN_DIR"
SHUTDOWN_TIMEOUT_S = 10
SPIN_COUNT = "20000"
"""How long an idle OpenMP thread spins before it sleeps.

With other programs on both cores, the default made a quickstart step 40 times slower (13 s instead of 0.3 s);
this value made it 2.7 times slower. On an idle machine the two are equally fast.
"""


@dataclass(frozen=True)
class Command:
    """What starts the ranks: an argument vector, and variables added to the inherited environment."""

    argv: list[str]
    env: dict[str, str]

    def shell(self) -> str:
        """The same as one line for a shell."""
        variables = [f"{key}={shlex.quote(value)}" for key, value in self.env.items()]
        return " ".join([*variables, shlex.join(self.argv)])


def rank_command(
    run_dir: Path,
    *,
    nproc: int,
    master_port: int,
    cores: int,
    resume: bool,
    ckpt_path: Path | None = None,
    environ: Mapping[str, str],
    module: str = ENGINE_MODULE,
) -> Command:
    """torchrun starting `nproc` ranks of `module` on this machine.

    `ckpt_path`: a checkpoint to resume from in place of the configuration's. `environ` is what the ranks
    would inherit: what the user set there of the variables below stays. PYTHONSAFEPATH keeps folders of the
    working directory from shadowing our packages.
    """
    argv = [
        *(sys.executable, "-m", "torch.distributed.run"),
        *("--nnodes", "1", "--nproc-per-node", str(nproc), "--max-restarts", "0"),
        *("--master-addr", "127.0.0.1", "--master-port", str(master_port), "--local-addr", "127.0.0.1"),
        *("-m", module, "--config", str(run_dir / "config.yaml"), "--run_dir", str(run_dir)),
        *(("--load_checkpoint", "true") if resume else ()),
        *(("--ckpt_path", str(ckpt_path)) if ckpt_path else ()),
    ]
    env = {
        RUN_DIR_VARIABLE: str(run_dir),
        "PYTHONSAFEPATH": "1",
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(SHUTDOWN_TIMEOUT_S),
        "OMP_NUM_THREADS": environ.get("OMP_NUM_THREADS") or str(max(1, cores // nproc)),
        "GOMP_SPINCOUNT": environ.get("GOMP_SPINCOUNT") or SPIN_COUNT,
        **flight_recorder.switch_on(environ),
        **flight_recorder.dumps_to(run_dir, environ),
    }
    return Command(argv, env)
