//! Reads texts that came after training in the words that training counted: the
//! row of a new item, and the items that a query is after.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use domain::Item;

use crate::error::Error;
use crate::reading::item_words::{rarity, weight, weighted};
use crate::reading::search::{SearchIndex, WithWord};
use crate::reading::text_map::TextMap;
use crate::reading::words::{
    Counted, CountedWords, WordCounter, value_of_field, words_of,
};
use crate::tensors::{TensorFile, write_atomically, write_tensors};

/// The words by their numbers, as a JSON list.
const WORDS: &str = "words.json";
/// Which items have them, and the map to rows.
const TEXTS: &str = "texts.safetensors";
/// The most words of a query that are taken together as one value of a field.
const LONGEST_VALUE: usize = 4;

/// What a trained model knows of texts.
#[derive(Debug, PartialEq)]
pub struct TextReader {
    /// The number of each word.
    numbers: HashMap<String, u32>,
    /// The words that are values of fields, by their value as a query has it.
    values: HashMap<String, Vec<u32>>,
    index: SearchIndex,
    /// How much each word says `[words]`.
    rarities: Vec<f64>,
    /// What the weights of an item's words are divided by `[items]`.
    lengths: Vec<f32>,
    map: TextMap,
    /// The place of each item among those of the map `[items]`.
    places: Vec<Option<u32>>,
}

/// A text in the words that a model knows.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownWords {
    /// Ascending by word.
    counts: Vec<Counted>,
}

impl KnownWords {
    /// True when the model knows no word of the text.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

impl TextReader {
    /// What is known of a catalogue's texts, and the map that was fitted to its
    /// rows.
    pub fn new(counted: CountedWords, map: TextMap) -> Self {
        let index = SearchIndex::new(&counted);
        Self::of(counted.words, index, map)
    }

    fn of(words: Vec<String>, index: SearchIndex, map: TextMap) -> Self {
        let n_items = index.n_items();
        let rarities = index.items_with_each().map(|n| rarity(n, n_items));
        let rarities: Vec<f64> = rarities.collect();
        let mut places = vec![None; n_items];
        for (place, &item) in (0u32..).zip(&map.fitted) {
            places[item as usize] = Some(place);
        }
        let mut values: HashMap<String, Vec<u32>> = HashMap::new();
        for (number, word) in (0u32..).zip(&words) {
            if let Some(value) = value_of_field(word) {
                values.entry(as_in_query(value)).or_default().push(number);
            }
        }
        Self {
            lengths: lengths(&index, &rarities),
            numbers: words.into_iter().zip(0..).collect(),
            values,
            index,
            rarities,
            map,
            places,
        }
    }

    /// Reads what an item is called and what is said of it.
    pub fn words_of_item(&self, item: &Item, description: &str) -> KnownWords {
        let mut counter = WordCounter::new(1);
        counter.add_item(0, item);
        counter.add_text(0, description);
        self.known(counter)
    }

    /// Reads what somebody looks for. One to four words that are a value of a
    /// field, such as a category or a brand, stand for that too.
    pub fn words_of_query(&self, query: &str) -> KnownWords {
        let mut counter = WordCounter::new(1);
        counter.add_text(0, query);
        let mut known = self.known(counter);
        let words: Vec<String> = words_of(query).collect();
        let mut values = HashSet::new(); // a query may say the same a thousand times
        for start in 0..words.len() {
            let longest = words.len().min(start + LONGEST_VALUE);
            for end in start + 1..=longest {
                values.insert(words[start..end].join(" "));
            }
        }
        for value in values {
            for &word in self.values.get(&value).into_iter().flatten() {
                known.counts.push(Counted { word, count: 1 });
            }
        }
        known.counts.sort_unstable_by_key(|counted| counted.word);
        known.counts.dedup_by_key(|counted| counted.word);
        known
    }

    fn known(&self, counter: WordCounter) -> KnownWords {
        let CountedWords { words, rows } = counter.finish();
        let mut counts = Vec::new();
        for counted in rows.iter().flatten() {
            let word = &words[counted.word as usize];
            if let Some(&word) = self.numbers.get(word) {
                let count = counted.count;
                counts.push(Counted { word, count });
            }
        }
        counts.sort_unstable_by_key(|counted| counted.word);
        KnownWords { counts }
    }

    /// The row `[width]` that an item with this text would have; `None` when
    /// the text says nothing that another item's says too.
    pub fn row(&self, text: &KnownWords) -> Option<Vec<f32>> {
        let weights = weighted(&text.counts, &self.rarities);
        if weights.is_empty() {
            return None;
        }
        let mut cosines = vec![0.0; self.map.fitted.len()];
        for own in weights {
            let rarity = self.rarities[own.word as usize];
            for WithWord { item, count } in self.index.with_word(own.word) {
                if let Some(place) = self.places[item as usize] {
                    let theirs = weight(count, rarity) as f32;
                    let cosine = theirs / self.lengths[item as usize];
                    cosines[place as usize] += own.weight as f32 * cosine;
                }
            }
        }
        Some(self.map.row(&cosines))
    }

    /// The row of an item that nothing is known of: the mean item's.
    pub fn mean_row(&self) -> Vec<f32> {
        self.map.mean_row().to_vec()
    }

    /// How well each item's texts match the words that are looked for
    /// `[items]`; 0 without any of them.
    pub fn matches(&self, wanted: &KnownWords) -> Vec<f32> {
        self.index.matches(&wanted.counts)
    }

    /// How well a new item's text would match the words that are looked for.
    pub fn match_of(&self, text: &KnownWords, wanted: &KnownWords) -> f32 {
        self.index.match_of(&text.counts, &wanted.counts)
    }

