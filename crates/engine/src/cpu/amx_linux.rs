//! Matrix registers, which a Linux process must ask for.

use std::arch::x86_64::__cpuid_count;

/// The request by which a process asks for a component of the CPU's state (`arch_prctl(2)`).
const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
/// The component that holds the registers' values.
const XFEATURE_XTILEDATA: libc::c_long = 18;

/// Whether the CPU has matrix registers that multiply bf16 (AMX-TILE, AMX-BF16), and the system lets this process use them. Asks for
/// them, for all threads.
pub(super) fn is_there() -> bool {
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    // SAFETY: every x86-64 CPU has the instruction, and this leaf wherever AVX-512 is.
    #[allow(unused_unsafe, reason = "safe since Rust 1.94")]
    let features = unsafe { __cpuid_count(7, 0) }.edx;
    // SAFETY: the request only sets what the kernel saves and restores for this process.
    let asked = || unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) };
    features & (BF16 | TILE) == BF16 | TILE && asked() == 0
}
