//! What the function was started with: arguments, environment, and how it ends.

use crate::sync::Mutex;
use core::{ptr, slice};
use selkie_base::RunConfig;

pub use selkie_base::{AtExit, SerialPort};

static CONFIG: Mutex<RunConfig<'static>> = Mutex::new(RunConfig::NONE);

unsafe extern "C" {
    static __selkie_run_start: u8;
    static __selkie_run_end: u8;
}

/// The arguments, without the function's own name.
pub fn args() -> impl Iterator<Item = &'static str> {
    get().args()
}

/// The value of one variable of the environment.
pub fn env(name: &str) -> Option<&'static str> {
    get().var(name)
}

/// The whole environment. When a name occurs more than once, the first one counts.
pub fn vars() -> impl Iterator<Item = (&'static str, &'static str)> {
    get().env()
}

/// The addresses that the function is to have on its network, each with the length of its prefix (`10.0.2.15/24`); none
/// where the network's DHCP server gives them.
pub fn net_addresses() -> impl Iterator<Item = &'static str> {
    get().net_addresses()
}

/// The routers of its network.
pub fn net_gateways() -> impl Iterator<Item = &'static str> {
    get().net_gateways()
}

/// The name servers of its network.
pub fn net_name_servers() -> impl Iterator<Item = &'static str> {
    get().net_name_servers()
}

/// The run configuration as it is now.
pub(crate) fn get() -> RunConfig<'static> {
    *CONFIG.lock()
}

/// Reads the configuration that lies in the image. Without one, or with bytes that are none, the function
/// has no arguments and no environment.
pub(crate) fn read_section(target: &'static str) {
    let (start, end) = (&raw const __selkie_run_start, &raw const __selkie_run_end);
    // SAFETY: the linker script puts the section's bytes between the two, in memory that is never written.
    let section = unsafe { slice::from_raw_parts(ptr::from_ref(&*start), end as usize - start as usize) };
    if let Ok(config) = RunConfig::new(target, section) {
        *CONFIG.lock() = config;
    }
}

/// Adds what came with this run. Bytes that are no run configuration are ignored.
pub(crate) fn add_override(bytes: &'static [u8]) {
    let mut config = CONFIG.lock();
    if let Ok(with) = config.with_override(bytes) {
        *config = with;
    }
}
