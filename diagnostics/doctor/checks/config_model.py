"""Checks of the model that a run starts from: its folder, its weights, its tokenizer; and what is resumed."""

from pathlib import Path

from diagnostics import preflight
from diagnostics.doctor.check import Answer, CannotCheck, Check, DoesNotApply, Ok
from diagnostics.doctor.checks.run_facts import (
    TOY,
    config_of,
    is_hub_id,
    model_config,
    ranks,
    read_json,
    require_model_folder,
)
from diagnostics.doctor.checks.weight_files import broken_weights, embedding_rows, weights_are_here
from diagnostics.doctor.host import Host
from engine.checkpoint import layout
from engine.findings import Finding, FindingsError, Fix

PRETRAIN, CKPT = "model.pretrain", "checkpoint.ckpt_path"


def _model(host: Host) -> Answer:
    model = config_of(host).model
    if not model.pretrain:
        raise CannotCheck("model.pretrain is not set")
    try:
        found = preflight.check_model(model.pretrain)
    except FindingsError as error:
        found = list(error.findings)
    if found:
        return tuple(found)
    config = model_config(host)
    if config is None:
        if is_hub_id(model.pretrain):
            raise CannotCheck(f"{model.pretrain} is not in the cache; whether it can be fetched: net.hub")
        cause = f"the config.json of {model.pretrain} is not JSON with keys and values."
        fix = Fix("fetch it again", command=f"hf download ORG/NAME config.json --local-dir {model.pretrain}")
        return Finding("cfg.model", "error", cause, fixes=(fix,), param=PRETRAIN)
    if config.get("auto_map") and not model.trust_remote_code:
        return Finding(
            id="cfg.model.remote-code",
            severity="warning",
            cause=f"{model.pretrain} comes with code of its own (auto_map), and trust_remote_code = false: "
            f"it loads only if transformers knows {config.get('model_type', 'its type')} itself.",
            fixes=(
                Fix("after reading that code, allow it", set={"model.trust_remote_code": True}),
                Fix(
                    "or see whether a newer transformers knows it",
                    command="pip install --upgrade transformers",
                ),
            ),
            param="model.trust_remote_code",
        )
    return Ok(f"{model.pretrain}, a {config.get('model_type', '?')} model")


def _template(host: Host) -> Answer:
    config = config_of(host)
    if config.model.pretrain.startswith(TOY):
        return Ok("the toys' tokenizer has all that is needed")
    folder = require_model_folder(host)
    if config.data.apply_chat_template and (found := preflight.check_chat_template(str(folder))):
        return tuple(found)
    settings = read_json(folder / "tokenizer_config.json")
    if not isinstance(settings, dict):
        raise CannotCheck(f"{folder} has no tokenizer_config.json")
    pad, eos = (_token(settings.get(name)) for name in ("pad_token", "eos_token"))
    if pad and pad != eos:
        return Ok(f"padding {pad}, end {eos or 'by generation_config.json'}")
    what = "has no padding token" if not pad else f"pads with its end token {pad}"
    return Finding(
        id="cfg.template.padding",
        severity="info",
        cause=f"the tokenizer of {config.model.pretrain} {what}. rftui tells padding by its place and does "
        "not mind; trainers that tell it by its value mask the end of every response, and models learn not "
        "to stop.",
        fixes=(Fix("for those, give pad_token in tokenizer_config.json another token of the vocabulary"),),
        param=PRETRAIN,
    )


def _token(value: object) -> str:
    """A token of `tokenizer_config.json`, which is text or `{"content": text}`."""
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else ""


