//! The memory that this process has taken at most.

/// The high-water mark of resident memory, in MiB, where the system tells it.
pub(crate) fn resident_mib() -> Option<f64> {
    high_water_mark(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The mark in the text of Linux's `/proc/PID/status`, in MiB.
fn high_water_mark(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_read_in_kib() {
        let status = "Name:\tamortize\nVmPeak:\t  999999 kB\nVmHWM:\t    2560 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(high_water_mark(status), Some(2.5));
        assert_eq!(high_water_mark("Name:\tamortize\n"), None);
    }
}
