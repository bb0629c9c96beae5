//! What differs between kernels beside numbers: rules that the table tells.

use crate::{Host, Kernel, Rights};
use selkie_tender_table::{Number, Table};

impl<H: Host> Kernel<'_, H> {
    /// Whether time is given by scheduling contexts.
    #[inline]
    pub(crate) fn is_mcs(&self) -> bool {
        self.rule(Number::RuleMcs)
    }

    /// Whether the kernel is of this release or a later one.
    #[inline]
    pub(crate) fn since(&self, first: u64, second: u64) -> bool {
        is_since(self.table, first, second)
    }

    /// Whether a rule holds.
    #[inline]
    pub(crate) fn rule(&self, number: Number) -> bool {
        self.table.number(number) != 0
    }

    /// The rights that a word of the interface means.
    pub(crate) fn rights(&self, word: u64) -> Rights {
        match self.rule(Number::RuleGrantReply) {
            true => Rights::decode(word),
            false => Rights::decode_without_grant_reply(word),
        }
    }
}

/// Whether the kernel of this table is of this release or a later one.
#[inline]
pub(crate) fn is_since(table: &Table, first: u64, second: u64) -> bool {
    table.number(Number::RuleRelease) >= Table::release(first, second)
}
