//! A data set as the models read it: documents for the content LM, histories for the others.

use std::collections::HashSet;

use dataset::{Dataset, Split};
use domain::TrainSpec;
use model::prompt::Document;
use model::{PromptTexts, Token, Tokenizer, collaborative};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::Error;
use crate::token_file::{About, TokenFile};

/// Everything that the stages draw their batches from.
#[derive(Debug)]
pub(crate) struct Corpus {
    /// Titles, reviews, descriptions and biographies.
    tokens: TokenFile,
    /// Places of the texts that are trained on: with a predicted token, and of no held-out pair.
    documents: Vec<usize>,
    /// Each user's training items in prompt order.
    pub(crate) train: Vec<Vec<u32>>,
    /// Held out to choose the model.
    pub(crate) valid: Vec<Vec<u32>>,
    /// Items in the catalogue, J.
    pub(crate) n_items: usize,
    /// The words of the prompts.
    pub(crate) texts: PromptTexts,
    n_positions: usize,
}

/// What each user did that nothing may be chosen by: held out to measure the model at the end.
#[derive(Debug)]
pub(crate) struct TestSplit(pub(crate) Vec<Vec<u32>>);

impl Corpus {
    /// Everything but the test split, and the test split.
    pub(crate) fn new(
        dataset: &Dataset,
        tokens: TokenFile,
        n_positions: usize,
    ) -> (Self, TestSplit) {
        let [train, valid, test] =
            [Split::Train, Split::Valid, Split::Test].map(|split| dataset.histories(split));
        let (texts, n_items) = (PromptTexts::new(&Tokenizer::gpt2()), dataset.items.len());
        let mut corpus = Self {
            tokens,
            documents: Vec::new(),
            train,
            valid,
            n_items,
            texts,
            n_positions,
        };
        let held_out = held_out_pairs(dataset);
        // The review of a held-out pair would tell what is to be found out.
        let is_told = |about: &About| matches!(about, About::Review { user, item } if held_out.contains(&(*user, *item)));
        let about = corpus
            .tokens
            .about()
            .iter()
            .enumerate()
            .filter(|(_, about)| !is_told(about));
        let has_a_prediction = |&(place, about): &(usize, &About)| {
            let room = n_positions.saturating_sub(corpus.prompt(*about).len());
            corpus.tokens.length(place).min(room) >= 2
        };
        corpus.documents = about
            .filter(has_a_prediction)
            .map(|(place, _)| place)
            .collect();
        (corpus, TestSplit(test))
    }

    /// The prompt before a text.
    fn prompt(&self, about: About) -> Vec<Token> {
        match about {
            About::Title { item } => self.texts.title(item),
            About::Review { user, item } => self.texts.review(user, item),
            About::Description { item } => self.texts.description(item),
            About::Biography { user } => self.texts.biography(user),
        }
    }

