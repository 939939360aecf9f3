"""An optimiser's step for all parameters at once, against the same in f64."""

import ctypes
import math
import random
import unittest

from kernels import Library, allocate

STRETCH, THREADS = 4096, 256
# Of a rounding or two to f32 in each of a few operations; a norm is a sum.
TOLERANCE = 4e-6
# Sizes of tensors: more than one stretch, less than a warp, exactly one stretch.
SIZES = [5, 4096, 1, 9001, 300]


def floats(values):
    """`values` where a GPU's memory has them."""
    memory = allocate(4 * len(values))
    ctypes.memmove(memory, (ctypes.c_float * len(values))(*values), 4 * len(values))
    return memory


def read(memory):
    return list((ctypes.c_float * (len(memory) // 4)).from_buffer(memory))


def rounded(values):
    return list((ctypes.c_float * len(values))(*values))


def slots_of(sizes, slots):
    """Blocks up to the end of each tensor, and sizes."""
    ends, blocks = [], 0
    for size in sizes:
        blocks += -(-size // STRETCH)
        ends.append(blocks)
    return (ctypes.c_int * slots)(*ends, *[blocks] * (slots - len(sizes))), (ctypes.c_int * slots)(*sizes), blocks


def gradients_structure(slots):
    class Gradients(ctypes.Structure):
        _fields_ = [("first", ctypes.c_int), ("ends", ctypes.c_int * slots), ("sizes", ctypes.c_int * slots)]
    return Gradients


class GlobalNorm(ctypes.Structure):
    _fields_ = [("parts", ctypes.c_int), ("mean", ctypes.c_float), ("longest", ctypes.c_float)]


def update_structure(slots):
    class Update(ctypes.Structure):
        _fields_ = [
            ("ends", ctypes.c_int * slots), ("sizes", ctypes.c_int * slots), ("decays", ctypes.c_float * slots),
            ("rate", ctypes.c_float), ("betas", ctypes.c_float * 2), ("rests", ctypes.c_float * 2),
            ("epsilon", ctypes.c_float), ("nesterov", ctypes.c_int), ("is_first", ctypes.c_int),
        ]
    return Update


class Update(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.library = Library()

    def assert_near(self, found, expected, what):
        largest = max(map(abs, expected), default=0.0) or 1.0
        worst = max((abs(a - b) for a, b in zip(found, expected)), default=0.0)
        self.assertLessEqual(worst, TOLERANCE * largest, what)

    def measure(self, gradients, loss, mean, longest, slots=6):
        """Norm, the checked norm and the factor, with gradients in launches of `slots`."""
        memory = [floats(one) for one in gradients]
        all_blocks = sum(-(-len(one) // STRETCH) for one in gradients)
        parts, first = allocate(4 * all_blocks), 0
        for begin in range(0, len(gradients), slots):
            some = memory[begin:begin + slots]
            ends, sizes, blocks = slots_of([len(one) // 4 for one in some], slots)
            geometry = gradients_structure(slots)(first, ends, sizes)
            filled = some + [some[0]] * (slots - len(some))
            self.library.launch("gradient_squares", {"SLOTS": slots}, blocks, [*filled, parts, geometry], [parts])
            first += blocks
        answers = [allocate(4) for _ in range(3)]
        geometry = GlobalNorm(all_blocks, mean, longest)
        self.library.launch("gradient_norm", {}, 1, [parts, floats([loss]), *answers, geometry], answers)
        return [read(one)[0] for one in answers]

    def test_the_norm_is_that_of_all_gradients_and_shortens_long_ones(self):
        draw = random.Random(1)
        gradients = [rounded([draw.gauss(0, 1) for _ in range(size)]) for size in SIZES]
        norm = math.sqrt(sum(value * value for one in gradients for value in one))
        for slots in (6, 2):
            for mean, longest in ((1.0, 0.0), (0.5, 0.0), (0.5, 1.0), (1.0, 1e6)):
                with self.subTest(slots=slots, mean=mean, longest=longest):
                    found = self.measure(gradients, 1.5, mean, longest, slots)
                    factor = mean * (min(longest / (norm * mean + 1e-6), 1.0) if longest else 1.0)
                    for value, expected in zip(found, (norm * mean, norm * mean, factor)):
                        self.assertAlmostEqual(value / expected, 1.0, delta=TOLERANCE)

    def test_a_loss_or_gradient_that_is_not_finite_is_told(self):
        for bad in (math.nan, math.inf, -math.inf):
            norm, checked, _ = self.measure([[1.0, 2.0], [3.0]], bad, 1.0, 0.0)
            self.assertTrue(math.isfinite(norm) and not math.isfinite(checked), bad)
            norm, checked, _ = self.measure([[1.0, 2.0], [3.0] * 4000 + [bad]], 1.0, 1.0, 0.0)
            self.assertTrue(not math.isfinite(norm) and not math.isfinite(checked), bad)
        # Its square is too long for f32.
        self.assertFalse(math.isfinite(self.measure([[1e20]], 1.0, 1.0, 0.0)[1]))

    def update(self, rule, moments, nesterov=False, checked=1.0, slots=4, first=True):
        """One step of tensors with every third without decay, as the kernel and as f64 take it."""
        draw = random.Random(2)
        sizes = SIZES[:3] if slots == 4 else SIZES
        def drawn():
            return [rounded([draw.gauss(0, 1) for _ in range(size)]) for size in sizes]
        weights, gradients = drawn(), drawn()
        before = [[rounded([abs(value) for value in one]) for one in drawn()] for _ in range(moments)]
        decays = [0.0 if at % 3 == 0 else 0.25 for at in range(len(sizes))]
        rate, betas, epsilon, factor = 0.125, (0.75, 0.875), 1e-3, 0.5
        seen = [0.4375, 0.234375]
        ends, counts, blocks = slots_of(sizes, slots)
        rests = [1 - beta for beta in betas]
        geometry = update_structure(slots)(
            ends, counts, (ctypes.c_float * slots)(*decays), rate, (ctypes.c_float * 2)(*betas), (ctypes.c_float * 2)(*rests),
            epsilon, int(nesterov), int(first))
        def filled(tensors):
            return tensors + [tensors[0]] * (slots - len(tensors))
        new_weights = [allocate(4 * size) for size in sizes]
        new_moments = [[allocate(4 * size) for size in sizes] for _ in range(moments)]
        new_seen = [floats([-1.0]), floats([-1.0])]
        old_moments = [filled([floats(one) for one in moment]) for moment in before]
        def by_slot(all_moments):
            return [moment[slot] for slot in range(slots) for moment in all_moments]
        arguments = [
            *filled([floats(one) for one in weights]), *filled([floats(one) for one in gradients]), *filled(new_weights),
            *by_slot(old_moments), *by_slot([filled(one) for one in new_moments]),
            floats([checked]), floats([factor]), floats([seen[0]]), floats([seen[1]]), *new_seen, geometry]
        answers = [*new_weights, *[one for moment in new_moments for one in moment], *new_seen]
        self.library.launch("update_parameters", {"SLOTS": slots, "MOMENTS": moments, "RULE": rule}, blocks, arguments, answers)

        finite = math.isfinite(checked)
        kept = [value * beta + rest if finite else value for value, beta, rest in zip(seen, betas, rests)]
        if rule > 0:
            self.assert_near([read(one)[0] for one in new_seen], kept if first else [-1.0, -1.0], "bias corrections")
        for at in range(len(sizes)):
            expected, expected_moments = [], [[] for _ in range(moments)]
            for place, (weight, gradient) in enumerate(zip(weights[at], gradients[at])):
                old = [moment[at][place] for moment in before]
                gradient = gradient * factor + (weight * decays[at] if rule < 2 else 0.0)
                if rule:
                    new = [old[0] * betas[0] + gradient * rests[0], old[1] * betas[1] + gradient**2 * rests[1]]
                    new += [max(old[2], new[1])] if moments > 2 else []
                    direction = new[0] / kept[0] / (math.sqrt(new[-1] / kept[1]) + epsilon)
                    direction += weight * decays[at] if rule == 2 else 0.0
                elif moments:
                    new = [old[0] * betas[0] + gradient]
                    direction = gradient + new[0] * betas[0] if nesterov else new[0]
                else:
                    new, direction = [], gradient
                expected.append(weight - direction * rate if finite else weight)
                for moment, value in zip(expected_moments, new if finite else old):
                    moment.append(value)
            self.assert_near(read(new_weights[at]), expected, f"weights {at}")
            for moment, values in zip(new_moments, expected_moments):
                self.assert_near(read(moment[at]), values, f"moments {at}")

    def test_every_rule_is_the_textbooks(self):
        for rule, moments in ((0, 0), (0, 1), (1, 2), (1, 3), (2, 2), (2, 3)):
            for nesterov in (False, True) if (rule, moments) == (0, 1) else (False,):
                with self.subTest(rule=rule, moments=moments, nesterov=nesterov):
                    self.update(rule, moments, nesterov)
        self.update(1, 2, slots=7, first=False)

    def test_a_step_that_is_not_finite_changes_nothing(self):
        for checked in (math.nan, math.inf):
            for rule, moments in ((0, 1), (1, 3)):
                with self.subTest(rule=rule, checked=checked):
                    self.update(rule, moments, checked=checked)


if __name__ == "__main__":
    unittest.main()
