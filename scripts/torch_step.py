#!/usr/bin/env python3
"""The three networks in PyTorch, timed as `gliaflow bench-step` times its own.

Parameters have this program's names, so a file of `gliaflow export` is a state dict (--check). Needs
torch; --check needs the safetensors package, too. Writes one JSON document: of the variant asked for,
or with --best of the fastest one of memory layout and compilation, with all that were tried. With --out the
document is in a file, too, as far as it has come, after every variant and layer. --layers adds to --best cuDNN's
seconds for each convolution of the network: forward, gradient by the volume, gradient by the kernel.
"""

import argparse
import json
import os
import resource
import time

import torch
from torch import nn
from torch.nn import functional as F


class ConvUnit(nn.Module):
    def __init__(self, inputs, outputs, bias):
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, padding=1, bias=bias)
        self.norm = nn.InstanceNorm3d(outputs, affine=True)

    def forward(self, x):
        return F.leaky_relu(self.norm(self.conv(x)), 0.01)


class ResidualUnit(nn.Module):
    def __init__(self, channels, norm, groups=1, bias=False):
        super().__init__()
        self.norm1, self.norm2 = norm(channels), norm(channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1, groups=groups, bias=bias)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1, groups=groups, bias=bias)

    def forward(self, x):
        return x + self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))


def upsample(x):
    return F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False)


class UNet(nn.Module):
    def __init__(self, base_width=30, levels=5, conv_bias=True, **_):
        super().__init__()
        width = [base_width << level for level in range(levels)]

        def pair(*channels):
            steps = zip(channels, channels[1:])
            return nn.Sequential(*[ConvUnit(a, b, conv_bias) for a, b in steps])

        above = [4] + width
        self.enc = nn.ModuleList(
            pair(above[level], width[level], width[level]) for level in range(levels - 1)
        )
        self.bottom = pair(width[-2], width[-1], width[-2])
        self.dec = nn.ModuleList(
            pair(2 * width[level], width[level], width[max(level - 1, 0)])
            for level in reversed(range(levels - 1))
        )
        self.head = nn.Conv3d(base_width, 3, 1)

    def forward(self, x):
        skips = []
        for level in self.enc:
            skips.append(level(x))
            x = F.max_pool3d(skips[-1], 2)
        x = self.bottom(x)
        for level in self.dec:
            x = level(torch.cat([skips.pop(), upsample(x)], 1))
        return [(1.0, self.head(x))], []


class Rise(nn.Module):
    def __init__(self, inputs, outputs, norm):
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 1, bias=False)
        self.unit = ResidualUnit(outputs, norm)

    def up(self, x):
        return upsample(self.conv(x))


class Level(nn.Module):
    def __init__(self, inputs, outputs, stride, units, norm):
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.units = nn.ModuleList(ResidualUnit(outputs, norm) for _ in range(units))


class Autoencoder(nn.Module):
    def __init__(self, width, norm, patch, bottleneck, latent):
        super().__init__()
        flat = bottleneck
        for side in patch:
            flat *= side >> len(width)
        self.norm = norm(width[-1])
        self.narrow = nn.Conv3d(width[-1], bottleneck, 3, 2, padding=1)
        self.to_latent = nn.Linear(flat, 2 * latent)
        self.from_latent = nn.Linear(latent, flat)
        self.widen = nn.Conv3d(bottleneck, width[-1], 1, bias=False)
        self.dec = rises(width, norm)
        self.end = nn.Conv3d(width[0], 4, 1)

    def forward(self, bottom, images):
        narrow = self.narrow(F.relu(self.norm(bottom)))
        mean, log_variance = self.to_latent(narrow.flatten(1)).float().chunk(2, 1)
        sample = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        x = upsample(self.widen(F.relu(self.from_latent(sample)).view_as(narrow)))
        for rise in self.dec:
            x = rise.unit(rise.up(x))
        reconstruction = (self.end(x).float() - images).square().mean()
        divergence = (mean.square() + log_variance.exp() - log_variance - 1).sum()
        return [0.1 * reconstruction, 0.1 * divergence / images.numel()]


def rises(width, norm):
    levels = reversed(range(len(width) - 1))
    return nn.ModuleList(Rise(width[level + 1], width[level], norm) for level in levels)


