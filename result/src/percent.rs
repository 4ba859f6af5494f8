//! Percentages that add up to 100.

/// The share of each count in permille, by the largest remainder method: the shares add up to 1000, and those of equal counts
/// differ by at most one. Without votes every share is 0.
/// Source: <https://en.wikipedia.org/wiki/Quota_method>.
#[must_use]
pub fn largest_remainder_permille(votes: &[u64]) -> Vec<u32> {
    const WHOLE: u128 = 1000;
    let weights: Vec<u128> = votes.iter().map(|count| u128::from(*count)).collect();
    let total: u128 = weights.iter().sum();
    if total == 0 {
        return vec![0; votes.len()];
    }
    let mut shares: Vec<u128> = weights
        .iter()
        .map(|weight| weight * WHOLE / total)
        .collect();
    let missing = WHOLE.saturating_sub(shares.iter().sum());
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by_key(|&index| std::cmp::Reverse(weights[index] * WHOLE % total));
    for index in by_remainder
        .into_iter()
        .take(usize::try_from(missing).unwrap_or(usize::MAX))
    {
        shares[index] += 1;
    }
    shares
        .into_iter()
        .map(|share| u32::try_from(share).unwrap_or(u32::MAX))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_cases() {
        assert_eq!(largest_remainder_permille(&[0, 0]), [0, 0]);
        assert_eq!(largest_remainder_permille(&[1, 1, 1]), [334, 333, 333]);
        assert_eq!(largest_remainder_permille(&[1, 2]), [333, 667]);
        assert_eq!(largest_remainder_permille(&[2000, 1000]), [667, 333]);
        assert_eq!(largest_remainder_permille(&[1, 0]), [1000, 0]);
        assert_eq!(
            largest_remainder_permille(&[u64::MAX, u64::MAX]),
            [500, 500]
        );
    }

    proptest! {
        #[test]
        fn shares_add_up_and_differ_by_less_than_one_from_the_exact_value(votes in proptest::collection::vec(0..1_000_000_u64, 2..=20)) {
            let shares = largest_remainder_permille(&votes);
            let total: u64 = votes.iter().sum();
            prop_assert_eq!(shares.iter().sum::<u32>(), if total == 0 { 0 } else { 1000 });
            for (share, count) in shares.iter().zip(&votes).filter(|_| total > 0) {
                let below = count * 1000 / total;
                prop_assert!((below..=below + 1).contains(&u64::from(*share)));
            }
        }
    }
}
