//! `--decode` and its options.

use amortize_lm::{BeamOptions, Truncation};
use amortize_train::decoding::Decoding;
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::args::at_least_one;

/// What a token loses by default for every earlier group that took it in the same step, in nats.
const DIVERSITY_PENALTY: f64 = 0.5;

/// The ways to get sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// Draws of the policy itself
    Sample,
    /// The likeliest token at every step
    Greedy,
    /// The likeliest sequences that beam search finds
    Beam,
    /// Beam search in groups that avoid each other's tokens
    DiverseBeam,
    /// Draws from the fewest likeliest tokens that reach a probability
    TopP,
    /// Draws from the likeliest tokens
    TopK,
}

/// How sequences are got.
#[derive(Debug, Args)]
pub struct DecodeArgs {
    /// How sequences are got; but for "sample", they have no importance weights
    #[arg(long = "decode", value_name = "METHOD", value_enum, default_value = "sample")]
    pub method: Method,
    /// Beams, of which the best -n are printed, for beam and diverse-beam [default: -n]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub beams: Option<usize>,
    /// Groups that the beams are split into, for diverse-beam [default: one per beam]
    #[arg(long, value_name = "G", value_parser = at_least_one)]
    pub groups: Option<usize>,
    /// What a token loses for every earlier group's beam that took it in the same step, in nats, for diverse-beam
    /// [default: 0.5]
    #[arg(long, value_name = "L", value_parser = not_negative)]
    pub diversity_penalty: Option<f64>,
    /// Beams rank finished sequences by log p / length^A, for beam and diverse-beam [default: 0]
    #[arg(long, value_name = "A", value_parser = not_negative)]
    pub length_penalty: Option<f64>,
    /// Probability that the tokens drawn from reach together, for top-p
    #[arg(long, value_name = "P", value_parser = share)]
    pub top_p: Option<f64>,
    /// Tokens drawn from, for top-k
    #[arg(long, value_name = "K", value_parser = at_least_one)]
    pub top_k: Option<usize>,
}

impl DecodeArgs {
    /// What `n` sequences a prompt are got by, at this temperature.
    pub fn decoding(&self, n: usize, policy_temperature: f64) -> Result<Decoding> {
        self.refuse_strangers()?;
        let name = self.name();
        let searches = !matches!(self.method, Method::Sample | Method::TopP | Method::TopK);
        if searches && policy_temperature != 1.0 {
            bail!("--policy-temperature: --decode {name} draws nothing; leave it out");
        }
        Ok(match self.method {
            Method::Sample => Decoding::OWN,
            Method::TopP => match self.top_p {
                Some(p) => Decoding::Draw(Truncation::TopP(p)),
                None => bail!("--decode top-p needs --top-p, such as --top-p 0.9"),
            },
            Method::TopK => match self.top_k {
                Some(k) => Decoding::Draw(Truncation::TopK(k)),
                None => bail!("--decode top-k needs --top-k, such as --top-k 50"),
            },
            Method::Greedy if n > 1 => bail!("-n {n}: --decode greedy finds one sequence per prompt"),
            Method::Greedy => Decoding::Beam(BeamOptions::greedy()),
            Method::Beam | Method::DiverseBeam => Decoding::Beam(self.beam_options(n)?),
        })
    }

    fn beam_options(&self, n: usize) -> Result<BeamOptions> {
        let beams = self.beams.unwrap_or(n);
        if n > beams {
            bail!("-n {n}: --beams {beams} find {beams} sequences at most; ask for fewer or raise --beams");
        }
        let length_penalty = self.length_penalty.unwrap_or(0.0);
        if self.method == Method::Beam {
            return Ok(BeamOptions { length_penalty, ..BeamOptions::beams(beams) });
        }
        let groups = self.groups.unwrap_or(beams);
        if !beams.is_multiple_of(groups) {
            bail!("--groups {groups}: {beams} beams cannot be split into {groups} groups of equal size");
        }
        let diversity_penalty = self.diversity_penalty.unwrap_or(DIVERSITY_PENALTY);
        Ok(BeamOptions { beams, groups, diversity_penalty, length_penalty })
    }

    /// Options of other methods than the one that was chosen.
    fn refuse_strangers(&self) -> Result<()> {
        use Method::{Beam, DiverseBeam, TopK, TopP};
        let options: [(&str, bool, &[Method]); 6] = [
            ("beams", self.beams.is_some(), &[Beam, DiverseBeam]),
            ("groups", self.groups.is_some(), &[DiverseBeam]),
            ("diversity-penalty", self.diversity_penalty.is_some(), &[DiverseBeam]),
            ("length-penalty", self.length_penalty.is_some(), &[Beam, DiverseBeam]),
            ("top-p", self.top_p.is_some(), &[TopP]),
            ("top-k", self.top_k.is_some(), &[TopK]),
        ];
        for (option, _, methods) in options.into_iter().filter(|(_, given, _)| *given) {
            if !methods.contains(&self.method) {
                let wanted: Vec<String> = methods.iter().map(|method| format!("--decode {}", name(*method))).collect();
                bail!("--{option} belongs to {}, not to --decode {}", wanted.join(" or "), self.name());
            }
        }
        Ok(())
    }

    fn name(&self) -> String {
        name(self.method)
    }
}

fn name(method: Method) -> String {
    method.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default()
}

fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value >= 0.0 && value.is_finite() => Ok(value),
        _ => Err("a number of 0 or more is needed".into()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1.0 => Ok(value),
        _ => Err("a number above 0 and up to 1 is needed".into()),
    }
}
