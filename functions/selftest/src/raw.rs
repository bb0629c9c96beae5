//! Invocations word by word, and the kernel's answers word by word: for what the typed calls cannot say.

use crate::tap::Tap;
use selkie::{
    cap::{Capability, Endpoint, Slot},
    prelude::*,
};
use selkie_sys::{Word, error, lookup_failure};

/// What the kernel answers to an invocation: an error's number, or 0, and the words of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub label: Word,
    pub words: Vec<Word>,
}

/// Invokes the capability in `object` with a message of these words and capabilities.
pub fn ask(object: Slot, label: Word, words: &[Word], caps: &[Slot]) -> Answer {
    let message = caps.iter().fold(Message::with(label, words), |message, cap| message.cap(*cap));
    let answer = Endpoint::at(object).call(&message);
    Answer { label: answer.label(), words: answer.words().to_vec() }
}

/// An answer of these words.
pub fn answer(label: Word, words: &[Word]) -> Answer {
    Answer { label, words: words.to_vec() }
}

/// Success without details.
pub fn done() -> Answer {
    answer(error::NO_ERROR, &[])
}

pub fn argument(number: Word) -> Answer {
    answer(error::INVALID_ARGUMENT, &[number])
}

pub fn capability(number: Word) -> Answer {
    answer(error::INVALID_CAPABILITY, &[number])
}

pub fn illegal() -> Answer {
    answer(error::ILLEGAL_OPERATION, &[])
}

pub fn range(min: Word, max: Word) -> Answer {
    answer(error::RANGE_ERROR, &[min, max])
}

pub fn alignment() -> Answer {
    answer(error::ALIGNMENT_ERROR, &[])
}

pub fn truncated() -> Answer {
    answer(error::TRUNCATED_MESSAGE, &[])
}

pub fn delete_first() -> Answer {
    answer(error::DELETE_FIRST, &[])
}

pub fn revoke_first() -> Answer {
    answer(error::REVOKE_FIRST, &[])
}

/// Not enough memory; so many bytes are left.
pub fn memory(left: Word) -> Answer {
    answer(error::NOT_ENOUGH_MEMORY, &[left])
}

/// Which address of an invocation could not be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Source,
    Target,
}

fn lookup(end: End, details: &[Word]) -> Answer {
    let mut words = vec![Word::from(end == End::Source)];
    words.extend(details);
    answer(error::FAILED_LOOKUP, &words)
}

pub fn no_root(end: End) -> Answer {
    lookup(end, &[lookup_failure::INVALID_ROOT])
}

pub fn missing(end: End, bits_left: Word) -> Answer {
    lookup(end, &[lookup_failure::MISSING_CAPABILITY, bits_left])
}

pub fn depth(end: End, bits_left: Word, bits_found: Word) -> Answer {
    lookup(end, &[lookup_failure::DEPTH_MISMATCH, bits_left, bits_found])
}

pub fn guard(end: End, bits_left: Word, guard: Word, guard_bits: Word) -> Answer {
    lookup(end, &[lookup_failure::GUARD_MISMATCH, bits_left, guard, guard_bits])
}

/// Checks that an invocation is refused with one word less than it needs, and with one capability less.
pub fn too_short(tap: &mut Tap, what: &str, object: Slot, label: Word, words: &[Word], caps: &[Slot]) {
    if let Some((_, fewer)) = words.split_last() {
        tap.is(&format!("{what}: a word too few"), ask(object, label, fewer, caps), truncated());
    }
    if let Some((_, fewer)) = caps.split_last() {
        tap.is(&format!("{what}: a capability too few"), ask(object, label, words, fewer), truncated());
    }
}
