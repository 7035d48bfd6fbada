//! Rows for items that nobody has interacted with yet, from their texts: what
//! the rows of the items with similar texts have in common.

use crate::reading::item_words::ItemWords;
use crate::reading::text_map::TextMap;
use crate::tokens::table::Table;

/// Overwrites the rows of the `cold` items that have a text; returns how many
/// that are.
pub fn rows_from_texts(
    map: &TextMap,
    words: &ItemWords,
    items: &mut Table,
    cold: &[u32],
) -> usize {
    let mut told = Vec::new();
    for &item in cold {
        if words.has_text(item) {
            told.push(item);
        }
    }
    let cosines = words.cosines_between(&map.fitted, &told);
    for (place, &item) in told.iter().enumerate() {
        let cosines = cosines.col(place).iter();
        let cosines: Vec<f32> = cosines.map(|&of| of as f32).collect();
        items.row_mut(item).copy_from_slice(&map.row(&cosines));
    }
    told.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::text_map::cosine;
    use crate::reading::words::WordCounter;

    /// Forty items of four kinds; kind and text agree. The last one has no text.
    fn kinds() -> (ItemWords, Table) {
        let mut counter = WordCounter::new(41);
        for item in 0..40 {
            counter.add_text(item, &format!("kind{} own{item}", item % 4));
        }
        let mut values = Vec::new();
        for item in 0..41 {
            for place in 0..32 {
                let is_own = place % 4 == item % 4;
                values.push(if is_own { 0.02 } else { 0.0 });
            }
        }
        let words = ItemWords::of(&counter.finish());
        (words, Table::new(values, 32))
    }

    #[test]
    fn an_item_that_nobody_knows_gets_the_row_of_its_kind() {
        let (words, mut items) = kinds();
        let expected = items.row(8).to_vec();
        items.row_mut(12).fill(0.0);
        let map = TextMap::fit(&words, &items, &[12]).unwrap();
        assert_eq!(rows_from_texts(&map, &words, &mut items, &[12]), 1);
        let found = items.row(12);
        assert!(cosine(&found, &expected) > 0.9, "{found:?}");
    }

    #[test]
    fn an_item_without_a_text_keeps_its_row() {
        let (words, mut items) = kinds();
        let before = items.clone();
        let map = TextMap::fit(&words, &items, &[40]).unwrap();
        assert_eq!(rows_from_texts(&map, &words, &mut items, &[40]), 0);
        assert_eq!(items, before);
    }

    #[test]
    fn without_a_text_there_is_no_map() {
        let (_, items) = kinds();
        assert!(TextMap::fit(&ItemWords::none(41), &items, &[]).is_none());
    }
}
