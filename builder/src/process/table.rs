//! The table of a kernel's interface that a tender decodes by, from the resolved [`Interface`].
//!
//! Guest bindings and tender's table come from the same `Interface`, so that they cannot drift apart.

use crate::{
    Digest,
    bindings::interface::{Interface, Invocation as Call, ParamPlace},
};
use selkie_tender_table::{Invocation, Kind, LABELS, Message, Number, Place, SYSCALLS, Syscall, Table};

/// An interface cannot be served by the tender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A name that the tender serves is not in the interface.
    #[error(
        "the interface of kernel config `{config}` has no {what}, which target `process` needs\n  help: add it to the era's file in kernel-configs/eras/, or build this recipe for target `qemu`"
    )]
    Missing {
        /// The kernel config.
        config: String,
        /// What is missing, for instance ``system call `Yield` ``.
        what: String,
    },
    /// A number has no place in the table.
    #[error(
        "the interface of kernel config `{config}` has {what}, for which the tender's table has no place\n  help: build this recipe for target `qemu`, or extend the table in tender/table"
    )]
    NoPlace {
        /// The kernel config.
        config: String,
        /// What has no place, for instance ``label 400 of `TCBSuspend` ``.
        what: String,
    },
}

crate::exit_code!(Error, Failed);

/// System calls that only debug kernels have.
const DEBUG: &[Syscall] = &[
    Syscall::DebugPutChar,
    Syscall::DebugHalt,
    Syscall::DebugSnapshot,
    Syscall::DebugCapIdentify,
    Syscall::DebugNameThread,
];

/// The table of `interface`, which belongs to the kernel config `config`.
pub fn table(interface: &Interface, config: &str) -> Result<Table, Error> {
    Maker { interface, config }.table()
}

/// The digest of the interface that `table` belongs to.
pub fn digest(table: &Table) -> Digest {
    Digest::from_bytes(table.digest)
}

struct Maker<'a> {
    interface: &'a Interface,
    config: &'a str,
}

