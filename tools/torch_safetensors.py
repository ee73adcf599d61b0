#!/usr/bin/env python3
"""PyTorch state_dicts to safetensors and back, with numpy and torch only.

  python3 tools/torch_safetensors.py weights.pth weights.safetensors
  python3 tools/torch_safetensors.py weights.safetensors weights.pth

A checkpoint that wraps its weights ("state_dict", "model", "net") and names from DataParallel ("module.") are
understood; --drop PREFIX leaves tensors out whose names begin so. Only load .pth files that you trust: pickle runs code.
"""
import argparse
import json
import struct
import sys

import numpy as np
import torch

TYPES = {"F64": (np.float64, torch.float64), "F32": (np.float32, torch.float32), "F16": (np.float16, torch.float16),
         "I64": (np.int64, torch.int64), "I32": (np.int32, torch.int32), "U8": (np.uint8, torch.uint8)}


def load(path):
    """(tensors by name, metadata)"""
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = np.frombuffer(data[begin:end], TYPES[entry["dtype"]][0]).reshape(entry["shape"])
        tensors[name] = torch.from_numpy(values.copy())
    return tensors, metadata


def save(path, tensors, metadata=None):
    """Floating values become float32, as our reader wants them."""
    header, parts, offset = {}, [], 0
    if metadata:
        header["__metadata__"] = metadata
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point():
            tensor = tensor.float()
        dtype = next(key for key, (_, kind) in TYPES.items() if kind == tensor.dtype)
        parts.append(tensor.contiguous().numpy().tobytes())
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [offset, offset + len(parts[-1])]}
        offset += len(parts[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


def state_dict_of(checkpoint, drop):
    for key in ("state_dict", "model", "net"):
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get(key), dict):
            checkpoint = checkpoint[key]
    if not isinstance(checkpoint, dict) or not all(torch.is_tensor(v) for v in checkpoint.values()):
        sys.exit("torch_safetensors: holds no state_dict (a mapping of names to tensors)")
    named = {name[7:] if name.startswith("module.") else name: value for name, value in checkpoint.items()}
    return {name: value for name, value in named.items() if not name.startswith(tuple(drop))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--drop", action="append", default=[], metavar="PREFIX", help="leave these tensors out")
    args = parser.parse_args()
    if args.source.endswith(".safetensors"):
        torch.save(load(args.source)[0], args.target)
    else:
        save(args.target, state_dict_of(torch.load(args.source, map_location="cpu"), args.drop))


if __name__ == "__main__":
    main()
