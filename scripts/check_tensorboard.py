#!/usr/bin/env python3
"""The event file of a run as TensorBoard itself reads it, against the run's journal.

    python3 scripts/check_tensorboard.py runs/unet-001

Needs the package tensorboard. Exits with 1 if a value, a step or a time is not the journal's.
"""

import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def told(run):
    """Value by tag and step, as the journal has them."""
    values = {}

    def add(tag, event, value):
        if value is not None:
            values.setdefault(tag, {})[event["step"]] = (value, event["time"])

    for line in (run / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "step":
            parts = {"total": event["loss"], "dice": event["dice_loss"], "bce": event["bce"]}
            for part, loss in (parts | event.get("penalties", {})).items():
                add(f"loss/{part}", event, loss)
            for region, dice in event["soft_dice"].items():
                add(f"soft_dice/{region}", event, dice)
            add("learning_rate", event, event["learning_rate"])
            add("gradient_norm", event, event["gradient_norm"])
        elif event["event"] == "validation":
            add("loss/validation", event, event.get("loss"))
            add("dice/mean", event, event["mean_dice"])
            for name in ("dice", "hd95_mm"):
                for region, value in event[name].items():
                    add(f"{name}/{region}", event, value)
    return values


def main():
    run = pathlib.Path(sys.argv[1])
    read = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    read.Reload()
    compared = 0
    for tag, expected in told(run).items():
        scalars = read.Scalars(tag)
        steps = [scalar.step for scalar in scalars]
        if steps != sorted(expected):
            sys.exit(f"{tag}: TensorBoard has {len(steps)} steps, the journal {len(expected)}")
        for scalar in scalars:
            value, time = expected[scalar.step]
            if abs(scalar.value - value) > 1e-6 * max(1, abs(value)) or abs(scalar.wall_time - time) > 0.05:
                sys.exit(f"{tag}, step {scalar.step}: {scalar.value} at {scalar.wall_time}, the journal has {value} at {time}")
            compared += 1
    if not compared:
        sys.exit("nothing to compare")
    print(f"TensorBoard reads {compared} values of {len(told(run))} tags as the journal has them")


if __name__ == "__main__":
    main()
