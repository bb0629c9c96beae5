//! The configuration that rumprun reads when it starts, as JSON.
//!
//! Its parser takes texts as they stand between the quotes and undoes no escapes (rumprun, `lib/librumprun_base/config.c`):
//! a text with a quote or a backslash cannot be said. That is why the program's arguments and environment are not in it.

use core::{
    fmt::{self, Write},
    net::IpAddr,
};

/// The most bytes of a configuration.
const SIZE: usize = 2048;

/// Something that the configuration cannot say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error<'a> {
    /// A text with a quote, a backslash or a control character.
    Text(&'a str),
    /// It is no address with the length of its prefix, or no address.
    Address(&'a str),
    /// It is too long.
    Length,
}

impl fmt::Display for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(
                f,
                "`{text}` cannot be passed to NetBSD: it has a quote, a backslash or a control character"
            ),
            Self::Address(text) => write!(f, "`{text}` is no address of a network"),
            Self::Length => f.write_str("names and addresses are too long for NetBSD's configuration"),
        }
    }
}

/// A configuration that is being written.
#[derive(Debug)]
pub struct Json {
    text: [u8; SIZE],
    length: usize,
    interface: bool,
}

impl Json {
    /// A configuration of a program that is called `name`.
    pub fn new(name: &str) -> Result<Self, Error<'_>> {
        let mut json = Self { text: [0; SIZE], length: 0, interface: false };
        // A name with a space would be a name and an argument.
        if name.contains([' ', '\'']) {
            return Err(Error::Text(name));
        }
        json.put(format_args!("{{\"cmdline\":\"{}\"", plain(name)?))?;
        Ok(json)
    }

    /// The host's name.
    pub fn hostname<'a>(&mut self, name: &'a str) -> Result<(), Error<'a>> {
        self.put(format_args!(",\"hostname\":\"{}\"", plain(name)?))
    }

    /// A block device: the platform's `name` becomes `/dev/NAME`.
    pub fn disk<'a>(&mut self, name: &'a str) -> Result<(), Error<'a>> {
        self.put(format_args!(",\"blk\":{{\"source\":\"etfs\",\"path\":\"{}\"}}", plain(name)?))
    }

    /// The network's address comes from its DHCP server.
    pub fn dhcp(&mut self) -> Result<(), Error<'static>> {
        let cloner = self.cloner();
        self.put(format_args!(",\"net\":{{\"if\":\"virt0\"{cloner},\"type\":\"inet\",\"method\":\"dhcp\"}}"))
    }

    /// An address on the network, with the length of its prefix (`10.0.2.15/24`), and the first router of its kind.
    pub fn address<'a>(
        &mut self,
        text: &'a str,
        routers: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), Error<'a>> {
        let (address, prefix) = text.split_once('/').ok_or(Error::Address(text))?;
        let address: IpAddr = address.parse().map_err(|_| Error::Address(text))?;
        let prefix: u8 = prefix.parse().map_err(|_| Error::Address(text))?;
        let (kind, most) = if address.is_ipv4() { ("inet", 32) } else { ("inet6", 128) };
        if prefix > most {
            return Err(Error::Address(text));
        }
        let cloner = self.cloner();
        self.put(format_args!(
            ",\"net\":{{\"if\":\"virt0\"{cloner},\"type\":\"{kind}\",\"method\":\"static\",\"addr\":\"{address}\",\"mask\":\"{prefix}\""
        ))?;
        for text in routers {
            let router: IpAddr = text.parse().map_err(|_| Error::Address(text))?;
            if router.is_ipv4() == address.is_ipv4() {
                self.put(format_args!(",\"gw\":\"{router}\""))?;
                break;
            }
        }
        self.put(format_args!("}}"))
    }

    /// The whole text, ended by a NUL. NetBSD writes to it.
    pub fn end(&mut self) -> Result<&mut [u8], Error<'static>> {
        self.put(format_args!("}}\0"))?;
        Ok(&mut self.text[..self.length])
    }

    /// What makes the interface: the first time that it is named.
    fn cloner(&mut self) -> &'static str {
        if core::mem::replace(&mut self.interface, true) { "" } else { ",\"cloner\":\"true\"" }
    }

    fn put<'a>(&mut self, text: fmt::Arguments<'_>) -> Result<(), Error<'a>> {
        self.write_fmt(text).map_err(|_| Error::Length)
    }
}

