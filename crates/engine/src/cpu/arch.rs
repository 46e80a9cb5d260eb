//! Which vector instructions the kernels use: the widest that the CPU has, or those that `AMORTIZE_SIMD` names.

use std::sync::OnceLock;

use pulp::{Arch, Scalar128b, Simd, WithSimd};

/// A kernel, written once for all instruction sets.
pub(crate) trait Job: Sized {
    /// Does the work. Must be `#[inline(always)]`, so that it is compiled for the instruction set of its caller.
    fn run<S: Simd>(self, simd: S);
}

/// Names of the instruction sets that `AMORTIZE_SIMD` may force, narrowest first.
const PORTABLE: &str = "portable";

/// The choice of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    name: &'static str,
    arch: Arch,
    bf16: Bf16,
}

/// How the CPU multiplies numbers of 16 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bf16 {
    /// It does not: they are widened.
    Widened,
    /// Two at a time in every lane of a vector (AVX512-BF16).
    Pairs,
    /// By matrix registers (AMX).
    Tiles,
}

fn chosen() -> Choice {
    static CHOICE: OnceLock<Choice> = OnceLock::new();
    #[cfg(test)]
    if let Some(forced) = FORCED.with(std::cell::Cell::get) {
        return forced;
    }
    *CHOICE.get_or_init(|| {
        let widest = *available().last().expect("portable code runs anywhere");
        asked_for().ok().flatten().unwrap_or(widest)
    })
}

/// The instruction set that `AMORTIZE_SIMD` names, if it names one.
///
/// # Errors
/// If this CPU has no such instruction set; the message says what it has. Kernels then use the widest.
fn asked_for() -> Result<Option<Choice>, String> {
    let Ok(name) = std::env::var("AMORTIZE_SIMD") else { return Ok(None) };
    let available = available();
    if let Some(choice) = available.iter().find(|choice| choice.name == name) {
        return Ok(Some(*choice));
    }
    let names: Vec<&str> = available.iter().map(|choice| choice.name).collect();
    Err(format!("AMORTIZE_SIMD is \"{name}\"; this CPU has {}", names.join(", ")))
}

/// The name of the instruction set that kernels use.
///
/// # Errors
/// If `AMORTIZE_SIMD` names one that this CPU does not have.
pub fn kernels() -> Result<&'static str, String> {
    asked_for().map(|_| chosen().name)
}

/// What this CPU can run, narrowest first: portable code; AVX2 with FMA, AVX-512, AVX-512 with its bf16 instructions, and the same with
/// AMX on x86-64; NEON on aarch64.
pub(crate) fn available() -> Vec<Choice> {
    let mut choices = vec![Choice { name: PORTABLE, arch: Arch::Scalar, bf16: Bf16::Widened }];
    choices.extend(native::choices());
    choices
}

#[cfg(target_arch = "x86_64")]
mod native {
    use super::{Arch, Bf16, Choice};
    use crate::cpu::amx;

    pub(super) fn choices() -> Vec<Choice> {
        let choice = |name, arch| Choice { name, arch, bf16: Bf16::Widened };
        let avx2 = pulp::x86::V3::try_new().map(|v3| choice("avx2", Arch::V3(v3)));
        let avx512 = pulp::x86::V4::try_new().map(|v4| choice("avx512", Arch::V4(v4)));
        let has_pairs = std::arch::is_x86_feature_detected!("avx512bf16");
        let pairs = avx512.filter(|_| has_pairs).map(|with| Choice { name: "avx512bf16", bf16: Bf16::Pairs, ..with });
        let tiles = pairs.filter(|_| amx::is_there()).map(|with| Choice { name: "amx", bf16: Bf16::Tiles, ..with });
        [avx2, avx512, pairs, tiles].into_iter().flatten().collect()
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod native {
    use super::{Arch, Bf16, Choice};

    pub(super) fn choices() -> Vec<Choice> {
        vec![Choice { name: "native", arch: Arch::new(), bf16: Bf16::Widened }]
    }
}

/// How kernels multiply bf16.
pub(crate) fn bf16() -> Bf16 {
    chosen().bf16
}

/// Whether kernels use AVX-512.
pub(crate) fn is_avx512() -> bool {
    ["avx512", "avx512bf16", "amx"].contains(&chosen().name)
}

/// Whether kernels use AVX2, and nothing wider.
pub(crate) fn is_avx2() -> bool {
    chosen().name == "avx2"
}

/// Runs a kernel on the chosen instruction set.
pub(crate) fn run(job: impl Job) {
    struct Dispatch<J>(J);
    impl<J: Job> WithSimd for Dispatch<J> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            self.0.run(simd);
        }
    }
    match chosen() {
        // One lane would be one multiplication at a time; four let the compiler use what every CPU has.
        Choice { name: PORTABLE, .. } => job.run(Scalar128b),
        Choice { arch, .. } => arch.dispatch(Dispatch(job)),
    }
}

/// Runs a closure compiled for the chosen instruction set. All that it calls must be `#[inline(always)]`.
#[inline]
pub(crate) fn call<R>(body: impl FnOnce() -> R) -> R {
    struct Body<F>(F);
    impl<R, F: FnOnce() -> R> pulp::NullaryFnOnce for Body<F> {
        type Output = R;
        #[inline(always)]
        fn call(self) -> R {
            (self.0)()
        }
    }
    match chosen() {
        Choice { name: PORTABLE, .. } => body(),
        Choice { arch, .. } => arch.dispatch(Body(body)),
    }
}

/// Lanes of a vector of the chosen instruction set.
pub(crate) fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    match chosen() {
        Choice { name: PORTABLE, .. } => Scalar128b::F32_LANES,
        Choice { arch, .. } => arch.dispatch(Lanes),
    }
}

#[cfg(test)]
thread_local! {
    static FORCED: std::cell::Cell<Option<Choice>> = const { std::cell::Cell::new(None) };
}

/// Runs `body` with an instruction set forced, in a pool of one thread, which alone sees it.
#[cfg(test)]
pub(crate) fn with(choice: Choice, body: impl FnOnce() + Send) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    pool.install(|| {
        FORCED.with(|forced| forced.set(Some(choice)));
        body();
    });
}
