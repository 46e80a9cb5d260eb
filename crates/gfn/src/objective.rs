//! The objectives: losses over trajectories and their gradients.
//!
//! All of them compare flows. Let
//!
//! phi_k = log R(z_1:k stop) - log q(z_1:k) - log q(stop given z_1:k)
//!
//! at every endpoint k, a prefix where the policy may stop. The term of Eq. 3 for i < j is then
//! (phi_i - phi_j)^2, and the loss is zero exactly where phi is one constant for a query, log Z: the
//! policy samples in proportion to R. In between, where stopping is masked, differences telescope.
//!
//! **The root is always an endpoint.** Where the policy may not stop there, its flow phi_0 is log Z
//! itself, given by [`RootFlow`]. Without it the tokens before the first endpoint would be in no
//! term, and a policy with loss zero could be arbitrarily wrong about them.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Prefixes, Table};

mod chain;
mod root;

use chain::{Chain, Pairs, Shape};

/// What is minimised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// The paper's modified sub-trajectory balance, Eq. 3: the sum over all pairs i < j of endpoints
    /// of one trajectory, each once, of lambda^(j-i-1) (phi_i - phi_j)^2. Distances are in tokens.
    Subtb {
        /// The weight's base, in (0, 1]. The paper's Eq. 3 is 1, the default.
        lambda: f64,
        /// What the sum is divided by.
        normaliser: Normaliser,
        /// The root's flow where the policy may not stop there.
        root_flow: RootFlow,
    },
    /// Modified detailed balance (Deleu et al., 2022): the terms of SubTB for consecutive endpoints
    /// only, the root included, all with weight 1.
    DetailedBalance {
        /// What the sum is divided by.
        normaliser: Normaliser,
        /// The root's flow where the policy may not stop there.
        root_flow: RootFlow,
    },
    /// Trajectory balance: (log Z + log q(z stop) - log R(z))^2 at the trajectory's own end, averaged
    /// over trajectories. log Z is always [`RootFlow`]'s, also where the policy may stop at the root.
    TrajectoryBalance {
        /// Where log Z comes from.
        root_flow: RootFlow,
    },
    /// The sample variance (divided by n - 1) of log w = log R(z) - log q(z stop) among the
    /// trajectories of each query, averaged over the queries that have any (Richter et al., 2020). A
    /// query with one trajectory teaches nothing.
    Vargrad,
}

/// What SubTB's and detailed balance's weighted sum of squares is divided by. Both counts are those
/// of the whole batch that [`Objective::evaluate`] sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normaliser {
    /// The weighted mean over each trajectory's own pairs, then the mean over all trajectories:
    /// long trajectories count no more than short ones. A trajectory without pairs counts as zero.
    #[default]
    Trajectory,
    /// The sum of all weights in the batch, as in the paper's public code.
    Pooled,
}

/// Where log Z comes from, the flow of a root at which the policy may not stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootFlow {
    /// The value that minimises the loss given everything else: each query's mean of phi_j over the
    /// batch, with exactly the loss's own weights of the terms (root, j). The loss is stationary in
    /// it, so by the envelope theorem its own dependence on the policy adds nothing to the gradient.
    #[default]
    Vargrad,
    /// A value per query, given to [`Objective::evaluate`], whose gradient is returned.
    Learned,
}

/// A whole accumulated batch. Every table is `[n, len+1]`, see [`Table`] for their conventions.
///
/// Normalisers and VarGrad's means are over all of it, so it is never evaluated in parts: score all
/// micro-batches, evaluate once, then carry the gradients back through each micro-batch. One batch of
/// eight then equals eight of one.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// log q(z_k given z_<k), in nats; entry 0 is ignored.
    pub log_pf: &'a Table,
    /// log q(stop given z_1:k), in nats; ignored where not an endpoint.
    pub log_pterm: &'a Table,
    /// The target: log R tempered and floored ([`crate::target`]); ignored where not an endpoint.
    pub log_reward: &'a Table,
    /// Where the policy may stop, forced stops included. The last entry of every row is true.
    pub endpoint: &'a Table<bool>,
    /// The query of each row, `[n]`, below `n_queries`; in any order.
    pub query_of: &'a [usize],
    /// The number of queries, of which some may have no rows.
    pub n_queries: usize,
}

