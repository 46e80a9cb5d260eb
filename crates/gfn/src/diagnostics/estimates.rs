//! Estimates from log weights.

/// log sum exp, stable; -inf for nothing or only -inf, NaN if any value is.
pub fn log_sum_exp(values: &[f64]) -> f64 {
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if highest.is_infinite() && !values.iter().any(|value| value.is_nan()) {
        return highest;
    }
    let sum: f64 = values.iter().map(|value| (value - highest).exp()).sum();
    highest + sum.ln()
}

/// log mean exp. Of log w = log R - log q over draws of a proposal q, the estimate of log Z from that
/// proposal: in expectation a lower bound, tighter with more draws. NaN for nothing.
pub fn log_mean_exp(values: &[f64]) -> f64 {
    match values.len() {
        0 => f64::NAN,
        n => log_sum_exp(values) - (n as f64).ln(),
    }
}

/// The log density of a mixture at one point: log sum_k shares_k q_k. With it as log q, draws of the
/// mixture estimate log Z with weights bounded by those of every component.
///
/// # Panics
/// If there is not one share per density.
pub fn log_mixture(shares: &[f64], log_densities: &[f64]) -> f64 {
    assert_eq!(shares.len(), log_densities.len(), "one share per component");
    let components = shares.iter().zip(log_densities);
    let weighted: Vec<f64> = components.map(|(share, log_density)| share.ln() + log_density).collect();
    log_sum_exp(&weighted)
}

/// The effective sample size (sum w)^2 / sum w^2 of log weights; 0 if all weights are zero.
pub fn ess(log_w: &[f64]) -> f64 {
    let total = log_sum_exp(log_w);
    if total == f64::NEG_INFINITY {
        return 0.0;
    }
    let squares: Vec<f64> = log_w.iter().map(|w| 2.0 * w).collect();
    (2.0 * total - log_sum_exp(&squares)).exp()
}

/// The evidence lower bound: mean log R - log q over draws of q, `[n]` each, in nats.
///
/// # Panics
/// If the lengths differ.
pub fn elbo(log_q: &[f64], log_reward: &[f64]) -> f64 {
    assert_eq!(log_q.len(), log_reward.len(), "one log reward per draw");
    let pairs = log_reward.iter().zip(log_q);
    mean(&pairs.map(|(log_reward, log_q)| log_reward - log_q).collect::<Vec<_>>())
}

/// The evidence upper bound: mean log R - log q over exact draws of the posterior, which is R / Z;
/// `[n]` each, in nats. It exceeds log Z by KL(posterior, q), and so sees the modes that q misses.
///
/// # Panics
/// If the lengths differ.
pub fn eubo(log_q: &[f64], log_reward: &[f64]) -> f64 {
    // The same mean as the lower bound: what differs is where the draws come from.
    elbo(log_q, log_reward)
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sample variance; `None` for fewer than two values.
pub(super) fn variance(values: &[f64]) -> Option<f64> {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() >= 2).then(|| squares / (values.len() - 1) as f64)
}
