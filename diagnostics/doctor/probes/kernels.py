"""Which GPU architectures torch has code for; works without a GPU."""

import msgspec


def main() -> None:
    import torch

    flags = torch._C._cuda_getArchFlags() if hasattr(torch._C, "_cuda_getArchFlags") else ""
    print(msgspec.json.encode({"torch": torch.__version__, "architectures": (flags or "").split()}).decode())


if __name__ == "__main__":
    main()
