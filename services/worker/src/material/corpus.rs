//! A data set as the models read it: documents for the content LM, histories
//! for the others.

use std::collections::HashSet;

use dataset::{Dataset, Split};
use domain::TrainSpec;
use model::prompt::Document;
use model::{
    Backbone, CountedWords, ItemWords, PromptTexts, Token, collaborative,
};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::contract::input::Input;
use crate::contract::progress::Progress;
use crate::error::Error;
use crate::material::about::About;
use crate::material::encode::Texts;
use crate::material::histories::Histories;
use crate::material::item_words::ItemTexts;
use crate::material::token_file::{Places, TokenFile};

/// Everything that the stages draw their batches from.
#[derive(Debug)]
pub(crate) struct Corpus {
    /// The words of titles, reviews, descriptions and biographies.
    tokens: TokenFile,
    /// Places of the texts that are trained on: with a predicted token, and of
    /// no held-out pair.
    documents: Vec<usize>,
    pub(crate) histories: Histories,
    /// The words of the items' texts; none where the job does not read them.
    pub(crate) counted_words: CountedWords,
    /// How much each of these words says.
    pub(crate) item_words: ItemWords,
}

/// What each user did that nothing may be chosen by: held out to measure the
/// model at the end.
#[derive(Debug)]
pub(crate) struct TestSplit {
    pub(crate) items: Vec<Vec<u32>>,
}

/// A user's items in the order in which a prompt names them.
#[derive(Debug)]
pub(crate) struct UserItems {
    user: u32,
    items: Vec<u32>,
}

impl Corpus {
    /// Reads a job's corpus in the words of its backbone; the test split is
    /// apart.
    pub(crate) fn read(
        input: &Input,
        dataset: &Dataset,
        backbone: &Backbone,
        progress: &Progress,
    ) -> Result<(Self, TestSplit), Error> {
        let spec = &input.spec;
        let tokenizer = backbone.tokenizer().map_err(Error::Backbone)?;
        let texts = Texts {
            tokenizer,
            dataset,
            id: spec.dataset.as_str(),
            folder: &input.dataset,
            max_words: spec.pretraining.max_text_tokens,
        };
        let places = Places {
            kept_in: &input.token_files,
            made_in: &input.scratch,
        };
        let tokens = TokenFile::open(texts, places, progress)?;
        let test = TestSplit {
            items: dataset.histories(Split::Test),
        };
        let prompts = PromptTexts::new(tokenizer);
        let mut corpus =
            Self::new(dataset, tokens, prompts, backbone.n_positions());
        let item_texts = ItemTexts {
            dataset,
            folder: &input.dataset,
            held_out: &held_out_pairs(dataset),
        };
        corpus.counted_words = item_texts.words(spec, progress)?;
        corpus.item_words = ItemWords::of(&corpus.counted_words);
        Ok((corpus, test))
    }

    fn new(
        dataset: &Dataset,
        tokens: TokenFile,
        texts: PromptTexts,
        n_positions: usize,
    ) -> Self {
        let mut corpus = Self {
            tokens,
            documents: Vec::new(),
            histories: Histories {
                train: dataset.histories(Split::Train),
                valid: dataset.histories(Split::Valid),
                n_items: dataset.items.len(),
                texts,
                n_positions,
            },
            counted_words: CountedWords::none(dataset.items.len()),
            item_words: ItemWords::none(dataset.items.len()),
        };
        let held_out = held_out_pairs(dataset);
        corpus.documents = (0..corpus.tokens.about().len())
            .filter(|&place| !corpus.gives_away(place, &held_out))
            .filter(|&place| corpus.has_a_prediction(place))
            .collect();
        corpus
    }

    /// True for the review of a held-out pair: it would tell what is to be
    /// found out.
    fn gives_away(&self, place: usize, held_out: &HashSet<(u32, u32)>) -> bool {
        match self.tokens.about()[place] {
            About::Review { user, item } => held_out.contains(&(user, item)),
            About::Title { .. }
            | About::Description { .. }
            | About::Biography { .. } => false,
        }
    }

    /// True when two words or more fit behind the text's prompt.
    fn has_a_prediction(&self, place: usize) -> bool {
        let prompt = self.prompt(self.tokens.about()[place]);
        let room = self.histories.n_positions.saturating_sub(prompt.len());
        self.tokens.length(place).min(room) >= 2
    }

    /// The prompt before a text.
    fn prompt(&self, about: About) -> Vec<Token> {
        match about {
            About::Title { item } => self.histories.texts.title(item),
            About::Review { user, item } => {
                self.histories.texts.review(user, item)
            }
            About::Description { item } => {
                self.histories.texts.description(item)
            }
            About::Biography { user } => self.histories.texts.biography(user),
        }
    }

