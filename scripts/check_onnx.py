#!/usr/bin/env python3
"""Holds exported ONNX files against this program: `onnx.checker`, shapes, and onnxruntime's logits.

    scripts/check_onnx.py [--full] target/debug/gliaflow

Trains each network for some steps on phantoms, exports it, and compares onnxruntime's logits with those
of `gliaflow export --reference` on three extents each, on the same images. `--full` takes the networks in
full width, which needs minutes. Needs onnx, onnxruntime and safetensors (`just check-onnx` installs them).

onnxruntime sums the values of an InstanceNormalization in f32: over the 786,432 voxels of 96x64x128 its logits of
the U-Net are 2.5e-4 from those in f64, and ours 1.1e-5 (benches/runs/2026-11-30-onnx.md). So the file as it is has to
agree within 1e-4 of the largest logit, and the same file with the means of its norms taken one axis after the other
within 1e-4. The exit code is 1 if it does not, or anything is not as it should be.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy
import onnx
import onnxruntime
from safetensors.numpy import load_file

LIMIT = 1e-4

SMALL = {
    "unet": ("base_width=4,levels=3", (16, 16, 16), [(16, 16, 16), (16, 24, 32), (20, 8, 12)]),
    "resunet_vae": (
        "base_width=8,groups=2,encoder_units=[1,2,1],patch=[16,16,16],latent=8",
        (16, 16, 16),
        [(16, 16, 16), (16, 24, 32), (40, 8, 24)],
    ),
    "cascaded": ("base_width=2,levels=3", (32, 32, 32), [(32, 32, 32), (32, 48, 64), (64, 32, 16)]),
}

FULL_EXTENTS = [(64, 64, 64), (64, 96, 64), (96, 64, 128)]
FULL = {
    "unet": ("base_width=30", (32, 32, 32), FULL_EXTENTS),
    "resunet_vae": ("base_width=32,patch=[32,32,32]", (32, 32, 32), FULL_EXTENTS),
    "cascaded": ("base_width=4", (64, 64, 64), FULL_EXTENTS),
}


def run(program, line, folder):
    done = subprocess.run([program, *line], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"gliaflow {' '.join(line)}\n{done.stderr}")
    return done.stdout


def train(program, folder, name, settings, patch, steps):
    sizes = ",".join(str(side) for side in patch)
    assignments = [
        "device=cpu", "data.cache=cache", f"crop.patch=[{sizes}]", f"model.name={name}",
        f"model.settings={{{settings}}}", "loader.memory_mib=512", "train.epochs=1", "loader.batch=1",
        f"train.steps_per_epoch={steps}", "train.learning_rate=1e-2",
    ]
    line = ["train", "--data", "data", "--run", name, "--metrics-addr", "off"]
    run(program, line + [word for one in assignments for word in ("--set", one)], folder)


def check_file(path, divisor_of):
    """The file alone: the checker, shape inference, names, opset and metadata."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 17)], model.opset_import
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    ends = {}
    for end in [*inferred.graph.input, *inferred.graph.output]:
        dims = end.type.tensor_type.shape.dim
        ends[end.name] = [dim.dim_param or dim.dim_value for dim in dims]
    channels = {key: len(metadata[key].split(",")) for key in ("modalities", "regions")}
    free = ["depth", "height", "width"]
    assert ends == {
        "images": ["batch", channels["modalities"], *free],
        "logits": ["batch", channels["regions"], *free],
    }, ends
    typed = {value.name for value in inferred.graph.value_info} | set(ends)
    untyped = [output for node in inferred.graph.node for output in node.output if output not in typed]
    assert not untyped, f"no type is inferred for {untyped}"
    divisor_of[Path(path).stem] = int(metadata["patch_divisor"])
    return len(model.graph.node)


