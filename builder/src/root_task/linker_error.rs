//! The linker's complaint about undefined symbols, read for who wants what.

use serde::Serialize;
use std::fmt;

/// A symbol that nobody defines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Undefined {
    /// The symbol.
    pub symbol: String,
    /// The functions that use it, as far as the linker says, with their crates.
    pub users: Vec<User>,
}

/// A function that uses an undefined symbol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// Its demangled name.
    pub function: String,
    /// The crate it comes from, when its name tells.
    pub krate: Option<String>,
    /// The source file that it is in, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl fmt::Display for Undefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nobody defines `{}`", self.symbol)?;
        for (index, user) in self.users.iter().enumerate() {
            write!(f, "{} `{}`", if index == 0 { ", used by" } else { "," }, user.function)?;
            if let Some(krate) = &user.krate {
                write!(f, " of the crate `{krate}`")?;
            }
            if let Some(file) = &user.file {
                write!(f, " in {file}")?;
            }
        }
        Ok(())
    }
}

/// The undefined symbols in what the compiler and lld printed.
pub(super) fn undefined(output: &str) -> Vec<Undefined> {
    let mut found: Vec<Undefined> = Vec::new();
    let mut open = false;
    for line in output.lines() {
        if let Some((_, symbol)) = line.split_once("error: undefined symbol: ") {
            open = true;
            found.push(Undefined { symbol: symbol.trim().to_owned(), users: Vec::new() });
        } else if let Some((_, reference)) = line.split_once(">>>").filter(|_| open) {
            if let (Some(user), Some(last)) = (user(reference), found.last_mut())
                && !last.users.contains(&user)
            {
                last.users.push(user);
            }
        } else {
            open = false;
        }
    }
    found
}

/// The function in a reference like `/path/x.o:(core::ptr::drop)` or `x.o:(.text.main+0x4)`.
fn user(reference: &str) -> Option<User> {
    let (_, tail) = reference.split_once(":(")?;
    let name = tail.trim_end().strip_suffix(')').unwrap_or(tail);
    let name = name.strip_prefix(".text.").unwrap_or(name);
    let name = name.split_once("+0x").map_or(name, |(name, _)| name);
    // lld demangles itself, but leaves the compiler's hash.
    let is_hash = |hash: &str| hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
    let name = name.rsplit_once("::h").filter(|(_, hash)| is_hash(hash)).map_or(name, |(name, _)| name);
    let function = super::code::demangle(name);
    Some(User { krate: super::code::crate_of(&function), function, file: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lld_says_who_wants_what() {
        let output = "\
  | error: linking with `rust-lld` failed: exit status: 1
  |   = note: rust-lld: error: undefined symbol: malloc
  |           >>> referenced by lib.rs:3 (function/src/lib.rs:3)
  |           >>>               /x/deps/f-1.f.0.rcgu.o:(greedy::grab::h66ac2fec525bf93b)
  |           >>> referenced by main.c
  |           >>>               main-1.o:(.text.main+0x15)
  |           
  |           rust-lld: error: undefined symbol: free
  |           >>> referenced by lib.rs:3
  |           >>>               /x/deps/f-1.f.0.rcgu.o:(<greedy::Bag as core::ops::drop::Drop>::drop)
";
        let found = undefined(output);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0].to_string(),
            "nobody defines `malloc`, used by `greedy::grab` of the crate `greedy`, `main`"
        );
        assert_eq!(found[1].users[0].krate.as_deref(), Some("greedy"));
    }

    #[test]
    fn other_errors_name_no_symbol() {
        assert!(undefined("error[E0425]: cannot find function `x`\n >>> nothing").is_empty());
    }
}
