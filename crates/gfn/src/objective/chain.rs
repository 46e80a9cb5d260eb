//! One trajectory as a chain of nodes whose flows are compared in pairs.

use super::Batch;

/// Which nodes a trajectory has, and which pairs of them make terms.
pub(super) struct Shape {
    nodes: Nodes,
    pub(super) pairs: Pairs,
}

enum Nodes {
    /// Every endpoint, and the root.
    Endpoints,
    /// A root whose flow is log Z, and the trajectory's own end.
    RootAndEnd,
}

/// The terms of a chain, and their weights.
pub(super) enum Pairs {
    /// All pairs; a pair at a distance of d tokens has weight `weights[d - 1]`.
    All { weights: Vec<f64> },
    /// Consecutive nodes, each pair with weight 1.
    Consecutive,
}

impl Shape {
    pub(super) fn endpoints(pairs: Pairs) -> Self {
        Self { nodes: Nodes::Endpoints, pairs }
    }

    pub(super) fn root_and_end() -> Self {
        Self { nodes: Nodes::RootAndEnd, pairs: Pairs::Consecutive }
    }
}

impl Pairs {
    /// All pairs, with weights lambda^(d-1) for distances up to `longest`.
    pub(super) fn all(lambda: f64, longest: usize) -> Self {
        // No weight may underflow to zero: the first tokens of a trajectory with a distant first
        // endpoint would be in no term.
        let weights = (0..longest).map(|power| lambda.powf(power as f64).max(f64::MIN_POSITIVE));
        Pairs::All { weights: weights.collect() }
    }

    /// The partners j > i of node i, each with its weight.
    fn after<'a>(&'a self, i: usize, at: &'a [usize]) -> impl Iterator<Item = (usize, f64)> + 'a {
        let end = match self {
            Pairs::All { .. } => at.len(),
            Pairs::Consecutive => at.len().min(i + 2),
        };
        (i + 1..end).map(move |j| match self {
            Pairs::All { weights } => (j, weights[at[j] - at[i] - 1]),
            Pairs::Consecutive => (j, 1.0),
        })
    }
}

/// One trajectory: its nodes, the first of which is the root, and their flows phi.
pub(super) struct Chain {
    /// Whether the root's flow is log Z instead of the root's own reward over its stop.
    pub(super) open_root: bool,
    /// The prefix length at each node.
    at: Vec<usize>,
    /// The flow at each node, in nats; NaN at an open root until it is set.
    phi: Vec<f64>,
    /// The sum of all pairs' weights.
    pub(super) total_weight: f64,
}

impl Chain {
    pub(super) fn new(batch: &Batch, row: usize, shape: &Shape) -> Self {
        let endpoint = batch.endpoint.row(row);
        let (open_root, ends) = match shape.nodes {
            Nodes::Endpoints => (!endpoint[0], 0),
            Nodes::RootAndEnd => (true, endpoint.len() - 1),
        };
        let mut at = Vec::from_iter(open_root.then_some(0));
        let mut phi = Vec::from_iter(open_root.then_some(f64::NAN));
        let mut log_q = 0.0;
        for (k, &is_endpoint) in endpoint.iter().enumerate() {
            if k > 0 {
                log_q += batch.log_pf.row(row)[k];
            }
            if k >= ends && is_endpoint {
                let log_reward = batch.log_reward.row(row)[k];
                assert!(
                    log_reward != f64::NEG_INFINITY,
                    "row {row}, prefix {k}: the target's zero rewards must be floored"
                );
                at.push(k);
                phi.push(log_reward - log_q - batch.log_pterm.row(row)[k]);
            }
        }
        let total_weight = (0..at.len()).flat_map(|i| shape.pairs.after(i, &at)).map(|(_, weight)| weight).sum();
        Self { open_root, at, phi, total_weight }
    }

    /// The root's partners: their flows, and the weights of the terms (root, j).
    pub(super) fn root_terms<'a>(&'a self, pairs: &'a Pairs) -> impl Iterator<Item = (f64, f64)> + 'a {
        pairs.after(0, &self.at).map(|(j, weight)| (self.phi[j], weight))
    }

    pub(super) fn set_open_root(&mut self, log_z: f64) {
        if self.open_root {
            self.phi[0] = log_z;
        }
    }

    /// `scale` times the weighted sum of (phi_i - phi_j)^2 over the pairs, and its gradient by phi.
    pub(super) fn squares(&self, pairs: &Pairs, scale: f64) -> (f64, Vec<f64>) {
        let mut loss = 0.0;
        let mut d_phi = vec![0.0; self.phi.len()];
        for i in 0..self.phi.len() {
            for (j, weight) in pairs.after(i, &self.at) {
                let difference = self.phi[i] - self.phi[j];
                let weight = scale * weight;
                loss += weight * difference * difference;
                d_phi[i] += 2.0 * weight * difference;
                d_phi[j] -= 2.0 * weight * difference;
            }
        }
        (loss, d_phi)
    }

    /// Carries the gradient by phi to the trajectory's rows, `[len+1]` each, which start as zeros.
    pub(super) fn backward(&self, d_phi: &[f64], d_log_pf: &mut [f64], d_log_pterm: &mut [f64]) {
        let own_nodes = usize::from(self.open_root)..self.at.len();
        for node in own_nodes {
            let k = self.at[node];
            d_log_pterm[k] = -d_phi[node];
            d_log_pf[k] = -d_phi[node];
        }
        // A token is in the flow of every endpoint from it on.
        for k in (1..d_log_pf.len() - 1).rev() {
            d_log_pf[k] += d_log_pf[k + 1];
        }
        d_log_pf[0] = 0.0;
    }
}
