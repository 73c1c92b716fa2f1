"""Writes zip.pth and legacy.pth with python3-torch: one dictionary with tensors of every kind, in both formats of
torch.save; and lists.pth, which has the layout of a training loop's state."""
import os
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
