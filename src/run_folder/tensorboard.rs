//! The scalars of a journal as a TensorBoard event file: records of protocol buffers, each with the masked
//! CRC32C of its length and of its bytes (TensorFlow, `core/lib/io/record_writer.cc`, `core/util/event.proto`).
//! The journal is the truth: a process that takes a run up writes the file anew from it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use crc32c::crc32c;

use crate::base::fs;
use crate::run_folder::{EVENTS, Event, TENSORBOARD, Timestamped};

/// Version of the format, in the first record of every file.
const VERSION: &[u8] = b"brain.Event:2";
/// Part of the name by which TensorBoard knows an event file.
const STEM: &str = "events.out.tfevents";

/// Event file of a run, open at its end.
pub(super) struct ScalarWriter {
    file: File,
}

impl ScalarWriter {
    /// Writes the file of the run in `folder` from its journal, over an earlier one, and leaves it open.
    pub(super) fn from_journal(folder: &Path) -> io::Result<Self> {
        let path = event_file(folder)?;
        let mut file = io::BufWriter::new(fs::create(&path)?);
        file.write_all(&frame_record(&[double_field(1, 0.0), bytes_field(3, VERSION)].concat()))?;
        let mut journal = BufReader::new(fs::open(folder.join(EVENTS))?);
        let mut line = Vec::new();
        while journal.read_until(b'\n', &mut line)? > 0 {
            if let Ok(Timestamped { time, event }) = serde_json::from_slice(&line) {
                file.write_all(&scalar_record(time, &event).unwrap_or_default())?;
            }
            line.clear();
        }
        Ok(Self { file: file.into_inner().map_err(io::IntoInnerError::into_error)? })
    }

    /// Appends the scalars of an event.
    pub(super) fn add_event(&mut self, time: f64, event: &Event) -> io::Result<()> {
        self.file.write_all(&scalar_record(time, event).unwrap_or_default())
    }
}

/// Path of the event file: the earlier one, or one of a new name.
fn event_file(run: &Path) -> io::Result<PathBuf> {
    let folder = run.join(TENSORBOARD);
    fs::create_dir_all(&folder)?;
    let is_event_file = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(STEM))
    };
    let earlier = fs::list_dir(&folder)?.into_iter().find(is_event_file);
    Ok(earlier.unwrap_or_else(|| folder.join(format!("{STEM}.0.gliaflow"))))
}

/// Record of the scalars of an event; `None` if it has none.
fn scalar_record(time: f64, event: &Event) -> Option<Vec<u8>> {
    let mut scalars: Vec<(String, f64)> = Vec::new();
    let step = match event {
        Event::Step(step) => {
            scalars.extend(step.loss_parts().map(|(part, loss)| (format!("loss/{part}"), loss)));
            scalars.extend(
                step.soft_dice.iter().map(|(region, dice)| (format!("soft_dice/{region}"), *dice)),
            );
            scalars.push(("learning_rate".into(), step.learning_rate));
            scalars.push(("gradient_norm".into(), step.gradient_norm));
            scalars.push(("seconds/step".into(), step.seconds));
            scalars.push(("seconds/starved".into(), step.starved_seconds));
            step.step
        }
        Event::Validation(event) => {
            scalars.extend(event.loss.map(|loss| ("loss/validation".to_owned(), loss)));
            scalars.push(("dice/mean".into(), event.mean_dice));
            scalars
                .extend(event.dice.iter().map(|(region, dice)| (format!("dice/{region}"), *dice)));
            scalars.extend(
                event.hd95_mm.iter().map(|(region, mm)| (format!("hd95_mm/{region}"), *mm)),
            );
            event.step
        }
        _ => return None,
    };
    scalars.retain(|(_, value)| value.is_finite());
    let values: Vec<u8> = scalars
        .iter()
        .flat_map(|(tag, value)| {
            // Summary.Value: tag, simple_value.
            bytes_field(
                1,
                &[bytes_field(1, tag.as_bytes()), float_field(2, *value as f32)].concat(),
            )
        })
        .collect();
    // Event: wall_time, step, summary.
    Some(frame_record(
        &[double_field(1, time), integer_field(2, step), bytes_field(5, &values)].concat(),
    ))
}

