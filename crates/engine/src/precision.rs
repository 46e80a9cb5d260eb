//! How frozen weights are stored.

use std::fmt;
use std::str::FromStr;

/// How a frozen weight is stored. Sums are always of f32.
///
/// Activations, gradients and everything that is trained stay f32. Where the CPU multiplies bf16 (AVX512-BF16, AMX), products
/// with a weight that is stored in less than f32 round their other operand to bf16 too; elsewhere only the weight is rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits, with the exponent of f32: half the memory.
    Bf16,
    /// 8 bits and a scale for every 64 inputs of an output: about a quarter of the memory.
    Int8,
}

impl Precision {
    /// All of them, widest first.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Int8];

    /// As configs and the command line write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// Memory of a weight's value, scales included.
    pub fn bytes_per_value(self) -> f64 {
        match self {
            Self::F32 => 4.0,
            Self::Bf16 => 2.0,
            Self::Int8 => 1.0 + 4.0 / crate::cpu::panels::BLOCK as f64,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no precision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPrecision(String);

impl fmt::Display for UnknownPrecision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let names: Vec<&str> = Precision::ALL.iter().map(|precision| precision.name()).collect();
        write!(f, "\"{}\" is not a precision; there are {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownPrecision {}

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|precision| precision.name() == name).ok_or_else(|| UnknownPrecision(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        let error = "fp16".parse::<Precision>().unwrap_err().to_string();
        assert_eq!(error, "\"fp16\" is not a precision; there are f32, bf16, int8");
    }
}
