"""The prompt set of a run: sources read, rendered and tokenized once."""

import dataclasses
import logging
from typing import Any

from engine.config.sections import DataSection
from engine.data.render import check_settings, check_tokenizer, render
from engine.data.sources import Row, choose, read_rows
from engine.data.spec import FORMS, parse_sources
from engine.data.types import Prompt
from engine.data.validate import check_source, columns_of
from engine.findings import Finding, FindingsError, Fix, raise_errors

log = logging.getLogger(__name__)


class PromptSet(list[Prompt]):
    """Prompts in the order of their `index`; `left_out` more were too long."""

    left_out: int = 0


def load_prompts(
    spec: str,
    *,
    data: DataSection,
    split: str,
    tokenizer: Any,
    prompt_max_len: int,
    limit: int | None,
    seed: int,
) -> PromptSet:
    """The prompts of the comma separated sources in `spec`.

    Several sources follow each other, or are mixed by `data.prompt_data_probs`; `limit` is applied before
    prompts of more than `prompt_max_len` tokens are left out. Raises `FindingsError` with everything that
    is wrong with the data or its settings.
    """
    what = "prompt_data" if spec == data.prompt_data else "eval_data"
    found, _ = check_source(spec, data, what)
    sources, _ = parse_sources(spec, what)
    if not sources and not found:
        found.append(Finding("data.none", "error", f"{what} names no source.", fixes=(Fix(f"give {FORMS}"),)))
    raise_errors([*found, *check_settings(data), *check_tokenizer(data, tokenizer)])
    tables = [read_rows(source, split, columns_of(data)) for source in sources]
    chosen = choose([len(table) for table in tables], data.prompt_data_probs, limit, seed)
    rows = [tables[source][row] for source, row in chosen]
    return _keep_short(_prompts(rows, data, tokenizer), prompt_max_len, spec)


def _prompts(rows: list[Row], data: DataSection, tokenizer: Any) -> list[Prompt]:
    texts = render([row.get(data.input_key) for row in rows], data, tokenizer)
    return [
        Prompt(
            index=i,
            text=text,
            token_ids=tuple(ids),
            label=row.get(data.label_key),
            reference=row.get(data.reference_key) if data.reference_key else None,
        )
        for i, (row, text, ids) in enumerate(
            zip(rows, texts, tokenize(texts, tokenizer, chat=data.apply_chat_template), strict=True)
        )
    ]


def tokenize(texts: list[str], tokenizer: Any, *, chat: bool) -> list[list[int]]:
    """Token ids of prompts, special tokens once: a chat template has put them in; plain text gets the
    tokenizer's own, except an end token, which would close the prompt before its answer."""
    if not texts:
        return []
    encoded = tokenizer(texts, add_special_tokens=not chat, return_attention_mask=False, verbose=False)
    rows: list[list[int]] = encoded["input_ids"]
    if chat:
        return rows
    bos, eos, eos_token = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.eos_token
    for i, ids in enumerate(rows):
        if bos is not None and ids[:2] == [bos, bos]:
            ids = ids[1:]
        if eos is not None and len(ids) > 1 and ids[-1] == eos and not texts[i].endswith(eos_token):
            ids = ids[:-1]
        rows[i] = ids
    return rows


def _keep_short(prompts: list[Prompt], prompt_max_len: int, spec: str) -> PromptSet:
    lengths = [len(p.token_ids) for p in prompts]
    kept = PromptSet(p for p in prompts if len(p.token_ids) <= prompt_max_len)
    kept.left_out = len(prompts) - len(kept)
    if not kept:
        cause = (
            f"All {len(prompts)} prompts of {spec} are longer than prompt_max_len = {prompt_max_len}: "
            f"the shortest has {min(lengths)} tokens, the longest {max(lengths)}."
        )
        fix = Fix(f"set prompt_max_len to {max(lengths)}", set={"rollout.prompt_max_len": max(lengths)})
        raise FindingsError(
            [Finding("data.all-too-long", "error", cause, fixes=(fix,), param="rollout.prompt_max_len")]
        )
    if kept.left_out:
        log.warning(
            "%d of %d prompts of %s left out: longer than prompt_max_len = %d; the longest has %d tokens",
            *(kept.left_out, len(prompts), spec, prompt_max_len, max(lengths)),
        )
        kept[:] = [dataclasses.replace(p, index=i) for i, p in enumerate(kept)]
    return kept