impl Write for Json {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let place = self.text.get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// `text`, where it can stand between quotes.
fn plain(text: &str) -> Result<&str, Error<'_>> {
    let bad = |c: char| matches!(c, '"' | '\\') || c.is_control();
    if text.is_empty() || text.contains(bad) { Err(Error::Text(text)) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, string::String, string::ToString};

    fn text(json: &mut Json) -> String {
        let bytes = json.end().unwrap();
        String::from_utf8(bytes.strip_suffix(b"\0").unwrap().into()).unwrap()
    }

    #[test]
    fn a_program_without_anything_has_a_name() {
        assert_eq!(text(&mut Json::new("hello").unwrap()), r#"{"cmdline":"hello"}"#);
    }

    #[test]
    fn all_that_there_is_is_said_once() {
        let mut json = Json::new("echo").unwrap();
        json.hostname("selkie").unwrap();
        json.disk("d0").unwrap();
        json.address("10.0.2.15/24", ["fe80::1", "10.0.2.2", "10.0.2.3"]).unwrap();
        json.address("fec0::0:2/64", ["10.0.2.2"]).unwrap();
        let expected = concat!(
            r#"{"cmdline":"echo","hostname":"selkie","blk":{"source":"etfs","path":"d0"},"#,
            r#""net":{"if":"virt0","cloner":"true","type":"inet","method":"static","addr":"10.0.2.15","mask":"24","gw":"10.0.2.2"},"#,
            r#""net":{"if":"virt0","type":"inet6","method":"static","addr":"fec0::2","mask":"64"}}"#,
        );
        assert_eq!(text(&mut json), expected);
    }

    #[test]
    fn an_address_may_come_from_the_network() {
        let mut json = Json::new("x").unwrap();
        json.dhcp().unwrap();
        let net = r#""net":{"if":"virt0","cloner":"true","type":"inet","method":"dhcp"}"#;
        assert_eq!(text(&mut json), format!(r#"{{"cmdline":"x",{net}}}"#));
    }

    #[test]
    fn what_has_no_form_is_refused() {
        for bad in ["", "a\"b", "a\\b", "a\nb", "a\0b"] {
            assert_eq!(Json::new(bad).err(), Some(Error::Text(bad)));
            let mut json = Json::new("x").unwrap();
            assert_eq!(json.hostname(bad), Err(Error::Text(bad)));
            assert_eq!(json.disk(bad), Err(Error::Text(bad)));
        }
        assert!(Json::new("a b").is_err() && Json::new("it's").is_err());
        for bad in
            ["10.0.2.15", "10.0.2.15/33", "10.0.2/24", "::1/129", "x/1", "10.0.2.15/-1", "1.2.3.4/\"", ""]
        {
            let mut json = Json::new("x").unwrap();
            assert_eq!(json.address(bad, []), Err(Error::Address(bad)));
        }
        let mut json = Json::new("x").unwrap();
        assert_eq!(json.address("10.0.0.1/8", ["router"]), Err(Error::Address("router")));
        assert!(Error::Address("router").to_string().contains("`router`"));
    }

    #[test]
    fn too_much_is_refused_and_nothing_is_cut() {
        let long = "n".repeat(SIZE);
        assert_eq!(Json::new(&long).err(), Some(Error::Length));
        let mut json = Json::new("x").unwrap();
        assert_eq!(json.hostname(&long[..SIZE - 20]), Err(Error::Length));
    }
}