class ResUNetVae(nn.Module):
    def __init__(
        self,
        base_width=32,
        encoder_units=(1, 2, 2, 4),
        groups=8,
        dropout=0.2,
        head_norm=True,
        vae=True,
        patch=(128, 128, 128),
        bottleneck=16,
        latent=128,
        **_,
    ):
        super().__init__()
        width = [base_width << level for level in range(len(encoder_units))]

        def norm(channels):
            return nn.GroupNorm(groups, channels)

        above = [4] + width
        self.enc = nn.ModuleList(
            Level(above[level], width[level], 2 if level else 1, units, norm)
            for level, units in enumerate(encoder_units)
        )
        self.dec = rises(width, norm)
        self.head_norm = norm(base_width) if head_norm else None
        self.head = nn.Conv3d(base_width, 3, 1)
        self.vae = Autoencoder(width, norm, patch, bottleneck, latent) if vae else None
        self.dropout = nn.Dropout3d(dropout)

    def forward(self, images):
        features = []
        x = images
        for place, level in enumerate(self.enc):
            x = level.conv(x)
            x = x if place else self.dropout(x)
            for unit in level.units:
                x = unit(x)
            features.append(x)
        x = bottom = features.pop()
        for rise in self.dec:
            x = rise.unit(rise.up(x) + features.pop())
        if self.head_norm is not None:
            x = F.relu(self.head_norm(x))
        penalties = self.vae(bottom, images) if self.training and self.vae is not None else []
        return [(1.0, self.head(x))], penalties


class Doubling(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs, 2, 2, 2))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x):
        return F.conv_transpose3d(x, self.weight, stride=2)


