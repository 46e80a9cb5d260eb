//! Where work begins.

/// Runs `body` on one of rayon's threads. A thread from outside would be put to sleep at every loop over threads, and woken after it;
/// a pass through a small model has hundreds of these loops, some shorter than that.
pub fn on_threads<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| body())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_by_a_thread_of_the_pool() {
        assert_eq!(rayon::current_thread_index(), None);
        assert!(on_threads(|| rayon::current_thread_index().is_some()));
    }
}
