//! How many tokens go through a backbone at once, and what happens when its
//! device has no memory for them.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Device;

use crate::device::{computes_on_rayon, has_own_memory};
use crate::error::Error;

/// Tokens at once on a CPU. More only cost memory: a forward pass keeps 370 kB
/// a token (GPT-2 small), and products are as fast as they get from a few
/// hundred rows on (docs/performance.md).
const ON_A_CPU: usize = 1024;
/// Tokens at once on a graphics card, which has thousands of cores to keep
/// busy: content steps of 10,700 tokens take an H100 318 ms, in parts of 1,024
/// tokens 355 ms.
const ON_A_CARD: usize = 8192;
/// The fewest tokens that are tried: with less it is not the tokens that fill
/// the memory.
const LEAST: usize = 64;

/// Most tokens that go through the backbone at once, shared by all of its
/// copies.
#[derive(Debug, Clone)]
pub struct TokenBudget {
    n_tokens: Arc<AtomicUsize>,
    /// The device divides its loops among rayon's threads.
    is_on_rayon: bool,
}

impl TokenBudget {
    /// The budget that a device begins with.
    pub(crate) fn of(device: &Device) -> Self {
        let n_tokens = if has_own_memory(device) {
            ON_A_CARD
        } else {
            ON_A_CPU
        };
        Self {
            n_tokens: Arc::new(AtomicUsize::new(n_tokens)),
            is_on_rayon: computes_on_rayon(device),
        }
    }

    /// How many tokens may go through at once now.
    pub fn get(&self) -> usize {
        self.n_tokens.load(Ordering::Relaxed)
    }

    /// Does work that takes at most so many tokens at once; when the device has
    /// no memory for them, with half as many, from now on. Work starts over
    /// then: it must leave nothing half-done behind.
    pub(crate) fn fit<T: Send>(
        &self,
        work: impl Fn(usize) -> T + Sync,
    ) -> Result<T, Error> {
        loop {
            let n = self.get();
            let attempt = AssertUnwindSafe(|| self.compute(|| work(n)));
            let panic = match catch_unwind(attempt) {
                Ok(done) => return Ok(done),
                Err(panic) => panic,
            };
            let Some(reason) = out_of_memory(&*panic) else {
                resume_unwind(panic)
            };

            if n <= LEAST {
                return Err(Error::OutOfMemory {
                    n_tokens: n,
                    reason,
                });
            }
            tracing::warn!(
                n_tokens = n,
                reason,
                "the device's memory is full: half as many tokens at once"
            );
            self.n_tokens.store(n / 2, Ordering::Relaxed);
        }
    }

    /// Does work on one of the threads that its loops are divided among, where
    /// there are some. From outside, each loop would wait for one of them to
    /// wake up, and then for its own thread.
    fn compute<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        if self.is_on_rayon {
            rayon::scope(|_| work())
        } else {
            work()
        }
    }
}

/// What the messages of tensor libraries say when there is no memory left.
const MEMORY_IS_FULL: [&str; 4] = [
    "out of memory",
    "can't allocate memory",
    "outofmemory",
    "out_of_memory",
];

/// The first line of a panic by which a tensor library says that memory could
/// not be had. They have no error for it: LibTorch's message is unwrapped in
/// burn-tch, CubeCL's in its server. Rust's own allocations end the process.
fn out_of_memory(panic: &(dyn Any + Send)) -> Option<String> {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or(panic.downcast_ref::<&str>().copied())?;
    let lower = message.to_lowercase();
    if !MEMORY_IS_FULL.iter().any(|said| lower.contains(said)) {
        return None;
    }
    let first_line = message.lines().next().unwrap_or_default();
    Some(first_line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::compute_device;

    fn budget() -> TokenBudget {
        TokenBudget::of(&compute_device("flex").unwrap().device)
    }

    #[test]
    fn work_that_does_not_fit_goes_on_with_half_as_much_from_then_on() {
        let budget = budget();
        let room = |n: usize| {
            assert!(
                n <= 300,
                "CUDA out of memory. Tried to allocate 20.00 MiB"
            );
            n
        };
        assert_eq!(budget.fit(room).unwrap(), 256);
        assert_eq!(budget.get(), 256);
        assert_eq!(budget.fit(room).unwrap(), 256, "it is not tried again");
    }

    #[test]
    fn a_device_that_is_full_anyway_is_an_error_and_other_panics_stay_panics() {
        let error = budget().fit(|_| panic!("CUDA out of memory")).unwrap_err();
        assert!(
            matches!(error, Error::OutOfMemory { n_tokens, .. } if n_tokens <= LEAST),
            "{error}"
        );
        let other =
            catch_unwind(|| budget().fit(|_| panic!("index out of bounds")));
        assert_eq!(
            other.unwrap_err().downcast_ref(),
            Some(&"index out of bounds")
        );
    }

    #[cfg(feature = "tch")]
    #[test]
    fn libtorch_says_that_memory_is_full_in_words_that_are_understood() {
        let device = compute_device("tch").unwrap().device;
        let all = |_| {
            burn::tensor::Tensor::<2>::zeros([1 << 30, 1 << 20], &device).dims()
        };
        assert!(matches!(budget().fit(all), Err(Error::OutOfMemory { .. })));
    }
}
