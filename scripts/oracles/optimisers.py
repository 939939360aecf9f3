"""Steps of PyTorch's optimisers and rates of its schedules: `optim.json`, `optim_long.json`, `rates.json`."""

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
        "adam_without_decay": lambda w: torch.optim.Adam([w], rate),
        "amsgrad": lambda w: torch.optim.Adam([w], rate, weight_decay=0.1, amsgrad=True),
        "amsgrad_beta2_0.9": lambda w: torch.optim.Adam(
            [w], rate, (0.9, 0.9), weight_decay=0.1, amsgrad=True
        ),
        "adam_beta2_0.99": lambda w: torch.optim.Adam([w], rate, (0.9, 0.99), weight_decay=0.1),
        "adamw": lambda w: torch.optim.AdamW([w], rate, weight_decay=0.1),
        "adamw_amsgrad": lambda w: torch.optim.AdamW(
            [w], rate, (0.8, 0.9), weight_decay=0.1, amsgrad=True
        ),
        "sgd": lambda w: torch.optim.SGD([w], rate, momentum=0.9, weight_decay=0.1),
        "nesterov": lambda w: torch.optim.SGD(
            [w], rate, momentum=0.99, weight_decay=0.1, nesterov=True
        ),
    }
    cases = {}
    for name, optimiser in optimisers.items():
        w = parameter(start)
        trace = descend(optimiser(w), w, lambda _, step: alternating(step), STEPS)
        cases[name] = {step: singles(trace[step - 1]) for step in KEPT}
    write_json(folder, "optim_long", {"rate": rate, "steps": STEPS, "weights_after": cases})


RATE, TOTAL, WARM_UP, MINIMUM = 0.02, 40, 8, 0.1


def rates(folder):
    """Rates of the forty steps of a run under PyTorch's schedules."""
    schedules = torch.optim.lr_scheduler

    def cosine(optimiser, steps, minimum=0.0):
        return schedules.CosineAnnealingLR(optimiser, steps, RATE * minimum)

    def warm_then_cosine(optimiser, minimum):
        warm_up = schedules.LinearLR(optimiser, 1 / WARM_UP, 1.0, WARM_UP - 1)
        falling = cosine(optimiser, TOTAL - WARM_UP, minimum)
        return schedules.SequentialLR(optimiser, [warm_up, falling], [WARM_UP])

    found = {}
    for name, schedule in {
        "cosine": lambda optimiser: cosine(optimiser, TOTAL),
        "warm_up_cosine": lambda optimiser: warm_then_cosine(optimiser, 0.0),
        "warm_up_cosine_to_minimum": lambda optimiser: warm_then_cosine(optimiser, MINIMUM),
        "poly": lambda optimiser: schedules.PolynomialLR(optimiser, TOTAL, 0.9),
    }.items():
        optimiser = torch.optim.SGD([parameter(uniform(1, 65, -1.0, 1.0))], RATE)
        clock = schedule(optimiser)
        found[name] = []
        for _ in range(TOTAL):
            found[name].append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            clock.step()
    settings = {"rate": RATE, "steps": TOTAL, "warm_up": WARM_UP, "minimum": MINIMUM}
    write_json(folder, "rates", settings | {"rates": found})


def make(folder):
    on_a_quadratic(folder)
    far_apart(folder)
    rates(folder)
