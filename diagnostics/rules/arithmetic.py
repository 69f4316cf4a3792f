"""A job's batches in words: prompts, responses, optimizer steps, on- or off-policy, accumulation."""

from collections.abc import Iterator
from fractions import Fraction

from diagnostics.rules.job import Job


def in_words(job: Job) -> tuple[str, ...]:
    """The batches as sentences, as far as they are known."""
    return tuple(_sentences(job))


def _sentences(job: Job) -> Iterator[str]:
    if job.ranks:
        nodes = f" on {job.nodes} machines" if job.nodes and job.nodes > 1 else ""
        yield f"{job.ranks} {_s('rank', job.ranks)} {_train(job.ranks)}{nodes}{_engines(job)}."
    if job.responses is None:
        return
    yield (
        f"A rollout samples {job.prompts} {_s('prompt', job.prompts)} × {job.samples} "
        f"{_s('response', job.samples)} each = {job.responses} responses{_per_engine(job)}."
    )
    if job.update:
        yield from _steps(job, job.responses, job.update)
        yield from _accumulation(job, job.update)
    if job.micro_forward and job.ranks and job.responses % job.ranks == 0:
        each = job.responses // job.ranks
        yield (
            f"Log-probabilities: {each} responses per rank, {job.micro_forward} at a time = "
            f"{-(-each // job.micro_forward)} forward passes."
        )
    if job.response_len:
        prompt = f"{job.prompt_len} prompt + " if job.prompt_len else ""
        total = (job.prompt_len or 0) + job.response_len
        most = job.responses * total
        yield (
            f"Sequences: up to {prompt}{job.response_len} response tokens{f' = {total}' if prompt else ''}; "
            f"a rollout is at most {_count(most)} tokens."
        )


def _steps(job: Job, responses: int, update: int) -> Iterator[str]:
    """How many optimizer steps a rollout gives, and which of them are off-policy."""
    total = responses * job.epochs
    passes = f" × {job.epochs} passes" if job.epochs > 1 else ""
    steps = Fraction(total, update)
    said = f"{responses} responses{passes} / {update} per step"
    if steps == 1:
        yield f"{said} = 1 optimizer step per rollout: on-policy."
    elif steps < 1:
        rollouts = 1 / steps
        number = str(rollouts) if rollouts.denominator == 1 else f"{float(rollouts):.2f}"
        yield f"{said}: less than one optimizer step per rollout; one step in {number} rollouts."
    else:
        whole = steps.denominator == 1
        number = str(steps) if whole else f"{float(steps):.2f}"
        later = -(-steps.numerator // steps.denominator) - 1
        yield (
            f"{said} = {number} optimizer steps per rollout: the first on-policy, the other {later} on "
            f"responses of an older policy{'' if whole else ', the last one short'}."
        )


def _accumulation(job: Job, update: int) -> Iterator[str]:
    """How an optimizer step is cut over ranks and micro-batches."""
    width = job.sp * job.train_tp * job.train_pp
    if not job.ranks or width < 1 or job.ranks % width:
        return
    parallel = job.ranks // width
    shared = f" ({width} ranks share each sequence)" if width > 1 else ""
    if job.token_budget:
        yield (
            f"A step: {update} responses / {parallel} data-parallel {_s('rank', parallel)}{shared} = "
            f"{_number(Fraction(update, parallel))} per rank, in micro-batches of up to {job.token_budget} "
            "tokens."
        )
    elif job.micro:
        steps = Fraction(update, parallel * job.micro)
        over = f"accumulated over {_number(steps)} micro-batches" if steps != 1 else "in one micro-batch"
        yield (
            f"A step: {update} responses = {parallel} data-parallel {_s('rank', parallel)}{shared} × "
            f"micro-batch {job.micro} × {_number(steps)}: {over}."
        )


def _engines(job: Job) -> str:
    tp = f" of tensor parallelism {job.engine_tp}" if job.engine_tp > 1 else ""
    if job.engine in (None, "hf") or not job.ranks:
        return ""
    if job.colocated and job.engine_tp and job.ranks % job.engine_tp == 0:
        number = job.ranks // job.engine_tp
        return f", and sample on the same GPUs with {number} {_s('engine', number)}{tp}"
    if job.engine_ranks:
        number = job.engine_ranks // max(1, job.engine_tp)
        own = f"{job.engine_ranks} GPUs of their own"
        return f"; {number} {_s('engine', number)}{tp} sample on {own}"
    return ""


def _per_engine(job: Job) -> str:
    cards = job.engine_ranks or (job.ranks if job.colocated else None)
    if not cards or not job.responses or job.engine_tp < 1 or cards % job.engine_tp:
        return ""
    engines = cards // job.engine_tp
    return f", {_number(Fraction(job.responses, engines))} per engine" if engines > 1 else ""


def _number(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"{float(value):.2f}"


def _count(number: int) -> str:
    for size, unit in ((10**9, "billion"), (10**6, "million")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:,}"


def _train(ranks: int) -> str:
    return "trains" if ranks == 1 else "train"


def _s(word: str, number: int | None) -> str:
    return word if number == 1 else word + ("es" if word.endswith("ch") else "s")
