//! CPU time of other processes.

use std::{fs, io};

/// User and system time, in seconds, of all children that have ended and all that these had waited for
/// (proc_pid_stat(5), `cutime` and `cstime`).
pub(super) fn of_children() -> io::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    ticks(&stat)
        .map(|ticks| ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
        .ok_or_else(|| io::Error::other("/proc/self/stat is not as proc_pid_stat(5) says"))
}

/// Fields 16 and 17. The second field, the program's name, may hold spaces and parentheses.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(16 - 3);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_after_the_name() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 130 14 20 0 1 0";
        // Fields 3 to 17: S 1 2 3 4 5 6 7 8 9 10 11 12 130 14
        assert_eq!(ticks(stat), Some(144));
        assert_eq!(ticks("42 (a"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn the_time_of_a_child_is_seen() {
        let before = of_children().unwrap();
        let burn = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        std::process::Command::new("sh").args(["-c", burn]).status().unwrap();
        assert!(of_children().unwrap() > before);
    }
}
