//! Finds the items whose texts have the words that are looked for: Okapi BM25
//! (Robertson and Zaragoza, "The probabilistic relevance framework: BM25 and
//! beyond", 2009).

use crate::error::Error;
use crate::reading::words::{Counted, CountedWords};
use crate::tensors::{NamedTensor, TensorFile};

/// How soon a word that a text repeats stops counting, k₁.
const SATURATION: f32 = 1.5;
/// How much a long text's words count less, b.
const LENGTH: f32 = 0.75;

/// The items that have each word.
#[derive(Debug, PartialEq)]
pub(crate) struct SearchIndex {
    entries: Entries,
    /// How many words each item's texts have `[items]`.
    n_words: Vec<f32>,
    mean_n_words: f32,
}

#[derive(Debug, PartialEq)]
struct Entries {
    /// The items with word w are `offsets[w]..offsets[w + 1]` of the others
    /// `[words + 1]`.
    offsets: Vec<u32>,
    items: Vec<u32>,
    /// How often each has the word.
    counts: Vec<u32>,
}

/// An item that has a word, and how often.
pub(crate) struct WithWord {
    pub(crate) item: u32,
    pub(crate) count: u32,
}

impl SearchIndex {
    pub(crate) fn new(counted: &CountedWords) -> Self {
        let n_with = counted.items_with_each();
        let mut offsets = vec![0];
        for n in &n_with {
            offsets.push(offsets[offsets.len() - 1] + n);
        }
        let n_entries = offsets[n_with.len()] as usize;
        let mut next = offsets.clone();
        let (mut items, mut counts) = (vec![0; n_entries], vec![0; n_entries]);
        for (item, row) in (0u32..).zip(&counted.rows) {
            for &Counted { word, count } in row {
                let place = next[word as usize] as usize;
                next[word as usize] += 1;
                items[place] = item;
                counts[place] = count;
            }
        }
        let entries = Entries {
            offsets,
            items,
            counts,
        };
        Self::of(entries, counted.rows.len())
    }

    fn of(entries: Entries, n_items: usize) -> Self {
        let mut n_words = vec![0.0; n_items];
        for (&item, &count) in entries.items.iter().zip(&entries.counts) {
            n_words[item as usize] += count as f32;
        }
        let sum: f64 = n_words.iter().map(|&n| f64::from(n)).sum();
        let mean_n_words = sum / n_items.max(1) as f64;
        Self {
            entries,
            n_words,
            mean_n_words: mean_n_words.max(1.0) as f32,
        }
    }

    /// The tensors of the index in a file.
    pub(crate) fn tensors(&self) -> Vec<NamedTensor<'static>> {
        let Entries {
            offsets,
            items,
            counts,
        } = &self.entries;
        vec![
            tensor("words.offsets", offsets),
            tensor("words.items", items),
            tensor("words.counts", counts),
        ]
    }

    /// Reads and checks the tensors, for so many words and items.
    pub(crate) fn read(
        file: &TensorFile,
        n_words: usize,
        n_items: usize,
    ) -> Result<Self, Error> {
        let entries = Entries {
            offsets: numbers(file, "words.offsets")?,
            items: numbers(file, "words.items")?,
            counts: numbers(file, "words.counts")?,
        };
        let Entries {
            offsets,
            items,
            counts,
        } = &entries;
        let n_entries = items.len();
        let is_whole = offsets.len() == n_words + 1
            && offsets[0] == 0
            && offsets.is_sorted()
            && offsets[n_words] as usize == n_entries
            && counts.len() == n_entries
            && items.iter().all(|&item| (item as usize) < n_items);
        if !is_whole {
            let reason = format!(
                "{n_entries} entries are not those of {n_words} words and {n_items} items"
            );
            return Err(Error::malformed(file.path(), reason));
        }
        Ok(Self::of(entries, n_items))
    }

    /// How many items have each word.
    pub(crate) fn items_with_each(&self) -> impl Iterator<Item = u32> + '_ {
        self.entries
            .offsets
            .windows(2)
            .map(|span| span[1] - span[0])
    }

    /// How many items there are.
    pub(crate) fn n_items(&self) -> usize {
        self.n_words.len()
    }

    /// The items that have a word.
    pub(crate) fn with_word(
        &self,
        word: u32,
    ) -> impl Iterator<Item = WithWord> + '_ {
        let Entries {
            offsets,
            items,
            counts,
        } = &self.entries;
        let start = offsets[word as usize] as usize;
        let end = offsets[word as usize + 1] as usize;
        let entries = items[start..end].iter().zip(&counts[start..end]);
        entries.map(|(&item, &count)| WithWord { item, count })
    }

    /// How well each item's texts match the words that are looked for
    /// `[items]`; 0 without any of them.
    pub(crate) fn matches(&self, wanted: &[Counted]) -> Vec<f32> {
        let mut scores = vec![0.0; self.n_items()];
        for wanted in wanted {
            let worth = self.worth(wanted);
            for WithWord { item, count } in self.with_word(wanted.word) {
                let length = self.n_words[item as usize];
                scores[item as usize] += worth * self.frequency(count, length);
            }
        }
        scores
    }

    /// How well one more item's texts would match the words that are looked
    /// for, by the words that the catalogue knows.
    pub(crate) fn match_of(&self, text: &[Counted], wanted: &[Counted]) -> f32 {
        let length = n_words_of(text);
        let mut score = 0.0;
        for wanted in wanted {
            let place = text.binary_search_by_key(&wanted.word, |own| own.word);
            if let Ok(place) = place {
                let frequency = self.frequency(text[place].count, length);
                score += self.worth(wanted) * frequency;
            }
        }
        score
    }

    /// What finding a wanted word is worth: the rarer it is, the more.
    fn worth(&self, wanted: &Counted) -> f32 {
        let word = wanted.word as usize;
        let offsets = &self.entries.offsets;
        let n_with = (offsets[word + 1] - offsets[word]) as f32;
        let n_without = self.n_items() as f32 - n_with;
        let rarity = (1.0 + (n_without + 0.5) / (n_with + 0.5)).ln();
        rarity * wanted.count as f32
    }

    /// How much it counts that a text of a length has a word so often.
    fn frequency(&self, count: u32, length: f32) -> f32 {
        let length = 1.0 - LENGTH + LENGTH * length / self.mean_n_words;
        let count = count as f32;
        count * (SATURATION + 1.0) / (count + SATURATION * length)
    }

    /// The memory that the index takes, in bytes.
    pub(crate) fn n_bytes(&self) -> usize {
        size_of_val(&*self.entries.offsets)
            + size_of_val(&*self.entries.items)
            + size_of_val(&*self.entries.counts)
            + size_of_val(&*self.n_words)
    }
}

