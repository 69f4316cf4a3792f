"""How long the run's prompts are: `python -m diagnostics.doctor.probes.prompts`, prints one JSON object.

The configuration is in the variable RFTUI_DOCTOR_CONFIG. Prompts are rendered and tokenized as training does.
"""

import json
import os
from typing import Any

SAMPLE = 200
"""Prompts that are looked at, evenly spaced over the data."""


def look() -> dict[str, Any]:
    """Lengths in tokens of a sample, ascending, and the number of rows; or the findings of the data."""
    import msgspec

    from engine.config.sections import RunConfig
    from engine.data.prompts import tokenize
    from engine.data.render import check_settings, check_tokenizer, render
    from engine.data.sources import choose, read_rows
    from engine.data.spec import parse_sources
    from engine.data.validate import columns_of
    from engine.findings import FindingsError, raise_errors

    config = RunConfig.model_validate_json(os.environ["RFTUI_DOCTOR_CONFIG"])
    data = config.data
    try:
        tokenizer = _tokenizer(config)
        raise_errors([*check_settings(data), *check_tokenizer(data, tokenizer)])
        sources, _ = parse_sources(data.prompt_data, "data.prompt_data")
        tables = [read_rows(source, data.prompt_split, columns_of(data)) for source in sources]
        chosen = choose([len(table) for table in tables], None, SAMPLE, seed=0)
        inputs = [tables[source][row].get(data.input_key) for source, row in chosen]
        texts = render(inputs, data, tokenizer)
    except FindingsError as error:
        return {"findings": msgspec.to_builtins(error.findings)}
    lengths = sorted(map(len, tokenize(texts, tokenizer, chat=data.apply_chat_template)))
    return {"findings": [], "rows": sum(map(len, tables)), "lengths": lengths}


def _tokenizer(config: Any) -> Any:
    if config.model.pretrain.startswith("toy:"):
        from engine.toy.tokenizer import build_tokenizer

        return build_tokenizer()
    from transformers import AutoTokenizer

    trust = config.model.trust_remote_code
    return AutoTokenizer.from_pretrained(config.model.pretrain, trust_remote_code=trust)


if __name__ == "__main__":
    print("\n" + json.dumps(look()))
