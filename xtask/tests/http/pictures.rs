//! A function that computes: others are answered while it does.

use super::{
    has_network,
    service::{Service, status},
};
use flate2::{Compression, Crc, write::ZlibEncoder};
use std::io::{ErrorKind, Read, Write};

/// A side of the picture, which has three bytes for each pixel. It unpacks to 36 MB and comes as a few hundred kB.
const SIDE: u32 = 3500;
const ROW: usize = 3 * SIDE as usize;
const PIXELS: f64 = (ROW * SIDE as usize) as f64;

/// How many pictures are sent, one after the other, where one is done before two questions are.
const PICTURES: usize = 5;

fn chunk(file: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    let mut sum = Crc::new();
    sum.update(name);
    sum.update(data);
    let length = u32::try_from(data.len()).unwrap();
    file.extend([&length.to_be_bytes()[..], name, data, &sum.sum().to_be_bytes()].concat());
}

/// A picture in PNG, whose rows are those above and one more.
fn picture() -> Vec<u8> {
    let mut pixels = ZlibEncoder::new(Vec::new(), Compression::fast());
    // The filter `Up`: what is added to the row above.
    let row: Vec<u8> = [2].into_iter().chain([1; ROW]).collect();
    for _ in 0..SIDE {
        pixels.write_all(&row).unwrap();
    }
    let side = SIDE.to_be_bytes();
    // 8 bits of red, green and blue; no interlacing.
    let head = [&side[..], &side, &[8, 2, 0, 0, 0]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in [(b"IHDR", head), (b"IDAT", pixels.finish().unwrap()), (b"IEND", Vec::new())] {
        chunk(&mut file, name, &data);
    }
    file
}

fn others_are_answered(test: &str, target: &str) {
    if !has_network(test, target) {
        return;
    }
    let service = Service::start("thumbnail", target);
    let picture = picture();
    let head = format!(
        "POST /?width=1024 HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        picture.len()
    );
    let before = service.metric("heap_used_bytes");
    // An answer says of itself that it was made while a picture was worked on: there are its pixels.
    let is_at_work = || service.metric("heap_used_bytes") > before + PIXELS / 2.0;
    let mut meanwhile = 0;
    for _ in 0..PICTURES {
        let mut stream = service.connect();
        stream.write_all(&[head.as_bytes(), &picture].concat()).unwrap();
        stream.set_nonblocking(true).unwrap();
        while stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
            let begun = is_at_work();
            assert_eq!(service.get("/healthz"), Some((200, "ok\n".to_owned())));
            assert!(service.answers("/").contains("image/jpeg"));
            meanwhile += u32::from(begun && is_at_work());
        }
        stream.set_nonblocking(false).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let is_picture = answer.windows(8).any(|bytes| picture.starts_with(bytes));
        assert!(status(&answer) == Some(200) && is_picture, "{}", String::from_utf8_lossy(&answer));
        if meanwhile > 0 {
            break;
        }
    }
    assert!(meanwhile > 0, "nobody was answered while a picture was worked on");
    println!("{meanwhile} times others were answered meanwhile");
    service.stop();
}

#[test]
#[ignore = "the suite `http` runs it"]
fn others_are_answered_while_a_process_makes_a_picture_small() {
    others_are_answered("others_are_answered_while_a_process_makes_a_picture_small", "process");
}

mod long {
    #[test]
    #[ignore = "in a machine, too"]
    fn others_are_answered_while_a_machine_makes_a_picture_small() {
        super::others_are_answered("others_are_answered_while_a_machine_makes_a_picture_small", "qemu");
    }
}
