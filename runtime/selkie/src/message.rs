//! Messages: up to 120 words and 3 capabilities.

use crate::cap::{Place, Slot};
use core::{fmt, mem::MaybeUninit};
use selkie_sys::{MessageInfo, Word, ipc_buffer, limit};

/// The most words that a message holds.
pub const MAX_WORDS: usize = limit::MSG_MAX_LENGTH as usize;
/// The most capabilities that a message holds.
pub const MAX_CAPS: usize = limit::MSG_MAX_EXTRA_CAPS as usize;
/// Words that travel in registers; the others go through the IPC buffer.
const REGISTERS: usize = 4;

/// What is sent through an endpoint.
#[derive(Clone)]
pub struct Message {
    label: Word,
    len: usize,
    caps: usize,
    unwrapped: Word,
    words: [MaybeUninit<Word>; MAX_WORDS],
    /// When sent: the slots of the capabilities. When received: the badges of those that were unwrapped.
    extra: [Word; MAX_CAPS],
}

impl Message {
    /// An empty message. Of the label, the lower 52 bits count (20 on seL4 5.0.0).
    pub const fn new(label: Word) -> Self {
        Self {
            label,
            len: 0,
            caps: 0,
            unwrapped: 0,
            words: [MaybeUninit::uninit(); MAX_WORDS],
            extra: [0; MAX_CAPS],
        }
    }

    /// A message of some words; of more than 120, the first 120.
    pub fn with(label: Word, words: &[Word]) -> Self {
        words.iter().fold(Self::new(label), |message, word| message.word(*word))
    }

    /// The same with one more word, if there is room.
    pub fn word(mut self, word: Word) -> Self {
        if let Some(place) = self.words.get_mut(self.len) {
            place.write(word);
            self.len += 1;
        }
        self
    }

    /// The same with one more capability, if there is room. The receiver gets a copy of the first one in
    /// its receive slot; one of the very endpoint that is sent through arrives as its badge instead.
    pub fn cap(mut self, slot: impl Into<Slot>) -> Self {
        if let Some(place) = self.extra.get_mut(self.caps) {
            *place = slot.into().0;
            self.caps += 1;
        }
        self
    }

    /// The label.
    pub fn label(&self) -> Word {
        self.label
    }

    /// The words.
    pub fn words(&self) -> &[Word] {
        // SAFETY: the first `len` words are written.
        unsafe { core::slice::from_raw_parts(self.words.as_ptr().cast(), self.len) }
    }

    /// One word, 0 when the message is shorter.
    pub fn get(&self, index: usize) -> Word {
        self.words().get(index).copied().unwrap_or(0)
    }

    /// How many capabilities came with the message, as badges or in the receive slot.
    pub fn caps(&self) -> usize {
        self.caps
    }

    /// The badge of capability `index`, when it is one of the endpoint that was received from: then the
    /// badge came instead of the capability.
    pub fn unwrapped(&self, index: usize) -> Option<Word> {
        (index < self.caps && self.unwrapped & 1 << index != 0).then(|| self.extra[index])
    }

    /// Puts the message where a system call takes it from. Returns the tag and the first four words.
    pub(crate) fn load(&self) -> (MessageInfo, [Word; REGISTERS]) {
        let words = self.words();
        for (index, word) in words.iter().enumerate().skip(REGISTERS) {
            // SAFETY: there are at most `MAX_WORDS` words, and a thread of a function has an IPC buffer.
            unsafe { ipc_buffer::set_mr(index, *word) };
        }
        for (index, slot) in self.extra[..self.caps].iter().enumerate() {
            // SAFETY: there are at most `MAX_CAPS` of them; as above.
            unsafe { ipc_buffer::set_cap(index, *slot) };
        }
        let tag = MessageInfo::new(self.label, 0, self.caps as Word, self.len as Word);
        (tag, core::array::from_fn(|index| words.get(index).copied().unwrap_or(0)))
    }

    /// Takes a message from where a system call puts it.
    pub(crate) fn store(tag: MessageInfo, registers: [Word; REGISTERS]) -> Self {
        let mut message = Self::new(tag.label());
        message.len = (tag.length() as usize).min(MAX_WORDS);
        message.caps = tag.extra_caps() as usize;
        message.unwrapped = tag.caps_unwrapped();
        for (place, word) in message.words.iter_mut().zip(registers) {
            place.write(word);
        }
        for index in REGISTERS..message.len {
            // SAFETY: `len` is at most `MAX_WORDS`; as in `load`.
            message.words[index].write(unsafe { ipc_buffer::mr(index) });
        }
        for index in 0..message.caps {
            // SAFETY: two bits, so at most `MAX_CAPS`; as in `load`.
            message.extra[index] = unsafe { ipc_buffer::badge(index) };
        }
        message
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("label", &self.label)
            .field("words", &self.words())
            .field("caps", &self.caps)
            .finish()
    }
}

/// Where this thread wants to get a capability that comes with a message: an empty place.
pub fn set_receive_place(place: Place) {
    let root = crate::cap::Capability::slot(place.root).0;
    // SAFETY: a thread of a function has an IPC buffer.
    unsafe { ipc_buffer::set_receive_path(root, place.index, Word::from(place.depth)) }
}
