//! Remote write 0.1.0: as much protobuf and snappy as a test needs to say what Prometheus shall hold.
//!
//! Messages: `prompb/remote.proto` and `prompb/types.proto` of Prometheus. Snappy is written as literals only, which every reader of it takes.

/// One sample of one series.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    labels: Vec<(String, String)>,
    at_ms: i64,
    value: f64,
}

impl Sample {
    pub(crate) fn new(labels: &[(&str, &str)], at_ms: i64, value: f64) -> Self {
        Self { labels: owned(labels), at_ms, value }
    }
}

/// One native histogram: neighbouring buckets from an index on.
#[derive(Clone, Debug)]
pub(crate) struct Sparse {
    pub(crate) at_ms: i64,
    pub(crate) schema: i32,
    /// Observations around zero.
    pub(crate) zero: u64,
    /// The index of the first bucket: it ends at `2^(first / 2^schema)`.
    pub(crate) first: i32,
    pub(crate) counts: Vec<u64>,
}

/// A request that writes all of these, as it is sent.
pub(crate) fn request(samples: &[Sample], histograms: &[(&[(&str, &str)], Sparse)]) -> Vec<u8> {
    let mut message = Vec::new();
    for sample in samples {
        let mut series = labels(&sample.labels);
        let mut inner = Vec::new();
        double(&mut inner, 1, sample.value);
        varint_field(&mut inner, 2, sample.at_ms as u64);
        bytes(&mut series, 2, &inner);
        bytes(&mut message, 1, &series);
    }
    for (names, histogram) in histograms {
        let mut series = labels(&owned(names));
        bytes(&mut series, 4, &sparse(histogram));
        bytes(&mut message, 1, &series);
    }
    snappy(&message)
}

fn sparse(histogram: &Sparse) -> Vec<u8> {
    let mut message = Vec::new();
    varint_field(&mut message, 1, histogram.zero + histogram.counts.iter().sum::<u64>());
    double(&mut message, 3, 1.0);
    varint_field(&mut message, 4, zigzag(histogram.schema.into()));
    double(&mut message, 5, 1e-128);
    varint_field(&mut message, 6, histogram.zero);
    let mut span = Vec::new();
    varint_field(&mut span, 1, zigzag(histogram.first.into()));
    varint_field(&mut span, 2, histogram.counts.len() as u64);
    bytes(&mut message, 11, &span);
    let mut before = 0;
    for count in &histogram.counts {
        let count = *count as i64;
        varint_field(&mut message, 12, zigzag(count - before));
        before = count;
    }
    varint_field(&mut message, 15, histogram.at_ms as u64);
    message
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn labels(labels: &[(String, String)]) -> Vec<u8> {
    let mut sorted = labels.to_vec();
    sorted.sort();
    let mut message = Vec::new();
    for (name, value) in sorted {
        let mut label = Vec::new();
        bytes(&mut label, 1, name.as_bytes());
        bytes(&mut label, 2, value.as_bytes());
        bytes(&mut message, 1, &label);
    }
    message
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn varint_field(out: &mut Vec<u8>, field: u64, number: u64) {
    varint(out, field << 3);
    varint(out, number);
}

fn double(out: &mut Vec<u8>, field: u64, number: f64) {
    varint(out, field << 3 | 1);
    out.extend(number.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u64, inner: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, inner.len() as u64);
    out.extend(inner);
}

fn snappy(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, message.len() as u64);
    for chunk in message.chunks(60) {
        out.push((chunk.len() as u8 - 1) << 2);
        out.extend(chunk);
    }
    out
}