/// Numbers as an i32 tensor of one dimension.
fn tensor(name: &'static str, values: &[u32]) -> NamedTensor<'static> {
    let values = values.iter().map(|value| value.cast_signed());
    let values: Vec<i32> = values.collect();
    NamedTensor::i32(name, vec![values.len()], values)
}

/// An i32 tensor of numbers that are not negative.
fn numbers(file: &TensorFile, name: &str) -> Result<Vec<u32>, Error> {
    let (_, values) = file.i32(name)?;
    if values.iter().any(|&value| value < 0) {
        let reason = format!("tensor `{name}` has negative numbers");
        return Err(Error::malformed(file.path(), reason));
    }
    Ok(values.into_iter().map(i32::cast_unsigned).collect())
}

fn n_words_of(row: &[Counted]) -> f32 {
    row.iter().map(|counted| counted.count as f32).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::words::WordCounter;

    /// Three short texts and a long one.
    fn index() -> SearchIndex {
        let mut counter = WordCounter::new(4);
        counter.add_text(0, "space strategy");
        counter.add_text(1, "space racing");
        counter.add_text(2, "garden racing");
        counter.add_text(3, "strategy of a garden of a house of a street");
        SearchIndex::new(&counter.finish())
    }

    fn wanted(words: &[u32]) -> Vec<Counted> {
        words
            .iter()
            .map(|&word| Counted { word, count: 1 })
            .collect()
    }

    #[test]
    fn rare_words_count_more_and_short_texts_match_better() {
        // Words by first appearance: 0 space, 1 strategy, 2 racing, 3 garden.
        let scores = index().matches(&wanted(&[0, 1]));
        assert!(scores[0] > scores[1], "both words beat one");
        assert!(scores[1] > scores[3] && scores[3] > 0.0, "{scores:?}");
        assert_eq!(scores[2], 0.0);
        // By hand: idf = ln(1 + 2.5/2.5), tf = 2.5 / (1 + 1.5 (¼ + ¾ 2/4)).
        let one = index().matches(&wanted(&[2]))[1];
        let expected =
            2f32.ln() * 2.5 / (1.0 + 1.5 * (0.25 + 0.75 * 2.0 / 4.0));
        assert!((one - expected).abs() < 1e-5, "{one} {expected}");
    }

    #[test]
    fn another_item_with_an_items_words_matches_as_well() {
        let wanted = wanted(&[0, 1]);
        let text =
            [Counted { word: 0, count: 1 }, Counted { word: 1, count: 1 }];
        let index = index();
        assert_eq!(index.match_of(&text, &wanted), index.matches(&wanted)[0]);
    }
}
