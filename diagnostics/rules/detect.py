"""Which trainer a configuration is for: by the program that is started, else by its options or keys."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from diagnostics.rules.foreign import Framework
from diagnostics.rules.launch import Launch
from diagnostics.rules.lightrft_flags import FLAGS as LIGHTRFT
from diagnostics.rules.openrlhf_flags import NEW as OPENRLHF_NEW
from diagnostics.rules.openrlhf_flags import OLD as OPENRLHF
from diagnostics.rules.read_openrlhf import is_trainer
from engine.config.sections import RunConfig

NAMES: dict[Framework, str] = {
    "rftui": "rftui",
    "lightrft": "LightRFT",
    "openrlhf": "OpenRLHF",
    "verl": "verl",
    "trl": "TRL",
    "trinity": "Trinity-RFT",
}
UNDERSTOOD = (
    "rftui's own YAML; LightRFT scripts (torchrun … train_colocate.py --flags); OpenRLHF scripts (… -m "
    "openrlhf.cli.train_ppo_ray --flags); verl scripts and YAML (-m verl.trainer.main_ppo a.b=c); TRL "
    "(trl grpo …, YAML, GRPOConfig(…) in Python); Trinity-RFT YAML"
)
_TOOLS: dict[str, Framework] = {"trl grpo": "trl", "trl rloo": "trl", "trinity run": "trinity"}
_NOT_RL = re.compile(
    r"(^|[/._])(train_)?(srm|grm|sft|dpo|kto|rm|prm|eval\w*|serve\w*|test\w*)(_\w+)?(\.py)?$"
)
"""Programs that train reward models, fine-tune on examples, evaluate or serve."""
_OURS = set(RunConfig.model_fields)
_TRINITY = {"mode", "cluster", "buffer", "explorer", "synchronizer", "monitor", "checkpoint_root_dir"}
_VERL = {"actor_rollout_ref", "reward_model", "custom_reward_function", "critic"}
_TRL = {
    "num_generations",
    "per_device_train_batch_size",
    "max_completion_length",
    "gradient_accumulation_steps",
    "use_vllm",
    "vllm_mode",
    "reward_funcs",
    "model_name_or_path",
}
_SHARED_BY_LIGHTRFT_AND_OPENRLHF = set(LIGHTRFT) & set(OPENRLHF)
_FEW = 2
"""Names of its own that make an unknown program one of a trainer's."""


def of_launch(launch: Launch) -> Framework | None:
    """The trainer that a command starts, None where it starts none that is understood."""
    program = launch.program
    name = PurePosixPath(program).name
    if program.startswith(("rft ", "rftui ")):
        return "rftui"
    if program.startswith(("trl ", "trinity ")):
        return _TOOLS.get(program)
    if program.startswith("verl.trainer.main_") or name in ("main_ppo.py", "main_dapo.py"):
        return "verl"
    if program.startswith("openrlhf.") or name in ("train_ppo_ray.py", "train_ppo.py"):
        return "openrlhf" if is_trainer(program) else None
    if name == "train_colocate.py":
        return "lightrft"
    if _NOT_RL.search(program):
        return None
    names = option_names(launch)
    found = of_names(names)
    if (
        found is None
        and program.endswith(".py")
        and len(set(names) & _SHARED_BY_LIGHTRFT_AND_OPENRLHF) > _FEW
    ):
        return "lightrft"  # OpenRLHF's programs are modules
    return found


def option_names(launch: Launch) -> list[str]:
    """Names of the options of a command: `--a-b=c` → `a_b`, `+a.b=c` → `a.b`."""
    names = []
    for word in launch.arguments:
        name = word.text.partition("=")[0]
        if word.text.startswith("--"):
            names.append(name.lstrip("-").replace("-", "_"))
        elif "=" in word.text and "." in name:
            names.append(name.lstrip("+~"))
    return names


def of_names(names: Iterable[str]) -> Framework | None:
    """The trainer whose own option names or dotted keys these are."""
    given = set(names)
    tops = {name.partition(".")[0] for name in given}
    if "actor_rollout_ref" in tops or len(tops & _VERL) >= _FEW:
        return "verl"
    lightrft = given & (set(LIGHTRFT) - _SHARED_BY_LIGHTRFT_AND_OPENRLHF)
    openrlhf = given & ((set(OPENRLHF) | set(OPENRLHF_NEW)) - _SHARED_BY_LIGHTRFT_AND_OPENRLHF)
    shared = given & _SHARED_BY_LIGHTRFT_AND_OPENRLHF
    trl = given & _TRL
    if len(trl) >= _FEW and len(trl) >= len(lightrft) + len(openrlhf):
        return "trl"
    if max(len(lightrft), len(openrlhf)) >= 1 and len(shared) + len(lightrft) + len(openrlhf) > _FEW:
        return "lightrft" if len(lightrft) >= len(openrlhf) else "openrlhf"
    return None


def of_keys(names: Iterable[str]) -> Framework | None:
    """The trainer whose YAML file has these dotted keys."""
    given = set(names)
    tops = {name.partition(".")[0] for name in given}
    if len(tops & _TRINITY) >= _FEW:
        return "trinity"
    if tops & _OURS and not tops & (_VERL | {"trainer"}) and 2 * len(tops & _OURS) > len(tops):
        return "rftui"
    return of_names(given)
