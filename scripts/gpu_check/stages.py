"""The stages of a check, in the order of their value. Each keeps what it has as soon as it has it."""

import json
import os
import re
import shutil

from gpu_check import machine, processes
from gpu_check.processes import Crashed, CutOff


class Skipped(Exception):
    """What a stage needs is not on this machine."""


def lines_of(path, pattern, after=0):
    """The matches of a pattern in the lines of a log, its first bytes passed over."""
    try:
        with open(path, errors="replace") as file:
            file.seek(after)
            return [match for match in map(re.compile(pattern).search, file) if match]
    except OSError:
        return []


def starts(check):
    """Versions, `doctor` and `check-device --tiny`, side by side: they wait for one compiler each."""
    version = check.logs("version.txt")
    processes.run([check.binary, "--version"], version, check.left(10), check.environment)
    with open(version) as file:
        check.found["machine"]["binary"] = file.read().strip()
    check.make_phantoms()
    if shutil.which("nvidia-smi"):
        check.begin("nvidia-smi", ["nvidia-smi", "-q"])
    device = check.plan.device
    words = [check.binary, "doctor", "--cache", check.work("cache"), "--metrics-addr", "off", "--json"]
    doctor = check.begin("doctor", words)
    words = [check.binary, "check-device", "--device", device, "--json"]
    words += ["--tiny"] if check.plan.tiny or device == "cuda" else []
    compared = check.begin("check-device", words)
    problems = []
    for name, child in (("check-device", compared), ("doctor", doctor)):
        problem = check.finish(name, child)
        # What is missing for a run is a finding of doctor's, and no failure of the check.
        if problem and not (name == "doctor" and child.returncode == 1):
            problems.append(f"{name}: {problem}")
    verdicts = lines_of(check.logs("check-device.log"), r"  (agrees|DIFFERS)\s*$")
    agree = sum(match[1] == "agrees" for match in verdicts)
    named = lines_of(check.logs("check-device.json"), r'"device": "(.*)"')
    if named:
        check.found["machine"]["device"] = named[0][1]
    note = f"{agree} of {len(verdicts)} comparisons agree"
    if problems:
        # Compilers are slow: who agreed until the limit has not failed.
        is_late = agree == len(verdicts) and all(check.LATE in problem for problem in problems)
        raise (CutOff if is_late else Crashed)("; ".join([note, *problems]))
    return note


def step(check, model, precision, patch, steps, kernel_steps=0):
    """One network's steps in the process that all share."""
    words = ["bench-step", "--model", model, "--device", check.plan.device, "--precision", precision]
    words += ["--patch", patch, "--batch", check.plan.batches[model], "--steps", steps, "--warmup", 2]
    words += ["--kernel-steps", kernel_steps, *check.plan.sets(model)]
    report = check.logs(f"{model}-{precision}.json")
    begins = os.path.getsize(check.worker_log) if os.path.exists(check.worker_log) else 0
    try:
        cost = check.worker.run(words, report, check.left())
    except Crashed as failure:
        # Kernels that did not run make it fail and leave its figures.
        cost = getattr(failure, "document", {})
        if "seconds_per_step" in cost:
            check.found["steps"].append(("gliaflow, kernels LOST", cost))
        raise
    except CutOff as cut:
        progress = lines_of(check.worker_log, r"^tuning kernels: .*|the first step took .*", begins)
        raise CutOff(f"{cut}; {progress[-1][0] if progress else 'no kernel was tuned yet'}") from None
    check.found["steps"].append(("gliaflow", cost))
    return cost


def told(cost):
    first, mean = cost["first_step_seconds"], cost["seconds_per_step"]
    return f"first step after {first:.1f} s, then {mean:.4f} s a step; products in {cost['products']}"


def unet_bf16(check):
    cost = step(check, "unet", check.plan.half, check.plan.patch, check.plan.steps, 3)
    check.found["kernels"] = cost.get("kernels", [])
    launches = sum(one["launches"] for one in check.found["kernels"]) // 3
    return told(cost) + (f"; {launches} launches a step" if launches else "")


def torch_step(check, model, precision, patch, layers):
    """The same network in PyTorch, every variant that there is time for."""
    if not check.has_torch():
        raise Skipped("this Python has no torch")
    out = check.logs(f"{model}-{precision}-torch.json")
    words = [check.python, "-W", "ignore", os.path.join(check.scripts, "torch_step.py"), "--model", model]
    words += ["--device", check.plan.torch_device, "--precision", precision, "--patch", patch]
    words += ["--batch", check.plan.batches[model], "--steps", check.plan.steps, "--warmup", 3]
    words += ["--settings", json.dumps(check.plan.settings.get(model, {})), "--best", "--out", out]
    words += ["--layers"] if layers else []
    log = check.logs(f"{model}-{precision}-torch.log")
    try:
        processes.run(words, log, check.left(), check.own_environment, output=os.devnull)
    finally:
        document = read_json(out)
        if "seconds_per_step" in document:
            check.found["steps"].append(("PyTorch", document))
        check.found["layers"] = document.get("layers", check.found["layers"])
    tried = document["variants"]
    failed = sum("error" in one for one in tried)
    return f"{document['seconds_per_step']:.4f} s a step, the best of {len(tried) - failed} variants, {failed} failed"


def read_json(path):
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def torch_bf16(check):
    return torch_step(check, "unet", check.plan.half, check.plan.patch, layers=True)


def convolutions(check):
    words = ["bench-convolution", "--device", check.plan.device, "--precision", check.plan.half]
    words += ["--batch", check.plan.batches["unet"], *check.plan.convolutions]
    document = check.worker.run(words, check.logs("convolutions.json"), check.left())
    check.found["convolutions"] = document["convolutions"]
    return f"{len(document['convolutions'])} shapes, three passes each; candidates in tuning.md"


