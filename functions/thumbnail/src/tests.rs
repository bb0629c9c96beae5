//! All pictures of `pictures/`, whole and damaged.

use super::*;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// Counts what the thread has allocated.
struct Counted;

thread_local! {
    static USED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

fn count(more: usize, less: usize) {
    // A thread that ends counts no more.
    let _ = USED.try_with(|used| {
        let (now, peak) = used.get();
        let now = (now + more).saturating_sub(less);
        used.set((now, peak.max(now)));
    });
}

// SAFETY: all is done by the system's allocator.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // As where nothing can grow where it is: old and new are there at a time.
        count(size, 0);
        count(0, layout.size());
        // SAFETY: the caller's.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static HEAP: Counted = Counted;

const MEMORY: usize = 64 << 20;
const WIDTH: usize = 96;
const HEIGHT: usize = 64;
/// Larger than any of the pictures.
const AS_IT_IS: Size = Size { width: 1000, height: 1000 };

macro_rules! pictures {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../pictures/", $name)).as_slice())),*]
    };
}

/// Pictures with the colours of `draw.py`, and how far they may be off.
const COLOURED: [(&str, &[u8]); 12] = pictures![
    "rgb.png",
    "rgb-16.png",
    "rgb-interlaced.png",
    "rgba.png",
    "rgba-16-interlaced.png",
    "palette.png",
    "palette-interlaced.png",
    "baseline.jpg",
    "progressive.jpg",
    "full-colour-restarts.jpg",
    "cmyk.jpg",
    "turned.jpg",
];

const GREY: [(&str, &[u8]); 7] = pictures![
    "grey.png",
    "grey-1.png",
    "grey-2-interlaced.png",
    "grey-16.png",
    "grey-transparent.png",
    "grey-alpha.png",
    "grey.jpg",
];

const TWO_COLOURS: [(&str, &[u8]); 1] = pictures!["palette-1.png"];

fn all() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    COLOURED.into_iter().chain(GREY).chain(TWO_COLOURS)
}

/// The pixels of a picture that a thumbnail is made of.
fn thumbnail(bytes: &[u8], size: Size) -> Result<Pixels, Error> {
    let file = Picture::new(bytes, size, MEMORY)?.thumbnail(size)?;
    let head = png::head(&file)?;
    png::decode(&png::needed(&file)?, &head)
}

fn colour(x: usize, y: usize) -> [u8; 3] {
    let inside = (2 * x + 1).abs_diff(WIDTH) < WIDTH / 2 && (2 * y + 1).abs_diff(HEIGHT) < HEIGHT / 2;
    [(255 * x / (WIDTH - 1)) as u8, (255 * y / (HEIGHT - 1)) as u8, if inside { 255 } else { 0 }]
}

/// The largest difference between pixels and what they should be, on average over all of them.
fn difference(pixels: &Pixels, wanted: impl Fn(usize, usize) -> Vec<u8>) -> f64 {
    assert_eq!((pixels.width, pixels.height), (WIDTH, HEIGHT));
    let mut sum = 0;
    for (i, pixel) in pixels.bytes.chunks(pixels.channels).enumerate() {
        let wanted = wanted(i % WIDTH, i / WIDTH);
        sum += pixel.iter().zip(wanted).map(|(a, b)| usize::from(a.abs_diff(b))).max().unwrap();
    }
    sum as f64 / (WIDTH * HEIGHT) as f64
}

fn tolerance(name: &str) -> f64 {
    match name {
        name if name.ends_with(".jpg") => 12.0,
        name if name.starts_with("palette") => 26.0,
        _ => 0.0,
    }
}

/// The smoke test of the recipe expects the very same bytes. `BLESS=1` writes them.
#[test]
fn small_pictures_are_the_same_bytes_everywhere() {
    for name in ["baseline.jpg", "turned.jpg", "palette-interlaced.png", "rgba-16-interlaced.png"] {
        let bytes = all().find(|(other, _)| *other == name).unwrap().1;
        let size = Size { width: 24, height: 24 };
        let is = Picture::new(bytes, size, MEMORY).unwrap().thumbnail(size).unwrap();
        let stem = name.split_once('.').unwrap().0;
        let path = format!("{}/pictures/{stem}-24.png", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &is).unwrap();
        }
        assert!(std::fs::read(&path).unwrap() == is, "{path}");
    }
}

