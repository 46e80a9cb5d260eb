//! Where work begins, and how a loop is shared.
//!
//! A pass has hundreds of loops over threads, most shorter than it takes to wake a thread that sleeps. So threads stay awake from the
//! beginning of a pass to its end, and whoever is done first with a loop looks for the end of it rather than wait to be woken.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::Yield;

/// Runs `body` on one of rayon's threads, and keeps the others awake meanwhile.
pub fn on_threads<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    let over = AtomicBool::new(false);
    rayon::scope(|scope| {
        let Some(_inside) = Inside::enter() else { return body() };
        let over = &over;
        scope.spawn_broadcast(move |_, _| {
            // A thread that is in the middle of a pass of its own must not wait for the end of this one: that one might wait for it.
            let Some(_inside) = Inside::enter() else { return };
            while !over.load(Ordering::Acquire) {
                look_for_work();
            }
        });
        let _end = OnDrop(|| over.store(true, Ordering::Release));
        body()
    })
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// That a thread is in a pass, or kept awake for one.
struct Inside;

impl Inside {
    /// `None` if it is already.
    fn enter() -> Option<Self> {
        // Made only if it is wanted: dropping it ends what another stands for.
        match INSIDE.replace(true) {
            true => None,
            false => Some(Self),
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

/// Calls `f(state, item)` for every item, with a state of each thread's own. A thread has neighbouring items, the same ones of every loop
/// of that length, because its caches hold what it made of them; one that is done takes what others have left, from their end.
pub(crate) fn share<I, T>(items: I, init: impl Fn() -> T + Sync, f: impl Fn(&mut T, I::Item) + Sync)
where
    I: ExactSizeIterator,
    I::Item: Send,
{
    let threads = rayon::current_num_threads().min(items.len());
    if threads <= 1 {
        let mut state = init();
        return items.for_each(|item| f(&mut state, item));
    }
    let parts = parts(items, threads);
    let work = || {
        let (own, mut state) = (rayon::current_thread_index().unwrap_or(0), init());
        while let Some(item) = next(&parts, own % threads) {
            f(&mut state, item);
        }
    };
    let left = AtomicUsize::new(threads - 1);
    rayon::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|_| {
                let _end = OnDrop(|| {
                    left.fetch_sub(1, Ordering::Release);
                });
                work();
            });
        }
        work();
        while left.load(Ordering::Acquire) > 0 {
            look_for_work();
        }
    });
}

/// [`share`] of items that need no state.
pub(crate) fn for_each<I>(items: I, f: impl Fn(I::Item) + Sync)
where
    I: ExactSizeIterator,
    I::Item: Send,
{
    share(items, || (), |(), item| f(item));
}

/// [`share`] of the numbers below `count`, so many neighbours together.
pub(crate) fn share_numbers<T>(
    count: usize,
    together: usize,
    init: impl Fn() -> T + Sync,
    f: impl Fn(&mut T, usize) + Sync,
) {
    share((0..count).step_by(together), init, |state, first| {
        for number in first..count.min(first + together) {
            f(state, number);
        }
    });
}

/// Items that are left of one thread's.
type Part<T> = Mutex<VecDeque<T>>;

/// Neighbouring items for each thread.
fn parts<T>(mut items: impl ExactSizeIterator<Item = T>, threads: usize) -> Vec<Part<T>> {
    let count = items.len();
    let size = |thread: usize| (thread + 1) * count / threads - thread * count / threads;
    (0..threads).map(|thread| Mutex::new(items.by_ref().take(size(thread)).collect())).collect()
}

/// The next of a thread's own items, or the last of another's.
fn next<T>(parts: &[Part<T>], own: usize) -> Option<T> {
    // A lock is only poisoned by a panic that is passed on anyway.
    let mut lists = (0..parts.len()).map(|i| parts[(own + i) % parts.len()].lock().ok());
    let first = lists.next()??.pop_front();
    first.or_else(|| lists.find_map(|list| list?.pop_back()))
}

/// Does some other task, if there is any, and otherwise lets other programs run.
fn look_for_work() {
    if rayon::yield_now() != Some(Yield::Executed) {
        std::thread::yield_now();
    }
}

/// What is done when a scope is left, also by a panic.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_by_a_thread_of_the_pool() {
        assert_eq!(rayon::current_thread_index(), None);
        assert!(on_threads(|| rayon::current_thread_index().is_some()));
    }

    #[test]
    fn a_thread_is_in_one_pass_until_that_one_ends() {
        let inside = Inside::enter();
        assert!(inside.is_some());
        for _ in 0..2 {
            assert!(Inside::enter().is_none());
        }
        drop(inside);
        assert!(Inside::enter().is_some());
    }

    /// Two passes that begin at once, each of which is to be helped by the other's thread.
    #[test]
    fn passes_do_not_wait_for_each_other() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
        let pass = || on_threads(|| (0..5).for_each(|_| share(0..4, || (), |(), _| std::thread::yield_now())));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| pool.install(pass)));
            }
        });
    }

    #[test]
    fn every_item_is_taken_once() {
        for (threads, items) in [(1, 5), (3, 0), (3, 1), (3, 2), (3, 1000)] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let mut counts = vec![0; items];
            let states = AtomicUsize::new(0);
            let init = || {
                states.fetch_add(1, Ordering::Relaxed);
            };
            pool.install(|| on_threads(|| share(counts.iter_mut(), init, |(), count| *count += 1)));
            assert!(counts.iter().all(|count| *count == 1));
            assert!(states.into_inner() <= threads.min(items.max(1)));
        }
    }

    #[test]
    fn a_panic_is_passed_on() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.install(|| on_threads(|| share(0..100, || (), |(), item| assert_ne!(item, 50))));
        }));
        assert!(caught.is_err());
        // The pool goes on.
        assert_eq!(pool.install(|| on_threads(|| 3)), 3);
    }
}
