//! Made-up texts, the same in every run.

/// Messages that say no text of any dictionary of the repository.
pub const ORDINARY: [&str; 12] = [
    "Rendering of invoice template",
    "Customer address not found in register",
    "Parcel label printed twice",
    "Voucher rejected at checkout",
    "Newsletter export",
    "Thumbnail generation for article",
    "Postcode lookup",
    "Search suggestion ranking",
    "Rating import from partner",
    "Gift card balance check",
    "Opening hours feed malformed",
    "Delivery slot no longer offered",
];

/// Numbers that are the same in every run (xorshift, Marsaglia 2003), from a seed that is not 0.
pub struct Random(pub u64);

impl Random {
    /// A number from 0 to before `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// One of these.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// Distinct messages of 3 to 15 ordinary words.
pub fn messages(count: usize) -> Vec<String> {
    const WORDS: [&str; 24] = [
        "disk",
        "queue",
        "timeout",
        "replica",
        "failed",
        "latency",
        "memory",
        "switch",
        "port",
        "link",
        "backup",
        "snapshot",
        "cluster",
        "node",
        "kernel",
        "service",
        "login",
        "request",
        "buffer",
        "volume",
        "certificate",
        "expired",
        "growing",
        "slow",
    ];
    let mut random = Random(88_172_645_463_325_252);
    let mut messages: Vec<String> = Vec::new();
    while messages.len() < count {
        let words = 3 + random.below(13);
        let words: Vec<&str> = (0..words).map(|_| *random.one_of(&WORDS)).collect();
        let message = words.join(" ");
        if !messages.contains(&message) {
            messages.push(message);
        }
    }
    messages
}
