"""`python -m engine.simulate`: the training part of a run on one rank of many, without memory or network."""

import argparse
import sys

import msgspec

from engine.config.choices import strategy_name
from engine.config.load import layer_from_sets, layer_from_yaml, resolve
from engine.config.rules import check
from engine.findings import Finding, FindingsError, Fix, raise_errors, render
from engine.simulate.models import config_json

SECTIONS = ("model.", "batch.", "parallel.", "memory.", "rollout.", "algorithm.", "optim.")
"""Of parameters that a simulation reads; what is wrong with others does not keep it from running."""


def main(argv: list[str] | None = None) -> int:
    """Print phases, categories and groups; with `--json` the last line is the `Simulation` in JSON."""
    args = _parser().parse_args(argv)
    try:
        print(_run(args))
    except FindingsError as error:
        print("\n".join(render(f) for f in error.findings), file=sys.stderr)
        if args.json:
            print(msgspec.json.encode(error.findings).decode())
        return error.exit_code
    return 0


def _run(args: argparse.Namespace) -> str:
    layers = [layer_from_yaml(args.config)] if args.config else []
    config = resolve([*layers, layer_from_sets(args.set)]).config
    model = config_json(args.model_config or config.model.pretrain)
    if not 1 <= args.world <= 1024:
        raise FindingsError([_world(args.world)])
    if strategy_name(config) != "fsdp2":
        raise FindingsError([_only_fsdp2()])
    findings = check(config, world_size=args.world, model_config=model)
    raise_errors(f for f in findings if f.param.startswith(SECTIONS) and f.param != "model.pretrain")

    from engine.simulate.here import simulate_here
    from engine.simulate.report import words

    found = simulate_here(config, model, args.world, args.like, args.layers)
    return words(found) + (f"\n{msgspec.json.encode(found).decode()}" if args.json else "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine.simulate", description=__doc__)
    parser.add_argument("--config", help="YAML file of settings")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting")
    parser.add_argument("--world", type=int, default=1, metavar="N", help="ranks, 1 to 1024")
    parser.add_argument("--model-config", metavar="MODEL", help="config.json, a folder, or a name")
    parser.add_argument(
        "--like", choices=("cuda", "cpu"), default="cuda", help="device whose kernels are run"
    )
    parser.add_argument("--layers", type=int, metavar="L", help="simulate L and L/2 layers, and extrapolate")
    parser.add_argument("--json", action="store_true", help="the result as JSON in the last line")
    return parser


def _only_fsdp2() -> Finding:
    return Finding(
        id="simulation.strategy",
        severity="error",
        cause="DeepSpeed cannot be simulated: only FSDP2 runs on tensors without memory.",
        fixes=(
            Fix("Simulate with FSDP2", set={"parallel.fsdp": True, "parallel.zero_stage": None}),
            Fix("Or plan without a simulation: the formulas know ZeRO."),
        ),
        param="parallel.zero_stage",
    )


def _world(value: int) -> Finding:
    return Finding(
        id="simulation.world",
        severity="error",
        cause=f"{value} ranks cannot be simulated: 1 to 1024 can.",
        fixes=(Fix(f"Simulate {min(max(value, 1), 1024)}."),),
    )


if __name__ == "__main__":
    sys.exit(main())
