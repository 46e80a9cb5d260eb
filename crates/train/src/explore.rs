//! The training policy at work: trajectories from the policy, from the policy at other temperatures, and from the replay
//! buffer, with the rewards of all their prefixes.

use amortize_gfn::{
    Draw, Generator, Item, Mix, Prefixes, Query, ReplayBuffer, ReplaySampling, Source, StopReason, Table, Trajectory,
};
use amortize_lm::actions::ActionSpace;
use amortize_lm::{Generated, Policy, generate};

use crate::error::Result;
use crate::reward::Target;

/// A step's trajectories. Rows of one query are neighbours.
#[derive(Clone, Debug)]
pub struct Explored {
    /// The step's queries.
    pub queries: Vec<Query>,
    /// Which of them each row belongs to.  `[n]`
    pub query_of: Vec<usize>,
    /// `[n]`
    pub trajectories: Vec<Trajectory>,
    /// `[n]`
    pub sources: Vec<Source>,
    /// log q of rows that the policy itself drew, in nats.  `[n]`
    pub log_q: Vec<Option<f64>>,
    /// Untempered log R, in nats: of every prefix, or of whole trajectories alone, with minus infinity before.  `[n, len+1]`
    pub log_reward: Table,
}

impl Explored {
    /// Some of the rows. Queries stay, also those that have no row left.
    pub fn select(&self, rows: &[usize]) -> Self {
        fn pick<T: Clone>(values: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().map(|row| values[*row].clone()).collect()
        }
        Self {
            queries: self.queries.clone(),
            query_of: pick(&self.query_of, rows),
            trajectories: pick(&self.trajectories, rows),
            sources: pick(&self.sources, rows),
            log_q: pick(&self.log_q, rows),
            log_reward: self.log_reward.select(rows),
        }
    }
}

/// What exploring reads, and what it changes.
pub struct Explorer<'a, 'm> {
    /// The policy as it is now.
    pub policy: Policy<'a>,
    /// What may be drawn.
    pub actions: &'a ActionSpace,
    /// The shares of the sources.
    pub mix: Mix,
    /// How trajectories are taken from the buffer.
    pub replay_sampling: ReplaySampling,
    /// The best trajectories so far.
    pub buffer: &'a mut ReplayBuffer,
    /// Whose rewards are read.
    pub prefixes: Prefixes,
    /// Gives untempered rewards.
    pub target: &'a mut Target<'m>,
    /// Decides sources, temperatures, seeds and what is replayed.
    pub rng: &'a mut Generator,
}

/// A trajectory before its reward is known, or with the reward that the buffer remembers.
struct Found {
    trajectory: Trajectory,
    source: Source,
    log_q: Option<f64>,
    log_reward: Option<Vec<f64>>,
}

impl Explorer<'_, '_> {
    /// As many trajectories of every query as `samples` says; new ones are offered to the buffer.
    ///
    /// # Errors
    /// If the model cannot read a prompt, or the reward fails.
    pub fn explore(mut self, queries: Vec<Query>, samples: &[usize]) -> Result<Explored> {
        let plan = |(query, samples): (&Query, &usize)| {
            let can_replay = self.buffer.len(query.id) > 0;
            self.mix.plan(*samples, can_replay, self.rng)
        };
        let plans: Vec<Vec<Draw>> = queries.iter().zip(samples).map(plan).collect();
        let mut sampled = self.sample(&queries, &plans)?.into_iter();
        let (mut found, mut query_of) = (Vec::new(), Vec::new());
        for (number, (query, plan)) in queries.iter().zip(&plans).enumerate() {
            for draw in plan {
                found.push(self.realise(query, *draw, &mut sampled));
                query_of.push(number);
            }
        }
        let log_reward = self.rewards(&queries, &query_of, &mut found)?;
        let mut explored = Explored {
            queries,
            query_of,
            trajectories: Vec::new(),
            sources: Vec::new(),
            log_q: Vec::new(),
            log_reward,
        };
        for one in found {
            explored.trajectories.push(one.trajectory);
            explored.sources.push(one.source);
            explored.log_q.push(one.log_q);
        }
        self.remember(&explored);
        Ok(explored)
    }

    fn sample(&self, queries: &[Query], plans: &[Vec<Draw>]) -> Result<Vec<Generated>> {
        let prompts: Vec<Vec<u32>> = queries.iter().map(|query| query.prompt.clone()).collect();
        let mut draws = Vec::new();
        for (prompt, plan) in plans.iter().enumerate() {
            draws.extend(plan.iter().filter_map(|draw| match *draw {
                Draw::OnPolicy { seed } => Some(amortize_lm::Draw { prompt, policy_temperature: 1.0, seed }),
                Draw::Tempered { policy_temperature, seed } => {
                    Some(amortize_lm::Draw { prompt, policy_temperature, seed })
                }
                Draw::Replay => None,
            }));
        }
        Ok(generate(self.policy, &prompts, &draws, self.actions)?)
    }

    fn realise(&mut self, query: &Query, draw: Draw, sampled: &mut impl Iterator<Item = Generated>) -> Found {
        let source = draw.source();
        if source == Source::Replay {
            let item = self.buffer.sample(query.id, 1, self.replay_sampling, self.rng)[0];
            let (trajectory, log_reward) = (item.trajectory.clone(), Some(item.log_reward.clone()));
            return Found { trajectory, source, log_q: None, log_reward };
        }
        let generated = sampled.next().expect("every draw that is not replayed was sampled");
        let log_q = (source == Source::OnPolicy).then_some(generated.log_q);
        Found { trajectory: trajectory(generated), source, log_q, log_reward: None }
    }

    /// Rewards of all rows: computed for new trajectories, remembered for replayed ones.
    fn rewards(&mut self, queries: &[Query], query_of: &[usize], found: &mut [Found]) -> Result<Table> {
        let new: Vec<usize> = (0..found.len()).filter(|i| found[*i].log_reward.is_none()).collect();
        let trajectories: Vec<Trajectory> = new.iter().map(|i| found[*i].trajectory.clone()).collect();
        let new_queries: Vec<usize> = new.iter().map(|i| query_of[*i]).collect();
        let computed = self.target.log_reward_of(self.prefixes, queries, &new_queries, &trajectories)?;
        for (i, row) in new.iter().zip(computed.into_rows()) {
            found[*i].log_reward = Some(row);
        }
        let rows = found.iter_mut().map(|one| one.log_reward.take().expect("computed or remembered"));
        Ok(Table::from_rows(rows.collect()))
    }

    fn remember(&mut self, explored: &Explored) {
        for (i, source) in explored.sources.iter().enumerate() {
            if *source != Source::Replay {
                let row = explored.log_reward.row(i).to_vec();
                if let Ok(item) = Item::new(explored.trajectories[i].clone(), row) {
                    self.buffer.insert(explored.queries[explored.query_of[i]].id, item);
                }
            }
        }
    }
}

/// A generated sequence as a trajectory.
pub fn trajectory(generated: Generated) -> Trajectory {
    let stop = match generated.stop_token {
        Some(token) => StopReason::Stop { token },
        None => StopReason::MaxLength,
    };
    Trajectory { z: generated.tokens, stop }
}
