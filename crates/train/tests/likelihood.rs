//! Rewards of all prefixes from packed passes against their slow, obvious twin: every text scored alone.

mod common;

use amortize_gfn::{Generator, Query, Reward, StopReason, Table, Trajectory};
use amortize_lm::actions::ActionSpace;
use amortize_lm::{Model, Policy};
use amortize_train::config::RewardMask;
use amortize_train::reward::LikelihoodReward;
use rand::RngExt;

fn stopped(z: &[u32]) -> Trajectory {
    Trajectory { z: z.to_vec(), stop: StopReason::Stop { token: common::STOPS[0] } }
}

/// log p(text | x) of a sequence on its own.
fn log_p(model: &Model, x: &[u32], text: &[u32]) -> f64 {
    Policy::base(model).score_completion(x, text).expect("it scores").iter().sum()
}

/// Two queries with one X, one with another X and no Y, and one whose Y begins as Z may.
fn queries() -> Vec<Query> {
    let query = |x: &[u32], y: &[u32]| Query::new(x.to_vec(), y.to_vec()).with_prompt(vec![99]);
    vec![query(&[3, 4, 5], &[40, 41, 42]), query(&[3, 4, 5], &[43]), query(&[9, 10], &[]), query(&[9], &[20, 21, 40])]
}

/// Continuations of the queries with repeated beginnings, duplicates and empty ones among them.
fn trajectories() -> (Vec<usize>, Vec<Trajectory>) {
    let mut rng = Generator::new(5, "trajectories");
    let query_of: Vec<usize> = (0..24).map(|i| i / 6).collect();
    let mut all: Vec<Trajectory> = Vec::new();
    for i in 0..query_of.len() {
        let z: Vec<u32> = (0..rng.random_range(0..=4)).map(|_| common::TOKENS[rng.random_range(0..2)]).collect();
        all.push(match i % 6 {
            4 => all[i - 1].clone(),
            5 => stopped(&[]),
            _ => stopped(&z),
        });
    }
    (query_of, all)
}

/// What a reward should be: log of the sum over texts that may follow a prefix, each scored as a sequence of its own.
fn slow(model: &Model, query: &Query, z: &[u32], min_length: usize, texts: &[Vec<u32>]) -> Vec<f64> {
    let row = (0..=z.len()).map(|k| {
        if k < min_length {
            return f64::NEG_INFINITY;
        }
        let p = |text: &Vec<u32>| log_p(model, &query.x, &[&z[..k], text].concat()).exp();
        texts.iter().map(p).sum::<f64>().ln()
    });
    row.collect()
}

fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found == expected || (found - expected).abs() < tolerance, "{what}: {found} and {expected}");
    }
}

/// Compares a reward with the slow one in which `texts` may follow every prefix of a query's Z.
fn assert_like_slow<'a>(
    model: &'a Model,
    actions: &'a ActionSpace,
    reward: impl Fn(Policy<'a>, &'a ActionSpace, RewardMask) -> LikelihoodReward<'a>,
    texts: impl Fn(&Query) -> Vec<Vec<u32>>,
) {
    let (queries, (query_of, trajectories)) = (queries(), trajectories());
    let mut reward = reward(Policy::base(model), actions, RewardMask::Zero);
    let table = reward.log_reward(&queries, &query_of, &trajectories).expect("rewards");
    assert!(table.iter().flatten().filter(|log_reward| log_reward.is_finite()).count() > 20);
    for (i, Trajectory { z, .. }) in trajectories.iter().enumerate() {
        let query = &queries[query_of[i]];
        let expected = slow(model, query, z, actions.min_length, &texts(query));
        assert_close(table.row(i), &expected, 1e-4, &format!("{:?} {z:?} {:?}", query.x, query.y));
    }
    let last: Vec<f64> = table.iter().map(|row| row[row.len() - 1]).collect();
    let found = reward.final_log_reward(&queries, &query_of, &trajectories).expect("rewards");
    assert_close(&found, &last, 1e-4, "the end alone");
}

#[test]
fn every_prefix_is_worth_its_text_scored_alone() {
    let stops = |after: &[u32]| common::STOPS.map(|stop| [&[stop], after].concat()).to_vec();
    for model in ["gpt2-tiny", "llama-tiny"].map(common::model) {
        for min_length in [0, 2] {
            let actions = common::task(&model, min_length, 4).actions;
            assert_like_slow(&model, &actions, LikelihoodReward::continuation, |_| stops(&[]));
            assert_like_slow(&model, &actions, LikelihoodReward::infilling, |query| stops(&query.y));
            let without_stop = |base, actions, mask| LikelihoodReward::infilling(base, actions, mask).without_stop();
            assert_like_slow(&model, &actions, without_stop, |query| vec![query.y.clone()]);
        }
    }
}

