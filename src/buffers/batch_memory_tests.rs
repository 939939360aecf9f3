//! Samples are where a copy in order would have put them, whatever was skipped and in whatever order they were
//! made, and the memory is bounded.

use proptest::prelude::*;

use super::*;

const DIMS: Dims = Dims::cube(2);

fn new_memory(size: usize) -> BatchMemory {
    BatchMemory::new(BatchLayout { size, dims: DIMS, targets: Targets::Hard }, 0, 100)
}

fn fill_patch(patch: &mut PatchBuffer, number: u64) {
    patch.images.fill(f16::from_f32(number as f32));
    patch.labels.fill(number as u8);
}

#[test]
fn samples_of_a_batch_are_written_in_place_in_any_order_and_its_memory_comes_back() {
    let memory = new_memory(2);
    let mut seen = Vec::new();
    for round in 0..3 {
        let mut later = memory.take_place(2 * round + 1);
        let mut first = memory.take_place(2 * round);
        fill_patch(&mut later, 8);
        fill_patch(&mut first, 7);
        let places = [first.images.as_ptr(), later.images.as_ptr()];
        let mut joined = PatchBuffer::default();
        memory.join_sample(&mut joined, first);
        memory.join_sample(&mut joined, later);
        assert_eq!(places, [joined.images.as_ptr(), joined.images[32..].as_ptr()], "no copy");
        let (images, labels) = memory.close_batch(joined);
        assert_eq!(labels[..], [[7; 8], [8; 8]].concat());
        assert_eq!((images.len(), images[32]), (64, f16::from_f32(8.0)));
        seen.push(images.as_ptr());
    }
    assert_eq!(seen, [seen[0]; 3], "the same memory, round by round");
}

#[test]
fn a_place_that_is_given_up_is_the_next_samples() {
    let memory = new_memory(2);
    let skipped = memory.take_place(0);
    let place = skipped.images.as_ptr();
    let mut behind = memory.take_place(1);
    fill_patch(&mut behind, 5);
    drop(skipped);
    memory.skip_sample();
    let mut joined = PatchBuffer::default();
    memory.join_sample(&mut joined, behind);
    assert_eq!((joined.images.as_ptr(), joined.labels[0]), (place, 5), "copied to the front");
    let mut last = memory.take_place(2);
    fill_patch(&mut last, 6);
    let place = last.images.as_ptr();
    memory.join_sample(&mut joined, last);
    assert_eq!(joined.images[32..].as_ptr(), place, "made where it belongs");
    assert_eq!(joined.labels[..], [[5; 8], [6; 8]].concat());
}

proptest! {
    /// A line of `tickets` samples at most, which take memory and are done in any order; some are
    /// skipped, before or after they took memory.
    #[test]
    fn batches_are_those_of_a_copy_in_order_and_open_ones_are_as_many_as_tickets_need(
        size in 1usize..5, tickets in 1u64..9,
        fates in prop::collection::vec(0u8..6, 1..60),
        choices in prop::collection::vec(0usize..64, 200),
    ) {
        let memory = new_memory(size);
        let mut choices = choices.into_iter().cycle();
        let mut made: Vec<Option<Option<PlacedPatch>>> = fates.iter().map(|_| None).collect();
        let (mut next, mut joined, mut closed) = (0u64, PatchBuffer::default(), Vec::new());
        while next < fates.len() as u64 {
            let end = (next + tickets).min(fates.len() as u64);
            let window: Vec<u64> = (next..end).filter(|at| made[*at as usize].is_none()).collect();
            if !window.is_empty() {
                let number = window[choices.next().unwrap() % window.len()];
                let mut patch = None;
                if fates[number as usize] != 0 {
                    let mut taken = memory.take_place(number);
                    fill_patch(&mut taken, number);
                    patch = (fates[number as usize] != 1).then_some(taken);
                }
                made[number as usize] = Some(patch);
            }
            let bound = 1 + (tickets as usize - 1).div_ceil(size);
            prop_assert!(memory.0.open.lock().batches.len() <= bound);
            while let Some(patch) = made.get_mut(next as usize).and_then(Option::take) {
                next += 1;
                match patch {
                    None => memory.skip_sample(),
                    Some(patch) => memory.join_sample(&mut joined, patch),
                }
                if joined.labels.len() == size * 8 {
                    closed.push(memory.close_batch(std::mem::take(&mut joined)));
                }
            }
        }
        let wanted: Vec<u8> =
            (0u8..).zip(&fates).filter(|(_, fate)| **fate > 1).map(|(number, _)| number).collect();
        prop_assert_eq!(closed.len(), wanted.len() / size);
        for ((images, labels), wanted) in closed.iter().zip(wanted.chunks(size)) {
            let each: Vec<u8> = wanted.iter().flat_map(|number| [*number; 8]).collect();
            prop_assert_eq!(&labels[..], &each);
            let each = wanted.iter().flat_map(|number| [f16::from(*number); 32]);
            prop_assert!(images.iter().copied().eq(each));
        }
    }
}