impl Maker<'_> {
    fn table(&self) -> Result<Table, Error> {
        let mut table: Table = bytemuck::Zeroable::zeroed();
        table.digest = *self.interface.digest().bytes();
        // The last byte stays zero: the name ends there at the latest.
        let room = table.config.len() - 1;
        let place = table.config[..room].get_mut(..self.config.len());
        place
            .ok_or_else(|| self.no_place("this name of more than 47 bytes".into()))?
            .copy_from_slice(self.config.as_bytes());
        for (number, &name) in table.numbers.iter_mut().zip(Number::ALL) {
            *number = self.number(name)?;
        }
        for &syscall in Syscall::ALL {
            self.syscall(syscall, &mut table.syscalls)?;
        }
        for &kind in Kind::ALL {
            let what = || format!("object type {}", kind.name());
            let number = self.constant("object", kind.name()).ok_or_else(|| self.missing(what()))?;
            self.put(&mut table.kinds, number, kind as u8 + 1, || format!("the {} {number}", what()))?;
        }
        for &invocation in Invocation::ALL {
            let message = self.message(invocation)?;
            let what = || format!("label {} of `{}`", message.label, invocation.name());
            self.put(&mut table.labels, message.label.into(), invocation as u8 + 1, what)?;
            table.messages[invocation as usize] = message;
        }
        Ok(table)
    }

    fn missing(&self, what: String) -> Error {
        Error::Missing { config: self.config.to_owned(), what }
    }

    fn no_place(&self, what: String) -> Error {
        Error::NoPlace { config: self.config.to_owned(), what }
    }

    /// Writes `value` to the place `index`.
    fn put(
        &self,
        places: &mut [u8],
        index: u64,
        value: u8,
        what: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        let place = usize::try_from(index).ok().and_then(|index| places.get_mut(index));
        *place.ok_or_else(|| self.no_place(what()))? = value;
        Ok(())
    }

    fn syscall(&self, syscall: Syscall, places: &mut [u8; SYSCALLS]) -> Result<(), Error> {
        let Some(number) = self.interface.system_call(syscall.name()) else {
            let what = || format!("system call `{}`", syscall.name());
            return if DEBUG.contains(&syscall) { Ok(()) } else { Err(self.missing(what())) };
        };
        // Numbers go down from -1; one that does not is beyond all places.
        let index = number.checked_neg().and_then(|index| u64::try_from(index).ok()).unwrap_or(u64::MAX);
        self.put(places, index, syscall as u8 + 1, || {
            format!("number {number} of system call `{}`", syscall.name())
        })
    }

    /// The value of one of the interface's numbers; how they are named is told at [`Number`].
    fn number(&self, number: Number) -> Result<u64, Error> {
        let name = number.name();
        let value = match name.split_once('.') {
            Some(("rule", "boot-info-extra-offset")) => Some(self.interface.rules.boot_info_extra_offset),
            Some(("config", option)) => self.option(option),
            Some((structure, field)) if structure.starts_with('@') => {
                let structure = self.interface.structure(&structure[1..]);
                let mut fields = structure.into_iter().flat_map(|structure| &structure.fields);
                fields.find(|one| one.name == field).map(|field| field.offset)
            }
            Some((group, name)) => self.constant(group, name),
            None => self.interface.structure(name.trim_start_matches('@')).map(|structure| structure.size),
        };
        value.ok_or_else(|| self.missing(format!("number `{name}`")))
    }

    fn option(&self, name: &str) -> Option<u64> {
        let config = &self.interface.config;
        let flag = config.flags.get(name).map(|on| u64::from(*on));
        flag.or_else(|| u64::try_from(*config.numbers.get(name)?).ok())
    }

    fn constant(&self, group: &str, name: &str) -> Option<u64> {
        let group = self.interface.constants(group)?;
        group.entries.iter().find(|entry| entry.name == name).map(|entry| entry.value)
    }

    fn message(&self, invocation: Invocation) -> Result<Message, Error> {
        let name = invocation.name();
        let call = self.interface.invocations.iter().find(|call| call.id == name);
        let call = call.ok_or_else(|| self.missing(format!("invocation `{name}`")))?;
        let label = u16::try_from(call.label).ok().filter(|label| usize::from(*label) < LABELS);
        let label = label.ok_or_else(|| self.no_place(format!("label {} of `{name}`", call.label)))?;
        let large = || self.no_place(format!("a message of {} words for `{name}`", call.words));
        let mut message = Message {
            label,
            words: u8::try_from(call.words).map_err(|_| large())?,
            caps: u8::try_from(call.caps).map_err(|_| large())?,
            ..bytemuck::Zeroable::zeroed()
        };
        for (place, param) in message.params.iter_mut().zip(invocation.params()) {
            *place = self.place(call, param)?;
        }
        Ok(message)
    }

    fn place(&self, call: &Call, name: &str) -> Result<Place, Error> {
        let missing = || self.missing(format!("parameter `{name}` of `{}`", call.id));
        let param = call.inputs.iter().find(|param| param.name == name).ok_or_else(missing)?;
        let (kind, index, shift, bits) = match param.place {
            ParamPlace::Cap(index) => (Place::CAP, index, 0, 0),
            ParamPlace::Bits { word, shift, bits } => (Place::BITS, word, shift, bits),
            ParamPlace::Words { word, .. } => (Place::BITS, word, 0, 64),
        };
        let narrow = || {
            let byte = |value: usize| u8::try_from(value).ok();
            Some(Place {
                kind,
                index: byte(index)?,
                shift: byte(shift as usize)?,
                bits: byte(bits as usize)?,
            })
        };
        narrow().ok_or_else(|| self.no_place(format!("word {index} of `{}` for `{name}`", call.id)))
    }
}
