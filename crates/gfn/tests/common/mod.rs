//! Random ragged batches with masked endpoints.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use amortize_gfn::{Batch, Generator, Gradients, Normaliser, Objective, RootFlow, Table};
use rand::RngExt;

/// The tables of a batch, owned.
#[derive(Clone, Debug)]
pub struct Tables {
    pub log_pf: Table,
    pub log_pterm: Table,
    pub log_reward: Table,
    pub endpoint: Table<bool>,
    pub query_of: Vec<usize>,
    pub log_z: Vec<f64>,
}

impl Tables {
    /// `n` rows of up to `max_len` tokens, of three queries in any order, one of which may be absent.
    /// Each query has its own minimum length; any other prefix may be masked as well.
    pub fn random(seed: u64, n: usize, max_len: usize) -> Self {
        let rng = &mut Generator::new(seed, "tables");
        let n_queries = 3;
        let min_len: Vec<usize> = (0..n_queries).map(|_| rng.random_range(0..=max_len)).collect();
        let query_of: Vec<usize> = (0..n).map(|_| rng.random_range(0..n_queries)).collect();
        let endpoint =
            Table::from_rows(query_of.iter().map(|&query| random_endpoints(rng, min_len[query], max_len)).collect());
        let mut log_pf = random_table(rng, &endpoint, -3.0..0.0);
        let mut log_pterm = random_table(rng, &endpoint, -3.0..0.0);
        let mut log_reward = random_table(rng, &endpoint, -8.0..2.0);
        for row in 0..n {
            log_pf.row_mut(row)[0] = 0.0;
            for (k, &allowed) in endpoint.row(row).iter().enumerate() {
                if !allowed {
                    log_pterm.row_mut(row)[k] = f64::NEG_INFINITY;
                    log_reward.row_mut(row)[k] = f64::NEG_INFINITY;
                }
            }
        }
        let log_z = (0..n_queries).map(|_| rng.random_range(-4.0..4.0)).collect();
        Self { log_pf, log_pterm, log_reward, endpoint, query_of, log_z }
    }

    pub fn batch(&self) -> Batch<'_> {
        Batch {
            log_pf: &self.log_pf,
            log_pterm: &self.log_pterm,
            log_reward: &self.log_reward,
            endpoint: &self.endpoint,
            query_of: &self.query_of,
            n_queries: self.log_z.len(),
        }
    }

    pub fn evaluate(&self, objective: &Objective) -> Gradients {
        objective.evaluate(&self.batch(), Some(&self.log_z))
    }
}

fn random_endpoints(rng: &mut Generator, min_len: usize, max_len: usize) -> Vec<bool> {
    let len = rng.random_range(min_len..=max_len);
    (0..=len).map(|k| k == len || (k >= min_len && rng.random_bool(0.7))).collect()
}

fn random_table(rng: &mut Generator, shape: &Table<bool>, range: std::ops::Range<f64>) -> Table {
    let rows = shape.iter().map(|row| row.iter().map(|_| rng.random_range(range.clone())).collect());
    Table::from_rows(rows.collect())
}

/// Every objective with every setting of the rest.
pub fn all_objectives() -> Vec<Objective> {
    let mut objectives = vec![Objective::Vargrad];
    for root_flow in [RootFlow::Vargrad, RootFlow::Learned] {
        objectives.push(Objective::TrajectoryBalance { root_flow });
        for normaliser in [Normaliser::Trajectory, Normaliser::Pooled] {
            objectives.push(Objective::DetailedBalance { normaliser, root_flow });
            for lambda in [1.0, 0.9, 0.3] {
                objectives.push(Objective::Subtb { lambda, normaliser, root_flow });
            }
        }
    }
    objectives
}
