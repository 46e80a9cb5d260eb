//! Figures of a step's trajectories.

use std::collections::BTreeMap;

use amortize_gfn::Source;

use crate::explore::Explored;
use crate::metrics::SourceRecord;

/// The mean, or `None` of nothing.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / n as f64)
}

/// Figures of the trajectories of each source.
pub(super) fn by_source(explored: &Explored) -> BTreeMap<Source, SourceRecord> {
    let mut records = BTreeMap::new();
    for source in [Source::OnPolicy, Source::Tempered, Source::Replay, Source::Data] {
        let rows: Vec<usize> = (0..explored.sources.len()).filter(|row| explored.sources[*row] == source).collect();
        if rows.is_empty() {
            continue;
        }
        let share = |count: usize| count as f64 / rows.len() as f64;
        let log_reward = |row: &usize| explored.log_reward.row(*row).last().copied().unwrap_or(f64::NEG_INFINITY);
        let trajectories = || rows.iter().map(|row| &explored.trajectories[*row]);
        records.insert(
            source,
            SourceRecord {
                n: rows.len(),
                mean_log_reward: mean(rows.iter().map(log_reward).filter(|log_reward| log_reward.is_finite())),
                zero_reward_share: share(rows.iter().filter(|row| log_reward(row) == f64::NEG_INFINITY).count()),
                mean_length: mean(trajectories().map(|trajectory| trajectory.len() as f64)).unwrap_or(0.0),
                forced_stop_share: share(trajectories().filter(|trajectory| trajectory.forced_stop()).count()),
            },
        );
    }
    records
}
