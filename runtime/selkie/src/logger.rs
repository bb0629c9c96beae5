//! The backend of the crate `log`: lines on the console.

use crate::{clock, config, println};
use log::{LevelFilter, Log, Metadata, Record};

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let millis = clock::Instant::now().since_start().as_millis();
            let (seconds, millis) = (millis / 1000, millis % 1000);
            println!("[{seconds:4}.{millis:03}] {:5} {}: {}", record.level(), record.target(), record.args());
        }
    }

    fn flush(&self) {}
}

/// Takes the level from the variable `LOG`: `off`, `error`, `warn` (what counts without it), `info`, `debug`
/// or `trace`.
pub(crate) fn init() {
    let level = config::env("LOG").and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::Warn);
    // It fails only when the function has set a logger of its own, which then counts.
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(level);
    }
}
