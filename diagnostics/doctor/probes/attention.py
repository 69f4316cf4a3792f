"""Which attention the run's model gets: `python -m diagnostics.doctor.probes.attention`, one JSON object.

The configuration is in the variable RFTUI_DOCTOR_CONFIG.
"""

import json
import os
from typing import Any


def chosen() -> dict[str, Any]:
    """The attention by the engine's own choice, with its reason; or the findings that it raises."""
    import torch
    from transformers import AutoConfig

    from engine.config.sections import RunConfig
    from engine.findings import FindingsError
    from engine.models.attention import choose_attention

    config = RunConfig.model_validate_json(os.environ["RFTUI_DOCTOR_CONFIG"])
    trust = config.model.trust_remote_code
    model = AutoConfig.from_pretrained(config.model.pretrain, trust_remote_code=trust)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = choose_attention(config, model, device)
    except FindingsError as error:
        return {"name": None, "reason": error.findings[0].cause}
    return {"name": found.name, "reason": found.reason}


if __name__ == "__main__":
    print("\n" + json.dumps(chosen()))
