//! Running independent jobs on all cores.

use crate::{Result, exec};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// A piece of work.
pub(super) type Job<'a> = Box<dyn FnOnce() -> Result<()> + Send + 'a>;

/// Runs all `jobs`, longest first if the caller knows, and returns the failure of the first that failed.
/// After a failure no further job begins.
pub(super) fn run(jobs: Vec<Job<'_>>) -> Result<()> {
    let workers = thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    let queue = Mutex::new(jobs.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    let failed = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = lock(&queue).next();
                    let Some((number, job)) = next.filter(|_| !failed.load(Ordering::Relaxed)) else { break };
                    let (result, log) = exec::record(job);
                    failed.fetch_or(result.is_err(), Ordering::Relaxed);
                    lock(&done).push((number, result, log));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(number, ..)| *number);
    done.into_iter().try_for_each(|(_, result, log)| {
        exec::note(&log);
        result
    })
}

/// A panic in a job is passed on by the scope; until then the data is whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ExitCode};
    use std::sync::atomic::AtomicU32;

    #[test]
    fn all_jobs_run_and_the_first_failure_is_returned() {
        let count = AtomicU32::new(0);
        let job = |_| -> Job<'_> {
            Box::new(|| {
                count.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
        };
        run((0..20).map(job).collect()).unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 20);
        run(Vec::new()).unwrap();

        let fail =
            |text: &'static str| -> Job<'_> { Box::new(move || Err(Error::new(ExitCode::Failed, text))) };
        assert_eq!(run(vec![job(0), fail("one")]).unwrap_err().to_string(), "one");
    }
}
