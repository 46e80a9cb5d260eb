//! Between trajectories and the tables `[n, len+1]` that objectives see: which questions to ask the model about every
//! prefix, and how gradients of the tables become coefficients of the questions.

use std::ops::Range;

use amortize_engine::SegmentId;
use amortize_gfn::diagnostics::log_sum_exp;
use amortize_gfn::{Query, Table, Trajectory};
use amortize_lm::actions::ActionSpace;
use amortize_lm::{Forest, Questions};

/// Trajectories packed below their queries' prompts: each prompt is stored once, and so is what trajectories of a query
/// begin with alike.
pub struct PackedTrajectories {
    /// The packed tokens.
    pub forest: Forest,
    leaves: Vec<(SegmentId, usize)>,
}

impl PackedTrajectories {
    /// Packs trajectories; row i belongs to `queries[query_of[i]]`.
    pub fn new(queries: &[Query], query_of: &[usize], trajectories: &[Trajectory]) -> Self {
        let mut forest = Forest::new();
        let mut roots: Vec<Option<SegmentId>> = vec![None; queries.len()];
        let mut leaves = Vec::with_capacity(trajectories.len());
        for (trajectory, query) in trajectories.iter().zip(query_of) {
            let Query { id, prompt, .. } = &queries[*query];
            let root = *roots[*query].get_or_insert_with(|| forest.root(*id, prompt));
            leaves.push((forest.extend_path(root, prompt.len(), &trajectory.z), prompt.len()));
        }
        Self { forest, leaves }
    }

    /// The packed row whose hidden state predicts what follows z_1:k of trajectory i.
    pub fn row(&self, i: usize, k: usize) -> u32 {
        let (leaf, prompt) = self.leaves[i];
        self.forest.row_at(leaf, prompt + k - 1)
    }
}

/// What a prefix's stop is made of.
enum Stop {
    /// Not allowed here: no endpoint.
    Never,
    /// Forced: certain.
    Forced,
    /// The answers whose probabilities add up.
    Any(Range<usize>),
}

/// The questions whose answers are log q of every token and of the stop after every prefix.
pub struct PolicyQuestions {
    /// To be asked of the policy.
    pub questions: Questions,
    /// `tokens[i][k]` is the question about z_{k+1}.
    tokens: Vec<Vec<usize>>,
    /// `stops[i][k]` is the stop after z_1:k.
    stops: Vec<Vec<Stop>>,
}

impl PolicyQuestions {
    /// Asks under the same masks that sampling has.
    pub fn new(packed: &PackedTrajectories, trajectories: &[Trajectory], actions: &ActionSpace) -> Self {
        let mut questions = Questions::new();
        let masks: Vec<usize> = actions.masks().iter().map(|mask| questions.add_mask(mask.clone())).collect();
        let (mut tokens, mut stops) = (Vec::new(), Vec::new());
        for (i, Trajectory { z, .. }) in trajectories.iter().enumerate() {
            let (mut row_tokens, mut row_stops) = (Vec::new(), Vec::new());
            for k in 0..=z.len() {
                let (step, row) = (actions.at(&z[..k]), packed.row(i, k));
                let mask = Some(masks[step.mask.index()]);
                if let Some(token) = z.get(k) {
                    row_tokens.push(questions.ask(row, *token, mask));
                }
                row_stops.push(match (step.forced, step.stop.is_empty()) {
                    (true, _) => Stop::Forced,
                    (false, true) => Stop::Never,
                    (false, false) => {
                        let first = questions.len();
                        step.stop.iter().for_each(|stop| _ = questions.ask(row, *stop, mask));
                        Stop::Any(first..questions.len())
                    }
                });
            }
            tokens.push(row_tokens);
            stops.push(row_stops);
        }
        Self { questions, tokens, stops }
    }

    /// `log_pf`, `log_pterm` and the endpoints from the answers.  `[n, len+1]` each
    pub fn tables(&self, answers: &[f64]) -> (Table, Table, Table<bool>) {
        let log_pf = self.tokens.iter().map(|row| [0.0].into_iter().chain(row.iter().map(|q| answers[*q])).collect());
        let log_pterm = self.stops.iter().map(|row| row.iter().map(|stop| stop.log_prob(answers)).collect());
        let endpoint = self.stops.iter().map(|row| row.iter().map(|stop| !matches!(stop, Stop::Never)).collect());
        (
            Table::from_rows(log_pf.collect()),
            Table::from_rows(log_pterm.collect()),
            Table::from_rows(endpoint.collect()),
        )
    }

    /// The coefficient of every question's log-probability, from the gradients of the tables.
    pub fn coefficients(&self, answers: &[f64], d_log_pf: &Table, d_log_pterm: &Table) -> Vec<f64> {
        let mut coefficients = vec![0.0; answers.len()];
        for (row, d) in self.tokens.iter().zip(d_log_pf.iter()) {
            for (question, d) in row.iter().zip(&d[1..]) {
                coefficients[*question] = *d;
            }
        }
        for (row, d) in self.stops.iter().zip(d_log_pterm.iter()) {
            for (stop, d) in row.iter().zip(d) {
                stop.spread(*d, answers, &mut coefficients);
            }
        }
        coefficients
    }
}

impl Stop {
    fn log_prob(&self, answers: &[f64]) -> f64 {
        match self {
            Self::Never => f64::NEG_INFINITY,
            Self::Forced => 0.0,
            Self::Any(range) => log_sum_exp(&answers[range.clone()]),
        }
    }

    /// d logsumexp = the softmax: each stop token takes its share.
    fn spread(&self, d: f64, answers: &[f64], coefficients: &mut [f64]) {
        if let Self::Any(range) = self {
            let total = log_sum_exp(&answers[range.clone()]);
            for question in range.clone() {
                coefficients[question] = d * (answers[question] - total).exp();
            }
        }
    }
}
