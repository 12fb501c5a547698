use super::*;

const CHUNK: usize = 1000;
const WEIGHT: usize = CHUNK + quota::CHUNK_OVERHEAD_BYTES;

fn changes(star: &mut Star) -> Vec<(SourceId, usize)> {
    star.broker.take_relayed_changes().collect()
}

/// 1 of source 71 writes to 2 of source 72, which reads nothing.
fn pair() -> (Star, ConnId, ConnId) {
    let mut star = Star::open();
    let (a, b) = (star.conn_from(71), star.conn_from(72));
    star.join(a, 1);
    star.join(b, 2);
    star.open_link((a, 1), (b, 2), "d");
    star.stop_reading(b);
    (star, a, b)
}

#[test]
fn r_flow_7_a_chunk_counts_against_its_writer_until_it_is_written() {
    let (mut star, a, b) = pair();
    assert_eq!(changes(&mut star), []);
    star.tell(a, queue("d", DIALER, vec![0; CHUNK]));
    assert_eq!(star.waiting_bytes(), 0, "handed over at once");
    assert_eq!(star.broker.relayed_bytes(), WEIGHT);
    assert_eq!(star.gauges().bytes_queued, WEIGHT);
    assert_eq!(changes(&mut star), [(SourceId(71), WEIGHT)]);
    assert_eq!(changes(&mut star), [], "told once");
    star.read_one(b);
    assert_eq!(star.broker.relayed_bytes(), 0);
    assert_eq!(changes(&mut star), [(SourceId(71), 0)]);
}

#[test]
fn r_flow_7_what_waits_and_what_is_in_flight_are_one_sum() {
    let (mut star, a, b) = pair();
    for _ in 0..600 {
        star.tell(a, queue("d", DIALER, vec![0; CHUNK]));
    }
    assert!(star.waiting_bytes() > 0);
    assert_eq!(star.broker.relayed_bytes(), 600 * WEIGHT);
    star.read_one(b);
    assert_eq!(star.broker.relayed_bytes(), 599 * WEIGHT);
    assert_eq!(changes(&mut star), [(SourceId(71), 599 * WEIGHT)]);
}

#[test]
fn r_flow_7_it_counts_when_the_writer_has_gone_and_not_when_the_reader_has() {
    let (mut star, a, b) = pair();
    for _ in 0..600 {
        star.tell(a, queue("d", DIALER, vec![0; CHUNK]));
    }
    star.disconnect(a);
    assert_eq!(star.broker.relayed_bytes(), 600 * WEIGHT);
    star.disconnect(b);
    assert_eq!(star.broker.relayed_bytes(), 0);
    assert_eq!(changes(&mut star), [(SourceId(71), 0)]);
    assert_eq!(star.gauges(), Gauges::default());
}

#[test]
fn r_flow_7_discarded_chunks_count_no_longer() {
    let (mut star, a, b) = pair();
    star.tell(b, accept("d", LISTENER));
    for _ in 0..600 {
        star.tell(a, queue("d", DIALER, vec![0; CHUNK]));
    }
    let waiting = star.waiting_bytes();
    star.advance(2 * quota::STALL_DEADLINE);
    assert_eq!(star.waiting_bytes(), 0, "its streams were cut");
    assert_eq!(star.broker.relayed_bytes(), 600 * WEIGHT - waiting);
    star.read_on(b);
    assert_eq!(star.broker.relayed_bytes(), 0);
}

#[test]
fn r_flow_7_each_source_has_its_own_sum() {
    let (mut star, a, b) = pair();
    let c = star.conn_from(73);
    star.join(c, 3);
    star.open_link((c, 3), (b, 2), "e");
    star.tell(a, queue("d", DIALER, vec![0; CHUNK]));
    star.tell(c, queue("e", DIALER, vec![0; 2 * CHUNK]));
    let of_c = 2 * CHUNK + quota::CHUNK_OVERHEAD_BYTES;
    assert_eq!(
        changes(&mut star),
        [(SourceId(71), WEIGHT), (SourceId(73), of_c)]
    );
}
