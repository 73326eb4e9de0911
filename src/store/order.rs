//! Two sorts for everything that is sorted rarely: the standard library's is compiled anew for each type, 3,000 lines of
//! code each time.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

use std::cmp::Ordering;

/// Sorts by a number; what has the same number stays in its order.
pub(crate) fn sort_by_number<T>(items: &mut Vec<T>, number: impl Fn(&T) -> u64) {
    let order = order_of(items.iter().map(number).collect());
    put_in_order(items, &order);
}

/// Sorts by a comparison, which need not keep equal items in their order.
pub(crate) fn sort_by<T>(items: &mut Vec<T>, compare: impl Fn(&T, &T) -> Ordering) {
    let mut order: Vec<usize> = (0..items.len()).collect();
    let pair = |a: usize, b: usize| items.get(a).zip(items.get(b));
    sort_places(&mut order, &|a, b| {
        pair(a, b).map_or(Ordering::Equal, |(a, b)| compare(a, b))
    });
    put_in_order(items, &order);
}

fn sort_places(places: &mut [usize], compare: &dyn Fn(usize, usize) -> Ordering) {
    places.sort_unstable_by(|a, b| compare(*a, *b));
}

fn put_in_order<T>(items: &mut Vec<T>, order: &[usize]) {
    let mut unsorted: Vec<Option<T>> = items.drain(..).map(Some).collect();
    for &from in order {
        items.extend(unsorted.get_mut(from).and_then(Option::take));
    }
}

/// The places of numbers in ascending order, equal ones in the order of their places.
pub(crate) fn order_of(numbers: Vec<u64>) -> Vec<usize> {
    let mut order: Vec<(u64, usize)> = numbers.into_iter().zip(0..).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, place)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::{sort_by, sort_by_number};

    #[test]
    fn items_come_in_the_order_of_their_numbers_and_equal_ones_stay_as_they_were() {
        let mut items = vec![(2, 'a'), (1, 'b'), (2, 'c'), (0, 'd'), (1, 'e')];
        sort_by_number(&mut items, |(number, _)| *number);
        let sorted: String = items.into_iter().map(|(_, name)| name).collect();
        assert_eq!(sorted, "dbeac");
    }

    #[test]
    fn items_come_in_the_order_that_a_comparison_gives_them() {
        for len in 0..100_u64 {
            let word = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string();
            let mut items: Vec<String> = (0..len).map(word).collect();
            let mut sorted = items.clone();
            sorted.sort();
            sort_by(&mut items, |a, b| a.cmp(b));
            assert_eq!(items, sorted);
        }
    }
}