class Stage(nn.Module):
    def __init__(self, base, multiplier, levels, dropout, epsilon, stages, scale):
        super().__init__()
        decoder = [(2 * base) << (scale + level) for level in range(levels)]
        encoder = [multiplier * width for width in decoder]
        merged = [width // 4 for width in encoder]

        def norm(channels):
            return nn.InstanceNorm3d(channels, eps=epsilon, affine=True)

        self.scale = scale
        self.dropout = nn.Dropout(dropout)
        self.input = nn.Conv3d(4, encoder[0], 3, padding=1, groups=4)
        self.enc = nn.ModuleList(ResidualUnit(width, norm, 4, True) for width in encoder)
        self.down = nn.ModuleList(
            nn.Conv3d(a, b, 3, 2, padding=1, groups=4) for a, b in zip(encoder, encoder[1:])
        )
        below = decoder[1:-1] + [merged[-1]]
        rising = list(reversed(range(levels - 1)))
        self.up = nn.ModuleList(Doubling(below[level], decoder[level]) for level in rising)
        maps = [3 if level > 0 and scale + level < stages else 0 for level in range(levels)]
        self.fuse = nn.ModuleList(
            nn.Conv3d(decoder[level] + merged[level] + maps[level], decoder[level], 1)
            for level in rising
        )
        self.dec = nn.ModuleList(ResidualUnit(decoder[level], norm, 1, True) for level in rising)
        self.head = nn.Conv3d(decoder[0], 3, 1)

    def forward(self, x, maps):
        x = self.enc[0](self.input(x))
        merged = [strongest(x)]
        for down, unit in zip(self.down, self.enc[1:]):
            x = unit(self.dropout(down(x)))
            merged.append(strongest(x))
        x = merged.pop()
        for up, fuse, unit in zip(self.up, self.fuse, self.dec):
            parts = [up(x), merged.pop()]
            level = len(merged)
            if level > 0 and self.scale + level in maps:
                parts.append(maps[self.scale + level])
            x = unit(fuse(torch.cat(parts, 1)))
        return self.head(x)


def strongest(x):
    return torch.stack(x.chunk(4, 1)).amax(0)


class Cascaded(nn.Module):
    def __init__(
        self,
        base_width=4,
        encoder_multiplier=2,
        levels=4,
        dropout=0.1,
        norm_epsilon=1e-5,
        loss_weights=(0.4, 0.3, 0.2),
        **_,
    ):
        super().__init__()
        count = len(loss_weights)
        self.loss_weights = loss_weights
        self.stages = nn.ModuleList(
            Stage(base_width, encoder_multiplier, levels, dropout, norm_epsilon, count, scale)
            for scale in reversed(range(count))
        )

    def forward(self, images):
        scaled = [images]
        while len(scaled) < len(self.stages):
            scaled.append(F.avg_pool3d(scaled[-1], 2))
        maps, answers = {}, []
        for stage in self.stages:
            logits = stage(scaled.pop(), maps)
            maps[stage.scale] = torch.sigmoid(logits)
            answers.append(logits)
        return list(zip(self.loss_weights, reversed(answers))), []


NETWORKS = {"unet": UNet, "resunet_vae": ResUNetVae, "cascaded": Cascaded}


def total_loss(answers, penalties, target):
    total = sum(penalties)
    for weight, logits in answers:
        logits = logits.float()
        coarse = target
        while coarse.shape[2] > logits.shape[2]:
            coarse = F.avg_pool3d(coarse, 2)
        p, over = torch.sigmoid(logits), (0, 2, 3, 4)
        overlap = 2 * (p * coarse).sum(over)
        sizes = p.square().sum(over) + coarse.square().sum(over) + 1e-8
        dice = 1 - (overlap / sizes).mean()
        total = total + weight * (dice + F.binary_cross_entropy_with_logits(logits, coarse))
    return total


def nested_target(batch, patch, device):
    axes = [(2 * torch.arange(side) - side).abs() / side for side in patch]
    far = torch.stack(torch.meshgrid(*axes, indexing="ij")).amax(0)
    et, tc, wt = (far >= 0.25) & (far < 0.4), far < 0.4, far < 0.6
    target = torch.stack([et, tc, wt]).float()
    return target.expand(batch, *target.shape).contiguous().to(device)


def timed(device, work):
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    result = work()
    wait()
    return time.perf_counter() - start, result


def measure(options, net, device, layout="contiguous", compiled=False):
    order = LAYOUTS[layout]
    net = net.to(memory_format=order)
    whole = torch.compile(net) if compiled else net
    generator = torch.Generator().manual_seed(1)
    shape = (options.batch, 4, *options.patch)
    images = torch.randn(shape, generator=generator).half()
    target = nested_target(options.batch, options.patch, device)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-4, weight_decay=1e-5)
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16")

    def forward():
        x = images.to(device, non_blocking=True).float().contiguous(memory_format=order)
        with mixed:
            answers, penalties = whole(x)
        return total_loss(answers, penalties, target)

    def step():
        optimiser.zero_grad(set_to_none=True)
        loss = forward()
        loss.backward()
        optimiser.step()
        return loss.detach()

    first_seconds, first = timed(device, lambda: step().item())
    timed(device, lambda: [step() for _ in range(options.warmup)])
    cpu = time.process_time()
    seconds, last = timed(device, lambda: [step() for _ in range(options.steps)][-1].item())
    cpu = time.process_time() - cpu
    repeats = min(options.steps, 3)
    there = back = 0.0
    for _ in range(repeats):
        forward_seconds, loss = timed(device, forward)
        backward_seconds, _ = timed(device, loss.backward)
        there, back = there + forward_seconds, back + backward_seconds
    net.eval()
    with torch.no_grad(), mixed:
        x = images.to(device).float().contiguous(memory_format=order)
        whole(x)
        inference, _ = timed(device, lambda: whole(x))
    seconds /= options.steps
    on_gpu = device.type == "cuda"
    return {
        "program": f"torch {torch.__version__}",
        "model": options.model,
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "precision": options.precision,
        "layout": layout,
        "compiled": compiled,
        "tf32": on_gpu and torch.backends.cuda.matmul.allow_tf32,
        "cudnn": torch.backends.cudnn.version(),
        "patch": options.patch,
        "batch": options.batch,
        "steps": options.steps,
        "parameters": sum(p.numel() for p in net.parameters()),
        "first_step_seconds": first_seconds,
        "seconds_per_step": seconds,
        "cpu_seconds_per_step": cpu / options.steps,
        "samples_per_second": options.batch / seconds,
        "forward_seconds": there / repeats,
        "backward_seconds": back / repeats,
        "inference_seconds": inference,
        "first_loss": first,
        "last_loss": last,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "peak_device_bytes": torch.cuda.max_memory_reserved() if on_gpu else None,
    }


LAYOUTS = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last_3d,
}

