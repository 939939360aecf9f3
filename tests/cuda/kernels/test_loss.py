"""The loss of overlapping regions, soft Dice plus binary cross-entropy, forward and backward, against the same in f64."""

import ctypes
import itertools
import math
import random
import unittest

from kernels import Library, allocate, product

THREADS = 256
# Of sums in f32 of some voxels each, and of expf.
TOLERANCE = 2e-5


class RegionLoss(ctypes.Structure):
    """The parameter block of `region_loss.cuh`."""

    _fields_ = [
        ("samples", ctypes.c_int), ("voxels", ctypes.c_int), ("stretch", ctypes.c_int), ("logits", ctypes.c_int * 3),
        ("targets", ctypes.c_int * 3), ("weights", ctypes.c_int * 3), ("pitch", ctypes.c_int), ("per_sample", ctypes.c_int), ("region_sum", ctypes.c_int),
        ("numerator_epsilon", ctypes.c_float), ("denominator_epsilon", ctypes.c_float),
    ]


def read(memory):
    return list((ctypes.c_float * (len(memory) // 4)).from_buffer(memory))


class Loss(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.library = Library()

    def lay_out(self, values, samples, regions, voxels, pitch):
        """`values` of [sample][region][voxel], as such or with channels last in `pitch` elements; with its distances."""
        if not pitch:
            memory = allocate(4 * len(values))
            ctypes.memmove(memory, (ctypes.c_float * len(values))(*values), 4 * len(values))
            return memory, (regions * voxels, voxels, 1)
        memory = allocate(4 * samples * voxels * pitch)
        placed = (ctypes.c_float * (samples * voxels * pitch)).from_buffer(memory)
        for sample, region, voxel in itertools.product(range(samples), range(regions), range(voxels)):
            placed[(sample * voxels + voxel) * pitch + region] = values[(sample * regions + region) * voxels + voxel]
        return memory, (voxels * pitch, 1, pitch)

    def check(self, samples, regions, voxels, pitches=(0, 0), per_sample=False, region_sum=False, epsilons=(0.0, 1e-8),
              stretch=THREADS, absent=(), ignored=0.0):
        draw = random.Random(samples * 100 + regions)
        count = samples * regions * voxels
        f32 = ctypes.c_float
        logits = [f32(draw.gauss(0, 3)).value for _ in range(count)]
        targets = [float(draw.random() < 0.3) if draw.random() < 0.8 else f32(draw.random()).value for _ in range(count)]
        for region in absent:
            for sample, voxel in itertools.product(range(samples), range(voxels)):
                targets[(sample * regions + region) * voxels + voxel] = 0.0
                logits[(sample * regions + region) * voxels + voxel] = -40.0

        # Of coarser outputs, shares of eight voxels count.
        weights = [0.0 if draw.random() < ignored else draw.choice((0.25, 1.0)) if ignored else 1.0 for _ in range(samples * voxels)]
        spread = [weights[sample * voxels + voxel] for sample in range(samples) for _ in range(regions) for voxel in range(voxels)]

        def at(values, sample, region):
            start = (sample * regions + region) * voxels
            return values[start:start + voxels]

        probabilities = [1 / (1 + math.exp(-x)) for x in logits]
        parties = [[sample] for sample in range(samples)] if per_sample else [list(range(samples))]
        scores, slopes, dice_slopes = {}, 0.75, [0.0] * count
        for region, (party, members) in itertools.product(range(regions), enumerate(parties)):
            p = [value for sample in members for value in at(probabilities, sample, region)]
            t = [value for sample in members for value in at(targets, sample, region)]
            w = [value for sample in members for value in at(spread, sample, region)]
            above = 2 * sum(a * b * c for a, b, c in zip(p, t, w)) + epsilons[0]
            below = sum((a * a + b * b) * c for a, b, c in zip(p, t, w)) + epsilons[1]
            scores[region, party] = above / below
            for sample, voxel in itertools.product(members, range(voxels)):
                place = (sample * regions + region) * voxels + voxel
                dice_slopes[place] = -(2 * targets[place] / below - above / below**2 * 2 * probabilities[place])
        n = regions * len(parties)
        dice = 1 - sum(scores.values()) / n
        factor = (regions if region_sum else 1) / max(sum(spread), 1e-6)
        entropy = sum(w * (max(x, 0) - x * t + math.log1p(math.exp(-abs(x)))) for x, t, w in zip(logits, targets, spread)) * factor
        gradient = [slopes * w * (slope / n * p * (1 - p) + factor * (p - t))
                    for slope, p, t, w in zip(dice_slopes, probabilities, targets, spread)]

        (x, x_distances), (t, t_distances) = (
            self.lay_out(values, samples, regions, voxels, pitch) for values, pitch in zip((logits, targets), pitches))
        pitch = -(-regions // 4) * 4
        w_memory, w_distances = self.lay_out(weights, samples, 1, voxels, 0)
        geometry = RegionLoss(samples, voxels, stretch, x_distances, t_distances, w_distances, pitch, per_sample, region_sum, *epsilons)
        stretches = -(-voxels // stretch)
        parts = allocate(4 * samples * stretches * (regions * 4 + 1))
        macros = {"REGIONS": regions, "COUNTED": int(ignored > 0)}
        self.library.launch("region_sums", macros, (stretches, samples), [x, t, w_memory, parts, geometry], [parts])
        answers = [allocate(4) for _ in range(3)] + [allocate(4 * regions), allocate(8 * samples * regions + 4)]
        self.library.launch("region_scores", macros, 1, [parts, *answers, geometry], answers)
        total, of_dice, of_entropy, of_regions = (read(one) for one in answers[:4])
        self.assertAlmostEqual(of_dice[0], dice, delta=TOLERANCE)
        self.assertAlmostEqual(of_entropy[0], entropy, delta=TOLERANCE * entropy)
        self.assertAlmostEqual(total[0], dice + entropy, delta=TOLERANCE * (dice + entropy))
        for region in range(regions):
            expected = sum(scores[region, party] for party in range(len(parties))) / len(parties)
            self.assertAlmostEqual(of_regions[region], expected, delta=TOLERANCE)

        slope = allocate(4)
        ctypes.memmove(slope, (f32 * 1)(slopes), 4)
        found = allocate(4 * samples * voxels * pitch)
        self.library.launch("region_gradient", macros, (-(-voxels // THREADS), samples), [x, t, w_memory, answers[4], slope, found, geometry], [found])
        found, largest = read(found), max(map(abs, gradient))
        for sample, region, voxel in itertools.product(range(samples), range(regions), range(voxels)):
            value = found[(sample * voxels + voxel) * pitch + region]
            self.assertAlmostEqual(value, gradient[(sample * regions + region) * voxels + voxel], delta=TOLERANCE * largest)

    def test_losses_and_gradients_are_the_definitions(self):
        for regions in (1, 2, 3, 4, 8):
            for pitches in ((0, 0), (-(-regions // 4) * 4, 0), (0, regions)):
                with self.subTest(regions=regions, pitches=pitches):
                    self.check(2, regions, product((3, 5, 7)), pitches)
        for samples in (1, 3, 4):
            for per_sample, region_sum in itertools.product((False, True), repeat=2):
                with self.subTest(samples=samples, per_sample=per_sample, region_sum=region_sum):
                    self.check(samples, 3, 600, (4, 0), per_sample, region_sum, (1e-5, 1e-5))
        self.check(2, 3, 1500, stretch=2 * THREADS)

    def test_voxels_that_do_not_count_have_no_part_in_loss_and_gradient(self):
        for regions, per_sample, region_sum in ((1, False, False), (3, True, False), (4, False, True), (8, True, True)):
            with self.subTest(regions=regions, per_sample=per_sample, region_sum=region_sum):
                self.check(3, regions, 330, (0, 0), per_sample, region_sum, ignored=0.4)
        # In all of them, nothing is left but what the epsilons make of it.
        self.check(2, 3, 300, epsilons=(0.0, 1e-8), ignored=2.0)

    def test_a_region_that_is_absent_and_not_predicted_costs_one(self):
        self.check(2, 3, 300, absent=(1,))


if __name__ == "__main__":
    unittest.main()