/// Pixels from noise, of which each row goes another way over into the next one: so all filters are taken.
fn drawn(width: usize, height: usize, channels: usize, noise: usize) -> Pixels {
    let mut numbers = Numbers(7);
    let mut pixel = |at: usize| {
        let (x, y, channel) = (at / channels % width, at / channels / width, at % channels);
        let smooth = [0, 2 * x, 3 * y, x + y, x * y / 64][y / 7 % 5];
        (smooth + 90 * channel + numbers.below(noise + 1)) as u8
    };
    Pixels { width, height, channels, bytes: (0..width * height * channels).map(&mut pixel).collect() }
}

#[test]
fn what_is_written_is_read_as_the_same_pixels() {
    for (width, height) in [(1, 1), (1, 300), (300, 1), (7, 5), (301, 200)] {
        for channels in 1..=4 {
            for noise in [0, 3, 255] {
                let pixels = drawn(width, height, channels, noise);
                let file = png::encode(&pixels).unwrap();
                let read = png::decode(&file, &png::head(&file).unwrap()).unwrap();
                let what = format!("{width} × {height}, {channels} channels, noise {noise}");
                assert_eq!((read.width, read.height, read.channels), (width, height, channels), "{what}");
                assert!(read.bytes == pixels.bytes, "{what}");
            }
        }
    }
}

#[test]
fn what_is_written_is_packed() {
    let share = |noise| {
        let pixels = drawn(512, 512, 3, noise);
        100 * png::encode(&pixels).unwrap().len() / pixels.bytes.len()
    };
    assert!(share(0) < 10, "{} %", share(0));
    // Three of eight bits are noise, and what a filter leaves has that of two or three pixels.
    assert!(share(7) < 60, "{} %", share(7));
    // What cannot be packed grows by little: blocks, chunks and the numbers of filters.
    assert!(share(255) <= 100, "{} %", share(255));
}

/// The largest small picture, which cannot be packed.
#[test]
fn writing_takes_no_more_memory_than_it_was_taken_to_need() {
    let pixels = drawn(MAX_SIDE, MAX_SIDE, 4, 255);
    let (before, _) = USED.get();
    USED.set((before, before));
    let file = png::encode(&pixels).unwrap();
    let (_, peak) = USED.get();
    assert!(file.len() > pixels.bytes.len() && peak - before <= 3 * pixels.bytes.len() + LITTLE);
}

#[test]
fn every_kind_of_picture_has_its_colours() {
    for (name, bytes) in COLOURED {
        let pixels = thumbnail(bytes, AS_IT_IS).unwrap_or_else(|error| panic!("{name}: {error}"));
        let off = difference(&pixels, |x, y| colour(x, y).to_vec());
        assert!(off <= tolerance(name), "{name} is off by {off}");
    }
    let [(_, two)] = TWO_COLOURS;
    let is = thumbnail(two, AS_IT_IS).unwrap();
    let wanted = |x, y| if colour(x, y)[2] == 0 { vec![255, 0, 0] } else { vec![0, 0, 255] };
    assert_eq!(difference(&is, wanted), 0.0);
}

#[test]
fn every_kind_of_grey_is_that_grey() {
    let grey = |x: usize, y: usize| 255 * (x + y) / (WIDTH + HEIGHT - 2);
    for (name, bytes) in GREY {
        let pixels = thumbnail(bytes, AS_IT_IS).unwrap_or_else(|error| panic!("{name}: {error}"));
        let steps = match name {
            "grey-1.png" => 1,
            "grey-2-interlaced.png" => 3,
            _ => 255,
        };
        let off = difference(&pixels, |x, y| {
            let step = grey(x, y) * (steps + 1) / 256;
            vec![(step * 255 / steps) as u8]
        });
        assert!(off <= tolerance(name), "{name} is off by {off}");
    }
}