    /// The memory that all this takes, in bytes, about.
    pub fn n_bytes(&self) -> usize {
        let words = self.numbers.keys().map(|word| 56 + word.len());
        let values = self.values.keys().map(|value| 80 + value.len());
        words.sum::<usize>()
            + values.sum::<usize>()
            + self.index.n_bytes()
            + size_of_val(&*self.rarities)
            + size_of_val(&*self.lengths)
            + size_of_val(&*self.places)
            + self.map.n_bytes()
    }

    /// Writes two files into an existing folder.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let mut words = vec![""; self.numbers.len()];
        for (word, &number) in &self.numbers {
            words[number as usize] = word;
        }
        let words = serde_json::to_vec(&words).expect("words are JSON");
        write_atomically(&folder.join(WORDS), &words)?;
        let mut tensors = self.index.tensors();
        tensors.extend(self.map.tensors());
        write_tensors(&folder.join(TEXTS), &tensors)
    }

    /// Reads and checks what [`Self::write`] wrote, for a catalogue of
    /// `n_items` with rows of `width`; `None` where it wrote nothing: the model
    /// reads no texts, or was trained before this was kept.
    pub fn read(
        folder: &Path,
        n_items: usize,
        width: usize,
    ) -> Result<Option<Self>, Error> {
        let path = folder.join(WORDS);
        if !path.exists() {
            return Ok(None);
        }
        let words = std::fs::read(&path).map_err(Error::file(&path))?;
        let words: Vec<String> = serde_json::from_slice(&words)
            .map_err(|error| Error::malformed(&path, error.to_string()))?;
        let file = TensorFile::open(&folder.join(TEXTS))?;
        let index = SearchIndex::read(&file, words.len(), n_items)?;
        let map = TextMap::read(&file, n_items, width)?;
        Ok(Some(Self::of(words, index, map)))
    }
}

/// A field's value as a query would have it: its words, without what stands
/// between them.
fn as_in_query(value: &str) -> String {
    let words: Vec<String> = words_of(value).collect();
    words.join(" ")
}

/// The Euclidean length of each item's weighted words `[items]`.
fn lengths(index: &SearchIndex, rarities: &[f64]) -> Vec<f32> {
    let mut squares = vec![0.0; index.n_items()];
    for (word, &rarity) in (0u32..).zip(rarities) {
        for WithWord { item, count } in index.with_word(word) {
            squares[item as usize] += weight(count, rarity).powi(2);
        }
    }
    let lengths = squares.into_iter().map(|square: f64| square.sqrt() as f32);
    lengths.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::top_k;
    use crate::reading::cold::rows_from_texts;
    use crate::reading::item_words::ItemWords;
    use crate::tokens::table::Table;
    use domain::ItemId;

    fn item(title: &str, category: &str) -> Item {
        Item {
            id: ItemId::new("new").unwrap(),
            title: title.to_owned(),
            categories: vec![category.to_owned()],
            attributes: serde_json::Map::new(),
        }
    }

    /// Forty items of four kinds; kind, category and text agree.
    fn counted() -> CountedWords {
        let mut counter = WordCounter::new(40);
        for row in 0..40 {
            let title = format!("kind{} own{row}", row % 4);
            let category = format!("Role-Playing {}", row % 4);
            counter.add_item(row, &item(&title, &category));
        }
        counter.finish()
    }

    fn rows() -> Table {
        let mut values = Vec::new();
        for item in 0..40 {
            for place in 0..8 {
                let is_own = place % 4 == item % 4;
                values.push(if is_own { 0.02 } else { 0.0 });
            }
        }
        Table::new(values, 8)
    }

    fn reader(cold: &[u32]) -> TextReader {
        let words = ItemWords::of(&counted());
        let map = TextMap::fit(&words, &rows(), cold).unwrap();
        TextReader::new(counted(), map)
    }

    #[test]
    fn a_new_item_gets_the_row_that_training_gives_a_cold_one() {
        let words = ItemWords::of(&counted());
        let mut items = rows();
        let map = TextMap::fit(&words, &items, &[13]).unwrap();
        rows_from_texts(&map, &words, &mut items, &[13]);
        let reader = TextReader::new(counted(), map);
        let text = reader.words_of_item(&item("Kind1", "role-playing 1"), "");
        let row = reader.row(&text).unwrap();
        for (found, expected) in row.iter().zip(&*items.row(13)) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        let unknown = reader.words_of_item(&item("nothing", "else"), "");
        assert!(unknown.is_empty() && reader.row(&unknown).is_none());
    }

    #[test]
    fn a_query_finds_items_by_their_words_and_by_the_values_of_their_fields() {
        let reader = reader(&[]);
        let best = |query: &str| {
            let matches = reader.matches(&reader.words_of_query(query));
            top_k(&matches, 10, |row| matches[row as usize] > 0.0)
        };
        assert_eq!(best("OWN7?")[0].0, 7);
        let found = best("some role playing 2");
        assert_eq!(found.len(), 10);
        assert!(found.iter().all(|(row, _)| row % 4 == 2), "{found:?}");
        assert!(best("thing").is_empty());
    }

    #[test]
    fn a_file_keeps_it_and_another_catalogues_is_refused() {
        let (folder, reader) = (tempfile::tempdir().unwrap(), reader(&[]));
        assert!(TextReader::read(folder.path(), 40, 8).unwrap().is_none());
        reader.write(folder.path()).unwrap();
        let read = TextReader::read(folder.path(), 40, 8).unwrap();
        assert_eq!(read.as_ref(), Some(&reader));
        for (n_items, width) in [(39, 8), (40, 9)] {
            let error = TextReader::read(folder.path(), n_items, width);
            let error = error.unwrap_err().to_string();
            assert!(error.contains("catalogue") || error.contains("items"));
        }
    }
}
