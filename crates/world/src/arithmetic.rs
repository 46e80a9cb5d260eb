//! Arithmetic questions with worked rationales, in the paper's format.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::draw::Draw;
use crate::story::Split;

/// A question of additions and subtractions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// `Question: 6 - 0 - 4 = ? Answer:`.
    pub question: String,
    /// The right steps, whose results a calculator is to fill in: `6 - 0 =, 6 - 4 =`.
    pub rationale: String,
    /// `. The answer is 2.`.
    pub answer: String,
    /// The value.
    pub value: i64,
}

/// First operand, then sign and operand each.
struct Sum {
    first: i64,
    terms: Vec<(char, i64)>,
}

impl Question {
    /// A question with `operands` operands, for this split.
    pub fn of(split: Split, operands: usize, draw: &mut Draw) -> Self {
        Self::new(&Sum::of(split, operands, draw))
    }

    fn new(sum: &Sum) -> Self {
        let mut value = sum.first;
        let mut steps = Vec::new();
        for (sign, operand) in &sum.terms {
            steps.push(format!("{value} {sign} {operand} ="));
            value = apply(value, *sign, *operand);
        }
        let (question, answer) = (sum.question(), format!(". The answer is {value}."));
        Self { question, rationale: steps.join(", "), answer, value }
    }
}

impl Sum {
    fn of(split: Split, operands: usize, draw: &mut Draw) -> Self {
        loop {
            let sum = Self::draw(operands, draw);
            if Split::of(&sum.question()) == split {
                return sum;
            }
        }
    }

    /// 60 % of sums have operands up to 9, 25 % up to 99, 15 % up to 999.
    fn draw(operands: usize, draw: &mut Draw) -> Self {
        let high = [9, 99, 999][draw.weighted(&[60, 25, 15])];
        let first = draw.between(0, high);
        let term = |_| (*draw.pick(&['+', '-']), draw.between(0, high));
        Self { first, terms: (1..operands).map(term).collect() }
    }

    fn question(&self) -> String {
        let mut text = format!("Question: {}", self.first);
        for (sign, operand) in &self.terms {
            // Writing to a string can't fail.
            let _ = write!(text, " {sign} {operand}");
        }
        text + " = ? Answer:"
    }
}

fn apply(value: i64, sign: char, operand: i64) -> i64 {
    if sign == '+' { value + operand } else { value - operand }
}

/// Percentage of documents whose rationale has a mistake: [`document`].
pub const WRONG_PERCENT: usize = 25;

/// A question of 2 to 4 operands with its rationale and answer, for training or validation. A quarter has one mistake
/// in a random step (a wrong result, a wrong operand, a wrong sign), and goes on from there.
pub fn document(split: Split, draw: &mut Draw) -> String {
    let operands = 2 + draw.weighted(&[20, 40, 40]);
    let sum = Sum::of(split, operands, draw);
    let wrong_at = draw.percent(WRONG_PERCENT).then(|| draw.below(sum.terms.len()));
    let mut value = sum.first;
    let mut steps = Vec::new();
    for (index, (sign, operand)) in sum.terms.iter().enumerate() {
        let mistake = (wrong_at == Some(index)).then(|| draw.below(3));
        let (sign, operand) = match mistake {
            Some(0) => (if *sign == '+' { '-' } else { '+' }, *operand),
            Some(1) => (*sign, operand + draw.between(1, 9)),
            _ => (*sign, *operand),
        };
        let slip = if mistake == Some(2) { draw.between(1, 9) * [1, -1][draw.below(2)] } else { 0 };
        let result = apply(value, sign, operand) + slip;
        steps.push(format!("{value} {sign} {operand} = {result}"));
        value = result;
    }
    format!("{} {}. The answer is {value}.", sum.question(), steps.join(", "))
}