    /// All documents of the content LM, one after the other.
    pub(crate) fn documents(&self) -> impl Iterator<Item = Result<Document, Error>> + '_ {
        self.documents
            .iter()
            .filter_map(|&place| self.document(place).transpose())
    }

    /// A text with its prompt; `None` when no token is left to predict.
    fn document(&self, place: usize) -> Result<Option<Document>, Error> {
        let prompt = self.prompt(self.tokens.about()[place]);
        Ok(Document {
            prompt,
            main: self.tokens.words(place)?,
        }
        .fitted(self.n_positions))
    }

    /// Training interactions of each item.
    pub(crate) fn popularity(&self) -> Vec<u32> {
        let mut counts = vec![0; self.n_items];
        self.train
            .iter()
            .flatten()
            .for_each(|&item| counts[item as usize] += 1);
        counts
    }

    /// Items without a training interaction, ascending.
    pub(crate) fn cold_items(&self) -> Vec<u32> {
        (0u32..)
            .zip(self.popularity())
            .filter(|(_, n)| *n == 0)
            .map(|(item, _)| item)
            .collect()
    }

    /// The places of one epoch's documents of the content LM, in random order.
    pub(crate) fn text_epoch(&self, spec: &TrainSpec, rng: &mut ChaCha8Rng) -> Vec<usize> {
        let mut documents = self.documents.clone();
        documents.shuffle(rng);
        if spec.pretraining.documents_per_epoch > 0 {
            documents.truncate(spec.pretraining.documents_per_epoch);
        }
        documents
    }

    /// The documents at some places.
    pub(crate) fn documents_at(&self, places: &[usize]) -> Result<Vec<Document>, Error> {
        places
            .iter()
            .filter_map(|&place| self.document(place).transpose())
            .collect()
    }

    /// The histories of one epoch of the collaborative LM: users in random order, and (paper:
    /// stochastic item reordering) each history too. Users with nothing to predict are left out.
    /// Their documents are made a batch at a time: all of them at once would be most of a large
    /// job's memory.
    pub(crate) fn history_epoch(
        &self,
        spec: &TrainSpec,
        rng: &mut ChaCha8Rng,
    ) -> Vec<(u32, Vec<u32>)> {
        let mut histories: Vec<(u32, Vec<u32>)> = (0..)
            .zip(&self.train)
            .filter_map(|(user, history)| {
                let mut items = history.clone();
                if spec.pretraining.random_order {
                    items.shuffle(rng);
                }
                self.history(user, &items).map(|_| (user, items))
            })
            .collect();
        histories.shuffle(rng);
        histories
    }

    /// A history as the collaborative LM reads it; `None` when there is nothing to predict.
    fn history(&self, user: u32, items: &[u32]) -> Option<Document> {
        collaborative::document(&self.texts, user, items).fitted(self.n_positions)
    }

    /// The documents of some histories.
    pub(crate) fn histories(&self, histories: &[(u32, Vec<u32>)]) -> Vec<Document> {
        histories
            .iter()
            .filter_map(|(user, items)| self.history(*user, items))
            .collect()
    }

    /// A recommendation prompt as it is served: the whole training history of `user` in time order,
    /// with `token` for the user.
    pub(crate) fn ranking_prompt(&self, user: u32, token: Option<u32>) -> Vec<Token> {
        self.texts
            .recommend(token, &self.train[user as usize], self.n_positions)
    }

    /// A recommendation prompt of a training step.
    pub(crate) fn training_prompt(&self, user: Option<u32>, visible: &[u32]) -> Vec<Token> {
        self.texts.recommend(user, visible, self.n_positions)
    }
}

/// (user, item) of every interaction that training must not see.
fn held_out_pairs(dataset: &Dataset) -> HashSet<(u32, u32)> {
    let rows = &dataset.interactions;
    let pairs = rows
        .users
        .iter()
        .copied()
        .zip(rows.items.iter().copied())
        .zip(&rows.splits);
    pairs
        .filter(|(_, split)| **split != Split::Train)
        .map(|(pair, _)| pair)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataset::{ImportOptions, import};
    use tokio_util::sync::CancellationToken;

    use crate::Progress;

    #[test]
    fn the_review_of_a_held_out_pair_is_not_trained_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reviews.csv");
        let rows = "user_id,item_id,split,text\na,x,train,a fine thing\na,y,test,a secret thing\nb,x,train,so so la la\n";
        std::fs::write(&path, rows).unwrap();
        let dataset = import(&path, &ImportOptions::default()).unwrap().0;
        assert_eq!(dataset.texts.len(), 3);
        dataset.write(folder.path()).unwrap();
        let (progress, _watch) = Progress::new("flex", CancellationToken::new());
        let tokens = || {
            TokenFile::open(
                (&dataset, folder.path()),
                ("d", 3),
                &folder.path().join("tokens"),
                &progress,
            )
        };
        let (corpus, _) = Corpus::new(&dataset, tokens().unwrap(), 64);
        let words: Vec<usize> = corpus
            .documents()
            .map(|document| document.unwrap().main.len())
            .collect();
        assert_eq!(words, [3, 3], "cut at three words");
        std::fs::remove_file(folder.path().join("texts.jsonl")).unwrap();
        let (again, _) = Corpus::new(&dataset, tokens().unwrap(), 64);
        let all = |corpus: &Corpus| corpus.documents().collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(all(&again), all(&corpus), "from the file alone");
    }
}
