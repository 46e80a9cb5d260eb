//! A run's figures and samples as an event file for TensorBoard.
//!
//! Every number in a record becomes a scalar, also those that the page does not know. Times count from the run's start,
//! as TensorBoard's relative axis shows them: the same directory gives the same bytes.

mod event;
mod record;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use amortize_runlog::{RunDir, write_atomic};
use serde_json::{Map, Value};

use crate::ReportError;
use crate::html::nats;
use crate::read::{Sample, SampleKind, records};
use event::Event;

/// Where the events lie in a run.
const DIR: &str = "tensorboard";

/// One name for all times, so that new events replace old ones. TensorBoard looks for "tfevents".
const FILE: &str = "events.out.tfevents.amortize";

/// Writes the run's events to `tensorboard/events.out.tfevents.amortize` in it, in one go, and returns that directory.
///
/// # Errors
/// If a file of the run cannot be read or holds something else than records, or the events cannot be written.
pub fn write(run: &RunDir) -> Result<PathBuf, ReportError> {
    let dir = run.path().join(DIR);
    fs::create_dir_all(&dir).map_err(|source| ReportError::MakeDir { path: dir.clone(), source })?;
    write_atomic(&dir.join(FILE), &render(run)?)?;
    Ok(dir)
}

/// The event file's bytes.
///
/// # Errors
/// If a file of the run cannot be read, or holds something else than records. A torn last line is no error.
pub fn render(run: &RunDir) -> Result<Vec<u8>, ReportError> {
    let clock = Clock::read(&run.timing_path())?;
    let mut bytes = record::framed(&Event::header().encode());
    for (path, kind) in [(run.metrics_path(), None), (run.timing_path(), Some("timing"))] {
        for line in records::<Map<String, Value>>(&path)? {
            if let Some(event) = scalars(&line, kind, &clock) {
                bytes.extend(record::framed(&event.encode()));
            }
        }
    }
    for event in texts(&records(&run.samples_path())?, &clock) {
        bytes.extend(record::framed(&event.encode()));
    }
    Ok(bytes)
}

/// Seconds since the run's start at the end of each step.
struct Clock(BTreeMap<u64, f64>);

impl Clock {
    fn read(path: &Path) -> Result<Self, ReportError> {
        let mut seconds = 0.0;
        let lines = records::<crate::read::Timing>(path)?;
        let passed = lines.iter().map(|timing| {
            seconds += timing.seconds.unwrap_or(0.0);
            (timing.step, seconds)
        });
        Ok(Self(passed.collect()))
    }

    fn at(&self, step: u64) -> f64 {
        self.0.range(..=step).next_back().map_or(0.0, |(_, seconds)| *seconds)
    }
}

/// The numbers of a record under its kind, such as `train/sources/replay/mean_log_reward`; nothing if it has no step.
fn scalars(line: &Map<String, Value>, kind: Option<&str>, clock: &Clock) -> Option<Event> {
    let step = line.get("step")?.as_u64()?;
    let kind = kind.or_else(|| line.get("kind")?.as_str()).unwrap_or("other");
    let mut event = Event::new(step, clock.at(step));
    collect(kind, line, &mut event);
    Some(event)
}

fn collect(prefix: &str, fields: &Map<String, Value>, event: &mut Event) {
    for (name, value) in fields.iter().filter(|(name, _)| *name != "step") {
        let tag = format!("{prefix}/{name}");
        match value {
            Value::Number(number) => event.scalar(&tag, number.as_f64().unwrap_or(f64::NAN)),
            Value::Object(inner) => collect(&tag, inner, event),
            _ => {}
        }
    }
}

/// The samples of each step, those of a kind as one table.
fn texts(samples: &[Sample], clock: &Clock) -> Vec<Event> {
    let mut tables: BTreeMap<(u64, &str), Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        let kind = match sample.kind {
            SampleKind::Before => "samples/before",
            SampleKind::After => "samples/after",
            SampleKind::Train => "samples/train",
        };
        tables.entry((sample.step, kind)).or_default().push(sample);
    }
    let event = |((step, tag), samples): ((u64, &str), Vec<&Sample>)| {
        let mut event = Event::new(step, clock.at(step));
        event.text(tag, &table(&samples));
        event
    };
    tables.into_iter().map(event).collect()
}

/// A table in Markdown, which is what TensorBoard shows.
fn table(samples: &[&Sample]) -> String {
    let cell = |text: &str| text.trim().replace('|', "\\|").replace('\n', " ");
    let row = |sample: &&Sample| {
        let numbers = [sample.log_p, sample.log_q, sample.log_reward, sample.log_weight].map(nats);
        format!("| {} | {} | {} |\n", cell(&sample.prompt), cell(&sample.text), numbers.join(" | "))
    };
    let head = "| prompt | text | log p | log q | log R | log w |\n|---|---|---|---|---|---|\n";
    head.to_string() + &samples.iter().map(row).collect::<String>()
}

#[cfg(test)]
mod tests;
