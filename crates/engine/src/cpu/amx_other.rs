//! Matrix registers are used on Linux alone.

/// No system but Linux is known to save them for a process that asks.
#[cfg(target_arch = "x86_64")]
pub(super) fn is_there() -> bool {
    false
}
