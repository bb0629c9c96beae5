//! JPEG (ITU-T T.81), in.

use crate::{Error, Head, MAX_SOURCE_SIDE, Pixels, damaged, exif::Orientation};
use alloc::{format, vec::Vec};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::{JpegDecoder, errors::DecodeErrors};

/// What every file begins with: a start and the begin of a marker.
pub(crate) const SIGNATURE: [u8; 3] = [0xff, 0xd8, 0xff];

/// The start of a picture, and its end.
const START: [u8; 2] = [0xff, 0xd8];
const END: [u8; 2] = [0xff, 0xd9];

/// A progressive picture has a dozen scans, and each goes over all of it.
const MAX_SCANS: usize = 64;

/// A part of a file.
struct Segment<'a> {
    marker: u8,
    data: &'a [u8],
    /// With the marker and the length, and what is packed after a scan's head.
    whole: &'a [u8],
}

impl Segment<'_> {
    /// Whether it is the head of a frame.
    fn is_frame(&self) -> bool {
        matches!(self.marker, 0xc0..=0xcf) && !matches!(self.marker, 0xc4 | 0xc8 | 0xcc)
    }

    /// Whether it is a scan.
    fn is_scan(&self) -> bool {
        self.marker == 0xda
    }

    /// Whether pixels depend on it: frames, tables, scans, restarts, and which colours Adobe means.
    fn is_needed(&self) -> bool {
        self.is_scan() || matches!(self.marker, 0xc0..=0xcf | 0xdb..=0xdd | 0xee)
    }
}

/// The segments of a file.
struct Segments<'a> {
    rest: &'a [u8],
    /// The end was there.
    ended: bool,
}

impl<'a> Segments<'a> {
    fn of(file: &'a [u8]) -> Self {
        Self { rest: file.get(START.len()..).unwrap_or_default(), ended: false }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    /// The next one; none after the end, or where something else follows.
    fn next(&mut self) -> Option<Segment<'a>> {
        // Before a marker there may be any number of these (B.1.1.2).
        while let [0xff, 0xff, ..] = self.rest {
            self.rest = &self.rest[1..];
        }
        let [0xff, marker, after @ ..] = self.rest else { return None };
        let marker = *marker;
        // These have no length: but for the end, none of them may be here.
        if matches!(marker, 0x00 | 0x01 | 0xd0..=0xd9) {
            self.ended = marker == END[1];
            self.rest = &[];
            return None;
        }
        let length = usize::from(u16::from_be_bytes(*after.first_chunk()?));
        let data = after.get(2..length)?;
        let packed = if marker == 0xda { packed(&after[length..]) } else { 0 };
        let (whole, rest) = self.rest.split_at_checked(2 + length + packed)?;
        self.rest = rest;
        Some(Segment { marker, data, whole })
    }
}

/// How many bytes are packed before the next marker that is no restart.
fn packed(bytes: &[u8]) -> usize {
    let is_end = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xd0..=0xd7 | 0xff);
    bytes.windows(2).position(is_end).unwrap_or(bytes.len())
}

/// What its head says.
pub(crate) fn head(file: &[u8]) -> Result<Head, Error> {
    let frame = Segments::of(file).find(|segment| segment.is_frame() || segment.is_scan());
    let frame = frame.filter(Segment::is_frame).ok_or_else(|| damaged("it has no head"))?;
    if !matches!(frame.marker, 0xc0..=0xc2) {
        return Err(Error::Unsupported("lossless or arithmetic coding of JPEG"));
    }
    // B.2.2
    let [precision, h1, h0, w1, w0, count, components @ ..] = frame.data else {
        return Err(damaged("its head is cut off"));
    };
    let side = |bytes| usize::from(u16::from_be_bytes(bytes));
    let (width, height) = (side([*w1, *w0]), side([*h1, *h0]));
    if *precision != 8 {
        return Err(Error::Unsupported("JPEG with other than 8 bits"));
    }
    let (components, rest) = components.as_chunks::<3>();
    if components.len() != usize::from(*count) || !rest.is_empty() || width == 0 || height == 0 {
        return Err(damaged("its head says what there cannot be"));
    }
    if !matches!(count, 1 | 3 | 4) {
        return Err(Error::Unsupported("this number of colours in JPEG"));
    }
    if width.max(height) > MAX_SOURCE_SIDE {
        return Err(Error::TooLarge { width, height });
    }
    let samplings = components.iter().map(|[_, sampling, _]| (sampling >> 4, sampling & 15));
    if !samplings.clone().all(|(h, v)| (1..=4).contains(&h) && (1..=4).contains(&v)) {
        return Err(damaged("its head says what there cannot be"));
    }
    let samplings = samplings.map(|(h, v)| (usize::from(h), usize::from(v)));
    let (h_most, v_most) = samplings.clone().fold((1, 1), |(a, b), (h, v)| (a.max(h), b.max(v)));
    let (columns, rows) = (width.div_ceil(8 * h_most), height.div_ceil(8 * v_most));
    // A picture that comes in several scans has all coefficients in memory, of 16 bits, and each may.
    let of_scans: usize = samplings.map(|(h, v)| columns * rows * 64 * h * v * 2).sum();
    let channels = if *count == 1 { 1 } else { 3 };
    // Some rows of blocks are there as samples, and again as they are spread to the size of the largest.
    let of_rows = columns * 8 * h_most * 8 * v_most * components.len() * 2 * 6;
    Ok(Head { width, height, channels, memory: width * height * channels + of_scans + of_rows })
}

/// How the camera was held.
pub(crate) fn orientation(file: &[u8]) -> Orientation {
    let before = Segments::of(file).take_while(|segment| !segment.is_scan());
    let mut exif = before.filter(|segment| segment.marker == 0xe1);
    exif.find_map(|segment| segment.data.strip_prefix(b"Exif\0\0")).map(Orientation::read).unwrap_or_default()
}

/// What of a file is needed for its pixels.
pub(crate) fn needed(file: &[u8]) -> Result<Vec<u8>, Error> {
    let mut kept = Vec::with_capacity(file.len() + END.len());
    kept.extend_from_slice(&START);
    let mut segments = Segments::of(file);
    let (mut frames, mut scans) = (0, 0);
    for segment in segments.by_ref().filter(Segment::is_needed) {
        frames += usize::from(segment.is_frame());
        scans += usize::from(segment.is_scan());
        if frames > 1 || scans > MAX_SCANS {
            return Err(Error::Unsupported("a JPEG picture with so many frames or scans"));
        }
        kept.extend_from_slice(segment.whole);
    }
    if scans == 0 || !segments.ended {
        return Err(damaged("it is cut off"));
    }
    kept.extend_from_slice(&END);
    Ok(kept)
}

/// Decodes what [`needed`] has left.
pub(crate) fn decode(file: &[u8], head: &Head) -> Result<Pixels, Error> {
    let Head { width, height, channels, .. } = *head;
    let options = DecoderOptions::default()
        .set_max_width(MAX_SOURCE_SIDE)
        .set_max_height(MAX_SOURCE_SIDE)
        .set_strict_mode(true)
        .jpeg_set_out_colorspace(if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB });
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
    let bytes = decoder.decode().map_err(|error| match error {
        DecodeErrors::Unsupported(_) => Error::Unsupported("this coding of JPEG"),
        error => Error::Damaged(format!("{error:?}")),
    })?;
    let as_said = decoder.dimensions() == Some((width, height)) && bytes.len() == width * height * channels;
    if as_said {
        Ok(Pixels { width, height, channels, bytes })
    } else {
        Err(damaged("its pixels do not fit"))
    }
}
