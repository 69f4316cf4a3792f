"""Whether the driver is new enough for torch, and the NVLink fabric is set up."""

from packaging.version import InvalidVersion, Version

from diagnostics.doctor.check import Answer, CannotCheck, Check, DoesNotApply, Ok
from diagnostics.doctor.checks.gpu import LOOK_S
from diagnostics.doctor.cuda import torch_cuda
from diagnostics.doctor.host import Host
from diagnostics.place_warnings import gpu_names
from engine.findings import Finding, Fix

MINIMUM_DRIVER = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}
"""By CUDA's major version, on Linux: from here on all its minor versions run
(https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html)."""
COMPAT = "/usr/local/cuda*/compat/libcuda.so.*"
MANAGER = "nvidia-fabricmanager"
SERVICE_S = 1.5


def _cuda(host: Host) -> Answer:
    hardware, wanted = host.hardware, torch_cuda(host)
    if wanted is None:
        raise DoesNotApply("torch is a CPU build")
    if hardware.driver is None:
        raise CannotCheck("the driver does not tell its version")
    major = int(wanted.partition(".")[0])
    least = MINIMUM_DRIVER.get(major)
    if least is None:
        raise CannotCheck(f"which driver CUDA {wanted} needs is not known here")
    if _older(hardware.driver, least) and not _reaches(hardware.cuda, wanted):
        return _too_old(host, wanted, least)
    if _reaches(hardware.cuda, wanted) or hardware.cuda is None:
        return Ok(f"driver {hardware.driver} runs torch's CUDA {wanted}")
    return Finding(
        id="drv.cuda.minor",
        severity="info",
        cause=f"driver {hardware.driver} is of CUDA {hardware.cuda}, and torch is built with {wanted}: it "
        "runs, "
        "but code that is compiled on the spot (Triton, torch.compile, flashinfer) may fail with "
        "“unsupported "
        "toolchain”.",
        fixes=(Fix(f"update the driver to one of CUDA {wanted} or later"),),
    )


def _too_old(host: Host, wanted: str, least: str) -> Finding:
    hardware = host.hardware
    fixes = [Fix(f"update the driver to {least} or later"), _other_build(hardware.cuda)]
    compat = host.glob(COMPAT)
    if compat:
        folder = compat[-1].rpartition("/")[0]
        fixes.insert(
            1,
            Fix(
                "data center cards: use CUDA's forward compatibility",
                command=f"export LD_LIBRARY_PATH={folder}:$LD_LIBRARY_PATH",
            ),
        )
    return Finding(
        id="drv.cuda",
        severity="error",
        cause=f"torch is built with CUDA {wanted}, which needs driver {least} or later; this one is "
        f"{hardware.driver}" + (f" (CUDA {hardware.cuda})." if hardware.cuda else "."),
        fixes=tuple(fixes),
    )


def _other_build(cuda: str | None) -> Fix:
    older = f"CUDA {cuda} or earlier" if cuda else "an earlier CUDA"
    return Fix(f"or install a torch build for {older}: pytorch.org/get-started names the index of each")


def _older(version: str, than: str) -> bool:
    try:
        return Version(version) < Version(than)
    except InvalidVersion:
        raise CannotCheck(f"the driver's version {version!r} cannot be compared") from None


def _reaches(cuda: str | None, wanted: str) -> bool:
    """Whether the driver supports that CUDA version; with forward compatibility the newer one is told."""
    return cuda is not None and Version(cuda) >= Version(wanted)


def _fabric(host: Host) -> Answer:
    switched = [gpu for gpu in host.hardware.gpus if gpu.nvswitch or gpu.fabric]
    if not switched:
        raise DoesNotApply("the GPUs are not joined by an NVSwitch")
    told = [gpu for gpu in switched if gpu.fabric]
    behind = [gpu for gpu in told if gpu.fabric != "completed"]
    if told and not behind:
        return Ok(f"{gpu_names(told)} are in the fabric")
    if not behind and (state := _service(host)) == "active":
        return Ok(f"{MANAGER} runs")
    evidence = tuple(f"GPU {gpu.index}: fabric {gpu.fabric}" for gpu in behind) or (f"{MANAGER}: {state}",)
    version = host.hardware.driver or "the driver"
    return Finding(
        id="drv.fabric",
        severity="error",
        cause="the NVSwitch fabric is not set up, so CUDA does not start (error 802, “system not yet "
        "initialized”).",
        evidence=evidence,
        fixes=(
            Fix("start its service", command=f"sudo systemctl enable --now {MANAGER}"),
            Fix(
                f"its version must be the driver's, {version}",
                command=f"{MANAGER.removeprefix('nvidia-')} --version; nvidia-smi",
            ),
        ),
    )


def _service(host: Host) -> str:
    """The state of the fabric manager's service, which A100 do not tell. Raises CannotCheck."""
    if host.which("systemctl") is None:
        raise CannotCheck(
            f"the GPUs do not tell, and whether {MANAGER} runs cannot be seen from here (no systemctl)"
        )
    ran = host.run(("systemctl", "is-active", MANAGER), SERVICE_S)
    state = ran.out.strip()
    if state not in ("active", "inactive", "failed", "activating", "deactivating"):
        raise CannotCheck(
            f"whether {MANAGER} runs cannot be seen from here: {ran.err.strip() or state or 'no answer'}"
        )
    return state


CHECKS = (
    Check("drv.cuda", "the driver is new enough for torch", "fast", _cuda, ("gpus", "torch"), LOOK_S),
    Check("drv.fabric", "the NVSwitch fabric is set up", "fast", _fabric, ("gpus",), LOOK_S),
)
