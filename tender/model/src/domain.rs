//! The schedule of domains, as far as there is one: only the first domain ever runs.

use crate::{
    Error, Host, Kernel,
    request::{Answer, Request},
};
use selkie_tender_table::{Invocation, Number, param};

/// Bits of an entry's duration.
const DURATION_BITS: u32 = 56;
/// Entries that there is room for.
const MOST: u64 = 128;
/// Entries of a kernel that does not say how many: with several domains, and with one.
const DEFAULT_LENGTH: u64 = 100;
const SHORTEST: u64 = 2;

/// The schedule. What it says of domains other than the first does not come to pass.
#[derive(Debug)]
pub(crate) struct DomainSchedule {
    /// A bit for each entry that is no end.
    entries: u128,
    /// Where it begins.
    start: u8,
}

impl Default for DomainSchedule {
    fn default() -> Self {
        Self { entries: 1, start: 0 }
    }
}

impl<H: Host> Kernel<'_, H> {
    /// Serves the invocations that change the schedule of domains.
    #[cold]
    pub(crate) fn invoke_domain_schedule(&mut self, request: &Request) -> Result<Answer, Error> {
        request.complete(self)?;
        let domains = self.table.number(Number::ConfigDomains);
        let length = match self.table.number(Number::ConfigDomainSchedules) {
            0 if domains > 1 => DEFAULT_LENGTH,
            0 => SHORTEST,
            length => length.clamp(SHORTEST, MOST),
        };
        let below = |value: u64, count: u64| {
            if value < count { Ok(()) } else { Err(Error::Range { min: 0, max: count - 1 }) }
        };
        if request.invocation == Some(Invocation::DomainScheduleSetStart) {
            let index = request.value(self, param::domain_schedule_set_start::INDEX);
            below(index, length)?;
            if self.domains.entries >> index & 1 == 0 {
                return Err(Error::InvalidArgument(0));
            }
            self.domains.start = index as u8;
            self.reschedule();
            return Ok(Answer::Empty);
        }
        use param::domain_schedule_configure as at;
        let (index, domain) = (request.value(self, at::INDEX), request.whole_word(self, at::DOMAIN));
        let duration = request.value(self, at::DURATION);
        // The last entry is always an end.
        below(index, length - 1)?;
        below(domain, domains)?;
        if duration >> DURATION_BITS != 0 {
            return Err(Error::InvalidArgument(2));
        }
        if duration == 0 && domain != 0 {
            return Err(Error::InvalidArgument(1));
        }
        if duration == 0 && index == self.domains.start.into() {
            return Err(Error::InvalidArgument(2));
        }
        let bit = 1 << index;
        self.domains.entries = self.domains.entries & !bit | if duration != 0 { bit } else { 0 };
        Ok(Answer::Empty)
    }
}
