//! The training step: micro-batches, rewards and evaluation against slow, obvious twins.

mod common;

use amortize_gfn::{Query, Reward, Table, Trajectory};
use amortize_lm::{Model, Policy};
use amortize_train::config::{Config, RewardMask};
use amortize_train::reward::Target;
use amortize_train::task::Task;
use amortize_train::trainer::{Learning, Trainer};

fn trainer<'a>(config: &'a Config, model: &'a Model, task: &'a Task) -> Trainer<'a> {
    let target = Target::continuation(Policy::base(model), &task.actions, RewardMask::Zero);
    Trainer::new(config, model, task, target).expect("a trainer")
}

/// Loss and gradients of one step's batch, cut into micro-batches of `micro_batch` trajectories.
fn gradients(model: &Model, task: &Task, sets: &[&str], micro_batch: usize) -> (f64, Vec<Vec<f32>>) {
    let micro_batch = format!("train.micro_batch={micro_batch}");
    let common = ["adapter.rank=4", "adapter.dropout=0.2", "train.queries_per_step=2", "train.samples_per_query=8"];
    let config = common::config(&[&common, sets, &[micro_batch.as_str()]].concat());
    let mut trainer = trainer(&config, model, task);
    // B is zero at first, and with it A's gradient: two steps make both count.
    let whole = trainer.method.micro_batch;
    trainer.method.micro_batch = 0;
    trainer.method.learning_rate.warmup = 0;
    for _ in 0..2 {
        trainer.step().expect("a step");
    }
    let (_, explored) = trainer.step().expect("a step");
    trainer.method.micro_batch = whole;
    let target = amortize_gfn::target(&explored.log_reward, 0.8, -100.0);
    let Learning::Balance(objective) = trainer.method.learning else { panic!("a GFlowNet") };
    let (objective, gradients) = trainer.balance_gradients(objective, &explored, &target).expect("gradients");
    (objective.loss, gradients.tensors().iter().map(|tensor| tensor.to_host()).collect())
}

/// Log Z belongs to a query: copies of it would each have one of their own, from fewer trajectories.
#[test]
fn a_query_that_comes_again_in_a_step_is_one_with_more_trajectories() {
    let model = common::model("llama-tiny");
    let task = common::task(&model, 1, 5);
    for name in ["vargrad", "tb"] {
        let sets = [&format!("objective.name={name}"), "train.queries_per_step=5", "train.samples_per_query=3"];
        let config = common::config(&sets);
        let mut trainer = trainer(&config, &model, &task);
        for step in 0..2 {
            let (_, explored) = trainer.step().expect("a step");
            // Ten places for two queries, five a step: one of them has the odd place.
            assert_eq!(explored.queries.len(), 2);
            let mut rows = [0, 1].map(|query| explored.query_of.iter().filter(|of| **of == query).count());
            rows.sort_unstable();
            assert_eq!(rows, [6, 9], "{name}, step {step}");
            assert!(explored.query_of.is_sorted(), "rows of a query are neighbours");
        }
    }
}

#[test]
fn sixteen_times_one_equals_one_times_sixteen() {
    let model = common::model("llama-tiny");
    let task = common::task(&model, 1, 5);
    for sets in [
        &["objective.normaliser=pooled"][..],
        &["objective.normaliser=trajectory", "objective.lambda=0.9"],
        &["objective.root_flow=learned"],
        &["objective.name=vargrad"],
    ] {
        let (loss, whole) = gradients(&model, &task, sets, 0);
        for size in [1, 3, 8] {
            let (part_loss, parts) = gradients(&model, &task, sets, size);
            assert!((loss - part_loss).abs() < 1e-5 * loss.abs().max(1.0), "{sets:?} by {size}: {loss} {part_loss}");
            let largest = whole.iter().flatten().fold(0.0f32, |largest, x| largest.max(x.abs()));
            assert!(largest > 1e-4, "there are gradients to compare");
            for (a, b) in whole.iter().flatten().zip(parts.iter().flatten()) {
                assert!((a - b).abs() < 1e-4 * largest, "{sets:?} by {size}: {a} {b}");
            }
        }
    }
}

#[test]
fn computing_activations_again_changes_no_bit() {
    let model = common::model("gpt2-tiny");
    let task = common::task(&model, 1, 5);
    for micro_batch in [0, 3] {
        let of = |recompute: &str| gradients(&model, &task, &[recompute], micro_batch);
        assert!(of("train.recompute=false") == of("train.recompute=true"));
    }
}

/// A reward that breaks its contract.
struct Broken(f64, usize);

impl Reward for Broken {
    type Error = amortize_train::TrainError;

    fn log_reward(&mut self, _: &[Query], _: &[usize], rows: &[Trajectory]) -> Result<Table, Self::Error> {
        Ok(Table::from_rows(rows.iter().map(|row| vec![self.0; row.len() + self.1]).collect()))
    }
}

#[test]
fn rewards_that_are_no_numbers_or_of_the_wrong_shape_are_refused() {
    let model = common::model("llama-tiny");
    let task = common::task(&model, 0, 3);
    let config = common::config(&["adapter.rank=2"]);
    for (broken, message) in [(Broken(f64::NAN, 1), "log reward of NaN"), (Broken(0.0, 2), "one value per prefix")] {
        let mut trainer = trainer(&config, &model, &task);
        trainer.target = Target::new(broken);
        let error = trainer.step().expect_err("refused").to_string();
        assert!(error.contains(message), "{error}");
        assert_eq!(trainer.state.step, 0);
    }
}