/// A loss and its derivatives.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// The loss, in squared nats.
    pub loss: f64,
    /// d loss / d log_pf, `[n, len+1]`; entry 0 is 0. It is the derivative by the table's entries:
    /// those of inserted tokens are constants to the policy, and not to be carried further.
    pub d_log_pf: Table,
    /// d loss / d log_pterm, `[n, len+1]`; 0 where not an endpoint. Forced stops are constants to the
    /// policy too.
    pub d_log_pterm: Table,
    /// d loss / d log Z, `[n_queries]`; empty where no log Z is learned.
    pub d_log_z: Vec<f64>,
    /// The root's flow that was used, `[n_queries]`, in nats; NaN for a query that used none. Empty where losses have none.
    pub log_z: Vec<f64>,
}

impl Gradients {
    /// No loss and no gradient, for tables of the shape of `like`, without log Z.
    pub(crate) fn zeros(like: &Table) -> Self {
        Self { loss: 0.0, d_log_pf: like.like(0.0), d_log_pterm: like.like(0.0), d_log_z: vec![], log_z: vec![] }
    }
}

impl Default for Objective {
    /// SubTB as in Eq. 3: lambda 1, normalised per trajectory, VarGrad's root flow.
    fn default() -> Self {
        Objective::Subtb { lambda: 1.0, normaliser: Normaliser::default(), root_flow: RootFlow::default() }
    }
}

impl Objective {
    /// Whether log Z is a parameter to be learned.
    pub fn needs_log_z(&self) -> bool {
        self.root_flow() == RootFlow::Learned
    }

    /// Whose rewards it reads.
    pub fn prefixes(&self) -> Prefixes {
        match self {
            Objective::Subtb { .. } | Objective::DetailedBalance { .. } => Prefixes::All,
            Objective::TrajectoryBalance { .. } | Objective::Vargrad => Prefixes::Whole,
        }
    }

    /// The loss of a whole batch and its gradients. `learned_log_z` is `[n_queries]`, in nats, and
    /// needed where [`Self::needs_log_z`]; it is ignored elsewhere.
    ///
    /// NaN or infinite scores of a diverged policy give a loss that isn't finite.
    ///
    /// # Panics
    /// If shapes disagree, a row does not end in an endpoint, an endpoint's log reward is -inf (not
    /// floored), or a learned log Z is missing.
    pub fn evaluate(&self, batch: &Batch, learned_log_z: Option<&[f64]>) -> Gradients {
        batch.assert_consistent();
        let shape = self.shape(batch);
        let mut chains: Vec<Chain> =
            (0..batch.log_pf.rows()).into_par_iter().map(|row| Chain::new(batch, row, &shape)).collect();
        let scales = self.scales(batch, &chains);
        let log_z = match self.root_flow() {
            RootFlow::Vargrad => root::minimisers(batch, &chains, &scales, &shape.pairs),
            RootFlow::Learned => root::learned(batch, &chains, learned_log_z),
        };
        for (chain, &query) in chains.iter_mut().zip(batch.query_of) {
            chain.set_open_root(log_z[query]);
        }
        let flows: Vec<(f64, Vec<f64>)> =
            chains.par_iter().zip(&scales).map(|(chain, &scale)| chain.squares(&shape.pairs, scale)).collect();
        self.gradients(batch, &chains, &flows, log_z)
    }

    fn root_flow(&self) -> RootFlow {
        match *self {
            Objective::Subtb { root_flow, .. }
            | Objective::DetailedBalance { root_flow, .. }
            | Objective::TrajectoryBalance { root_flow } => root_flow,
            Objective::Vargrad => RootFlow::Vargrad,
        }
    }