def unet_f32(check):
    notes, problem = [], None
    try:
        notes.append(told(step(check, "unet", "f32", check.plan.patch, check.plan.steps)))
    except (Crashed, CutOff) as failure:
        problem = failure
        notes.append(str(failure))
    try:
        notes.append(f"torch: {torch_step(check, 'unet', 'f32', check.plan.patch, layers=False)}")
    except Skipped as reason:
        notes.append(str(reason))
    if problem:
        raise type(problem)("; ".join(notes))
    return "; ".join(notes)


def train(check):
    """Steps with the real loader, in the process that has tuned the network already."""
    check.phantoms_made()
    patch, plan = check.plan.patch, check.plan
    run = check.work("run")
    shutil.rmtree(run, ignore_errors=True)
    words = ["train", "--data", check.work("data"), "--run", run, "--metrics-addr", "off"]
    precision = "f32" if plan.device == "cpu" else plan.half
    settings = [f"data.cache={check.work('cache')}", f"precision={precision}"]
    settings += [f"crop.patch=[{patch},{patch},{patch}]", f"loader.batch={plan.batches['unet']}"]
    settings += ["evaluation.overlap=0", "train.epochs=1", f"train.steps_per_epoch={plan.train_steps}"]
    words += ["--device", plan.device, *(word for one in settings for word in ("--set", one))]
    words += plan.sets("unet")
    watch = check.watch_gpu()
    try:
        check.worker.run(words, check.logs("train.json"), check.left())
        ended = "with its validation"
    except (Crashed, CutOff) as problem:
        ended = f"and then: {problem}"
        failed = type(problem)
    else:
        failed = None
    finally:
        activity = watch()
    for name in ("events.jsonl", "steps.csv", "environment.json"):
        if os.path.isfile(os.path.join(run, name)):
            shutil.copy(os.path.join(run, name), check.logs(f"train-{name}"))
    steps = steps_of(os.path.join(run, "events.jsonl"))
    note = f"{precision}: {starved(steps)}; {activity}; {ended}"
    if failed or len(steps) < plan.train_steps:
        raise (failed or Crashed)(note)
    return note


def steps_of(journal):
    """Seconds and starved seconds of every step in a run's journal."""
    steps = []
    try:
        with open(journal) as file:
            for line in file:
                event = json.loads(line)
                if event.get("event") == "step":
                    steps.append((event["seconds"], event["starved_seconds"]))
    except (OSError, ValueError):
        pass
    return steps


def starved(steps):
    """How long the steps waited for data, the first ones aside: they tune, or fill the cache."""
    later = steps[len(steps) // 4 :]
    seconds = sum(seconds for seconds, _ in later)
    if not seconds:
        return f"{len(steps)} steps"
    share = 100 * sum(waited for _, waited in later) / seconds
    return f"{len(steps)} steps, {share:.1f} % of the last {len(later)} starved"


def resunet_vae(check):
    return told(step(check, "resunet_vae", check.plan.half, check.plan.patch, max(2, check.plan.steps // 2)))


def cascaded(check):
    return told(step(check, "cascaded", check.plan.half, check.plan.cascade_patch, 2))


def tools(check):
    """NVIDIA's own checks, on operations small enough for them."""
    if check.plan.device != "cuda":
        raise Skipped("these tools look at CUDA")
    check.worker.close()
    small = [check.binary, "check-device", "--device", "cuda", "--tiny"]
    profiled = [check.binary, "bench-convolution", "--device", "cuda", "--precision", "bf16"]
    profiled += ["--batch", 2, "--repeats", 1, "30:30:64"]
    ncu = ["ncu", "--clock-control", "none", "--set", "basic", "--launch-skip", 200, "--launch-count", 30]
    notes, problems, has_run = [], [], False
    for name, words, well in (
        ("memcheck", ["compute-sanitizer", "--tool", "memcheck", "--error-exitcode", 9, *small], "no error"),
        ("racecheck", ["compute-sanitizer", "--tool", "racecheck", "--error-exitcode", 9, *small], "no race"),
        ("ncu", [*ncu, *profiled], "a profile in ncu.log"),
    ):
        program = machine.tool(words[0], check.cuda_folders)
        if program is None:
            notes.append(f"{name}: there is no {words[0]}")
            continue
        has_run, log = True, check.logs(f"{name}.log")
        try:
            processes.run([program, *words[1:]], log, check.left(60), check.environment, check.work())
            notes.append(f"{name}: {well}")
        except CutOff as cut:
            errors = len(lines_of(log, r"^=+ (Invalid|Error|Program hit)|Race reported"))
            (problems if errors else notes).append(f"{name}: {cut}, {errors} errors until then")
        except Crashed as failure:
            problems.append(f"{name}: {failure}")
    if problems:
        raise Crashed("; ".join(notes + problems))
    if not has_run:
        raise Skipped("; ".join(notes))
    return "; ".join(notes)


# Letter, title, limit in seconds, and what is done.
STAGES = [
    ("a", "it starts: versions, doctor, check-device", 75, starts),
    ("b", "U-Net, bf16", 330, unet_bf16),
    ("c", "U-Net, bf16, PyTorch's, and its layers one by one", 100, torch_bf16),
    ("d", "six convolutions, three passes each", 75, convolutions),
    ("e", "U-Net, f32, ours and PyTorch's", 200, unet_f32),
    ("f", "training with the real loader", 100, train),
    ("g", "Residual U-Net with VAE, bf16", 120, resunet_vae),
    ("h", "cascaded, a small patch, bf16", 100, cascaded),
    ("i", "compute-sanitizer and ncu", 180, tools),
]
