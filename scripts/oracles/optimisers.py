"""Steps of PyTorch's optimisers: `optim.json`, `optim_long.json`."""

import torch

from counters import uniform
from fixture import singles, write_json


def descend(optimiser, w, gradient_of, steps):
    """The weights after each of `steps` steps down `gradient_of(w, step)`."""
    trace = []
    for step in range(1, steps + 1):
        w.grad = gradient_of(w.detach(), step)
        optimiser.step()
        trace.append(w.detach().clone())
    return trace


def parameter(values):
    return torch.nn.Parameter(torch.from_numpy(values).double())


def on_a_quadratic(folder):
    """Five steps on `sum(a (w - b)^2) / 2`."""
    a, b, start = uniform(20, 61, 0.5, 2.0), uniform(20, 62, -1.0, 1.0), uniform(20, 63, -1.0, 1.0)
    slope = torch.from_numpy(a).double()
    goal = torch.from_numpy(b).double()
    optimisers = {
        "adam_l2": lambda w: torch.optim.Adam([w], 2e-4, weight_decay=1e-5),
        "adam_amsgrad": lambda w: torch.optim.Adam([w], 2e-5, weight_decay=1e-6, amsgrad=True),
        "sgd": lambda w: torch.optim.SGD([w], 0.1),
        "sgd_mom_wd": lambda w: torch.optim.SGD([w], 0.1, momentum=0.9, weight_decay=1e-5),
    }
    figures = {"a": singles(a), "b": singles(b), "w0": singles(start)}
    for name, optimiser in optimisers.items():
        w = parameter(start)
        trace = descend(optimiser(w), w, lambda w, _: slope * (w - goal), 5)
        for step, weights in enumerate(trace, 1):
            figures[f"{name}_step{step}"] = singles(weights)
    write_json(folder, "optim", figures)


STEPS = 60
KEPT = (1, 2, 5, 10, 20, 40, 60)


def alternating(step):
    """Gradients that change sign, ten times as long at every eighth step from the third: there the
    second moment jumps and then falls, which is what AMSGrad does not let it do."""
    size = 1.0 if step % 8 == 3 else 0.1
    return torch.from_numpy(uniform(20, 6400 + step, -size, size)).double()


def far_apart(folder):
    """Sixty steps whose gradients do not depend on the weights, with a decay of 0.1.

    On these, each setting matters: decay or none, L2 (Adam) or decoupled (AdamW), AMSGrad or not,
    each beta, epsilon, momentum.
    """
    start = uniform(20, 64, -1.0, 1.0)
    rate = 0.01
    optimisers = {
        "adam": lambda w: torch.optim.Adam([w], rate, weight_decay=0.1),
        "amsgrad": lambda w: torch.optim.Adam([w], rate, weight_decay=0.1, amsgrad=True),
        "amsgrad_beta2_0.9": lambda w: torch.optim.Adam(
            [w], rate, (0.9, 0.9), weight_decay=0.1, amsgrad=True
        ),
        "adam_beta2_0.99": lambda w: torch.optim.Adam([w], rate, (0.9, 0.99), weight_decay=0.1),
        "adamw": lambda w: torch.optim.AdamW([w], rate, weight_decay=0.1),
        "sgd": lambda w: torch.optim.SGD([w], rate, momentum=0.9, weight_decay=0.1),
    }
    cases = {}
    for name, optimiser in optimisers.items():
        w = parameter(start)
        trace = descend(optimiser(w), w, lambda _, step: alternating(step), STEPS)
        cases[name] = {step: singles(trace[step - 1]) for step in KEPT}
    write_json(folder, "optim_long", {"rate": rate, "steps": STEPS, "weights_after": cases})


def make(folder):
    on_a_quadratic(folder)
    far_apart(folder)
