//! Makes small pictures of large ones: everything but the service, so that it runs on a host, too.
//!
//! Pictures come from anybody. What a decoder gets is therefore made anew from what was sent: the head is checked and the
//! memory that its picture takes is known before anything is allocated, and all that is not needed for the pixels (texts,
//! profiles, previews, frames of an animation) is left out, with the code that would read it.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod exif;
mod jpeg;
mod png;
mod request;
mod scale;
#[cfg(test)]
mod tests;

pub use request::{SIDE, takes_png};
pub use scale::{MAX_SIDE, Size};

use alloc::{string::String, vec::Vec};
use core::fmt;
use exif::Orientation;

/// The longest side of a picture that is taken.
pub const MAX_SOURCE_SIDE: usize = 16_384;

/// Which pictures are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JPEG: baseline and progressive, with 8 bits.
    Jpeg,
    /// PNG: all of it, the first picture where it is animated.
    Png,
}

impl Format {
    /// What `bytes` begin as.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(&jpeg::SIGNATURE) {
            Some(Self::Jpeg)
        } else if bytes.starts_with(&png::SIGNATURE) {
            Some(Self::Png)
        } else {
            None
        }
    }
}

/// Why there is no small picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// It is no picture of a [`Format`].
    Unknown,
    /// It is one that the decoders do not know.
    Unsupported(&'static str),
    /// Its sides are too long, or it takes more memory than there is.
    TooLarge {
        /// Pixels from left to right.
        width: usize,
        /// Pixels from top to bottom.
        height: usize,
    },
    /// It is none although it begins as one.
    Damaged(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("this is neither a JPEG nor a PNG picture"),
            Self::Unsupported(what) => write!(f, "{what} is not supported"),
            Self::TooLarge { width, height } => write!(f, "{width} × {height} pixels are too many"),
            Self::Damaged(why) => write!(f, "the picture is damaged: {why}"),
        }
    }
}

impl core::error::Error for Error {}

/// Damaged, for this reason.
fn damaged(why: &str) -> Error {
    Error::Damaged(why.into())
}

/// What the head of a picture says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    width: usize,
    height: usize,
    /// Bytes of a decoded pixel.
    channels: usize,
    /// The most bytes that its decoder has at a time, beside the picture as it was sent.
    memory: usize,
}

/// Pixels, 8 bits for each channel: grey, grey and alpha, red green blue, or these and alpha.
struct Pixels {
    width: usize,
    height: usize,
    channels: usize,
    bytes: Vec<u8>,
}

/// A picture whose head was checked, ready to be decoded by whatever thread has time for it.
#[derive(Debug)]
pub struct Picture {
    format: Format,
    head: Head,
    orientation: Orientation,
    /// It as it was sent, without what is not needed.
    bytes: Vec<u8>,
}

impl Picture {
    /// Takes a picture that is to become `size`, unless it would take more than `memory`.
    ///
    /// # Errors
    /// [`Error`], before anything is allocated that is larger than the picture as it was sent.
    pub fn new(bytes: &[u8], size: Size, memory: usize) -> Result<Self, Error> {
        let format = Format::of(bytes).ok_or(Error::Unknown)?;
        let (head, orientation) = match format {
            Format::Jpeg => (jpeg::head(bytes)?, jpeg::orientation(bytes)),
            Format::Png => (png::head(bytes)?, png::orientation(bytes)),
        };
        let Head { width, height, .. } = head;
        let mut picture = Self { format, head, orientation, bytes: Vec::new() };
        if width.max(height) > MAX_SOURCE_SIDE || picture.memory(size) > memory {
            return Err(Error::TooLarge { width, height });
        }
        picture.bytes = match format {
            Format::Jpeg => jpeg::needed(bytes)?,
            Format::Png => png::needed(bytes)?,
        };
        Ok(picture)
    }

    /// What it is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Bytes that are kept of what was sent.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The most bytes that [`thumbnail`](Self::thumbnail) allocates at a time.
    pub fn memory(&self, size: Size) -> usize {
        let Head { width, height, channels, memory } = self.head;
        let decoded = width * height * channels;
        memory.max(decoded + scale::memory(&self.head, self.target(size))) + LITTLE
    }

    /// The sides of the small picture, before it is turned.
    fn target(&self, size: Size) -> (usize, usize) {
        let (width, height) = self.orientation.sides((self.head.width, self.head.height));
        self.orientation.sides(size.fit(width, height))
    }

    /// The small picture, as PNG.
    ///
    /// # Errors
    /// [`Error`]
    pub fn thumbnail(self, size: Size) -> Result<Vec<u8>, Error> {
        let target = self.target(size);
        let pixels = match self.format {
            Format::Jpeg => jpeg::decode(&self.bytes, &self.head)?,
            Format::Png => png::decode(&self.bytes, &self.head)?,
        };
        drop(self.bytes);
        let small = scale::scale(pixels, target)?;
        png::encode(&self.orientation.turn(small))
    }
}

/// Tables of the decoders, of filters, and of what packs: the last has 310 KiB, its window among them.
const LITTLE: usize = 512 << 10;
