"""Writes loop-*.pth: one small network in the layouts of public training loops, with everything else that these loops
save. The values of the weights count up from 0, those of the averages from 0.5. Uses python3-torch."""
import argparse
import collections
import os

import numpy
import torch

here = os.path.dirname(os.path.abspath(__file__))
shapes = {"layers.0.weight": (12, 10), "layers.0.bias": (12,), "layers.1.weight": (12, 12), "layers.1.bias": (12,),
          "out.weight": (1, 12), "out.bias": (1,)}


def state(prefix, start, spell=lambda name: name):
    out, at = collections.OrderedDict(), start
    for name, shape in shapes.items():
        n = int(numpy.prod(shape))
        out[prefix + spell(name)] = torch.arange(n, dtype=torch.float32).reshape(shape) + at
        at += n
    return out


def undotted(name):
    return name.replace(".", "")


parameters = [torch.nn.Parameter(v) for v in state("", 0).values()]
adam = torch.optim.Adam(parameters)
sum(p.sum() for p in parameters).backward()
adam.step()
moments = adam.state_dict()
for s in moments["state"].values():  # a single value instead of the moments keeps the files small
    s["exp_avg"] = s["exp_avg_sq"] = torch.zeros(1)

loops = {
    # Latent diffusion: PyTorch Lightning with LitEma, whose buffers have names without dots.
    "litema": {
        "epoch": 3, "global_step": 700, "pytorch-lightning_version": "1.4.2",
        "state_dict": {
            "betas": torch.zeros(4), **state("model.diffusion_model.", 0),
            "model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(700, dtype=torch.int32),
            **state("model_ema.diffusion_model", 0.5, undotted),
        },
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [moments], "lr_schedulers": [{"last_epoch": 3}],
        "hyper_parameters": argparse.Namespace(lr=1e-4),
    },
    # denoising-diffusion-pytorch, whose averages hold a copy of the weights.
    "online": {
        "step": 700, "model": state("model.", 0), "opt": moments, "scaler": None, "version": "1.0",
        "ema": {"initted": torch.tensor(True), "step": torch.tensor(700), **state("online_model.model.", 0),
                **state("ema_model.model.", 0.5)},
    },
    # timm.
    "timm": {"epoch": 3, "arch": "mlp", "state_dict": state("", 0), "optimizer": moments, "version": 2,
             "args": argparse.Namespace(lr=1e-4), "amp_scaler": {"scale": 65536.0}, "state_dict_ema": state("", 0.5),
             "metric": numpy.float64(71.5)},
    # torch.optim.swa_utils.
    "swa": {"model": state("", 0), "swa_model": {"n_averaged": torch.tensor(4), **state("module.", 0.5)}},
    # BasicSR.
    "basicsr": {"params": state("", 0), "params_ema": state("", 0.5)},
    # torch_ema.
    "list": {"model": state("module.", 0), "step": 700, "rng_state": torch.zeros(8, dtype=torch.uint8),
             "device": torch.device("cpu"), "dtype": torch.float32, "loss": torch.nn.functional.mse_loss,
             "ema": {"decay": 0.999, "num_updates": 700, "collected_params": None,
                     "shadow_params": list(state("", 0.5).values())}},
    # Two networks.
    "two": {"net_a": state("", 0), "net_b": state("", 0.5), "complex": torch.tensor([1j]),
            "int8": torch.zeros(1).char()},
}
for i, (name, content) in enumerate(loops.items()):
    torch.save(content, os.path.join(here, f"loop-{name}.pth"), pickle_protocol=2 + i % 4,
               _use_new_zipfile_serialization=i % 3 > 0)