    pub(crate) fn documents_at(
        &self,
        places: &[usize],
    ) -> Result<Vec<Document>, Error> {
        places
            .iter()
            .filter_map(|&place| self.document(place).transpose())
            .collect()
    }

    /// A text with its prompt; `None` when no token is left to predict.
    fn document(&self, place: usize) -> Result<Option<Document>, Error> {
        let document = Document {
            prompt: self.prompt(self.tokens.about()[place]),
            main: self.tokens.words(place)?,
        };
        Ok(document.fitted(self.histories.n_positions))
    }

    /// The places of one epoch's documents of the content LM, in random order.
    pub(crate) fn text_epoch(
        &self,
        spec: &TrainSpec,
        rng: &mut ChaCha8Rng,
    ) -> Vec<usize> {
        let mut documents = self.documents.clone();
        documents.shuffle(rng);
        if spec.pretraining.documents_per_epoch > 0 {
            documents.truncate(spec.pretraining.documents_per_epoch);
        }
        documents
    }

    /// The histories of one epoch of the collaborative LM: users in random
    /// order, and (paper: stochastic item reordering) each history too. Users
    /// with nothing to predict are left out. Their documents are made a batch
    /// at a time: all of them at once would be most of a large job's memory.
    pub(crate) fn history_epoch(
        &self,
        spec: &TrainSpec,
        rng: &mut ChaCha8Rng,
    ) -> Vec<UserItems> {
        let mut histories = Vec::new();
        for (user, history) in (0..).zip(&self.histories.train) {
            let mut items = history.clone();
            if spec.pretraining.random_order {
                items.shuffle(rng);
            }
            let history = UserItems { user, items };
            if self.history(&history).is_some() {
                histories.push(history);
            }
        }
        histories.shuffle(rng);
        histories
    }

    /// A history as the collaborative LM reads it; `None` when there is nothing
    /// to predict.
    fn history(&self, history: &UserItems) -> Option<Document> {
        let document = collaborative::document(
            &self.histories.texts,
            history.user,
            &history.items,
        );
        document.fitted(self.histories.n_positions)
    }

    pub(crate) fn histories(&self, histories: &[UserItems]) -> Vec<Document> {
        histories
            .iter()
            .filter_map(|history| self.history(history))
            .collect()
    }
}

/// (user, item) of every interaction that training must not see.
fn held_out_pairs(dataset: &Dataset) -> HashSet<(u32, u32)> {
    let rows = &dataset.interactions;
    let pairs = rows.users.iter().zip(&rows.items);
    pairs
        .zip(&rows.splits)
        .filter(|(_, split)| **split != Split::Train)
        .map(|((&user, &item), _)| (user, item))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataset::{ImportOptions, import};
    use model::Tokenizer;
    use tokio_util::sync::CancellationToken;

    #[test]
    fn the_review_of_a_held_out_pair_is_not_trained_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reviews.csv");
        let rows = "user_id,item_id,split,text\na,x,train,a fine thing\na,y,test,a secret thing\nb,x,train,so so la la\n";
        std::fs::write(&path, rows).unwrap();
        let dataset = import(&path, &ImportOptions::default()).unwrap().0;
        assert_eq!(dataset.texts.len(), 3);
        dataset.write(folder.path()).unwrap();
        let (progress, _watch) =
            Progress::new("flex", CancellationToken::new());
        let tokenizer = Tokenizer::gpt2();
        let texts = Texts {
            tokenizer: &tokenizer,
            dataset: &dataset,
            id: "d",
            folder: folder.path(),
            max_words: 3,
        };
        let places = Places {
            kept_in: &folder.path().join("tokens"),
            made_in: folder.path(),
        };
        let tokens = || TokenFile::open(texts, places, &progress).unwrap();
        let prompts = PromptTexts::new(&tokenizer);
        let corpus = Corpus::new(&dataset, tokens(), prompts.clone(), 64);
        let all =
            |corpus: &Corpus| corpus.documents_at(&corpus.documents).unwrap();
        let lengths = all(&corpus).into_iter().map(|text| text.main.len());
        let lengths: Vec<usize> = lengths.collect();
        assert_eq!(lengths, [3, 3], "cut at three words");
        std::fs::remove_file(folder.path().join("texts.jsonl")).unwrap();
        let again = Corpus::new(&dataset, tokens(), prompts, 64);
        assert_eq!(all(&again), all(&corpus), "from the file alone");
    }
}