#[test]
fn a_reward_does_not_depend_on_the_batch_around_it() {
    let model = common::model("llama-tiny");
    let actions = common::task(&model, 1, 12).actions;
    let mut rng = Generator::new(6, "trajectories");
    // Too many rows for one pass: some 12 prefixes, each with two stops and what follows them.
    let z = (0..200).map(|_| (0..12).map(|_| common::TOKENS[rng.random_range(0..3)]).collect::<Vec<u32>>());
    let trajectories: Vec<Trajectory> = z.map(|z| stopped(&z)).collect();
    let query_of: Vec<usize> = (0..trajectories.len()).map(|i| usize::from(i >= 120)).collect();
    let mut reward = LikelihoodReward::infilling(Policy::base(&model), &actions, RewardMask::Zero);
    let together = reward.log_reward(&queries(), &query_of, &trajectories).expect("rewards");
    for (i, trajectory) in trajectories.iter().enumerate() {
        let alone = reward.log_reward(&queries(), &query_of[i..=i], std::slice::from_ref(trajectory)).expect("rewards");
        assert_close(together.row(i), alone.row(0), 1e-4, &format!("{trajectory:?}"));
    }
    assert_eq!(reward.log_reward(&queries(), &[], &[]).expect("rewards"), Table::from_rows(vec![]));
}

#[test]
fn a_disallowed_token_makes_the_reward_zero() {
    let model = common::model("llama-tiny");
    let task = common::task(&model, 0, 4);
    let trajectories = [stopped(&[20, 99, 21])];
    for new in [LikelihoodReward::continuation, LikelihoodReward::infilling] {
        let mut reward = new(Policy::base(&model), &task.actions, RewardMask::Zero);
        // Y has tokens that the policy may not draw: that is no fault of Z.
        let table = reward.log_reward(&queries(), &[0], &trajectories).expect("rewards");
        assert!(table.row(0)[..2].iter().all(|log_reward| log_reward.is_finite()));
        assert_eq!(table.row(0)[2..], [f64::NEG_INFINITY; 2]);
    }
}

/// log p(token | path) renormalised over the tokens and stops of the action space, from sequences scored alone.
fn slow_renormalised(model: &Model, path: &[u32], token: u32) -> f64 {
    let p = |token: u32| log_p(model, path, &[token]).exp();
    let allowed: f64 = common::TOKENS.into_iter().chain(common::STOPS).map(p).sum();
    p(token) / allowed
}

#[test]
fn renormalising_concerns_z_and_the_stop_and_not_y() {
    let model = common::model("llama-tiny");
    let task = common::task(&model, 0, 2);
    let (query, z) = (&queries()[0], [20, 22]);
    let score = |mut reward: LikelihoodReward| {
        let table = reward.log_reward(&queries(), &[0], &[stopped(&z)]).expect("rewards");
        table.row(0).to_vec()
    };
    let (base, mask) = (Policy::base(&model), RewardMask::Renormalise);
    let continuation = score(LikelihoodReward::continuation(base, &task.actions, mask));
    let infilling = score(LikelihoodReward::infilling(base, &task.actions, mask));
    let mut path = query.x.clone();
    let mut p_z = 1.0;
    for k in 0..=z.len() {
        let with_stop = |stop| slow_renormalised(&model, &path, stop);
        let with_y = |stop| with_stop(stop) * log_p(&model, &[&path[..], &[stop]].concat(), &query.y).exp();
        let expected = |ending: &dyn Fn(u32) -> f64| (p_z * common::STOPS.map(ending).iter().sum::<f64>()).ln();
        assert_close(&continuation[k..=k], &[expected(&with_stop)], 1e-4, "continuation");
        assert_close(&infilling[k..=k], &[expected(&with_y)], 1e-4, "infilling");
        if k < z.len() {
            p_z *= slow_renormalised(&model, &path, z[k]);
            path.push(z[k]);
        }
    }
}

#[test]
fn a_text_too_long_for_the_context_is_refused() {
    let model = common::model("llama-tiny");
    let task = common::task(&model, 0, 4);
    let mut reward = LikelihoodReward::infilling(Policy::base(&model), &task.actions, RewardMask::Zero);
    // X, Z, a stop and Y, whose last token need not be read.
    let context = model.config.max_positions;
    let mut score = |y: usize| reward.log_reward(&[Query::new(vec![3], vec![4; y])], &[0], &[stopped(&[20, 21])]);
    assert!(score(context - 3).is_ok());
    assert!(score(context - 2).expect_err("refused").to_string().contains("context"));
}
