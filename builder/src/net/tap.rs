//! A tap device that a function's card is plugged into: Linux's own network, with addresses and routes of the user's.

use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use std::{fmt, str::FromStr};

/// The name of a tap device of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap(String);

/// What the card of a run is plugged into, whatever the recipe says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetChoice {
    /// A network of its own, with forwarded ports.
    User,
    /// A tap device.
    Tap(Tap),
}

/// A text is no [`Tap`].
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no network of this host\n  help: write `user`, or tap:NAME with the name of a tap device: {TAP_NAME}; `ip tuntap add NAME mode tap user $USER` makes one"
)]
pub struct BadNet(String);

crate::exit_code!(BadNet, Usage);

/// What a tap device may be called.
pub(crate) const TAP_NAME: &str = "at most 15 letters, digits, `.`, `-` or `_`";

impl FromStr for NetChoice {
    type Err = BadNet;

    fn from_str(text: &str) -> Result<Self, BadNet> {
        match (text, text.strip_prefix("tap:").and_then(Tap::named)) {
            ("user", _) => Ok(Self::User),
            (_, Some(tap)) => Ok(Self::Tap(tap)),
            _ => Err(BadNet(text.to_owned())),
        }
    }
}

/// There is no such device.
#[derive(Debug, thiserror::Error)]
#[error(
    "this host has no tap device `{0}`, which the function's card is plugged into\n  help: make it before: `ip tuntap add {0} mode tap user $USER`, an address of yours by `ip address add`, and `ip link set {0} up`; where you may not, begin a namespace by `unshare --user --map-root-user --net`"
)]
pub struct NoTap(String);

crate::exit_code!(NoTap, HostLacks);

impl Tap {
    /// The device of this name, where it is one that QEMU and Linux both take.
    pub(crate) fn named(name: &str) -> Option<Self> {
        // QEMU parts its options by commas, and Linux allows even less in a name.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let good = (1..16).contains(&name.len()) && name.bytes().all(plain) && ![".", ".."].contains(&name);
        good.then(|| Self(name.to_owned()))
    }

    /// The device's name.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// That there is such a device. Who may, would make one by opening it, to which nobody has given an address.
    pub(crate) fn check(&self) -> Result<(), NoTap> {
        let found = socket(AddressFamily::INET, SocketType::DGRAM, None)
            .and_then(|socket| netdevice::name_to_index(socket, &self.0));
        found.map(drop).map_err(|_| NoTap(self.0.clone()))
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
        let tap = |name: &str| NetChoice::Tap(Tap::named(name).unwrap());
        assert_eq!("tap:tap0".parse::<NetChoice>().unwrap(), tap("tap0"));
        assert_eq!("tap:user".parse::<NetChoice>().unwrap(), tap("user"));
        assert_eq!("user".parse::<NetChoice>().unwrap(), NetChoice::User);
        assert_eq!(Tap::named("a.b-c_9").unwrap().to_string(), "tap:a.b-c_9");
        for text in [
            "",
            "tap0",
            "tap:",
            "tap:a,script=x",
            "tap:a b",
            "tap:a/b",
            "tap:sixteen-letters.",
            "tap:..",
            "unix:/a",
        ] {
            let error = text.parse::<NetChoice>().unwrap_err().to_string();
            assert!(error.contains("help: "), "{text}: {error}");
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_named_with_what_makes_it() {
        assert!(Tap::named("lo").unwrap().check().is_ok());
        let error = Tap::named("selkie-none").unwrap().check().unwrap_err();
        assert!(error.to_string().contains("`ip tuntap add selkie-none mode tap"), "{error}");
        assert_eq!(crate::Error::from(error).code(), crate::ExitCode::HostLacks);
    }
}