def norms_by_axis(model):
    """The same network, each InstanceNormalization written out with means of one axis after the other."""
    written = onnx.ModelProto()
    written.CopyFrom(model)
    ranks = {}
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    for value in [*inferred.graph.value_info, *inferred.graph.input]:
        ranks[value.name] = len(value.type.tensor_type.shape.dim)
    nodes = []
    for node in model.graph.node:
        if node.op_type != "InstanceNormalization":
            nodes.append(node)
            continue
        values, scale, bias = node.input
        out, rank = node.output[0], ranks[node.input[0]]

        def add(operator, inputs, part, **attributes):
            nodes.append(onnx.helper.make_node(operator, inputs, [part], **attributes))
            return part

        def mean(values, part):
            for axis in range(rank - 1, 1, -1):
                values = add("ReduceMean", [values], f"{out}/{part}/{axis}", axes=[axis], keepdims=1)
            return values

        shape = numpy.array([1, -1] + [1] * (rank - 2), numpy.int64)
        epsilon = numpy.array([node.attribute[0].f], numpy.float32)
        written.graph.initializer.extend([
            onnx.numpy_helper.from_array(shape, f"{out}/shape"),
            onnx.numpy_helper.from_array(epsilon, f"{out}/epsilon"),
        ])
        centred = add("Sub", [values, mean(values, "mean")], f"{out}/centred")
        variance = mean(add("Mul", [centred, centred], f"{out}/squared"), "variance")
        deviation = add("Sqrt", [add("Add", [variance, f"{out}/epsilon"], f"{out}/safe")], f"{out}/deviation")
        scale = add("Reshape", [scale, f"{out}/shape"], f"{out}/scale")
        bias = add("Reshape", [bias, f"{out}/shape"], f"{out}/bias")
        unit = add("Div", [centred, deviation], f"{out}/unit")
        add("Add", [add("Mul", [unit, scale], f"{out}/scaled"), bias], out)
    del written.graph.node[:]
    written.graph.node.extend(nodes)
    onnx.checker.check_model(written)
    return written


def compare(program, folder, name, extents, divisor):
    model = onnx.load(folder / f"{name}.onnx")
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=providers)
    exact = onnxruntime.InferenceSession(norms_by_axis(model).SerializeToString(), providers=providers)
    rows = []
    for extent in extents:
        text = ",".join(str(side) for side in extent)
        run(program, ["export", "--run", name, "--reference", "r.safetensors", "--extent", text], folder)
        reference = load_file(folder / "r.safetensors")
        images, logits = reference["images"], reference["logits"]
        assert images.shape[2:] == extent, images.shape
        [found] = session.run(["logits"], {"images": images})
        assert found.shape == logits.shape, (found.shape, logits.shape)
        [nearer] = exact.run(["logits"], {"images": images})
        # A batch is each of its images alone.
        [twice] = session.run(["logits"], {"images": numpy.concatenate([images[..., ::-1], images])})
        batch = float(numpy.abs(twice[1] - found[0]).max())
        worst, by_axis = (float(numpy.abs(one - logits).max()) for one in (found, nearer))
        rows.append((extent, worst, by_axis, float(numpy.abs(logits).max()), batch))
    # An extent that the network cannot take is refused, not answered.
    odd = numpy.zeros((1, images.shape[1], divisor, divisor + 1, divisor), numpy.float32)
    try:
        session.run(["logits"], {"images": odd})
    except Exception as refusal:  # its own class for each kind of error
        assert "ONNXRuntimeError" in str(refusal), refusal
    else:
        sys.exit(f"{name}: onnxruntime takes {odd.shape}, which is no multiple of {divisor}")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--full", action="store_true", help="networks in full width")
    parser.add_argument("program", type=lambda path: str(Path(path).resolve()))
    arguments = parser.parse_args()
    onnxruntime.set_default_logger_severity(4)
    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}; limit {LIMIT:g} on logits")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        run(arguments.program, ["phantom", "--out", "data", "--cases", "4", "--seed", "3",
                                "--shape", "40x44x42", "--metrics-addr", "off"], folder)
        for name, (settings, patch, extents) in (FULL if arguments.full else SMALL).items():
            began = time.monotonic()
            train(arguments.program, folder, name, settings, patch, 2 if arguments.full else 8)
            report = json.loads(
                run(arguments.program, ["export", "--run", name, "--onnx", f"{name}.onnx", "--json"], folder)
            )
            divisors = {}
            nodes = check_file(str(folder / f"{name}.onnx"), divisors)
            print(f"{name}: {report['parameters']} values in {report['tensors']} tensors, {nodes} nodes")
            for extent, worst, by_axis, largest, batch in compare(
                arguments.program, folder, name, extents, divisors[name]
            ):
                print(f"  {'x'.join(map(str, extent)):>10}: difference {worst:.2e}, norms by axis {by_axis:.2e}, "
                      f"in a batch {batch:.2e}, largest logit {largest:.2f}", flush=True)
                of_largest = LIMIT * max(1, largest)
                failed |= not (by_axis < LIMIT and worst < of_largest and batch < of_largest)
            print(f"  {time.monotonic() - began:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
