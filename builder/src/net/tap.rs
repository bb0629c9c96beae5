//! A tap device that a function's card is plugged into: Linux's own network, with addresses and routes of the user's.

use std::{fmt, str::FromStr};

/// The name of a tap device of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap(String);

/// A text is no [`Tap`].
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no network of this host\n  help: write tap:NAME with the name of a tap device, at most 15 letters, digits, `.`, `-` or `_`; `ip tuntap add NAME mode tap user $USER` makes one"
)]
pub struct BadTap(String);

crate::exit_code!(BadTap, Usage);

impl FromStr for Tap {
    type Err = BadTap;

    fn from_str(text: &str) -> Result<Self, BadTap> {
        // QEMU parts its options by commas, and Linux allows even less in a name.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let name = text.strip_prefix("tap:").filter(|name| (1..16).contains(&name.len()));
        let name = name.filter(|name| name.bytes().all(plain));
        name.map(|name| Self(name.to_owned())).ok_or_else(|| BadTap(text.to_owned()))
    }
}

impl Tap {
    /// The device's name.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tap:{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_linux_and_qemu_both_take() {
        assert_eq!("tap:tap0".parse::<Tap>().unwrap().name(), "tap0");
        assert_eq!("tap:a.b-c_9".parse::<Tap>().unwrap().to_string(), "tap:a.b-c_9");
        for text in
            ["", "tap0", "tap:", "tap:a,script=x", "tap:a b", "tap:a/b", "tap:sixteen-letters.", "unix:/a"]
        {
            let error = text.parse::<Tap>().unwrap_err().to_string();
            assert!(error.contains("help: "), "{text}: {error}");
        }
    }
}