#[test]
fn alpha_is_kept() {
    for (name, bytes) in all() {
        let pixels = thumbnail(bytes, AS_IT_IS).unwrap();
        let alpha = |x: usize, y: usize| pixels.bytes[(y * WIDTH + x + 1) * pixels.channels - 1];
        match name {
            "rgba.png" | "rgba-16-interlaced.png" | "grey-alpha.png" => {
                assert!(alpha(0, 9) == 255 && alpha(WIDTH - 1, 9) == 0, "{name}");
            }
            "grey-transparent.png" | "palette-interlaced.png" => {
                assert!(alpha(0, 0) == 0 && alpha(WIDTH - 1, 9) == 255, "{name}");
            }
            _ => assert!(pixels.channels % 2 == 1, "{name}"),
        }
    }
}

#[test]
fn a_small_picture_shows_what_the_large_one_did() {
    for (name, bytes) in COLOURED {
        let pixels = thumbnail(bytes, Size { width: 24, height: 24 }).unwrap();
        assert_eq!((pixels.width, pixels.height), (24, 16), "{name}");
        let at = |x: usize, y: usize| &pixels.bytes[(y * 24 + x) * pixels.channels..][..3];
        let near = |x, y, wanted: [u8; 3]| at(x, y).iter().zip(wanted).all(|(a, b)| a.abs_diff(b) < 40);
        assert!(near(1, 1, [15, 20, 0]) && near(22, 1, [240, 20, 0]) || at(22, 1).len() < 3, "{name}");
        assert!(near(1, 14, [15, 235, 0]) && near(12, 8, [130, 130, 255]), "{name}");
    }
}

/// Numbers that look random: xorshift64*.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) as usize % end
    }
}

/// Damages a picture: other bytes, some missing, some twice, the begin of one and the end of another.
fn damage(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    for _ in 0..=numbers.below(4) {
        // Heads matter more than pixels.
        let reach = if numbers.below(2) == 0 { bytes.len().min(200) } else { bytes.len() };
        let at = numbers.below(reach.max(1)).min(bytes.len().saturating_sub(1));
        let end = (at + 1 + numbers.below(8)).min(bytes.len());
        match numbers.below(6) {
            _ if bytes.is_empty() => {}
            0 => bytes[at] ^= 1 << numbers.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][numbers.below(5)],
            2 => bytes[at] = numbers.below(256) as u8,
            3 => drop(bytes.drain(at..end)),
            4 => bytes.extend_from_within(at..end),
            _ => bytes.truncate(end),
        }
    }
}

/// Writes the checksums of all chunks anew: without, nothing behind them would ever see damage.
fn with_checksums(bytes: &mut [u8]) {
    let mut at = png::SIGNATURE.len();
    while let Some(length) = bytes.get(at..at + 4) {
        let end = at + 8 + u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let Some(checksum) = bytes.get(at + 4..end).map(crc) else { return };
        let Some(place) = bytes.get_mut(end..end + 4) else { return };
        place.copy_from_slice(&checksum.to_be_bytes());
        at = end + 4;
    }
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// Each is a picture or an error, in the memory that its head was taken to need; nothing ends the function.
fn survives(bytes: &[u8], what: &str) {
    let size = Size { width: 48, height: 48 };
    let Ok(picture) = Picture::new(bytes, size, MEMORY) else { return };
    let allowed = picture.memory(size);
    let (before, _) = USED.get();
    USED.set((before, before));
    let answer = picture.thumbnail(size);
    let (_, peak) = USED.get();
    assert!(
        peak - before <= allowed,
        "{what}: {} instead of {allowed} bytes: {:?}",
        peak - before,
        answer.err()
    );
}

fn survive(rounds: usize, seed: u64) {
    for (name, bytes) in all() {
        survives(bytes, name);
        let mut numbers = Numbers(seed);
        for round in 0..rounds {
            let mut damaged = bytes.to_vec();
            damage(&mut damaged, &mut numbers);
            if numbers.below(8) > 0 {
                with_checksums(&mut damaged);
            }
            survives(&damaged, &format!("{name}, round {round} of seed {seed}"));
        }
    }
}

#[test]
fn damaged_pictures_harm_nobody() {
    survive(100, 1);
}

/// `THUMBNAIL_SEED` and `THUMBNAIL_ROUNDS` say which and how many.
#[test]
#[ignore = "takes minutes"]
fn many_damaged_pictures_harm_nobody() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds = number("THUMBNAIL_ROUNDS").unwrap_or(20_000) as usize;
    survive(rounds, number("THUMBNAIL_SEED").unwrap_or(2));
}

