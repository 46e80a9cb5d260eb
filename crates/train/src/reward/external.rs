//! The reward that a program of the user's own gives.

use std::collections::BTreeMap;
use std::time::Duration;

use amortize_gfn::{Query, Reward, Table, Trajectory};
use amortize_lm::actions::ActionSpace;
use amortize_lm::tokenizer::Tokenizer;

use super::scorer::{Item, Scorer};
use crate::config::External;
use crate::error::{Result, TrainError};

/// What a [`Scorer`] says of X, Y and the text of Z, without its stop, for every prefix after which the policy may stop.
/// Texts that are alike are scored once a step.
pub struct ExternalReward<'a> {
    scorer: Scorer,
    tokenizer: &'a Tokenizer,
    actions: &'a ActionSpace,
}

impl<'a> ExternalReward<'a> {
    /// The reward of a term.
    pub fn new(term: &External, tokenizer: &'a Tokenizer, actions: &'a ActionSpace) -> Self {
        let scorer = Scorer::new(term.command.clone(), Duration::from_secs_f64(term.timeout_seconds));
        Self { scorer, tokenizer, actions }
    }

    fn item(&self, query: &Query, z: &[u32]) -> Option<Item> {
        let text = |name: &str| query.texts.get(name).cloned();
        let may_stop = !self.actions.at(z).stop.is_empty();
        may_stop.then(|| Item { x: text("x").unwrap_or_default(), y: text("y"), z: self.tokenizer.decode(z) })
    }

    /// The scores of some texts, minus infinity where the policy may not stop.
    fn scores(&mut self, rows: Vec<Vec<Option<Item>>>) -> Result<Vec<Vec<f64>>> {
        let mut places = BTreeMap::new();
        for item in rows.iter().flatten().flatten() {
            let next = places.len();
            places.entry(item).or_insert(next);
        }
        let mut distinct: Vec<Item> = vec![Item { x: String::new(), y: None, z: String::new() }; places.len()];
        places.iter().for_each(|(item, place)| distinct[*place] = (*item).clone());
        let scores =
            if distinct.is_empty() { Vec::new() } else { self.scorer.score(&distinct).map_err(TrainError::Scorer)? };
        let score = |item: &Option<Item>| item.as_ref().map_or(f64::NEG_INFINITY, |item| scores[places[item]]);
        Ok(rows.iter().map(|row| row.iter().map(score).collect()).collect())
    }
}

impl Reward for ExternalReward<'_> {
    type Error = TrainError;

    fn log_reward(&mut self, queries: &[Query], query_of: &[usize], trajectories: &[Trajectory]) -> Result<Table> {
        let prefixes = |(query, Trajectory { z, .. }): (&usize, &Trajectory)| {
            (0..=z.len()).map(|k| self.item(&queries[*query], &z[..k])).collect()
        };
        let rows = query_of.iter().zip(trajectories).map(prefixes).collect();
        Ok(Table::from_rows(self.scores(rows)?))
    }

    fn final_log_reward(
        &mut self,
        queries: &[Query],
        query_of: &[usize],
        trajectories: &[Trajectory],
    ) -> Result<Vec<f64>> {
        let whole = |(query, Trajectory { z, .. }): (&usize, &Trajectory)| vec![self.item(&queries[*query], z)];
        let rows = query_of.iter().zip(trajectories).map(whole).collect();
        Ok(self.scores(rows)?.concat())
    }
}
