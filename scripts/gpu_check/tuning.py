"""What CubeCL's tuner found: a line for each operation, out of the decisions that it writes down."""

import json


def seconds(duration):
    """A duration as serde writes it."""
    if isinstance(duration, dict):
        return duration.get("secs", 0) + 1e-9 * duration.get("nanos", 0)
    return float("nan")


def candidates(decision):
    """Name and median seconds of every candidate that was measured, the fastest first."""
    found = []
    for result in decision.get("results", []):
        outcome = result.get("outcome", {})
        measured = outcome.get("Ok") if isinstance(outcome, dict) else None
        if measured:
            found.append((measured["name"], seconds(measured["computation"]["median"])))
    return sorted(found, key=lambda one: one[1])


def tuning_table(path, most=4):
    """Markdown: each operation's key, how many candidates were measured, and the fastest of them.

    One that was not measured refused the shape, or came after one that was near the device's best.
    """
    lines = ["| key | measured | not measured | fastest, seconds |", "|---|---|---|---|"]
    try:
        with open(path, errors="replace") as file:
            decisions = [line for line in file if line.startswith("{")]
    except OSError:
        return ""
    for line in decisions:
        try:
            decision = json.loads(line)
        except ValueError:
            # The last line of a process that was killed.
            continue
        measured = candidates(decision)
        rest = len(decision.get("results", [])) - len(measured)
        best = ", ".join(f"{name} {time:.6f}" for name, time in measured[:most])
        key = json.dumps(decision.get("key"), separators=(",", ":")).replace("|", "/")
        lines.append(f"| {key} | {len(measured)} | {rest} | {best} |")
    return "\n".join(lines) + "\n"
