//! One sort for everything that is sorted rarely: the standard library's is compiled anew for each type, 3,000 lines of
//! code each time.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

/// Sorts by a number; what has the same number stays in its order.
pub(crate) fn sort_by_number<T>(items: &mut Vec<T>, number: impl Fn(&T) -> u64) {
    let order = order_of(items.iter().map(number).collect());
    let mut unsorted: Vec<Option<T>> = items.drain(..).map(Some).collect();
    for from in order {
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
    use super::sort_by_number;

    #[test]
    fn items_come_in_the_order_of_their_numbers_and_equal_ones_stay_as_they_were() {
        let mut items = vec![(2, 'a'), (1, 'b'), (2, 'c'), (0, 'd'), (1, 'e')];
        sort_by_number(&mut items, |(number, _)| *number);
        let sorted: String = items.into_iter().map(|(_, name)| name).collect();
        assert_eq!(sorted, "dbeac");
    }
}
