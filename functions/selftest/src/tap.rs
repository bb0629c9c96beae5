//! The Test Anything Protocol: one line a check, then how many there were.

use core::fmt::Debug;
use selkie::prelude::*;

/// Counts checks and prints one line for each.
#[derive(Debug, Default)]
pub struct Tap {
    group: &'static str,
    count: u32,
    failed: u32,
}

impl Tap {
    /// Runs the checks of one group. An error that ends it early counts as a failed check.
    pub fn group(
        &mut self,
        sys: &mut System,
        name: &'static str,
        run: impl FnOnce(&mut Self, &mut System) -> Result<()>,
    ) {
        self.group = name;
        let before = sys.memory.usage().blocks;
        if let Err(error) = run(self, sys) {
            self.yes(&format!("ended early: {error:?}"), false);
        }
        self.is("all memory given back", sys.memory.usage().blocks, before);
    }

    /// Checks that `got` is `want`.
    pub fn is<T: PartialEq + Debug>(&mut self, what: &str, got: T, want: T) {
        let good = got == want;
        self.yes(what, good);
        if !good {
            println!("#   got  {got:?}\n#   want {want:?}");
        }
    }

    /// Checks that something holds.
    pub fn yes(&mut self, what: &str, good: bool) {
        self.count += 1;
        self.failed += u32::from(!good);
        let verdict = if good { "ok" } else { "not ok" };
        println!("{verdict} {} - {}: {what}", self.count, self.group);
    }

    /// Says that a check could not be made, and why.
    pub fn skip(&mut self, what: &str, reason: &str) {
        self.count += 1;
        println!("ok {} - {}: {what} # SKIP {reason}", self.count, self.group);
    }

    /// Prints the plan and returns the exit status.
    pub fn end(self) -> u8 {
        println!("1..{}", self.count);
        println!("# {} passed, {} failed", self.count - self.failed, self.failed);
        u8::from(self.failed > 0)
    }
}