    /// Which prefixes are compared, and which pairs of them.
    fn shape(&self, batch: &Batch) -> Shape {
        let longest = batch.log_pf.iter().map(<[f64]>::len).max().unwrap_or(0);
        match *self {
            Objective::Subtb { lambda, .. } => Shape::endpoints(Pairs::all(lambda, longest)),
            Objective::DetailedBalance { .. } => Shape::endpoints(Pairs::Consecutive),
            Objective::TrajectoryBalance { .. } | Objective::Vargrad => Shape::root_and_end(),
        }
    }

    /// What each row's weighted squares are multiplied by: the normaliser.
    fn scales(&self, batch: &Batch, chains: &[Chain]) -> Vec<f64> {
        match *self {
            Objective::Subtb { normaliser, .. } | Objective::DetailedBalance { normaliser, .. } => {
                normaliser.scales(chains)
            }
            Objective::TrajectoryBalance { .. } => Normaliser::Trajectory.scales(chains),
            Objective::Vargrad => vargrad_scales(batch),
        }
    }

    /// Carries the flows' gradients to the tables: phi_j = log R_j - sum_{k<=j} log_pf_k - log_pterm_j.
    fn gradients(&self, batch: &Batch, chains: &[Chain], flows: &[(f64, Vec<f64>)], log_z: Vec<f64>) -> Gradients {
        let mut gradients = Gradients {
            loss: flows.iter().map(|(loss, _)| loss).sum(),
            d_log_pf: batch.log_pf.like(0.0),
            d_log_pterm: batch.log_pf.like(0.0),
            d_log_z: vec![0.0; if self.needs_log_z() { batch.n_queries } else { 0 }],
            log_z,
        };
        for (row, (chain, (_, d_phi))) in chains.iter().zip(flows).enumerate() {
            let d_log_pf = gradients.d_log_pf.row_mut(row);
            let d_log_pterm = gradients.d_log_pterm.row_mut(row);
            chain.backward(d_phi, d_log_pf, d_log_pterm);
            if chain.open_root && self.needs_log_z() {
                gradients.d_log_z[batch.query_of[row]] += d_phi[0];
            }
        }
        gradients
    }
}

impl Normaliser {
    fn scales(self, chains: &[Chain]) -> Vec<f64> {
        let total: f64 = chains.iter().map(|chain| chain.total_weight).sum();
        let of_one = |chain: &Chain| match self {
            _ if chain.total_weight == 0.0 => 0.0,
            Normaliser::Trajectory => 1.0 / (chain.total_weight * chains.len() as f64),
            Normaliser::Pooled => 1.0 / total,
        };
        chains.iter().map(of_one).collect()
    }
}

/// Makes the squared deviations from each query's mean a sample variance, averaged over queries.
fn vargrad_scales(batch: &Batch) -> Vec<f64> {
    let mut rows_of = vec![0_usize; batch.n_queries];
    for &query in batch.query_of {
        rows_of[query] += 1;
    }
    let n_sampled = rows_of.iter().filter(|&&n| n > 0).count();
    // A lone trajectory's deviation is zero whatever it is multiplied by.
    let of_row = |&query: &usize| 1.0 / (n_sampled * (rows_of[query] - 1).max(1)) as f64;
    batch.query_of.iter().map(of_row).collect()
}

impl Batch<'_> {
    fn assert_consistent(&self) {
        let same_shape = self.log_pf.same_shape(self.log_pterm)
            && self.log_pf.same_shape(self.log_reward)
            && self.log_pf.same_shape(self.endpoint);
        assert!(same_shape, "the batch's tables differ in shape");
        assert_eq!(self.query_of.len(), self.log_pf.rows(), "one query per row");
        assert!(self.query_of.iter().all(|&query| query < self.n_queries), "a row of a query that is not in the batch");
        for (row, endpoint) in self.endpoint.iter().enumerate() {
            assert_eq!(endpoint.last(), Some(&true), "row {row} does not end in an endpoint");
        }
    }
}