#[test]
fn what_is_cut_off_is_damaged() {
    for (name, bytes) in all() {
        for length in 0..bytes.len() {
            let answer = thumbnail(&bytes[..length], AS_IT_IS).err();
            match answer {
                Some(Error::Unknown) => assert!(length < 8, "{name}, {length}"),
                Some(Error::Damaged(_)) => {}
                other => panic!("{name}, {length}: {other:?}"),
            }
        }
    }
}

/// A PNG picture of grey pixels whose packed data are these.
fn grey_png(width: u32, height: u32, packed: &[u8]) -> Vec<u8> {
    let mut file = png::SIGNATURE.to_vec();
    let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    for (name, data) in [(b"IHDR", &head[..]), (b"IDAT", packed), (b"IEND", &[])] {
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(name);
        file.extend(data);
        file.extend([0; 4]);
    }
    with_checksums(&mut file);
    file
}

#[test]
fn large_heads_are_refused_before_anything_is_allocated() {
    let refused = |bytes: &[u8], width, height| {
        USED.set((0, 0));
        assert_eq!(Picture::new(bytes, AS_IT_IS, MEMORY).err(), Some(Error::TooLarge { width, height }));
        assert!(USED.get().1 == 0);
    };
    refused(&grey_png(1 << 30, 1 << 30, &[0]), 1 << 30, 1 << 30);
    refused(&grey_png(16_000, 16_000, &[0]), 16_000, 16_000);
    refused(&grey_png(u32::MAX, 1, &[0]), u32::MAX as usize, 1);
    for name in ["baseline.jpg", "progressive.jpg"] {
        let mut bytes = all().find(|(other, _)| *other == name).unwrap().1.to_vec();
        let frame = bytes.windows(2).position(|pair| matches!(pair, [0xff, 0xc0 | 0xc2])).unwrap();
        bytes[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
        refused(&bytes, 65_535, 65_535);
        bytes[frame + 5..frame + 9].copy_from_slice(&[0x20, 0, 0x20, 0]);
        refused(&bytes, 0x2000, 0x2000);
    }
}

#[test]
fn what_unpacks_to_more_than_its_head_says_is_refused() {
    // 1 MiB of zeros for each KiB: stored once, then repeated by a fixed code (RFC 1951, 3.2.6).
    let mut bits = Vec::new();
    let mut push = |value: u32, count: u32| bits.extend((0..count).map(|i| value >> i & 1 == 1));
    push(1, 1);
    push(1, 2);
    push(0b0000_1100, 8);
    for _ in 0..100_000 {
        // Length 258, distance 1.
        push(0b1010_0011, 8);
        push(0, 5);
    }
    push(0, 7);
    let mut packed = vec![0x78, 0x01];
    packed.extend(bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |sum, bit| sum << 1 | u8::from(*bit))));
    packed.extend([0; 4]);
    let bomb = grey_png(64, 64, &packed);
    assert!(packed.len() < 200_000);
    survives(&bomb, "bomb");
    let answer = thumbnail(&bomb, AS_IT_IS).err();
    assert!(matches!(&answer, Some(Error::Damaged(why)) if why.contains("limit")), "{answer:?}");
}

#[test]
fn what_is_beside_the_pixels_is_left_out() {
    let mut file = grey_png(64, 64, &[0]);
    // A profile that unpacks to anything would be read by the decoder.
    let text = file.len() - 12;
    file.splice(text..text, [&[0, 0, 0, 4][..], b"iCCP", &[1, 0, 0, 0], &[0; 4]].concat());
    let kept = png::needed(&file).unwrap();
    assert_eq!(kept.len(), file.len() - 16);
    let jpeg = COLOURED.iter().find(|(name, _)| *name == "turned.jpg").unwrap().1;
    assert!(jpeg.windows(4).any(|word| word == b"Exif"));
    assert!(!jpeg::needed(jpeg).unwrap().windows(4).any(|word| word == b"Exif"));
}
