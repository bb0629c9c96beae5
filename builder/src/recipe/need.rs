//! What not every target has.

use super::Need;
use crate::Target;
use std::{fmt, str::FromStr};

impl Need {
    /// Everything that can be needed.
    pub const ALL: [Self; 4] = [Self::SecondVspace, Self::SecondProcess, Self::DeviceMemory, Self::IoPorts];

    /// The word for it in recipes and in a root task's markers.
    pub fn name(self) -> &'static str {
        match self {
            Self::SecondVspace => "second-vspace",
            Self::SecondProcess => "second-process",
            Self::DeviceMemory => "device-memory",
            Self::IoPorts => "io-ports",
        }
    }

    /// Why `target` does not have it; none when it does.
    pub fn lacking(self, target: Target) -> Option<&'static str> {
        match (target, self) {
            (Target::Qemu | Target::BareMetal, _) => None,
            (Target::Process, Self::SecondVspace | Self::SecondProcess) => {
                Some("a Linux process has one address space, and all in it is one protection domain")
            }
            (Target::Process, Self::DeviceMemory) => Some(
                "an ordinary Linux process reaches no device: its devices are those of the host, by calls",
            ),
            (Target::Process, Self::IoPorts) => {
                Some("a Linux process has no IO ports: those of serial ports, timer and exit are imitated")
            }
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Need {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|need| need.name() == word).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_the_same_in_recipes_and_markers() {
        for need in Need::ALL {
            assert_eq!(serde_json::to_value(need).unwrap(), need.name());
            assert_eq!(need.name().parse(), Ok(need));
        }
        assert_eq!("second-world".parse::<Need>(), Err(()));
    }

    #[test]
    fn the_machine_has_everything_and_a_process_says_why_not() {
        for need in Need::ALL {
            assert_eq!(need.lacking(Target::Qemu), None);
            assert_eq!(need.lacking(Target::BareMetal), None);
            assert!(need.lacking(Target::Process).is_some());
        }
    }
}
