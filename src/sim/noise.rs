//! Numbers that look random and are not: the same seed gives the same cluster.

/// A well mixed 64-bit number for each combination of its arguments.
pub(super) fn hash(seed: u64, subject: u64, index: u64) -> u64 {
    mix(mix(mix(seed).wrapping_add(subject)).wrapping_add(index))
}

/// The same as a fraction, 0 ≤ x < 1.
pub(super) fn unit(seed: u64, subject: u64, index: u64) -> f64 {
    (hash(seed, subject, index) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The step and the finaliser of `SplitMix64`.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// The order of the keys and lists of one answer: PVE's are Perl hashes, in another order each time.
pub(super) struct Shuffle(u64);

impl Shuffle {
    /// The order of the `answer`-th answer.
    pub(super) fn new(seed: u64, answer: u64) -> Self {
        Self(hash(seed, 0x5u64, answer))
    }

    /// Puts the items into the next order (Fisher and Yates).
    pub(super) fn apply<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            self.0 = mix(self.0);
            let other = (self.0 % (last as u64 + 1)) as usize;
            items.swap(last, other);
        }
    }
}

/// A load that rises and falls like day and night, only in minutes: a mean with two sine waves on top.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wave {
    mean: f64,
    slow: Sine,
    fast: Sine,
}

#[derive(Debug, Clone, PartialEq)]
struct Sine {
    share: f64,
    speed: f64,
    phase: f64,
}

impl Wave {
    /// A wave around `mean`; the two sines never outweigh the mean, so that the load stays above zero.
    pub(super) fn new(seed: u64, index: u64, mean: f64) -> Self {
        let sine = |subject: u64, share: f64, shortest: f64, longest: f64| Sine {
            share,
            speed: std::f64::consts::TAU / (shortest + (longest - shortest) * unit(seed, subject, index)),
            phase: std::f64::consts::TAU * unit(seed, subject + 1, index),
        };
        Self { mean, slow: sine(101, 0.6, 240.0, 720.0), fast: sine(103, 0.3, 45.0, 120.0) }
    }

    /// The load at a time, in seconds.
    pub(super) fn at(&self, time: i64) -> f64 {
        self.mean * (1.0 + self.slow.at(time) + self.fast.at(time))
    }

    /// The load integrated from one time to a later one: what a counter has counted. Never less for a later end.
    pub(super) fn sum(&self, from: i64, to: i64) -> f64 {
        let span = (to - from) as f64;
        self.mean * (span + self.slow.sum(from, to) + self.fast.sum(from, to))
    }
}

impl Sine {
    fn at(&self, time: i64) -> f64 {
        self.share * (self.speed * time as f64 + self.phase).sin()
    }

    fn sum(&self, from: i64, to: i64) -> f64 {
        let cosine = |time: i64| (self.speed * time as f64 + self.phase).cos();
        self.share / self.speed * (cosine(from) - cosine(to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_stays_positive_and_its_sum_grows_with_the_load() {
        for index in 0..50 {
            let wave = Wave::new(7, index, 0.3);
            let mut last = 0.0;
            for time in 0..2000 {
                assert!(wave.at(time) > 0.0 && wave.at(time) < 0.3 * 1.91);
                let sum = wave.sum(-500, time);
                let mean_of_second = (wave.at(time - 1) + wave.at(time)) / 2.0;
                if time > 0 {
                    assert!((sum - last - mean_of_second).abs() < 0.01, "{sum} {last} {mean_of_second}");
                }
                last = sum;
            }
        }
    }

    #[test]
    fn a_shuffle_keeps_every_item_and_differs_from_answer_to_answer() {
        let order = |answer| {
            let mut items: Vec<u32> = (0..20).collect();
            Shuffle::new(1, answer).apply(&mut items);
            items
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let mut sorted = order(3);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<u32>>());
    }
}
