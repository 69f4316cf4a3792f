"""A verdict as a finding: for alerts, `rft health` and `rft diagnose --hang`."""

from diagnostics.health.hang.verdict import HangClass, Verdict
from engine.findings import Finding, Fix

_WHAT_TO_DO: dict[HangClass, tuple[Fix, ...]] = {
    "dead-process": (Fix("read the dead rank's log: its cause is there, not in the ranks that wait"),),
    "stopped-process": (
        Fix("let the process go on, its pid is in the evidence", command="kill -CONT PID"),
        Fix("see who stopped it: a debugger, a frozen container, a scheduler that suspends jobs"),
    ),
    "host-oom": (
        Fix("use fewer ranks, or keep optimizer states on the device", set={"memory.adam_offload": False}),
        Fix("give the container more memory"),
    ),
    "desync": (
        Fix("make every rank take the same path: the two call sites show where they part"),
        Fix("look for conditions on data or rank around them: uneven batches, saving or logging on one rank"),
    ),
    "straggler": (
        Fix("find out what keeps that rank: its stacks are in the evidence"),
        Fix("raise the limit only if that work really takes so long (hang_after, nccl_timeout)"),
    ),
    "first-collective": (
        Fix("try without peer-to-peer transfers: export NCCL_P2P_DISABLE=1 (slower)"),
        Fix("look at the links between the GPUs", command="nvidia-smi topo -m"),
        Fix("in a virtual machine, see that ACS is off and IOMMU does not block peers"),
    ),
    "network": (
        Fix("name the interface that joins the machines (NCCL_SOCKET_IFNAME, GLOO_SOCKET_IFNAME)"),
        Fix("see what the doctor says of the network", command="rft doctor net --active"),
    ),
    "storage": (
        Fix("see whether the file system answers", command="rft doctor host.disk host.netfs"),
        Fix("keep checkpoints on a local disk (save_path)"),
    ),
    "engine": (
        Fix("give the engine more room for its KV cache (engine_mem_util), or fewer responses at once"),
        Fix("rule out CUDA graphs", set={"rollout.engine_enforce_eager": True}),
        Fix("rule the engine out: sample with transformers", set={"rollout.engine_type": "hf"}),
    ),
    "data": (Fix("see what the data loader waits for: a slow disk, a hub download, a lock"),),
    "reward": (
        Fix("see whether the reward server answers, and give its requests a time limit"),
        Fix("try the reward by itself", command="rft reward test"),
    ),
    "outside": (Fix("read the stacks in the evidence: all collectives are over"),),
    "no-hang": (Fix("wait: the run goes on"),),
    "unknown": (Fix("read the evidence that was kept, and look again in a minute"),),
}


def hang_finding(verdict: Verdict, name: str) -> Finding:
    """What to tell a person about the hang of run `name`."""
    evidence = [f"{seen.probe}: {seen.text}" for seen in verdict.evidence]
    if verdict.where:
        evidence.insert(0, f"where: {verdict.where}")
    if verdict.disproof:
        evidence.append(f"what would show it wrong: {verdict.disproof}")
    if verdict.kind == "no-hang":
        return Finding("hang.no-hang", "info", verdict.said, tuple(evidence), _WHAT_TO_DO["no-hang"])
    return Finding(
        id=f"hang.{verdict.kind}",
        severity="error",
        cause=f"{verdict.said} (confidence {verdict.confidence})",
        evidence=tuple(evidence),
        fixes=(
            *_WHAT_TO_DO[verdict.kind],
            Fix("end the run", command=f"rft stop {name} --kill"),
            Fix("then go on from its last checkpoint", command=f"rft resume {name}"),
        ),
    )
