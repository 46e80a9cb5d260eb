//! The method of "Amortizing intractable inference in large language models" (ICLR 2024):
//! GFlowNet objectives, the replay buffer, exploration, schedules and diagnostics.
//!
//! **Invariant.** Nothing here touches a file, the network or a clock, and nothing here knows a
//! model: an objective sees only tables `[n, len+1]`, the endpoint mask, the query of each row, and
//! log Z where it has one. All logarithms are natural (nats).
//!
//! One step reads like the paper (section 3.3):
//!
//! 1. [`explore::Mix::plan`] says where each trajectory comes from;
//! 2. a [`reward::Reward`] gives log R of every prefix, untempered;
//! 3. [`replay::ReplayBuffer::insert`] keeps the best trajectories of each query;
//! 4. the policy scores all of them, whatever their source;
//! 5. [`reward::target`] tempers the rewards and [`objective::Objective::evaluate`] returns the
//!    loss and its gradient with respect to the scores.
//!
//! The baselines [`ppo`] and [`sft`] put their own losses in place of the last.

pub mod diagnostics;
pub mod edit_distance;
pub mod explore;
mod hash;
mod log_float;
pub mod objective;
pub mod ppo;
pub mod query;
pub mod replay;
pub mod reward;
pub mod rng;
pub mod schedule;
pub mod sft;
pub mod table;
pub mod trajectory;

pub use diagnostics::{Draws, QueryDiagnostics, Summary};
pub use explore::{Draw, Mix};
pub use objective::{Batch, Gradients, Normaliser, Objective, RootFlow};
pub use query::Query;
pub use replay::{Inserted, Item, ReplayBuffer, ReplaySampling};
pub use reward::{Prefixes, Reward, target};
pub use rng::Generator;
pub use schedule::{Decay, LearningRate, Linear};
pub use table::Table;
pub use trajectory::{Source, StopReason, Trajectory};
