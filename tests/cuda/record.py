"""What the stand-in for a driver was asked for (standin/record.c): one optimiser step, one window of inference.

bench-step uploads its batch ahead of each step, and nothing else is as large. So a step is what lies between two
uploads of images; with one step ahead of the clock and three under it, those three are like all later ones.
"""

import collections
import math
import re

# Kernels that move a tensor into another layout and compute nothing.
COPY = re.compile(r"^copy_kernel|contiguous|to_channels_last")


def period_of(names):
    """The least number of names after which all repeat, twice at least; 0 if there is none."""
    return next((length for length in range(1, len(names) // 2 + 1) if names[length:] == names[:-length]), 0)


class Record:
    def __init__(self, path):
        self.kernels, self.kinds, self.events, self.wrong = {}, {}, [], []
        with open(path, errors="replace") as file:
            for line in file:
                letter, _, rest = line.rstrip("\n").partition(" ")
                if letter == "!":
                    self.wrong.append(rest)
                elif letter == "k":
                    number, source, name, kind = (rest + " ").split(" ", 3)
                    self.kernels[number] = (source, name)
                    self.kinds[number] = kind.strip()
                self.events.append((letter, rest))

    def sources(self):
        return {source for source, _ in self.kernels.values()}

    def launched(self, text):
        """Launches of kernels with this text in their name or kind."""
        wanted = {number for number, (_, name) in self.kernels.items() if text in f"{name} {self.kinds[number]}"}
        return sum(letter == "l" and rest.split(" ", 1)[0] in wanted for letter, rest in self.events)

    def launches_of_step(self, image_bytes, steps):
        """Launches by kernel of a step under the clock, of `steps`, in their later half, behind all tuning; and how often the
        tuner measured in it."""
        uploads = self.uploads(image_bytes)
        # At the end: so many steps under the clock, up to three passes, inference.
        behind = min(steps, 3) + 1
        if len(uploads) < steps + behind + 1:
            raise ValueError(f"{len(uploads)} uploads of {image_bytes} bytes, of {steps + behind + 1} at least")
        calls, launches, _ = self.usual_step(uploads[-behind - max(1, steps // 2) : -behind + 1])
        return launches, calls["t"]

    def usual_step(self, uploads):
        """As `count`, of that interval between these uploads whose launches most of them have; the last of those. Another
        thread uploads, on a busy machine a few launches early or late, so that launches which repeat are counted by their
        period."""
        counts = [self.count(begin, end) for begin, end in zip(uploads, uploads[1:])]
        calls, launches, sent = max(reversed(counts), key=lambda one: sum(one[1] == other[1] for other in counts))
        names = [self.kernels[rest.split()[0]][1] for letter, rest in self.events[uploads[0] : uploads[-1]] if letter == "l"]
        period = period_of(names)
        if period:
            calls["l"], launches = period, collections.Counter(names[:period])
        return calls, launches, sent

    def shared_bytes(self):
        """The most dynamic shared memory and the most threads that each source was launched with."""
        most = collections.defaultdict(lambda: (0, 0))
        for letter, rest in self.events:
            if letter == "l":
                number, _, block, shared = rest.split()
                x, y, z = map(int, block.split("x"))
                source = self.kernels[number][0]
                most[source] = (max(most[source][0], int(shared)), max(most[source][1], x * y * z))
        return dict(most)

    def uploads(self, image_bytes=None):
        """Places of the uploads of images: of so many bytes, or the largest there are."""
        sizes = [(at, int(rest)) for at, (letter, rest) in enumerate(self.events) if letter == "u"]
        wanted = image_bytes or max((size for _, size in sizes), default=0)
        return [at for at, size in sizes if size == wanted]

    def count(self, begin, end):
        """Calls by kind, and launches by kernel, between two places."""
        calls, launches, sent = collections.Counter(), collections.Counter(), collections.Counter()
        for letter, rest in self.events[begin:end]:
            calls[letter] += 1
            if letter == "l":
                launches[self.kernels[rest.split()[0]][1]] += 1
            elif letter in "udc":
                sent[letter] += int(rest.split()[0])
        return calls, launches, sent

    def waits(self, begin, end, launches):
        """Waits between two places, by kind: for what has a step's launches behind it, and others by their thread: the one
        that launches, the one that reads figures (train/readback.rs), any other."""
        waits = collections.Counter()
        for letter, rest in self.events[begin:end]:
            if letter == "s":
                _, behind, thread, *name = rest.split()
                kind = "late" if name == ["readback"] and thread == "beside" else thread
                waits["settled" if int(behind) >= launches else kind] += 1
        return waits

    def figures(self, image_bytes=None):
        """What the table has of one network in one precision."""
        uploads = self.uploads(image_bytes)
        if len(uploads) != 9:
            raise ValueError(f"{len(uploads)} uploads of images, of 9: was bench-step given --warmup 1 --steps 3?")
        # First, one ahead of the clock, three under it, passes, inference.
        calls, launches, sent = self.usual_step(uploads[2:6])
        # Of three steps: what another thread does comes a step early or late.
        read = self.count(uploads[2], uploads[5])[0]["d"] / 3
        waits = {kind: count / 3 for kind, count in self.waits(uploads[2], uploads[5], calls["l"]).items()}
        late, freeing, settled = (waits.get(kind, 0) for kind in ("late", "beside", "settled"))
        # The tuner waits for each of its measurements.
        steps = list(zip(uploads[2:5], uploads[3:6]))
        untuned = [one for one in steps if not self.count(*one)[0]["t"]] or steps
        held = sum(self.waits(*one, calls["l"])["held"] for one in untuned) / len(untuned)
        ends = [at for at in range(uploads[-1], len(self.events)) if self.events[at][0] == "s"]
        window, of_window, _ = self.count(ends[-2], ends[-1])
        allocations = [tuple(map(int, rest.split()[:2])) for letter, rest in self.events if letter == "a"]
        return {
            "launches": calls["l"],
            "synchronisations": round(late) + round(freeing) + math.ceil(held),
            # For the figures of a step, in a thread of its own, which the trainer takes a step later.
            "late_waits": round(late),
            # In CubeCL's thread that frees what a stream read of another's (tests/cuda/waits.py shows the calls).
            "freeing_waits": round(freeing),
            # In the thread that launches: the device is idle until it goes on.
            "holding_waits": math.ceil(held),
            # Over when they are asked for: a whole step was launched behind what they are for.
            "settled_waits": round(settled),
            "layout_copies": sum(count for name, count in launches.items() if COPY.search(name)),
            "uploads": calls["u"],
            "downloads": round(read),
            "uploaded_bytes": sent["u"],
            "window_launches": window["l"],
            "window_layout_copies": sum(count for name, count in of_window.items() if COPY.search(name)),
            # With all that tuning ever took, as pools only grow.
            "peak_bytes": max(now for _, now in allocations),
            "largest_allocation": max(size for size, _ in allocations),
            "kernels": len(self.sources()),
            "all_launches": sum(letter == "l" for letter, _ in self.events),
            "tensor_maps_refused": sum(letter == "m" and "refused" in rest for letter, rest in self.events),
            "out_of_memory": sum(letter == "o" for letter, _ in self.events),
        }
