"""Whether the hub answers for a model or data set: `python -m diagnostics.doctor.probes.hub KIND ID`.

Prints `{"state": "there" | "gated" | "unknown" | "unreachable", "said": …}`.
"""

import json
import sys

TIMEOUT_S = 3


def look_up(kind: str, name: str) -> dict[str, str]:
    """Ask the hub for the small file that every repository has, with the user's token if there is one."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        url = hf_hub_url(name, "config.json" if kind == "model" else "README.md", repo_type=kind)
        get_hf_file_metadata(url, timeout=TIMEOUT_S)
    except GatedRepoError as error:  # also a RepositoryNotFoundError
        return {"state": "gated", "said": _first_line(error)}
    except RepositoryNotFoundError as error:
        return {"state": "unknown", "said": _first_line(error)}
    except Exception as error:  # of whichever HTTP library it uses
        return {"state": "unreachable", "said": f"{type(error).__name__}: {_first_line(error)}"}
    return {"state": "there", "said": url}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


if __name__ == "__main__":
    print(json.dumps(look_up(*sys.argv[1:])))