def best(options, make, device, keep, compiled, tried):
    """Tries the layouts, the likely best first, and keeps the fastest of all that were ever `tried`."""
    for layout in ("channels_last", "contiguous"):
        torch.manual_seed(1)
        try:
            tried.append(measure(options, make(), device, layout, compiled))
        # A compiler that does not work on this machine must not hide what does.
        except Exception as error:
            failed = {"layout": layout, "compiled": compiled, "error": str(error)[:500]}
            tried.append(failed)
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        measured = [one for one in tried if "error" not in one]
        if measured:
            fastest = min(measured, key=lambda one: one["seconds_per_step"])
            keep({**fastest, "variants": tried})
    if not measured:
        raise SystemExit("no variant ran: " + "; ".join(one["error"] for one in tried))


def convolutions(net, images):
    """Each different convolution of a forward pass: its module, and the shape that it sees."""
    found = {}

    def see(module, inputs, _):
        key = (tuple(inputs[0].shape), tuple(module.weight.shape), module.stride, module.groups)
        found.setdefault(key, module)

    kept = [m.register_forward_hook(see) for m in net.modules() if isinstance(m, nn.Conv3d)]
    with torch.no_grad():
        net(images)
    for hook in kept:
        hook.remove()
    return found


def median_seconds(device, repeats, work):
    work()
    return sorted(timed(device, work)[0] for _ in range(repeats))[repeats // 2]


def layer_times(options, net, device, keep):
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[options.precision]
    images = torch.randn((options.batch, 4, *options.patch), device=device)
    times = []
    for (shape, kernel, stride, groups), module in convolutions(net.eval(), images).items():
        one = {
            "inputs": shape[1],
            "outputs": kernel[0],
            "side": shape[2],
            "kernel": kernel[2],
            "stride": stride[0],
            "groups": groups,
        }
        for layout, order in LAYOUTS.items():
            x = torch.randn(shape, device=device).to(dtype).contiguous(memory_format=order)
            weight = module.weight.detach().to(dtype).contiguous(memory_format=order)
            rest = (stride, module.padding, [1, 1, 1], False, [0, 0, 0], groups)

            def forward():
                return torch.ops.aten.convolution(x, weight, None, *rest)

            slope = torch.randn_like(forward())

            def backward(mask):
                return torch.ops.aten.convolution_backward(slope, x, weight, None, *rest, mask)

            passes = {
                "forward_seconds": forward,
                "data_gradient_seconds": lambda: backward([True, False, False]),
                "weight_gradient_seconds": lambda: backward([False, True, False]),
            }
            for name, work in passes.items():
                seconds = median_seconds(device, options.steps, work)
                one[name] = min(seconds, one.get(name, seconds))
                one.setdefault("layouts", {}).setdefault(layout, {})[name] = seconds
        times.append(one)
        keep(times)
    return times


def check(net, weights, given):
    from safetensors.torch import load_file

    net.load_state_dict(load_file(weights))
    tensors = load_file(given)
    with torch.no_grad():
        answers, _ = net.eval()(tensors["x"])
    return {"largest_difference": (answers[0][1] - tensors["y"]).abs().max().item()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=NETWORKS, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--patch", type=int, default=128)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--settings", type=json.loads, default={}, help="the network's, as JSON")
    parser.add_argument("--best", action="store_true", help="the fastest of layouts and compilation")
    parser.add_argument("--layers", action="store_true", help="each convolution on its own, too")
    parser.add_argument("--out", help="a file for the document, rewritten as it grows")
    parser.add_argument("--check", nargs=2, metavar=("WEIGHTS", "GIVEN"))
    options = parser.parse_args()
    options.patch = [options.patch] * 3
    device = torch.device(options.device)
    torch.backends.cudnn.benchmark = True
    # As CubeCL does without being asked, so that f32 is compared with f32.
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(1)

    def make():
        return NETWORKS[options.model](**{"patch": options.patch, **options.settings}).to(device)

    document = {}

    def keep(part):
        document.update(part)
        if options.out:
            with open(options.out + ".part", "w") as file:
                json.dump(document, file, indent=1)
            os.replace(options.out + ".part", options.out)

    if options.check:
        keep(check(make(), *options.check))
    elif options.best:
        tried = []
        best(options, make, device, keep, False, tried)
        if options.layers:
            layer_times(options, make(), device, lambda times: keep({"layers": times}))
        # Last, because compiling takes a minute: whatever ends the process leaves what was measured.
        if hasattr(torch, "compile"):
            best(options, make, device, keep, True, tried)
    else:
        keep(measure(options, make(), device))
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