def _vocab(host: Host) -> Answer:
    """Ids beyond the embedding are read as memory that is not there: an assert of the device, at best."""
    config = config_of(host)
    if config.model.pretrain.startswith(TOY):
        return Ok("the toys' tokenizer fits")
    folder = require_model_folder(host)
    tokens, rows = _tokens(folder), embedding_rows(folder)
    stated = (model_config(host) or {}).get("vocab_size")
    rows = rows or (stated if isinstance(stated, int) else None)
    if tokens is None or rows is None:
        raise CannotCheck(f"{folder} has no {'tokenizer.json' if tokens is None else 'vocab_size'}")
    if tokens <= rows:
        return Ok(f"{tokens} tokens, {rows} rows of embedding")
    return Finding(
        id="cfg.vocab",
        severity="error",
        cause=f"the tokenizer of {config.model.pretrain} has {tokens} tokens, the embedding {rows} rows: "
        f"the last {tokens - rows} ids point beyond it (device-side assert, srcIndex < srcSelectDimSize).",
        fixes=(
            Fix("use the tokenizer files that the model was published with"),
            Fix(
                "or, if tokens were added on purpose, enlarge the embedding and save the model",
                command='python -c "from transformers import *; m = '
                "AutoModelForCausalLM.from_pretrained('FOLDER'); "
                f"m.resize_token_embeddings({-(-tokens // 64) * 64}); m.save_pretrained('FOLDER')\"",
            ),
        ),
        param=PRETRAIN,
    )


def _tokens(folder: Path) -> int | None:
    """One more than the greatest id of `tokenizer.json`; None without one."""
    found = read_json(folder / "tokenizer.json")
    if not isinstance(found, dict):
        return None
    vocabulary = (found.get("model") or {}).get("vocab") or {}
    ids = [len(vocabulary) - 1] if isinstance(vocabulary, list) else list(vocabulary.values())
    ids += [entry["id"] for entry in found.get("added_tokens") or []]
    return max(ids, default=-1) + 1 or None


def _weights(host: Host) -> Answer:
    config = config_of(host)
    if config.model.pretrain.startswith(TOY):
        raise DoesNotApply("a toy model is made when it is needed")
    folder = require_model_folder(host)
    if is_hub_id(config.model.pretrain) and not weights_are_here(folder):
        raise CannotCheck(f"the weights of {config.model.pretrain} are not all in the cache yet")
    return tuple(broken_weights(folder)) or Ok(f"the files of {folder.name} are whole")


def _resume(host: Host) -> Answer:
    checkpoint = config_of(host).checkpoint
    place = checkpoint.ckpt_path or checkpoint.save_path
    if not checkpoint.load_checkpoint or not place:
        raise DoesNotApply("nothing is resumed")
    root = Path(place).expanduser()
    whole = [root] if layout.read_manifest(root) else list(layout.complete_steps(root).values())
    if whole:
        manifest = layout.read_manifest(whole[-1])
        saved, now = (manifest.world_size if manifest else 0), ranks(host)
        reshaped = f", saved by {saved} ranks, read by {now}" if saved != now else ""
        return Ok(f"{whole[-1]} is complete{reshaped}")
    if not checkpoint.ckpt_path:
        return Ok(f"{root} holds no checkpoint yet: the run starts anew")
    inside = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    cut = [name for name in inside if name.startswith("step-")]
    cause = f"there is no complete checkpoint in {root} to resume from"
    cause += (
        f": {', '.join(cut[:3])} was not written to its end."
        if cut
        else "."
        if inside
        else ", which is empty."
    )
    return Finding(
        id="cfg.ckpt.resume",
        severity="error",
        cause=cause if root.is_dir() else f"the checkpoint folder {root} does not exist.",
        evidence=(f"it holds {', '.join(inside[:8])}",) if inside else (),
        fixes=(
            Fix("give a checkpoint (step-…) with a manifest.json, or the folder of several"),
            Fix("or start anew", set={"checkpoint.load_checkpoint": False, CKPT: None}),
        ),
        param=CKPT,
    )


CHECKS: tuple[Check, ...] = (
    Check("cfg.model", "the model is there", "fast", _model, needs=("config",)),
    Check("cfg.ckpt", "the model's weights are whole", "fast", _weights, needs=("config",)),
    Check("cfg.ckpt.resume", "there is a checkpoint to resume from", "fast", _resume, needs=("config",)),
    Check(
        "cfg.template", "the tokenizer has the tokens and the template", "fast", _template, needs=("config",)
    ),
    Check("cfg.vocab", "the tokenizer's tokens are in the embedding", "fast", _vocab, needs=("config",)),
)