/// Frame of a record: length, its checksum, the data, its checksum.
fn frame_record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let checksums = [masked_crc(&length), masked_crc(data)].map(u32::to_le_bytes);
    [&length[..], &checksums[0], data, &checksums[1]].concat()
}

/// CRC32C, rotated and shifted by a constant, so that a checksum of checksums is not degenerate.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn encode_varint(mut value: u64) -> Vec<u8> {
    let mut encoded = Vec::new();
    while value >= 0x80 {
        encoded.push(value as u8 | 0x80);
        value >>= 7;
    }
    encoded.push(value as u8);
    encoded
}

/// Field number with the type of its encoding, as protocol buffers write it.
fn field_key(number: u64, kind: u64) -> Vec<u8> {
    encode_varint(number << 3 | kind)
}

fn integer_field(number: u64, value: u64) -> Vec<u8> {
    [field_key(number, 0), encode_varint(value)].concat()
}

fn double_field(number: u64, value: f64) -> Vec<u8> {
    [&field_key(number, 1)[..], &value.to_le_bytes()].concat()
}

fn bytes_field(number: u64, value: &[u8]) -> Vec<u8> {
    [&field_key(number, 2)[..], &encode_varint(value.len() as u64), value].concat()
}

fn float_field(number: u64, value: f32) -> Vec<u8> {
    [&field_key(number, 5)[..], &value.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_folder::{CheckpointEvent, Journal, StepRecord};

    #[test]
    fn a_record_is_framed_as_tensorflow_frames_it() {
        // Made with `tensorboard.compat.tensorflow_stub` for the version record of wall time 0.
        let version = frame_record(&[double_field(1, 0.0), bytes_field(3, VERSION)].concat());
        assert_eq!(&version[..8], &24_u64.to_le_bytes());
        assert_eq!(
            masked_crc(b"123456789"),
            0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8)
        );
        assert_eq!(version.len(), 8 + 4 + 24 + 4);
        assert_eq!(encode_varint(300), [0xac, 0x02]);
    }

    /// Lengths of the records, each checked against its checksums.
    fn records(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut rest = bytes;
        let mut found = Vec::new();
        while !rest.is_empty() {
            let (length, after) = rest.split_at(8);
            let size = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            assert_eq!(after[..4], masked_crc(length).to_le_bytes());
            let data = &after[4..4 + size];
            assert_eq!(after[4 + size..8 + size], masked_crc(data).to_le_bytes());
            found.push(data.to_vec());
            rest = &after[8 + size..];
        }
        found
    }

    #[test]
    fn a_run_that_is_taken_up_has_one_file_with_each_step_once() {
        let folder = tempfile::tempdir().unwrap();
        let step = |step| Event::Step(StepRecord { step, loss: 1.5, ..StepRecord::default() });
        let journal = Journal::start(folder.path()).unwrap();
        journal.export_scalars();
        journal.write_event(&step(1)).unwrap();
        let position = journal.sync_position().unwrap();
        journal.write_event(&step(2)).unwrap();
        let checkpoint = CheckpointEvent { step: 1, ..CheckpointEvent::default() };
        let journal = Journal::resume(folder.path(), position, checkpoint).unwrap();
        journal.export_scalars();
        journal.write_event(&step(2)).unwrap();
        journal.write_event(&step(300)).unwrap();
        let files = fs::list_dir(folder.path().join(TENSORBOARD)).unwrap();
        assert_eq!(files.len(), 1, "{files:?}");
        let records = records(&fs::read(&files[0]).unwrap());
        assert_eq!(records.len(), 4, "the version and three steps");
        assert!(records[3].windows(3).any(|part| part == [0x10, 0xac, 0x02]), "step 300");
        let loss = [&b"\x0a\x0aloss/total\x15"[..], &1.5_f32.to_le_bytes()].concat();
        assert!(records[1..].iter().all(|data| data.windows(loss.len()).any(|part| part == loss)));
    }
}
