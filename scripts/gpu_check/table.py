"""The table of a check, as Markdown, out of what the stages have left so far."""

import datetime

MIB = 1024 * 1024


def number(value, decimals):
    return "-" if not isinstance(value, (int, float)) else f"{value:.{decimals}f}"


def row(*cells):
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"


def heading(*names):
    return [row(*names), "|" + "---|" * len(names)]


def stage_rows(stages):
    lines = heading("stage", "what", "state", "seconds", "result")
    for stage in stages:
        seconds = number(stage.seconds, 0)
        note = stage.note.replace("\n", " ")[:400]
        lines.append(row(stage.key, stage.title, stage.state, seconds, note or "-"))
    return lines


def step_rows(steps):
    names = ("program", "network", "precision", "variant", "forward", "backward", "step")
    lines = heading(*names, "samples/s", "first step", "device MiB")
    for program, one in steps:
        variant = one.get("layout", "-") + (", compiled" if one.get("compiled") else "")
        device_bytes = one.get("peak_device_bytes")
        lines.append(
            row(
                program,
                f"{one['model']} {one['patch'][0]}^3 x {one['batch']}",
                one["precision"],
                variant,
                *(number(one.get(name), 4) for name in ("forward_seconds", "backward_seconds", "seconds_per_step")),
                number(one.get("samples_per_second"), 2),
                number(one.get("first_step_seconds"), 1),
                "-" if device_bytes is None else device_bytes // MIB,
            )
        )
    return lines


PASSES = ("forward_seconds", "data_gradient_seconds", "weight_gradient_seconds")


def shape_of(one):
    return tuple(one[name] for name in ("inputs", "outputs", "side", "kernel", "stride", "groups"))


def convolution_rows(ours, theirs):
    names = ("in:out:side:kernel:stride:groups", "forward", "PyTorch", "data gradient", "PyTorch")
    lines = heading(*names, "weight gradient", "PyTorch")
    ours = {shape_of(one): one for one in ours}
    theirs = {shape_of(one): one for one in theirs}
    for shape in [*ours, *(shape for shape in theirs if shape not in ours)]:
        cells = [
            number(figures.get(shape, {}).get(name), 5) for name in PASSES for figures in (ours, theirs)
        ]
        lines.append(row(":".join(map(str, shape)), *cells))
    return lines


def kernel_rows(kernels, most=12):
    lines = heading("kernel", "launches", "seconds", "share")
    total = sum(one["seconds"] for one in kernels) or 1.0
    for one in kernels[:most]:
        share = f"{100 * one['seconds'] / total:.0f} %"
        lines.append(row(one["name"][:90], one["launches"], number(one["seconds"], 4), share))
    return lines


def table(found, stages):
    """The whole text. `found` is what `Check` keeps; what is not there yet is left out."""
    today = datetime.date.today().isoformat()
    lines = [f"# gpu-check, {today}", "", f"Command: `{found['command']}`.", ""]
    lines += [f"- {name}: {value}" for name, value in found["machine"].items()]
    lines += ["", *stage_rows(stages)]
    if found["steps"]:
        lines += ["", "Seconds of a step, averaged; `first step` has compiling and tuning in it.", ""]
        lines += step_rows(found["steps"])
    if found["convolutions"] or found["layers"]:
        lines += ["", "Single convolutions, seconds, the median; PyTorch's (cuDNN's on a GPU) the faster of two layouts.", ""]
        lines += convolution_rows(found["convolutions"], found["layers"])
    if found["kernels"]:
        lines += ["", "Kernels of the U-Net's steps, the longest.", ""]
        lines += kernel_rows(found["kernels"])
    return "\n".join(lines) + "\n"
