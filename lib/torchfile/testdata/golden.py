"""Writes zip.pth and legacy.pth with python3-torch: one dictionary with tensors of every kind, in both formats of
torch.save; lists.pth, which has the layout of a training loop's state; and the files described below."""
import argparse
import collections
import datetime
import decimal
import os
import pathlib
import pickle
import random

import numpy
import torch

here = os.path.dirname(os.path.abspath(__file__))
base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) / 7
tensors = {
    "model": {
        "plain": base,
        "turned": base.transpose(0, 2),
        "part": base[1, 1:],
        "parameter": torch.nn.Parameter(base[:, 0]),
    },
    "double": base.double()[0],
    "half": torch.tensor([1.0, -0.5, 65504.0, 6e-8, float("inf"), 0.0001]).half(),
    "bfloat16": (base[0, 0] * 1000).bfloat16(),
    "long": torch.tensor([-3, 2**40]),
    "bool": torch.tensor([True, False]),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
    "step": 12,
}
torch.save(tensors, os.path.join(here, "zip.pth"))
torch.save(tensors, os.path.join(here, "legacy.pth"), _use_new_zipfile_serialization=False)

state = {
    "optimizer": {
        "state": {0: {"exp_avg": base[0, 0]}},
        "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999), "params": [0, 1]}],
    },
    "model": {"z": base[0, 0], "a": base[0, 1]},
    "ema": {
        "decay": 0.999,
        "shadow_params": [torch.tensor([1.0, 2.0]), torch.tensor([4.0, 5.0, 6.0]), [base[0, 2]]],
        "several": [1, 2],
    },
    "step": 1234567,
}
torch.save(state, os.path.join(here, "lists.pth"))


# beside*.pth: what training loops save in addition to the weights, in both containers and several pickle protocols.
network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
optimizer = torch.optim.Adam(network.parameters())
network(torch.arange(6.0).reshape(2, 3) / 7).sum().backward()
optimizer.step()
for p, v in zip(network.parameters(), range(4)):
    p.data = torch.arange(p.numel()).reshape(p.shape) + 10.0 * v
attributed = torch.arange(3.0)
attributed.origin = "a tensor with an attribute"
typed = torch.nn.Parameter(torch.arange(4.0))
typed.decayed = False
counts = collections.defaultdict(int, a=1)
beside = {
    "model": network.state_dict(),
    "attributed": attributed,
    "typed": typed,
    "int8": torch.tensor([-1, 2], dtype=torch.int8),
    "int16": torch.tensor([-300, 300], dtype=torch.int16),
    "uint8": torch.tensor([255], dtype=torch.uint8),
    "complex": torch.tensor([1 + 2j]),
    "expanded": torch.ones(1).expand(1000),
    "nested": collections.defaultdict(dict, inner={"w": torch.ones(2)}),
    "pair": (torch.zeros(1), {"w": torch.ones(1)}),
    "parameters": torch.nn.ParameterList([torch.zeros(2)]),
    "quantised": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    "sparse": torch.eye(2).to_sparse(),
    "optimizer": optimizer.state_dict(),
    "optimizer_object": optimizer,
    "module": network,
    "args": argparse.Namespace(lr=1e-4, out=pathlib.PurePosixPath("runs/1")),
    "best": numpy.float64(0.5),
    "array": numpy.arange(3),
    "dtype": torch.float32,
    "device": torch.device("cpu"),
    "size": torch.Size([2, 3]),
    "numpy_dtype": numpy.dtype("float32"),
    "function": torch.nn.functional.mse_loss,
    "builtin": len,
    "class": torch.nn.Linear,
    "counts": counts,
    "counter": collections.Counter("aab"),
    "set": {1, 2},
    "frozen": frozenset("a"),
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"ab"),
    "date": datetime.datetime(2020, 1, 2),
    "decimal": decimal.Decimal("1.5"),
    "delta": datetime.timedelta(1),
    "slice": slice(1, 2),
    "dots": ...,
    "large": 10**30,
    "negative": -(2**70),
    "complex_number": 1j,
    "random": random.Random(1).getstate(),
    "numpy_random": numpy.random.RandomState(1).get_state(),
    "torch_random": torch.zeros(8, dtype=torch.uint8),
    "ordered": collections.OrderedDict(a=1),
    "losses": [0.5] * 300,
    "none": None,
    "true": True,
    "text": "a" * 300,
    ("a", 1): 2,
    "step": 1234,
}
for name, protocol in [("", 2), ("4", 4), ("5", 5), ("-legacy", 2), ("4-legacy", 4)]:
    torch.save(beside, os.path.join(here, f"beside{name}.pth"), pickle_protocol=protocol,
               _use_new_zipfile_serialization="legacy" not in name)

# module.pth: a whole module instead of its state_dict(); program.pth: TorchScript; arrays.pth: arrays of NumPy;
# pickle.pth: written by Python's pickle module, which nests a whole PyTorch file.
torch.save(network, os.path.join(here, "module.pth"))
torch.jit.save(torch.jit.script(network), os.path.join(here, "program.pth"))
torch.save({"weight": numpy.ones(2)}, os.path.join(here, "arrays.pth"))
with open(os.path.join(here, "pickle.pth"), "wb") as f:
    pickle.dump({"weight": torch.ones(2)}, f)
