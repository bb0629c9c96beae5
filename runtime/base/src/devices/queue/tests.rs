use super::*;

const PLACE: QueuePlace = QueuePlace { lines: 64, rings: 192, bits: 3 };
const SIZE: u32 = PLACE.rings + QueuePlace::rings_size(PLACE.bits);

fn region() -> Vec<AtomicU64> {
    (0..SIZE / 8).map(|_| AtomicU64::new(0)).collect()
}

fn sides(region: &[AtomicU64]) -> (FunctionSide<'_>, HostSide<'_>) {
    (FunctionSide::new(region, PLACE).unwrap(), HostSide::new(region, PLACE).unwrap())
}

fn entry(id: u32) -> Entry {
    Entry { offset: 0x1_0000 + id, length: id * 3, code: !id, id, sector: u64::from(id) << 33 | 5 }
}

#[test]
fn a_queue_outside_its_region_is_refused() {
    let region = region();
    for bad in [
        QueuePlace { bits: 4, ..PLACE },
        QueuePlace { bits: MAX_BITS + 1, ..PLACE },
        QueuePlace { bits: u32::MAX, ..PLACE },
        QueuePlace { lines: SIZE - 64, ..PLACE },
        QueuePlace { lines: u32::MAX, ..PLACE },
        QueuePlace { rings: PLACE.rings + 8, ..PLACE },
    ] {
        assert!(
            FunctionSide::new(&region, bad).is_none() && HostSide::new(&region, bad).is_none(),
            "{bad:?}"
        );
    }
}

#[test]
fn each_entry_arrives_once_as_it_was_and_so_does_its_answer() {
    let region = region();
    let (mut function, mut host) = sides(&region);
    let (mut sent, mut received, mut answered, mut taken) = (0, 0, 0, 0);
    for round in 0..500u32 {
        for _ in 0..round % 7 {
            assert_eq!(function.submit(entry(sent)), sent - taken < 8);
            sent += u32::from(sent - taken < 8);
        }
        for _ in 0..round % 5 {
            let next = host.take().unwrap();
            assert_eq!(next, (received < sent).then(|| entry(received)));
            received += u32::from(next.is_some());
        }
        for _ in 0..round % 4 {
            assert_eq!(host.answer(entry(answered + 7)), answered < received);
            answered += u32::from(answered < received);
        }
        for _ in 0..round % 6 {
            let next = function.take().unwrap();
            assert_eq!(next, (taken < answered).then(|| entry(taken + 7)));
            taken += u32::from(next.is_some());
        }
        assert_eq!(
            (function.outstanding(), host.open()),
            ((sent - taken) as usize, (received - answered) as usize)
        );
        assert_eq!(function.room(), 8 - function.outstanding());
    }
    assert!(taken > 500);
}

/// Sides with three entries submitted, two of them taken by the host, one answered and its answer not taken.
fn in_between(region: &[AtomicU64]) -> (FunctionSide<'_>, HostSide<'_>) {
    let (mut function, mut host) = sides(region);
    for id in 0..3 {
        assert!(function.submit(entry(id)));
    }
    assert!(host.take().unwrap().is_some() && host.take().unwrap().is_some());
    assert!(host.answer(entry(0)));
    (function, host)
}

#[test]
fn every_damaged_index_breaks_the_queue_or_stays_within_what_was_submitted() {
    let damage = (0..64).map(|bit| 1 << bit).chain([u64::MAX, u64::MAX - 7]);
    for mask in damage {
        let region = region();
        let (mut function, mut host) = in_between(&region);
        let line = PLACE.lines as usize / 8;
        let (submitted, answered) = (3 ^ mask, 1 ^ mask);
        region[line + SUBMITTED].store(submitted, Relaxed);
        region[line + ANSWERED].store(answered, Relaxed);
        let mut taken = 0;
        let result = loop {
            match host.take() {
                Ok(Some(_)) => taken += 1,
                other => break other,
            }
        };
        let good = (2..=1 + 8).contains(&submitted);
        assert_eq!(result.is_ok(), good, "{submitted}");
        assert_eq!(taken, if good { submitted - 2 } else { 0 });
        let mut taken = 0;
        let result = loop {
            match function.take() {
                Ok(Some(_)) => taken += 1,
                other => break other,
            }
        };
        assert_eq!(result.is_ok(), answered <= 3, "{answered}");
        assert_eq!(taken, if answered <= 3 { answered } else { 0 });
    }
}

#[test]
fn no_word_of_the_region_makes_a_side_do_more_than_its_queue_holds() {
    for word in 0..SIZE as usize / 8 {
        for value in [0, 1, 8, 9, 0xff, 1 << 32, u64::MAX] {
            let region = region();
            let (mut function, mut host) = in_between(&region);
            region[word].store(value, Relaxed);
            let host_took = (0..100).take_while(|_| matches!(host.take(), Ok(Some(_)))).count();
            let function_took = (0..100).take_while(|_| matches!(function.take(), Ok(Some(_)))).count();
            assert!(host_took <= 8 && function_took <= 3, "{word} {value}");
            let _ = (
                function.host_waits(),
                host.function_waits(),
                function.submit(entry(1)),
                host.answer(entry(1)),
            );
        }
    }
}

#[test]
fn no_wake_up_is_lost_between_two_threads() {
    let region = region();
    let (mut function, mut host) = sides(&region);
    let total = 20_000;
    // Whoever sleeps is woken by the other side only if it has said that it waits.
    std::thread::scope(|scope| {
        let (to_host, host_woken) = std::sync::mpsc::channel();
        let (to_function, function_woken) = std::sync::mpsc::channel();
        scope.spawn(move || {
            let mut done = 0;
            while done < total {
                match host.take().unwrap() {
                    Some(entry) => {
                        assert_eq!(entry.id, done);
                        assert!(host.answer(entry));
                        done += 1;
                        if host.function_waits() {
                            to_function.send(()).unwrap();
                        }
                    }
                    None => {
                        host.set_waits(true);
                        if host.memory.line(SUBMITTED).load(Acquire) == host.taken {
                            let _ = host_woken.recv();
                        }
                        host.set_waits(false);
                    }
                }
            }
        });
        let (mut sent, mut done) = (0, 0);
        while done < total {
            while sent < total && function.submit(entry(sent)) {
                sent += 1;
            }
            if function.host_waits() {
                let _ = to_host.send(());
            }
            match function.take().unwrap() {
                Some(answer) => {
                    assert_eq!(answer, entry(done));
                    done += 1;
                }
                None => {
                    function.set_waits(true);
                    if function.memory.line(ANSWERED).load(Acquire) == function.taken {
                        function_woken.recv().unwrap();
                    }
                    function.set_waits(false);
                }
            }
        }
    });
}
