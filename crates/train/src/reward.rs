//! The reward of a run: a task's own, or a product of terms.

mod contexts;
mod external;
mod likelihood;
mod product;
mod scorer;
mod table;
mod text;

use amortize_gfn::{Prefixes, Query, Reward, Table, Trajectory};
use amortize_lm::Policy;
use amortize_lm::actions::ActionSpace;

use crate::config::{RewardMask, RewardSection, TaskKind, TaskSection, Term, TermKind};
use crate::error::{Result, TrainError};
pub use contexts::{check_context, field_names};
pub use external::ExternalReward;
pub use likelihood::LikelihoodReward;
pub use product::Product;
pub use scorer::{Item, Scorer};
pub use table::{Support, TableReward};
pub use text::TextReward;

/// A reward of any kind.
pub type BoxedReward<'a> = Box<dyn Reward<Error = TrainError> + 'a>;

/// The reward of a run.
pub struct Target<'a> {
    reward: BoxedReward<'a>,
    /// Whether log R is the base model's own log p(Z stop | X), so that it need not be computed twice.
    pub is_base_log_prob: bool,
    /// All texts with a reward, where it is one table and they can be listed.
    pub support: Option<Support>,
}

impl<'a> Target<'a> {
    /// A reward of any kind.
    pub fn new(reward: impl Reward<Error = TrainError> + 'a) -> Self {
        Self { reward: Box::new(reward), is_base_log_prob: false, support: None }
    }

    /// The reward of a task: the product of the config's terms or, where there are none, the task's own.
    ///
    /// # Errors
    /// If a text of a table cannot be drawn.
    pub fn of(task: &TaskSection, reward: &RewardSection, base: Policy<'a>, actions: &'a ActionSpace) -> Result<Self> {
        match task.kind {
            _ if !reward.terms.is_empty() => Self::product(&reward.terms, base, actions, reward.mask),
            TaskKind::Continuation => Ok(Self::continuation(base, actions, reward.mask)),
            TaskKind::Infilling | TaskKind::Custom => Ok(Self::infilling(base, actions, reward.mask)),
        }
    }

    /// The base model's probability of the continuation.
    pub fn continuation(base: Policy<'a>, actions: &'a ActionSpace, mask: RewardMask) -> Self {
        let reward = LikelihoodReward::continuation(base, actions, mask);
        Self { is_base_log_prob: mask == RewardMask::Zero, ..Self::new(reward) }
    }

    /// The base model's probability of the text between X and Y, and of Y after it.
    pub fn infilling(base: Policy<'a>, actions: &'a ActionSpace, mask: RewardMask) -> Self {
        Self::new(LikelihoodReward::infilling(base, actions, mask))
    }

    /// The product of terms.
    ///
    /// # Errors
    /// As [`Target::of`].
    pub fn product(terms: &[Term], base: Policy<'a>, actions: &'a ActionSpace, mask: RewardMask) -> Result<Self> {
        let factor = |(number, of): (usize, &Term)| {
            let reward = term(&of.kind, base, actions, mask);
            let reward = reward.map_err(|problem| TrainError::Reward(format!("term {number}: {problem}")))?;
            Ok((of.exponent, reward))
        };
        let factors: Vec<_> = (1..).zip(terms).map(factor).collect::<Result<_>>()?;
        let support = match terms {
            [Term { exponent, kind: TermKind::Table(weights) }] => Some(Support::new(weights).raised(*exponent)),
            _ => None,
        };
        Ok(Self { support, ..Self::new(Product::new(factors)) })
    }

    /// Untempered log R of every prefix, in nats.  `[n, len+1]`
    ///
    /// # Errors
    /// If the reward fails, or is not a number below infinity where the policy may stop.
    pub fn log_reward(&mut self, queries: &[Query], query_of: &[usize], trajectories: &[Trajectory]) -> Result<Table> {
        let table = self.reward.log_reward(queries, query_of, trajectories)?;
        let fits = table.rows() == trajectories.len()
            && table.iter().zip(trajectories).all(|(row, trajectory)| row.len() == trajectory.len() + 1);
        if !fits {
            let problem =
                "gave a table that is not [n, len+1]: one value per prefix of every trajectory, the empty one included";
            return Err(TrainError::Reward(problem.into()));
        }
        check_log_rewards(table.iter().flatten())?;
        Ok(table)
    }

    /// The same of the trajectories themselves alone.  `[n]`
    ///
    /// # Errors
    /// As [`Target::log_reward`].
    pub fn final_log_reward(
        &mut self,
        queries: &[Query],
        query_of: &[usize],
        trajectories: &[Trajectory],
    ) -> Result<Vec<f64>> {
        let values = self.reward.final_log_reward(queries, query_of, trajectories)?;
        if values.len() != trajectories.len() {
            let problem = format!("gave {} values for {} trajectories", values.len(), trajectories.len());
            return Err(TrainError::Reward(problem));
        }
        check_log_rewards(&values)?;
        Ok(values)
    }

    /// Untempered log R of the prefixes that are asked for, in nats; of the others minus infinity.  `[n, len+1]`
    ///
    /// # Errors
    /// As [`Target::log_reward`].
    pub fn log_reward_of(
        &mut self,
        prefixes: Prefixes,
        queries: &[Query],
        query_of: &[usize],
        trajectories: &[Trajectory],
    ) -> Result<Table> {
        if prefixes == Prefixes::All {
            return self.log_reward(queries, query_of, trajectories);
        }
        let values = self.final_log_reward(queries, query_of, trajectories)?;
        let row = |(value, trajectory): (f64, &Trajectory)| {
            let mut row = vec![f64::NEG_INFINITY; trajectory.len()];
            row.push(value);
            row
        };
        Ok(Table::from_rows(values.into_iter().zip(trajectories).map(row).collect()))
    }
}

fn check_log_rewards<'a>(values: impl IntoIterator<Item = &'a f64>) -> Result<()> {
    match values.into_iter().find(|value| value.is_nan() || **value == f64::INFINITY) {
        Some(bad) => Err(TrainError::Reward(format!("gave a log reward of {bad}"))),
        None => Ok(()),
    }
}

/// One term, before its exponent.
fn term<'a>(
    kind: &TermKind,
    base: Policy<'a>,
    actions: &'a ActionSpace,
    mask: RewardMask,
) -> std::result::Result<BoxedReward<'a>, String> {
    let tokenizer = &base.model.tokenizer;
    Ok(match kind {
        TermKind::Likelihood(term) => Box::new(LikelihoodReward::of_term(term, base, actions, mask)),
        TermKind::Classifier(term) => Box::new(LikelihoodReward::classifier(term, base, actions)),
        TermKind::Contains(texts) => Box::new(TextReward::contains(texts, tokenizer)),
        TermKind::Excludes(texts) => Box::new(TextReward::excludes(texts, tokenizer)),
        TermKind::Regex(pattern) => Box::new(TextReward::matches(pattern, tokenizer)?),
        TermKind::Length(length) => Box::new(TextReward::length(length, tokenizer)),
        TermKind::Table(weights) => Box::new(TableReward::new(weights, tokenizer, actions)?),
        TermKind::External(external) => Box::new(ExternalReward::new(external, tokenizer, actions)),
    })
}
